variable "name" {
  description = "Begins the name of everything here, such as meridian-eu."
  type        = string
  nullable    = false
}

variable "region" {
  description = "The region's name in the mesh, such as eu."
  type        = string
  nullable    = false
}

variable "edge" {
  description = "What aws-edge made: its group, load balancer and target group as CloudWatch names them, and the least number of edges."
  type = object({
    group         = string
    load_balancer = string
    target_group  = string
    min           = number
  })
  nullable = false
}

variable "nats" {
  description = "The region's nats-servers by their name in the mesh, such as eu-n1: the machine of each."
  type        = map(string)
  nullable    = false
}

variable "gateways" {
  description = "How many other regions each nats-server has a gateway to."
  type        = number
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics of this AWS region that learn of alarms, and of their end."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace of what node.py reports."
  type        = string
  default     = "Meridian"
  nullable    = false
}

variable "collector" {
  description = "The machine that takes OTLP of the region's edges to X-Ray and CloudWatch; null: none. Its address is fixed, so edges know it beforehand."
  type = object({
    ami_id            = string
    subnet_id         = string
    private_ip        = string
    security_group_id = string
    instance_type     = optional(string, "t3.small")
  })
  default = null
}

variable "kms_key_arn" {
  description = "A key of your own for the collector's disk; null: AWS's."
  type        = string
  default     = null
}

variable "session_manager" {
  description = "Whether operators may reach the collector by Session Manager."
  type        = bool
  default     = true
  nullable    = false
}

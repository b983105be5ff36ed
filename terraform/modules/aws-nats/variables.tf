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

variable "servers" {
  description = "By short name (n1 …): the zone, the fixed address, the private subnet and the rendered configuration of each nats-server. instance_type changes one server alone: do it one after the other."
  type = map(object({
    zone          = string
    host          = string
    subnet_id     = string
    conf          = string
    instance_type = optional(string)
  }))
  nullable = false

  validation {
    condition     = length(distinct([for _, server in var.servers : server.zone])) == length(var.servers)
    error_message = "Each nats-server stands in a zone of its own."
  }
  validation {
    condition     = length(distinct([for _, server in var.servers : server.host])) == length(var.servers)
    error_message = "Each nats-server has an address of its own."
  }
}

variable "bucket" {
  description = "The region's bucket, with versions: its name and ARN."
  type        = object({ name = string, arn = string })
  nullable    = false
}

variable "binary" {
  description = "nats-server in the bucket: its key, version and SHA-256."
  type        = object({ key = string, version = string, sha256 = string })
  nullable    = false
}

variable "ami_id" {
  description = "The machine image, with systemd, cloud-init, Python 3.9 and the AWS command line, such as Amazon Linux 2023. A change reaches new machines only."
  type        = string
  nullable    = false
}

variable "instance_type" {
  description = "Of every server without an instance_type of its own."
  type        = string
  default     = "m7i.large"
  nullable    = false
}

variable "volume" {
  description = "The disk of JetStream: size in GiB, operations and MiB a second."
  type = object({
    size       = optional(number, 100)
    iops       = optional(number, 3000)
    throughput = optional(number, 125)
  })
  default  = {}
  nullable = false
}

variable "security_group_id" {
  description = "The group of nats-servers; `nats` of aws-network."
  type        = string
  nullable    = false
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace of what node.py reports."
  type        = string
  default     = "Meridian"
  nullable    = false
}

variable "kms_key_arn" {
  description = "A key of your own for disks and secrets; null: AWS's."
  type        = string
  default     = null
}

variable "session_manager" {
  description = "Whether operators may reach the machines by Session Manager and Run Command: rolling an upgrade needs it."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether machines can be terminated only after this was switched off and applied."
  type        = bool
  default     = true
  nullable    = false
}

variable "secret_recovery_days" {
  description = "How long a deleted secret can be restored, 7 to 30; 0 deletes at once."
  type        = number
  default     = 7
  nullable    = false
}

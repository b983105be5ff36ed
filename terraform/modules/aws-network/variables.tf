variable "name" {
  description = "Begins the name of everything here, such as meridian-eu."
  type        = string
  nullable    = false
}

variable "vpc_cidr" {
  description = "The network of the VPC."
  type        = string
  nullable    = false
}

variable "subnets" {
  description = "By availability zone: the networks of its public, edge and private subnet; `subnets` of aws-addresses."
  type        = map(object({ public = string, edge = string, private = string }))
  nullable    = false
}

variable "ports" {
  description = "Where edges and nats-servers listen."
  type = object({
    public  = optional(number, 7443)
    admin   = optional(number, 7411)
    client  = optional(number, 4222)
    route   = optional(number, 6222)
    gateway = optional(number, 7222)
  })
  default  = {}
  nullable = false
}

variable "client_cidrs" {
  description = "Who may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
}

variable "peer_cidrs" {
  description = "The other regions' networks, by region: their nats-servers may reach this region's gateways."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service_cidrs" {
  description = "Networks of internal services that use NATS directly, besides edges; they need a certificate too."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "interface_endpoints" {
  description = "AWS services that private subnets reach without internet. The defaults are what node.py and Session Manager need."
  type        = set(string)
  default     = ["autoscaling", "ec2messages", "logs", "monitoring", "secretsmanager", "ssm", "ssmmessages", "xray"]
  nullable    = false

  validation {
    condition     = length(setsubtract(["autoscaling", "monitoring", "secretsmanager"], var.interface_endpoints)) == 0 || var.nat_gateways
    error_message = "Without NAT gateways edges and nats-servers need endpoints for autoscaling, monitoring and secretsmanager: they could not boot, report or drain."
  }
}

variable "nat_gateways" {
  description = "A NAT gateway in each zone, for what must reach the internet, such as a telemetry vendor. What browsers are sent never passes it."
  type        = bool
  default     = false
  nullable    = false
}

variable "flow_logs" {
  description = "Flow logs of the VPC, kept in CloudWatch Logs; kms_key_arn null: encrypted with the service's key."
  type = object({
    enabled        = optional(bool, true)
    retention_days = optional(number, 365)
    kms_key_arn    = optional(string)
  })
  default  = {}
  nullable = false
}

variable "name" {
  description = "Begins the name of everything here, such as meridian."
  type        = string
  nullable    = false
}

variable "zone_id" {
  description = "The hosted zone of `domain`."
  type        = string
  nullable    = false
}

variable "domain" {
  description = "Where clients connect, such as edge.example.com; each region is also <region>.<domain>."
  type        = string
  nullable    = false
}

variable "regions" {
  description = "By region: its AWS region, its load balancer's name and hosted zone, and whether it is in service. false takes it out of `domain` and keeps <region>.<domain>: the first step of removing a region, or of leaving one that is ill."
  type = map(object({
    aws_region = string
    dns_name   = string
    zone_id    = string
    in_service = optional(bool, true)
  }))
  nullable = false

  validation {
    condition     = anytrue([for _, region in var.regions : region.in_service])
    error_message = "At least one region has to be in service."
  }
}

variable "health_checks" {
  description = "Whether Route 53 also connects to each region from outside, besides asking its load balancer for healthy edges."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics in us-east-1, where Route 53 keeps its metrics, that learn of a region that cannot be reached."
  type        = list(string)
  default     = []
  nullable    = false
}

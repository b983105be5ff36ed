variable "name" {
  description = "Names the role and its instance profile. IAM knows no regions: it has to hold the region's name."
  type        = string
  nullable    = false
}

variable "objects" {
  description = "ARNs of the objects in the bucket that the machine may read, with * at the end of a prefix."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "secrets" {
  description = "ARNs of the secrets that the machine may read."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "auto_scaling_group_arn" {
  description = "The group whose lifecycle actions the machine may complete; a pattern of an ARN, since the group is made later. Null for none."
  type        = string
  default     = null
}

variable "metrics_namespaces" {
  description = "The CloudWatch namespaces that the machine may publish metrics to."
  type        = list(string)
  nullable    = false
}

variable "traces" {
  description = "Whether the machine may send traces to X-Ray."
  type        = bool
  default     = false
  nullable    = false
}

variable "session_manager" {
  description = "Whether operators may reach the machine by Session Manager and Run Command. There is no SSH."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_arn" {
  description = "The key of the secrets and of the bucket; null where AWS's own keys are used."
  type        = string
  default     = null
}

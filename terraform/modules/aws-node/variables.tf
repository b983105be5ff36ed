variable "role" {
  description = "What the machine is: edge or nats."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["edge", "nats"], var.role)
    error_message = "role is edge or nats."
  }
}

variable "settings" {
  description = "node.py's settings, as its functions read them: region, aws_region, bucket, files or manifest, secrets, and edge or nats."
  type        = any
  nullable    = false
}

variable "drain_window_ms" {
  description = "How long an edge takes to let its clients go; systemd waits 30 s more before it kills."
  type        = number
  default     = 120000
  nullable    = false
}

variable "connections_max" {
  description = "Connections of an edge, for its limit of descriptors."
  type        = number
  default     = 15000
  nullable    = false
}

variable "connections" {
  description = "Clients connected at once, in the whole mesh."
  type        = number
  default     = 1000000
  validation {
    condition     = var.connections > 0
    error_message = "connections is above 0."
  }
}

variable "regions" {
  description = "Regions; clients are taken to be spread evenly."
  type        = number
  default     = 3
  validation {
    condition     = var.regions >= 1 && floor(var.regions) == var.regions
    error_message = "regions is a whole number from 1."
  }
}

variable "deliveries_per_connection_per_second" {
  description = "Messages that one client receives a second, on average."
  type        = number
  default     = 0.1
}

variable "message_bytes" {
  description = "Payload of a message."
  type        = number
  default     = 256
}

variable "distinct_filters_per_connection" {
  description = "Filters that nobody else in the region has, for each connection: 1 where every client has a subject of its own, near 0 where all share some. What NATS has to hold follows from this and not from connections."
  type        = number
  default     = 0.1
}

variable "messages_per_second" {
  description = "Messages published a second, in the whole mesh."
  type        = number
  default     = 1000
}

variable "durable_messages_per_second" {
  description = "How many of these are stored."
  type        = number
  default     = 200
}

variable "retention_seconds" {
  description = "How long they are kept (max_age_s)."
  type        = number
  default     = 86400
}

variable "replicas" {
  description = "Servers of a region that store each message."
  type        = number
  default     = 3
}

variable "tls" {
  description = "Whether edges end TLS themselves."
  type        = bool
  default     = true
}

variable "headroom" {
  description = "How much of a machine is planned for: 0.6 is where the autoscaler adds one."
  type        = number
  default     = 0.6
}

variable "edge" {
  description = "One edge: its machine, and limits.connections_max."
  type = object({
    cores           = optional(number, 4)
    memory_gib      = optional(number, 8)
    network_gbit    = optional(number, 1.25)
    connections_max = optional(number, 100000)
  })
  default = {}
}

variable "costs" {
  description = "What things cost. The defaults are measured where the output says so; measure yours with `make bench`."
  type = object({
    edge_connection_bytes    = optional(number, 1546)
    kernel_connection_bytes  = optional(number, 4096)
    tls_connection_bytes     = optional(number, 24576)
    delivery_us              = optional(number, 8.64)
    frame_overhead_bytes     = optional(number, 130)
    nats_local_filter_bytes  = optional(number, 2355)
    nats_remote_filter_bytes = optional(number, 1126)
    stored_overhead_bytes    = optional(number, 150)
  })
  default = {}
}

variable "mesh_name" {
  description = "Names the mesh and begins every name in AWS."
  type        = string
  default     = "meridian"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,13}$", var.mesh_name))
    error_message = "mesh_name is 1 to 14 lower-case letters, digits and -, and begins with a letter: load balancers take no longer names."
  }
}

variable "domain" {
  description = "Where clients connect, such as edge.example.com."
  type        = string
  nullable    = false
}

variable "zone_id" {
  description = "The public hosted zone of Route 53 that holds domain and assets_domain."
  type        = string
  nullable    = false
}

variable "regions" {
  description = "The regions, by the names that regions.tf was written for. joined: 0 for the founders, and a higher number for each later one, so that no file of an older nats-server changes. in_service false takes a region out of `domain`. network, nats and edge: aws-region documents them."
  type = map(object({
    aws_region       = string
    vpc_cidr         = string
    zones            = list(string)
    joined           = optional(number, 0)
    in_service       = optional(bool, true)
    ami_id           = optional(string)
    alarm_topic_arns = optional(list(string), [])
    kms_key_arn      = optional(string)
    edge_subnet_bits = optional(number, 27)
    network = optional(object({
      client_cidrs  = optional(list(string), ["0.0.0.0/0"])
      service_cidrs = optional(list(string), [])
      nat_gateways  = optional(bool, false)
      flow_logs     = optional(bool, true)
      flow_log_days = optional(number, 365)
    }), {})
    nats = optional(object({
      instance_type  = optional(string, "m7i.large")
      instance_types = optional(map(string), {})
      volume         = optional(object({ size = optional(number, 100), iops = optional(number, 3000), throughput = optional(number, 125) }), {})
    }), {})
    edge = optional(object({
      instance_type      = optional(string, "c7i.large")
      group              = optional(object({ min = optional(number, 3), max = optional(number, 12) }), {})
      scaling            = optional(object({ utilization = optional(number, 60), cpu = optional(number, 65), egress_mbit_s = optional(number, 400), scale_in = optional(bool, true), warmup_s = optional(number, 120) }), {})
      cross_zone         = optional(bool, false)
      access_logs_bucket = optional(string)
      secrets            = optional(list(object({ arn = string, directory = string, names = list(string) })), [])
    }), {})
  }))
  nullable = false

  validation {
    condition     = length(distinct([for _, region in var.regions : region.vpc_cidr])) == length(var.regions)
    error_message = "Networks of regions must differ: they are peered."
  }
  validation {
    condition     = alltrue([for name, _ in var.regions : can(regex("^[a-z][a-z0-9-]{0,11}$", name))])
    error_message = "A region's name is 1 to 12 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "namespaces" {
  description = "What clients can reach at all; mesh-config documents and checks it."
  type        = any
  default     = []
  nullable    = false
}

variable "services" {
  description = "Internal services that use NATS directly, and what they may do; mesh-config documents and checks it."
  type        = any
  default     = {}
  nullable    = false
}

variable "auth" {
  description = "[auth] of every edge; mesh-config documents and checks it. Files of keys come from edge.secrets of the regions."
  type        = any
  nullable    = false
}

variable "edge_limits" {
  description = "[limits] of every edge, such as { filters_max = 64 }."
  type        = map(number)
  default     = {}
  nullable    = false
}

variable "connections_max" {
  description = "limits.connections_max of every edge: what its machine can hold, and what utilization is measured by."
  type        = number
  default     = 15000
  nullable    = false
}

variable "drain_window_ms" {
  description = "How long an edge takes to let its clients go. A group rolls through its edges at this pace."
  type        = number
  default     = 120000
  nullable    = false
}

variable "origins" {
  description = "Origins whose pages may use the HTTP transports."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "jetstream" {
  description = "JetStream's share of each nats-server; mesh-config documents it. Keep file_max below the disk."
  type        = any
  default     = {}
  nullable    = false
}

variable "binaries" {
  description = "Files of this machine that are uploaded and run: meridian and nats-server, for x86_64 and the image's libc."
  type        = object({ meridian = string, nats_server = string })
  nullable    = false
}

variable "tls_at_nlb" {
  description = "Whether TLS ends at the load balancers, with certificates of ACM, instead of in the edges."
  type        = bool
  default     = false
  nullable    = false
}

variable "assets_domain" {
  description = "Where the SDK, the demo and static files are served by CloudFront, such as cdn.example.com; null: nowhere."
  type        = string
  default     = null
}

variable "assets_folders" {
  description = "Folders of this machine to upload, by the path that they are served under, such as { sdk = \"../../sdk/js/dist\" }."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "edge_environment" {
  description = "More keys of every edge's configuration, as its environment has them, such as { MERIDIAN__TRACING__SAMPLE_RATIO = \"0.01\" }. No secrets."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "collector" {
  description = "Whether each region has a collector that takes telemetry to X-Ray and CloudWatch."
  type        = bool
  default     = true
  nullable    = false
}

variable "dns_alarm_topic_arns" {
  description = "SNS topics in us-east-1 that learn of regions that cannot be reached."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "session_manager" {
  description = "Whether operators may reach machines by Session Manager and Run Command."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether nats-servers, load balancers and buckets withstand `destroy`: switch it off and apply first."
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

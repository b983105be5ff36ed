variable "name" {
  description = "Begins the name of everything here: mesh and region, such as meridian-eu; at most 27 characters."
  type        = string
  nullable    = false
}

variable "region" {
  description = "The region's name in the mesh, such as eu."
  type        = string
  nullable    = false
}

variable "vpc_cidr" {
  description = "The region's network, from /16 to /22."
  type        = string
  nullable    = false
}

variable "zones" {
  description = "The availability zones, 1 or 3: a nats-server stands in each."
  type        = list(string)
  nullable    = false
}

variable "edge_subnet_bits" {
  description = "Prefix length of each zone's subnet for edges, 26 to 28."
  type        = number
  default     = 27
  nullable    = false
}

variable "peer_cidrs" {
  description = "The other regions' networks, by region."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "nats_conf" {
  description = "By short name (n1 …): the rendered configuration of each nats-server; `conf` of mesh-config."
  type        = map(string)
  nullable    = false
}

variable "toml" {
  description = "The edges' rendered configuration; `toml` of mesh-config."
  type        = string
  nullable    = false
}

variable "environment" {
  description = "More variables of the edges' environment. No secrets."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "binaries" {
  description = "Files of this machine that are uploaded and run: meridian and nats-server, built for the image's libc and the instances' architecture."
  type        = object({ meridian = string, nats_server = string })
  nullable    = false
}

variable "ami_id" {
  description = "The machine image; null: the newest Amazon Linux 2023 for x86_64. Name one, so that a new image rolls edges when you want it."
  type        = string
  default     = null
}

variable "network" {
  description = "Of aws-network: client_cidrs, service_cidrs, nat_gateways, flow_logs."
  type = object({
    client_cidrs  = optional(list(string), ["0.0.0.0/0"])
    service_cidrs = optional(list(string), [])
    nat_gateways  = optional(bool, false)
    flow_logs     = optional(bool, true)
    flow_log_days = optional(number, 365)
  })
  default  = {}
  nullable = false
}

variable "nats" {
  description = "Of aws-nats: instance_type, instance_types of single servers by short name, and the disk."
  type = object({
    instance_type  = optional(string, "m7i.large")
    instance_types = optional(map(string), {})
    volume         = optional(object({ size = optional(number, 100), iops = optional(number, 3000), throughput = optional(number, 125) }), {})
  })
  default  = {}
  nullable = false
}

variable "edge" {
  description = "Of aws-edge: instance_type, group, scaling, drain, cross_zone, idle_timeout_s, access_logs_bucket, secrets."
  type = object({
    instance_type      = optional(string, "c7i.large")
    group              = optional(object({ min = optional(number, 3), max = optional(number, 12), connections_max = optional(number, 15000) }), {})
    scaling            = optional(object({ utilization = optional(number, 60), cpu = optional(number, 65), egress_mbit_s = optional(number, 400), scale_in = optional(bool, true), warmup_s = optional(number, 120) }), {})
    drain              = optional(object({ window_ms = optional(number, 120000), unhealthy_s = optional(number, 900), deregistration_s = optional(number, 60) }), {})
    cross_zone         = optional(bool, false)
    idle_timeout_s     = optional(number, 600)
    access_logs_bucket = optional(string)
    secrets            = optional(list(object({ arn = string, directory = string, names = list(string) })), [])
  })
  default  = {}
  nullable = false
}

variable "tls" {
  description = "Where TLS ends: mode `edge`, or `nlb` with certificate_arn."
  type        = object({ mode = optional(string, "edge"), certificate_arn = optional(string) })
  default     = {}
  nullable    = false
}

variable "collector" {
  description = "Whether a collector takes the edges' telemetry to X-Ray and CloudWatch."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics of this AWS region that learn of alarms."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "kms_key_arn" {
  description = "A key of your own for disks, secrets and the bucket; null: AWS's."
  type        = string
  default     = null
}

variable "session_manager" {
  description = "Whether operators may reach the machines by Session Manager and Run Command."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether nats-servers, the load balancer and the bucket withstand `destroy`."
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

variable "name" {
  description = "Begins the name of everything here, such as meridian-eu; at most 27 characters, for the load balancer's sake."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,26}$", var.name))
    error_message = "name is 1 to 27 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "region" {
  description = "The region's name in the mesh, such as eu."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
  nullable    = false
}

variable "load_balancer_subnet_ids" {
  description = "Public subnets, one a zone."
  type        = list(string)
  nullable    = false
}

variable "edge_subnet_ids" {
  description = "The edges' subnets, one a zone; aws-addresses names an edge for each of their addresses."
  type        = list(string)
  nullable    = false
}

variable "security_group_ids" {
  description = "The groups of the load balancer and of the edges."
  type        = object({ load_balancer = string, edge = string })
  nullable    = false
}

variable "bucket" {
  description = "The region's bucket, with versions: its name and ARN."
  type        = object({ name = string, arn = string })
  nullable    = false
}

variable "binary" {
  description = "meridian in the bucket: its key, version and SHA-256."
  type        = object({ key = string, version = string, sha256 = string })
  nullable    = false
}

variable "toml" {
  description = "The edges' configuration. What differs from edge to edge comes from the environment (node.py). A change rolls the group."
  type        = string
  nullable    = false
}

variable "environment" {
  description = "More variables of the edges' environment, such as where telemetry goes. No secrets: they stand in the user data."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "nats_servers" {
  description = "The region's nats-servers: zone and URL. An edge takes the one of its own zone first."
  type        = list(object({ zone = string, url = string }))
  nullable    = false
}

variable "secrets" {
  description = "More secrets of the edges, such as a token issuer's keys: a secret's ARN, the directory, and the files that its JSON holds."
  type        = list(object({ arn = string, directory = string, names = list(string) }))
  default     = []
  nullable    = false
}

variable "ports" {
  description = "Where edges listen for clients, and for health checks."
  type = object({
    public = optional(number, 7443)
    admin  = optional(number, 7411)
  })
  default  = {}
  nullable = false
}

variable "tls" {
  description = "Where TLS ends. mode `edge`: the load balancer passes TCP, edges have the certificate (a secret). mode `nlb`: at the load balancer, with certificate_arn of ACM; it then counts a connection as many times the load balancer capacity, and its idle timeout is 350 s."
  type = object({
    mode            = optional(string, "edge")
    certificate_arn = optional(string)
    ssl_policy      = optional(string, "ELBSecurityPolicy-TLS13-1-2-2021-06")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["edge", "nlb"], var.tls.mode)
    error_message = "tls.mode is edge or nlb."
  }
  validation {
    condition     = (var.tls.mode == "nlb") == (var.tls.certificate_arn != null)
    error_message = "tls.mode nlb needs certificate_arn, and mode edge has none: its certificate is the secret."
  }
}

variable "ami_id" {
  description = "The machine image, with systemd, cloud-init, Python 3.9 and the AWS command line, such as Amazon Linux 2023. A change rolls the group."
  type        = string
  nullable    = false
}

variable "instance_type" {
  description = "Of the edges. Give the process all cores, and mind the network's baseline: egress is the first to end."
  type        = string
  default     = "c7i.large"
  nullable    = false
}

variable "group" {
  description = "How many edges, and limits.connections_max of each. max bounds the bill."
  type = object({
    min             = optional(number, 3)
    max             = optional(number, 12)
    connections_max = optional(number, 15000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.group.min >= 1 && var.group.max >= var.group.min
    error_message = "group has min of at least 1, and max of at least min."
  }
}

variable "scaling" {
  description = "When the group grows. utilization: the target in percent of what an edge can take, by the worst of its resources. cpu and egress_mbit_s (an edge's average): beyond them the group grows by steps, and neither ever shrinks it. scale_in false: it never shrinks by itself, for a launch."
  type = object({
    utilization   = optional(number, 60)
    cpu           = optional(number, 65)
    egress_mbit_s = optional(number, 400)
    scale_in      = optional(bool, true)
    warmup_s      = optional(number, 120)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.scaling.utilization >= 20 && var.scaling.utilization <= 80 && var.scaling.cpu >= 20 && var.scaling.cpu <= 90
    error_message = "scaling.utilization is 20 to 80 percent and cpu 20 to 90: an edge takes minutes to come."
  }
}

variable "drain" {
  description = "window_ms: drain.window_ms of the edges. unhealthy_s: how long clients keep their connections to an edge that is not ready, such as one without NATS; deregistration_s: how long the group waits for the load balancer before it tells the edge to drain."
  type = object({
    window_ms        = optional(number, 120000)
    unhealthy_s      = optional(number, 900)
    deregistration_s = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.drain.unhealthy_s * 1000 > var.drain.window_ms
    error_message = "drain.unhealthy_s must be longer than window_ms: the load balancer would reset connections that are being drained."
  }
}

variable "idle_timeout_s" {
  description = "After which silence the load balancer forgets a connection, 60 to 6,000; with tls.mode nlb it is 350. Clients' heartbeats come at least every 300 s."
  type        = number
  default     = 600
  nullable    = false

  validation {
    condition     = var.idle_timeout_s >= 330 && var.idle_timeout_s <= 6000
    error_message = "idle_timeout_s is 330 to 6,000: a client may ask for heartbeats of 300 s."
  }
}

variable "cross_zone" {
  description = "Whether the load balancer sends connections into other zones. It then pays for traffic between zones, and takes 500 edges at most."
  type        = bool
  default     = false
  nullable    = false
}

variable "access_logs_bucket" {
  description = "A bucket for the load balancer's access logs, which tell of TLS only, so of tls.mode nlb. Null: none."
  type        = string
  default     = null
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace of what node.py reports."
  type        = string
  default     = "Meridian"
  nullable    = false
}

variable "kms_key_arn" {
  description = "A key of your own for disks and secrets; null: AWS's. The service-linked role of Auto Scaling must be allowed to use it."
  type        = string
  default     = null
}

variable "session_manager" {
  description = "Whether operators may reach the machines by Session Manager."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the load balancer can be deleted only after this was switched off and applied."
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

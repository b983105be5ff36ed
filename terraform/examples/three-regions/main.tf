# Three regions that survive the loss of one: the least that JetStream's meta group can do with. Copy
# this folder, change the names, and add `backend "s3"` with locking before more than one applies.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "binaries" {
  description = "Files of this machine: meridian and nats-server, for x86_64 and Amazon Linux 2023."
  type        = object({ meridian = string, nats_server = string })
}

variable "zone_id" {
  description = "The hosted zone of example.com."
  type        = string
}

variable "auth_secret_arns" {
  description = "By region: a secret that holds the token issuer's keys, as JSON with jwks.json."
  type        = map(string)
}

variable "alarm_topic_arns" {
  description = "By region: SNS topics of that AWS region."
  type        = map(list(string))
  default     = {}
}

locals {
  places = {
    ap = { aws_region = "ap-northeast-1", vpc_cidr = "10.22.0.0/16", zones = ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"] }
    eu = { aws_region = "eu-central-1", vpc_cidr = "10.20.0.0/16", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
    us = { aws_region = "us-east-1", vpc_cidr = "10.21.0.0/16", zones = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

module "mesh" {
  source = "../../aws"

  domain          = "edge.example.com"
  assets_domain   = "cdn.example.com"
  zone_id         = var.zone_id
  binaries        = var.binaries
  connections_max = 30000

  regions = { for name, place in local.places : name => merge(place, {
    alarm_topic_arns = lookup(var.alarm_topic_arns, name, [])
    nats             = { volume = { size = 200 } }
    edge = {
      group   = { min = 3, max = 24 }
      scaling = { scale_in = false }
      secrets = [{ arn = var.auth_secret_arns[name], directory = "/etc/meridian/auth", names = ["jwks.json"] }]
    }
  }) }

  auth = { issuers = [{ issuer = "https://id.example.com", audience = "meridian", jwks_file = "/etc/meridian/auth/jwks.json" }] }

  namespaces = [
    { name = "prices", pattern = "prices.*", slow_client = "conflate" },
    {
      name   = "orders", pattern = "orders.>", class = "durable", publish = true
      stream = { home = "eu", replicas = 3, max_age_s = 86400, max_bytes = 53687091200 }
    },
  ]
  services  = { orders = { publish = ["orders.>"], subscribe = ["orders.>"] } }
  jetstream = { file_max = "150G" }
}

output "url" {
  description = "Where clients connect."
  value       = module.mesh.url
}

output "certificates" {
  description = "What the authorities have to issue."
  value       = module.mesh.certificates
}

output "secrets" {
  description = "Where certificates go, by region."
  value       = module.mesh.secrets
}

output "nats" {
  description = "Every nats-server, for scripts/roll-nats-aws.sh."
  value       = module.mesh.nats
}

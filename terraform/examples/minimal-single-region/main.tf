# The smallest mesh: one region, one zone, one nats-server, one edge. Everything that a larger one
# has, for a first look and for a staging environment; it survives the loss of nothing.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "domain" {
  description = "Where clients connect, such as edge.example.com."
  type        = string
}

variable "zone_id" {
  description = "The hosted zone that holds it."
  type        = string
}

variable "binaries" {
  description = "Files of this machine: meridian and nats-server, for x86_64 and Amazon Linux 2023."
  type        = object({ meridian = string, nats_server = string })
}

variable "aws_region" {
  description = "Where it stands."
  type        = string
  default     = "eu-central-1"
}

provider "aws" {
  region = var.aws_region
}

locals {
  region   = "eu"
  vpc_cidr = "10.20.0.0/20"
  zones    = ["${var.aws_region}a"]
}

module "addresses" {
  source = "../../modules/aws-addresses"

  region           = local.region
  vpc_cidr         = local.vpc_cidr
  zones            = local.zones
  edge_subnet_bits = 28
}

module "mesh" {
  source = "../../modules/mesh-config"

  namespaces  = [{ name = "demo", pattern = "demo.>", publish = true }]
  auth        = { issuers = [{ issuer = "https://id.example.com", audience = "meridian", jwks_file = "/etc/meridian/auth/jwks.json" }] }
  edge_limits = { connections_max = 5000 }

  regions = { (local.region) = {
    nats = { for name, server in module.addresses.nats : name => { host = server.host } }
    edges = { for id in module.addresses.edge_ids : id => {
      identity        = "edge-${local.region}"
      public          = "0.0.0.0:7443"
      admin           = "0.0.0.0:7411"
      tls_certificate = "/etc/meridian/tls/tls.crt"
      tls_key         = "/etc/meridian/tls/tls.key"
    } }
  } }
  drain_window_ms = 30000
}

# The keys of the token issuer, as JSON: {"jwks.json": "{\"keys\": ...}"}. Its value is put by hand.
resource "aws_secretsmanager_secret" "auth" {
  name = "meridian-eu/auth"
}

module "region" {
  source = "../../modules/aws-region"

  name             = "meridian-eu"
  region           = local.region
  vpc_cidr         = local.vpc_cidr
  zones            = local.zones
  edge_subnet_bits = 28
  nats_conf        = { for name, _ in module.addresses.nats : name => module.mesh.nats_servers["${local.region}-${name}"].conf }
  toml             = module.mesh.edges[module.addresses.edge_ids[0]].toml
  binaries         = var.binaries
  nats             = { instance_type = "t3.medium", volume = { size = 20 } }
  edge = {
    instance_type = "t3.medium"
    group         = { min = 1, max = 2, connections_max = 5000 }
    drain         = { window_ms = 30000 }
    secrets       = [{ arn = aws_secretsmanager_secret.auth.arn, directory = "/etc/meridian/auth", names = ["jwks.json"] }]
  }
  collector           = false
  deletion_protection = false
}

module "dns" {
  source = "../../modules/aws-dns"

  name          = "meridian"
  zone_id       = var.zone_id
  domain        = var.domain
  health_checks = false
  regions = { (local.region) = {
    aws_region = var.aws_region
    dns_name   = module.region.dns_name
    zone_id    = module.region.zone_id
  } }
}

output "url" {
  description = "Where clients connect."
  value       = module.dns.url
}

output "certificates" {
  description = "What the authorities have to issue."
  value       = module.mesh.certificates
}

output "secrets" {
  description = "Where certificates go: by region, the secrets of nats/<server>, edge/nats and edge/tls."
  value       = { (local.region) = module.region.secrets }
}

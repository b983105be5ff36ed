# A mesh of regions on AWS. What it says to nats-servers and edges, mesh-config renders, the same as
# for terraform/local; where that runs, ../modules/aws-region says.

locals {
  tags = { Mesh = var.mesh_name, ManagedBy = "terraform" }

  peer_cidrs = { for name, region in var.regions : name => {
    for other, peer in var.regions : other => peer.vpc_cidr if other != name
  } }

  # Limits and the drain are the mesh's, so that a file of an edge fits its group.
  edge = { for name, region in var.regions : name => merge(region.edge, {
    group = merge(region.edge.group, { connections_max = var.connections_max })
    drain = { window_ms = var.drain_window_ms }
  }) }

  nats_conf = { for name, _ in var.regions : name => {
    for server, _ in module.addresses[name].nats : server => module.mesh.nats_servers["${name}-${server}"].conf
  } }

  # One file for all edges of a region. Its id and the order of its servers come from the machine.
  toml = { for name, _ in var.regions : name => module.mesh.edges[module.addresses[name].edge_ids[0]].toml }

  # The file has the collector's address for traces; its agent takes metrics by another port.
  environment = { for name, _ in var.regions : name => merge(var.collector ? {
    MERIDIAN__METRICS__OTLP_ENDPOINT = "http://${module.addresses[name].collector}:4318"
  } : {}, var.edge_environment) }
}

module "addresses" {
  source   = "../modules/aws-addresses"
  for_each = var.regions

  region           = each.key
  vpc_cidr         = each.value.vpc_cidr
  zones            = each.value.zones
  edge_subnet_bits = each.value.edge_subnet_bits
}

module "mesh" {
  source = "../modules/mesh-config"

  mesh_name  = var.mesh_name
  namespaces = var.namespaces
  services   = var.services
  auth       = var.auth
  jetstream  = var.jetstream
  origins    = var.origins

  edge_limits     = merge(var.edge_limits, { connections_max = var.connections_max })
  drain_window_ms = var.drain_window_ms

  regions = { for name, region in var.regions : name => {
    joined        = region.joined
    public_url    = "wss://${name}.${var.domain}/v1/ws"
    otlp_endpoint = var.collector ? "http://${module.addresses[name].collector}:4317" : ""
    nats          = { for server, place in module.addresses[name].nats : server => { host = place.host } }
    edges = { for id in module.addresses[name].edge_ids : id => {
      identity        = "edge-${name}"
      public          = "0.0.0.0:7443"
      admin           = "0.0.0.0:7411"
      tls_certificate = var.tls_at_nlb ? "" : "/etc/meridian/tls/tls.crt"
      tls_key         = var.tls_at_nlb ? "" : "/etc/meridian/tls/tls.key"
    } }
  } }
}

# regions.tf has a provider for each region; one that it does not know would be left out in silence.
check "regions_are_written" {
  assert {
    condition     = toset(keys(local.regions)) == toset(keys(var.regions))
    error_message = "regions.tf was written for other regions than var.regions: run terraform/aws/regions.sh ${join(" ", keys(var.regions))} > regions.tf"
  }
}

# For what AWS has in one region only: certificates of CloudFront, metrics of Route 53.
provider "aws" {
  alias  = "global"
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}

module "dns" {
  source    = "../modules/aws-dns"
  providers = { aws = aws.global }

  name    = var.mesh_name
  zone_id = var.zone_id
  domain  = var.domain
  regions = { for name, region in local.regions : name => {
    aws_region = var.regions[name].aws_region
    dns_name   = region.dns_name
    zone_id    = region.zone_id
    in_service = var.regions[name].in_service
  } }
  alarm_topic_arns = var.dns_alarm_topic_arns
}

module "assets_certificate" {
  source    = "../modules/aws-certificate"
  count     = var.assets_domain == null ? 0 : 1
  providers = { aws = aws.global }

  domain_name = var.assets_domain
  zone_id     = var.zone_id
}

data "aws_caller_identity" "me" {
  provider = aws.global
}

module "assets" {
  source    = "../modules/aws-assets"
  count     = var.assets_domain == null ? 0 : 1
  providers = { aws = aws.global }

  name                = var.mesh_name
  bucket_suffix       = data.aws_caller_identity.me.account_id
  domain              = var.assets_domain
  zone_id             = var.zone_id
  certificate_arn     = module.assets_certificate[0].arn
  folders             = var.assets_folders
  deletion_protection = var.deletion_protection
}

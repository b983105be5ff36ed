# One region of the mesh: its network, its nats-servers, its edges, and who watches them. A mesh is a
# call of this a region, and a peering a pair.

module "addresses" {
  source = "../aws-addresses"

  region           = var.region
  vpc_cidr         = var.vpc_cidr
  zones            = var.zones
  edge_subnet_bits = var.edge_subnet_bits
}

module "network" {
  source = "../aws-network"

  name          = var.name
  vpc_cidr      = var.vpc_cidr
  subnets       = module.addresses.subnets
  client_cidrs  = var.network.client_cidrs
  peer_cidrs    = var.peer_cidrs
  service_cidrs = var.network.service_cidrs
  nat_gateways  = var.network.nat_gateways
  flow_logs = {
    enabled        = var.network.flow_logs
    retention_days = var.network.flow_log_days
    kms_key_arn    = var.kms_key_arn
  }
}

data "aws_ssm_parameter" "image" {
  count = var.ami_id == null ? 1 : 0

  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

locals {
  ami_id = var.ami_id == null ? nonsensitive(data.aws_ssm_parameter.image[0].value) : var.ami_id
}

module "nats" {
  source = "../aws-nats"

  name   = var.name
  region = var.region
  servers = { for name, server in module.addresses.nats : name => {
    zone          = server.zone
    host          = server.host
    subnet_id     = module.network.subnet_ids.private[server.zone]
    conf          = var.nats_conf[name]
    instance_type = lookup(var.nats.instance_types, name, null)
  } }
  bucket               = { name = module.bucket.name, arn = module.bucket.arn }
  binary               = local.binaries["nats_server"]
  ami_id               = local.ami_id
  instance_type        = var.nats.instance_type
  volume               = var.nats.volume
  security_group_id    = module.network.security_group_ids.nats
  kms_key_arn          = var.kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}

module "edge" {
  source = "../aws-edge"

  name                     = var.name
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  load_balancer_subnet_ids = [for zone in var.zones : module.network.subnet_ids.public[zone]]
  edge_subnet_ids          = [for zone in var.zones : module.network.subnet_ids.edge[zone]]
  security_group_ids = {
    load_balancer = module.network.security_group_ids.load_balancer
    edge          = module.network.security_group_ids.edge
  }
  bucket      = { name = module.bucket.name, arn = module.bucket.arn }
  binary      = local.binaries["meridian"]
  toml        = var.toml
  environment = var.environment
  nats_servers = [for name in sort(keys(module.addresses.nats)) : {
    zone = module.addresses.nats[name].zone
    url  = "tls://${module.addresses.nats[name].host}:4222"
  }]
  secrets              = var.edge.secrets
  tls                  = var.tls
  ami_id               = local.ami_id
  instance_type        = var.edge.instance_type
  group                = var.edge.group
  scaling              = var.edge.scaling
  drain                = var.edge.drain
  cross_zone           = var.edge.cross_zone
  idle_timeout_s       = var.edge.idle_timeout_s
  access_logs_bucket   = var.edge.access_logs_bucket
  kms_key_arn          = var.kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}

module "observability" {
  source = "../aws-observability"

  name   = var.name
  region = var.region
  edge = {
    group         = module.edge.group_name
    load_balancer = module.edge.load_balancer_dimension
    target_group  = module.edge.target_group_dimension
    min           = var.edge.group.min
  }
  nats             = { for name, id in module.nats.instance_ids : "${var.region}-${name}" => id }
  gateways         = length(var.peer_cidrs)
  alarm_topic_arns = var.alarm_topic_arns
  kms_key_arn      = var.kms_key_arn
  session_manager  = var.session_manager
  collector = var.collector ? {
    ami_id            = local.ami_id
    subnet_id         = module.network.subnet_ids.private[var.zones[0]]
    private_ip        = module.addresses.collector
    security_group_id = module.network.security_group_ids.collector
  } : null
}

# An edge has no id without an address that aws-addresses knows, so the group must not be larger.
check "every_edge_has_an_id" {
  assert {
    condition     = var.edge.group.max <= length(module.addresses.edge_ids)
    error_message = "edge.group.max is larger than the edge subnets: choose a smaller edge_subnet_bits."
  }
}

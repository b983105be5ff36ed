# Written by regions.sh ap eu us. To add or remove a region, call it again.

provider "aws" {
  alias  = "ap"
  region = var.regions["ap"].aws_region

  default_tags {
    tags = merge(local.tags, { Region = "ap" })
  }
}

module "certificate_ap" {
  source    = "../modules/aws-certificate"
  count     = var.tls_at_nlb ? 1 : 0
  providers = { aws = aws.ap }

  domain_name       = var.domain
  alternative_names = ["ap.${var.domain}"]
  zone_id           = var.zone_id
}

module "region_ap" {
  source    = "../modules/aws-region"
  providers = { aws = aws.ap }

  name                 = "${var.mesh_name}-ap"
  region               = "ap"
  vpc_cidr             = var.regions["ap"].vpc_cidr
  zones                = var.regions["ap"].zones
  edge_subnet_bits     = var.regions["ap"].edge_subnet_bits
  peer_cidrs           = local.peer_cidrs["ap"]
  nats_conf            = local.nats_conf["ap"]
  toml                 = local.toml["ap"]
  environment          = local.environment["ap"]
  binaries             = var.binaries
  ami_id               = var.regions["ap"].ami_id
  network              = var.regions["ap"].network
  nats                 = var.regions["ap"].nats
  edge                 = local.edge["ap"]
  tls                  = var.tls_at_nlb ? { mode = "nlb", certificate_arn = module.certificate_ap[0].arn } : {}
  collector            = var.collector
  alarm_topic_arns     = var.regions["ap"].alarm_topic_arns
  kms_key_arn          = var.regions["ap"].kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}

provider "aws" {
  alias  = "eu"
  region = var.regions["eu"].aws_region

  default_tags {
    tags = merge(local.tags, { Region = "eu" })
  }
}

module "certificate_eu" {
  source    = "../modules/aws-certificate"
  count     = var.tls_at_nlb ? 1 : 0
  providers = { aws = aws.eu }

  domain_name       = var.domain
  alternative_names = ["eu.${var.domain}"]
  zone_id           = var.zone_id
}

module "region_eu" {
  source    = "../modules/aws-region"
  providers = { aws = aws.eu }

  name                 = "${var.mesh_name}-eu"
  region               = "eu"
  vpc_cidr             = var.regions["eu"].vpc_cidr
  zones                = var.regions["eu"].zones
  edge_subnet_bits     = var.regions["eu"].edge_subnet_bits
  peer_cidrs           = local.peer_cidrs["eu"]
  nats_conf            = local.nats_conf["eu"]
  toml                 = local.toml["eu"]
  environment          = local.environment["eu"]
  binaries             = var.binaries
  ami_id               = var.regions["eu"].ami_id
  network              = var.regions["eu"].network
  nats                 = var.regions["eu"].nats
  edge                 = local.edge["eu"]
  tls                  = var.tls_at_nlb ? { mode = "nlb", certificate_arn = module.certificate_eu[0].arn } : {}
  collector            = var.collector
  alarm_topic_arns     = var.regions["eu"].alarm_topic_arns
  kms_key_arn          = var.regions["eu"].kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}

provider "aws" {
  alias  = "us"
  region = var.regions["us"].aws_region

  default_tags {
    tags = merge(local.tags, { Region = "us" })
  }
}

module "certificate_us" {
  source    = "../modules/aws-certificate"
  count     = var.tls_at_nlb ? 1 : 0
  providers = { aws = aws.us }

  domain_name       = var.domain
  alternative_names = ["us.${var.domain}"]
  zone_id           = var.zone_id
}

module "region_us" {
  source    = "../modules/aws-region"
  providers = { aws = aws.us }

  name                 = "${var.mesh_name}-us"
  region               = "us"
  vpc_cidr             = var.regions["us"].vpc_cidr
  zones                = var.regions["us"].zones
  edge_subnet_bits     = var.regions["us"].edge_subnet_bits
  peer_cidrs           = local.peer_cidrs["us"]
  nats_conf            = local.nats_conf["us"]
  toml                 = local.toml["us"]
  environment          = local.environment["us"]
  binaries             = var.binaries
  ami_id               = var.regions["us"].ami_id
  network              = var.regions["us"].network
  nats                 = var.regions["us"].nats
  edge                 = local.edge["us"]
  tls                  = var.tls_at_nlb ? { mode = "nlb", certificate_arn = module.certificate_us[0].arn } : {}
  collector            = var.collector
  alarm_topic_arns     = var.regions["us"].alarm_topic_arns
  kms_key_arn          = var.regions["us"].kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}

module "peering_ap_eu" {
  source = "../modules/aws-peering"
  providers = {
    aws.requester = aws.ap
    aws.accepter  = aws.eu
  }

  name      = "${var.mesh_name}-ap-eu"
  requester = module.region_ap.network
  accepter  = merge(module.region_eu.network, { aws_region = var.regions["eu"].aws_region })
}

module "peering_ap_us" {
  source = "../modules/aws-peering"
  providers = {
    aws.requester = aws.ap
    aws.accepter  = aws.us
  }

  name      = "${var.mesh_name}-ap-us"
  requester = module.region_ap.network
  accepter  = merge(module.region_us.network, { aws_region = var.regions["us"].aws_region })
}

module "peering_eu_us" {
  source = "../modules/aws-peering"
  providers = {
    aws.requester = aws.eu
    aws.accepter  = aws.us
  }

  name      = "${var.mesh_name}-eu-us"
  requester = module.region_eu.network
  accepter  = merge(module.region_us.network, { aws_region = var.regions["us"].aws_region })
}

locals {
  # Every region by its name, for all that goes by var.regions.
  regions = {
    "ap" = module.region_ap
    "eu" = module.region_eu
    "us" = module.region_us
  }
}

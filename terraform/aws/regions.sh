#!/bin/sh
# Writes regions.tf for these regions: a provider, a region and a certificate each, and a peering a
# pair. Terraform cannot make providers in a loop, and everything else here goes by var.regions.
#
#   terraform/aws/regions.sh ap eu us > regions.tf
#
# The order of the names does not matter. Call it beside the file that is to be written.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 REGION..." >&2; exit 64; }
modules=${MODULES:-../modules}
regions=$(printf '%s\n' "$@" | sort -u)
for region in $regions; do
    case $region in
    *[!a-z0-9-]* | [!a-z]*) echo "regions.sh: $region: small letters, digits and - only" >&2; exit 64 ;;
    esac
done
id() { printf '%s' "$1" | tr - _; }

echo "# Written by regions.sh $(echo $regions). To add or remove a region, call it again."
for region in $regions; do
    cat <<TERRAFORM

provider "aws" {
  alias  = "$(id "$region")"
  region = var.regions["$region"].aws_region

  default_tags {
    tags = merge(local.tags, { Region = "$region" })
  }
}

module "certificate_$(id "$region")" {
  source    = "$modules/aws-certificate"
  count     = var.tls_at_nlb ? 1 : 0
  providers = { aws = aws.$(id "$region") }

  domain_name       = var.domain
  alternative_names = ["$region.\${var.domain}"]
  zone_id           = var.zone_id
}

module "region_$(id "$region")" {
  source    = "$modules/aws-region"
  providers = { aws = aws.$(id "$region") }

  name                 = "\${var.mesh_name}-$region"
  region               = "$region"
  vpc_cidr             = var.regions["$region"].vpc_cidr
  zones                = var.regions["$region"].zones
  edge_subnet_bits     = var.regions["$region"].edge_subnet_bits
  peer_cidrs           = local.peer_cidrs["$region"]
  nats_conf            = local.nats_conf["$region"]
  toml                 = local.toml["$region"]
  environment          = local.environment["$region"]
  binaries             = var.binaries
  ami_id               = var.regions["$region"].ami_id
  network              = var.regions["$region"].network
  nats                 = var.regions["$region"].nats
  edge                 = local.edge["$region"]
  tls                  = var.tls_at_nlb ? { mode = "nlb", certificate_arn = module.certificate_$(id "$region")[0].arn } : {}
  collector            = var.collector
  alarm_topic_arns     = var.regions["$region"].alarm_topic_arns
  kms_key_arn          = var.regions["$region"].kms_key_arn
  session_manager      = var.session_manager
  deletion_protection  = var.deletion_protection
  secret_recovery_days = var.secret_recovery_days
}
TERRAFORM
done

before=
for accepter in $regions; do
    for requester in $before; do
        name=$(id "$requester")_$(id "$accepter")
        cat <<TERRAFORM

module "peering_$name" {
  source = "$modules/aws-peering"
  providers = {
    aws.requester = aws.$(id "$requester")
    aws.accepter  = aws.$(id "$accepter")
  }

  name      = "\${var.mesh_name}-$requester-$accepter"
  requester = module.region_$(id "$requester").network
  accepter  = merge(module.region_$(id "$accepter").network, { aws_region = var.regions["$accepter"].aws_region })
}
TERRAFORM
    done
    before="$before $accepter"
done

printf '\nlocals {\n  # Every region by its name, for all that goes by var.regions.\n  regions = {\n'
for region in $regions; do
    printf '    "%s" = module.region_%s\n' "$region" "$(id "$region")"
done
printf '  }\n}\n'

output "url" {
  description = "Where clients connect."
  value       = module.dns.url
}

output "region_urls" {
  description = "By region: its own address."
  value       = module.dns.region_urls
}

output "assets_url" {
  description = "Where the SDK and static files are served; null without assets_domain."
  value       = one(module.assets[*].url)
}

output "nats" {
  description = "By region and short name: AWS region, address and machine of each nats-server."
  value = { for name, region in local.regions : name => {
    for server, place in region.nats : server => merge(place, { aws_region = var.regions[name].aws_region })
  } }
}

output "certificates" {
  description = "What the two authorities have to issue; mesh-config documents it."
  value       = module.mesh.certificates
}

output "secrets" {
  description = "Where certificates go: by region, the secrets of nats/<server>, edge/nats and edge/tls."
  value       = { for name, region in local.regions : name => region.secrets }
}

output "edge_groups" {
  description = "By region: the Auto Scaling group of its edges."
  value       = { for name, region in local.regions : name => region.edge_group }
}

output "dashboards" {
  description = "By region: its dashboard in CloudWatch."
  value       = { for name, region in local.regions : name => region.dashboard_name }
}

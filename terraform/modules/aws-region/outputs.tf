output "dns_name" {
  description = "The load balancer's own name."
  value       = module.edge.dns_name
}

output "zone_id" {
  description = "The hosted zone of that name."
  value       = module.edge.zone_id
}

output "network" {
  description = "What a peering needs: the VPC, its network, and the route tables of private subnets by zone."
  value = {
    vpc_id          = module.network.vpc_id
    vpc_cidr        = var.vpc_cidr
    route_table_ids = module.network.private_route_table_ids
  }
}

output "nats" {
  description = "By short name: address and machine of each nats-server, for scripts/roll-nats-aws.sh."
  value = { for name, id in module.nats.instance_ids : name => {
    instance_id = id
    address     = module.nats.addresses[name]
  } }
}

output "secrets" {
  description = "The secrets to fill, by what they hold: nats/<server>, edge/nats and edge/tls."
  value = merge(
    { for name, arn in module.nats.secret_arns : "nats/${name}" => arn },
    { for name, arn in module.edge.secret_arns : "edge/${name}" => arn },
  )
}

output "edge_group" {
  description = "The Auto Scaling group of the edges."
  value       = module.edge.group_name
}

output "dashboard_name" {
  description = "The region's dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}

output "alarms" {
  description = "The name of every alarm."
  value       = module.observability.alarms
}

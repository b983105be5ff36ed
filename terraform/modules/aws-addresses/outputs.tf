output "subnets" {
  description = "By zone: the networks of its public, edge and private subnet."
  value       = local.subnets
}

output "nats" {
  description = "By name (n1 …): each nats-server's zone and fixed address."
  value       = local.nats
}

output "collector" {
  description = "The collector's fixed address, in the first zone's private subnet."
  value       = cidrhost(local.subnets[var.zones[0]].private, 20)
}

output "edge_ids" {
  description = "The id of every edge that the edge subnets have an address for, as node.py makes it from its address."
  value       = local.edge_ids
}

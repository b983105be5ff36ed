output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "By tier and zone: public (load balancers), edge, private (nats-servers, endpoints, collector)."
  value = {
    public  = { for zone, subnet in aws_subnet.public : zone => subnet.id }
    edge    = { for zone, subnet in aws_subnet.edge : zone => subnet.id }
    private = { for zone, subnet in aws_subnet.private : zone => subnet.id }
  }
}

output "private_route_table_ids" {
  description = "By zone: the route table that peerings add their routes to."
  value       = { for zone, table in aws_route_table.private : zone => table.id }
}

output "security_group_ids" {
  description = "load_balancer, edge, nats, collector and endpoints."
  value       = local.groups
}

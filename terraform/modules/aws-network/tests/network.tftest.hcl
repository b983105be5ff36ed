mock_provider "aws" {
  source = "../mocks"
}

variables {
  name     = "meridian-eu"
  vpc_cidr = "10.20.0.0/16"
  subnets = {
    "eu-central-1a" = { public = "10.20.0.0/26", edge = "10.20.1.0/27", private = "10.20.2.0/26" }
    "eu-central-1b" = { public = "10.20.0.64/26", edge = "10.20.1.32/27", private = "10.20.2.64/26" }
    "eu-central-1c" = { public = "10.20.0.128/26", edge = "10.20.1.64/27", private = "10.20.2.128/26" }
  }
  peer_cidrs = { us = "10.21.0.0/16", ap = "10.22.0.0/16" }
}

run "private_subnets_reach_what_a_machine_needs_to_boot" {
  assert {
    condition     = length(setsubtract(["secretsmanager", "autoscaling", "monitoring"], keys(aws_vpc_endpoint.interface))) == 0
    error_message = "Without NAT the secrets, the lifecycle hook and the metrics need endpoints."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "The S3 endpoint stands in the route table of each zone."
  }
  assert {
    condition     = alltrue([for _, endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && length(endpoint.subnet_ids) == 3])
    error_message = "Endpoints answer under AWS's own names, in each zone."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0
    error_message = "A NAT gateway is made only when it is asked for."
  }
}

run "only_the_load_balancer_is_reached_from_outside" {
  assert {
    condition     = [for name, rule in aws_vpc_security_group_ingress_rule.flow : name if rule.cidr_ipv4 == "0.0.0.0/0"] == ["clients 0.0.0.0/0"]
    error_message = "One rule is open to the internet, the load balancer's."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.flow["clients 0.0.0.0/0"].from_port == 443
    error_message = "And it is open on 443."
  }
  assert {
    condition     = alltrue([for _, subnet in merge(aws_subnet.public, aws_subnet.edge, aws_subnet.private) : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "No subnet gives public addresses."
  }
  assert {
    condition     = length([for _, rule in aws_vpc_security_group_egress_rule.flow : rule if rule.cidr_ipv4 == "0.0.0.0/0"]) == 0
    error_message = "Without NAT nothing may open connections to the internet."
  }
}

run "gateways_are_reached_by_peers_and_clients_of_nats_are_edges" {
  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.flow : rule.cidr_ipv4 => rule.from_port if strcontains(name, "gateways from") } == { "10.21.0.0/16" = 7222, "10.22.0.0/16" = 7222 }
    error_message = "Each peer may reach the gateway port and no other."
  }
  assert {
    condition     = [for _, rule in aws_vpc_security_group_ingress_rule.flow : rule.referenced_security_group_id if rule.from_port == 4222] == [aws_security_group.edge.id]
    error_message = "Only edges are clients of NATS unless service_cidrs says more."
  }
  assert {
    condition     = alltrue([for _, rule in merge(aws_vpc_security_group_ingress_rule.flow, aws_vpc_security_group_egress_rule.flow) : rule.from_port != 8222 && rule.description != ""])
    error_message = "The monitor of nats-server is reached by nobody, and every rule says what it is for."
  }
}

run "the_default_group_is_closed_and_flows_are_logged" {
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group lets nothing through."
  }
  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL" && aws_cloudwatch_log_group.flow[0].retention_in_days == 365
    error_message = "Flow logs are on by default and kept for a year."
  }
}

run "with_nat_each_zone_has_its_own" {
  variables {
    nat_gateways = true
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_route.nat) == 3
    error_message = "Each zone has its own NAT gateway, so none needs another."
  }
}

run "leaving_out_an_endpoint_that_machines_need_is_refused" {
  command         = plan
  expect_failures = [var.interface_endpoints]

  variables {
    interface_endpoints = ["logs"]
  }
}

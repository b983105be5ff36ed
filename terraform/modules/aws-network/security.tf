# Who may open a connection to whom, all of it. AWS's resolver, clock and instance metadata are
# reached without a rule.

locals {
  # Every permitted direction once: `to` listens, `from` opens. A group or a network on each side.
  flows = merge(
    { for cidr in var.client_cidrs : "clients ${cidr}" => {
      what = "Browsers to the load balancer", from = null, to = "load_balancer", cidr = cidr, port = 443
    } },
    {
      "load balancer to edges" = { what = "Clients' connections", from = "load_balancer", to = "edge", cidr = null, port = var.ports.public }
      "health checks"          = { what = "Readiness of edges", from = "load_balancer", to = "edge", cidr = null, port = var.ports.admin }
      "edges to nats"          = { what = "Edges to the servers of their region", from = "edge", to = "nats", cidr = null, port = var.ports.client }
      "routes"                 = { what = "The cluster of the region", from = "nats", to = "nats", cidr = null, port = var.ports.route }
      "traces"                 = { what = "OTLP traces over gRPC", from = "edge", to = "collector", cidr = null, port = 4317 }
      "metrics"                = { what = "OTLP metrics over gRPC", from = "edge", to = "collector", cidr = null, port = 4318 }
      "edges to aws"           = { what = "AWS interface endpoints", from = "edge", to = "endpoints", cidr = null, port = 443 }
      "nats to aws"            = { what = "AWS interface endpoints", from = "nats", to = "endpoints", cidr = null, port = 443 }
      "collector to aws"       = { what = "AWS interface endpoints", from = "collector", to = "endpoints", cidr = null, port = 443 }
    },
    { for region, cidr in var.peer_cidrs : "gateways from ${region}" => {
      what = "NATS gateways of region ${region}", from = null, to = "nats", cidr = cidr, port = var.ports.gateway
    } },
    { for region, cidr in var.peer_cidrs : "gateways to ${region}" => {
      what = "NATS gateways of region ${region}", from = "nats", to = null, cidr = cidr, port = var.ports.gateway
    } },
    { for cidr in var.service_cidrs : "services ${cidr}" => {
      what = "Internal services", from = null, to = "nats", cidr = cidr, port = var.ports.client
    } },
    var.nat_gateways ? { for group in ["edge", "nats", "collector"] : "${group} to the internet" => {
      what = "HTTPS through the NAT gateway", from = group, to = null, cidr = "0.0.0.0/0", port = 443
    } } : {},
  )

  groups = {
    load_balancer = aws_security_group.load_balancer.id
    edge          = aws_security_group.edge.id
    nats          = aws_security_group.nats.id
    collector     = aws_security_group.collector.id
    endpoints     = aws_security_group.endpoints.id
  }
}

# A load balancer takes security groups only when it is made, so it has one from the start.
resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "The load balancer in front of the edges"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-load-balancer" }
}

resource "aws_security_group" "edge" {
  name        = "${var.name}-edge"
  description = "Edges: reached through the load balancer only"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-edge" }
}

resource "aws_security_group" "nats" {
  name        = "${var.name}-nats"
  description = "nats-servers: reached by edges, by each other and by other regions' gateways"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-nats" }
}

resource "aws_security_group" "collector" {
  name        = "${var.name}-collector"
  description = "The collector of telemetry: reached by edges only"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-collector" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "AWS services inside the VPC"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = { for name, flow in local.flows : name => flow if flow.to != null }

  security_group_id            = local.groups[each.value.to]
  referenced_security_group_id = each.value.from == null ? null : local.groups[each.value.from]
  cidr_ipv4                    = each.value.cidr
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.what
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = { for name, flow in local.flows : name => flow if flow.from != null }

  security_group_id            = local.groups[each.value.from]
  referenced_security_group_id = each.value.to == null ? null : local.groups[each.value.to]
  cidr_ipv4                    = each.value.cidr
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.what
}

# S3 has no security group of its own but a list of networks.
resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = toset(["edge", "nats", "collector"])

  security_group_id = local.groups[each.key]
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "Binaries, configurations and packages from S3"
}

# Every address of a region, from its network alone. So gateways, certificates and NATS users are
# known before a machine exists, and nothing has to be discovered, claimed or registered.

locals {
  bits = tonumber(split("/", var.vpc_cidr)[1])

  # One /24 a tier, cut among the zones: load balancers, edges, and what must not move.
  tier = [for number in range(3) : cidrsubnet(var.vpc_cidr, 24 - local.bits, number)]

  subnets = { for index, zone in var.zones : zone => {
    public  = cidrsubnet(local.tier[0], 2, index)
    edge    = cidrsubnet(local.tier[1], var.edge_subnet_bits - 24, index)
    private = cidrsubnet(local.tier[2], 2, index)
  } }

  # AWS keeps the first four addresses of a subnet and the last.
  nats = { for index, zone in var.zones : "n${index + 1}" => {
    zone = zone
    host = cidrhost(local.subnets[zone].private, 10)
  } }

  # An edge is named by its address: unique while it lives, known to its NATS user beforehand.
  edge_addresses = flatten([for zone in var.zones : [
    for number in range(4, pow(2, 32 - var.edge_subnet_bits) - 1) : cidrhost(local.subnets[zone].edge, number)
  ]])
  edge_ids = [for address in local.edge_addresses : "${var.region}-${replace(address, ".", "-")}"]
}

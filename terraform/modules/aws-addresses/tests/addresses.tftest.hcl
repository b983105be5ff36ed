variables {
  region   = "eu"
  vpc_cidr = "10.20.0.0/16"
  zones    = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "one_server_a_zone_at_an_address_that_aws_leaves_free" {
  command = plan

  assert {
    condition     = output.nats == { n1 = { zone = "eu-central-1a", host = "10.20.2.10" }, n2 = { zone = "eu-central-1b", host = "10.20.2.74" }, n3 = { zone = "eu-central-1c", host = "10.20.2.138" } }
    error_message = "One nats-server a zone, at the tenth address of its private subnet."
  }
  assert {
    condition     = length(distinct([for _, server in output.nats : server.zone])) == 3
    error_message = "Two nats-servers share a zone."
  }
  assert {
    condition     = !contains([for _, server in output.nats : server.host], output.collector)
    error_message = "The collector has the address of a nats-server."
  }
}

run "every_address_of_an_edge_subnet_has_an_id_and_no_other" {
  command = plan

  assert {
    condition     = length(output.edge_ids) == 81 && length(distinct(output.edge_ids)) == 81
    error_message = "Three /27 have 27 usable addresses each."
  }
  assert {
    condition     = output.edge_ids[0] == "eu-10-20-1-4" && output.edge_ids[80] == "eu-10-20-1-94"
    error_message = "AWS keeps the first four addresses and the last."
  }
}

run "subnets_do_not_overlap_in_the_smallest_network" {
  command = plan

  variables {
    vpc_cidr         = "10.9.4.0/22"
    edge_subnet_bits = 26
  }
  assert {
    condition     = length(distinct(flatten([for _, zone in output.subnets : [zone.public, zone.edge, zone.private]]))) == 9
    error_message = "Nine networks are nine networks."
  }
  assert {
    condition     = output.subnets["eu-central-1c"] == { public = "10.9.4.128/26", edge = "10.9.5.128/26", private = "10.9.6.128/26" }
    error_message = "One /24 a tier, one /26 of it a zone."
  }
}

run "two_zones_are_refused" {
  command         = plan
  expect_failures = [var.zones]

  variables {
    zones = ["eu-central-1a", "eu-central-1b"]
  }
}

run "a_network_that_is_too_small_is_refused" {
  command         = plan
  expect_failures = [var.vpc_cidr]

  variables {
    vpc_cidr = "10.9.4.0/24"
  }
}

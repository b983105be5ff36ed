mock_provider "aws" {
  source = "../mocks"
}

variables {
  name       = "meridian-eu"
  region     = "eu"
  vpc_cidr   = "10.20.0.0/16"
  zones      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  peer_cidrs = { us = "10.21.0.0/16" }
  nats_conf  = { n1 = "one", n2 = "two", n3 = "three" }
  toml       = "# toml\n"
  binaries   = { meridian = "main.tf", nats_server = "bucket.tf" }
}

run "edges_ask_the_servers_of_their_region_at_their_addresses" {
  assert {
    condition     = [for name in ["n1", "n2", "n3"] : output.nats[name].address] == ["10.20.2.10", "10.20.2.74", "10.20.2.138"]
    error_message = "Addresses as aws-addresses says."
  }
  assert {
    condition     = toset(keys(output.secrets)) == toset(["nats/n1", "nats/n2", "nats/n3", "edge/nats", "edge/tls"])
    error_message = "Every certificate has a place."
  }
  assert {
    condition     = alltrue([for alarm in ["meridian-eu-nats-eu-n1-gateways", "meridian-eu-edges-silent"] : contains(output.alarms, alarm)])
    error_message = "A region with a peer watches its gateways."
  }
}

run "binaries_are_named_by_version_and_hash" {
  assert {
    condition     = local.binaries["meridian"].sha256 == filesha256("main.tf") && local.binaries["nats_server"].key == "bin/nats-server"
    error_message = "A machine verifies what it fetches."
  }
}

run "a_group_larger_than_its_subnets_is_told" {
  command         = plan
  expect_failures = [check.every_edge_has_an_id]

  variables {
    edge_subnet_bits = 28
    edge             = { group = { min = 3, max = 40 } }
  }
}

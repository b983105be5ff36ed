mock_provider "aws" {
  alias = "requester"
}

mock_provider "aws" {
  alias = "accepter"
}

variables {
  name      = "meridian-eu-us"
  requester = { vpc_id = "vpc-eu", vpc_cidr = "10.20.0.0/16", route_table_ids = { "eu-central-1a" = "rtb-1", "eu-central-1b" = "rtb-2" } }
  accepter  = { vpc_id = "vpc-us", vpc_cidr = "10.21.0.0/16", route_table_ids = { "us-east-1a" = "rtb-3" }, aws_region = "us-east-1" }
}

run "both_sides_route_to_each_other_in_every_zone" {
  providers = {
    aws.requester = aws.requester
    aws.accepter  = aws.accepter
  }

  assert {
    condition     = { for zone, route in aws_route.requester : route.route_table_id => route.destination_cidr_block } == { rtb-1 = "10.21.0.0/16", rtb-2 = "10.21.0.0/16" }
    error_message = "The requester's private subnets reach the accepter."
  }
  assert {
    condition     = { for zone, route in aws_route.accepter : route.route_table_id => route.destination_cidr_block } == { rtb-3 = "10.20.0.0/16" }
    error_message = "And the other way round."
  }
  assert {
    condition     = aws_vpc_peering_connection.this.peer_region == "us-east-1" && aws_vpc_peering_connection_accepter.this.auto_accept
    error_message = "Across regions a peering is accepted on the other side."
  }
}

run "equal_networks_are_refused" {
  command         = plan
  expect_failures = [var.accepter]

  providers = {
    aws.requester = aws.requester
    aws.accepter  = aws.accepter
  }

  variables {
    accepter = { vpc_id = "vpc-us", vpc_cidr = "10.20.0.0/16", route_table_ids = {}, aws_region = "us-east-1" }
  }
}

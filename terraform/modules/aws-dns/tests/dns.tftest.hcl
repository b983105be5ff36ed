mock_provider "aws" {}

variables {
  name    = "meridian"
  zone_id = "Z1"
  domain  = "edge.example.com"
  regions = {
    eu = { aws_region = "eu-central-1", dns_name = "eu.elb.amazonaws.com", zone_id = "ZEU" }
    us = { aws_region = "us-east-1", dns_name = "us.elb.amazonaws.com", zone_id = "ZUS" }
  }
}

run "the_nearest_healthy_region_answers" {
  assert {
    condition     = { for name, record in aws_route53_record.latency : name => record.latency_routing_policy[0].region } == { eu = "eu-central-1", us = "us-east-1" }
    error_message = "A latency record a region."
  }
  assert {
    condition     = alltrue([for name, record in aws_route53_record.latency : record.name == "edge.example.com" && record.alias[0].evaluate_target_health && record.health_check_id == aws_route53_health_check.region[name].id])
    error_message = "A region without a ready edge, or that cannot be reached, is not answered."
  }
}

run "a_region_out_of_service_keeps_its_own_name" {
  variables {
    regions = {
      eu = { aws_region = "eu-central-1", dns_name = "eu.elb.amazonaws.com", zone_id = "ZEU" }
      us = { aws_region = "us-east-1", dns_name = "us.elb.amazonaws.com", zone_id = "ZUS", in_service = false }
    }
  }
  assert {
    condition     = toset(keys(aws_route53_record.latency)) == toset(["eu"]) && aws_route53_record.region["us"].name == "us.edge.example.com"
    error_message = "Taken out of the mesh's name, still there by its own."
  }
}

run "no_region_in_service_is_refused" {
  command         = plan
  expect_failures = [var.regions]

  variables {
    regions = {
      eu = { aws_region = "eu-central-1", dns_name = "eu.elb.amazonaws.com", zone_id = "ZEU", in_service = false }
    }
  }
}

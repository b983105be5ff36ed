mock_provider "aws" {
  alias  = "eu"
  source = "../modules/mocks"
}

mock_provider "aws" {
  alias  = "us"
  source = "../modules/mocks"
}

mock_provider "aws" {
  alias  = "ap"
  source = "../modules/mocks"
}

mock_provider "aws" {
  alias  = "global"
  source = "../modules/mocks"
}

variables {
  domain  = "edge.example.com"
  zone_id = "Z0123456789"
  regions = {
    eu = { aws_region = "eu-central-1", vpc_cidr = "10.20.0.0/16", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
    us = { aws_region = "us-east-1", vpc_cidr = "10.21.0.0/16", zones = ["us-east-1a", "us-east-1b", "us-east-1c"] }
    ap = { aws_region = "ap-northeast-1", vpc_cidr = "10.22.0.0/16", zones = ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"] }
  }
  auth       = { issuers = [{ issuer = "https://id.example.com", audience = "meridian", jwks_file = "/etc/meridian/auth/jwks.json" }] }
  namespaces = [{ name = "orders", pattern = "orders.>", class = "durable", publish = true, stream = { home = "eu", replicas = 3 } }]
  binaries   = { meridian = "main.tf", nats_server = "outputs.tf" }
}

run "every_server_knows_every_other_regions_servers_by_their_own_addresses" {
  command = plan

  assert {
    condition = alltrue(flatten([for name, servers in local.nats_conf : [for server, conf in servers : [
      for other in keys(var.regions) : [for _, place in module.addresses[other].nats : other == name || strcontains(conf, "nats://${place.host}:7222")]
    ]]]))
    error_message = "Gateways name each server, and no load balancer."
  }
  assert {
    condition = alltrue(flatten([for name, servers in local.nats_conf : [for server, conf in servers :
      strcontains(conf, "client_advertise: \"${module.addresses[name].nats[server].host}:4222\"") && strcontains(conf, "advertise: \"${module.addresses[name].nats[server].host}:7222\"")
    ]]))
    error_message = "Each advertises its own address."
  }
}

run "every_id_that_an_edge_may_have_is_known_to_its_nats_user" {
  command = plan

  assert {
    condition     = alltrue([for id in module.addresses["eu"].edge_ids : strcontains(local.nats_conf["eu"]["n1"], "\"_INBOX_${id}.>\"")])
    error_message = "An edge with an id that NATS does not know gets no answers."
  }
  assert {
    condition     = !strcontains(local.nats_conf["us"]["n1"], "_INBOX_eu-")
    error_message = "A region's user reads nothing of another region's edges."
  }
}

run "edges_get_tls_telemetry_and_the_other_regions" {
  command = plan

  assert {
    condition     = strcontains(local.toml["eu"], "tls_certificate = \"/etc/meridian/tls/tls.crt\"") && strcontains(local.toml["eu"], "wss://us.edge.example.com/v1/ws") && strcontains(local.toml["eu"], "window_ms = 120000") && strcontains(local.toml["eu"], "connections_max = 15000")
    error_message = "The certificate's place, where clients go, and what the group counts by."
  }
  assert {
    condition     = strcontains(local.toml["us"], "[tracing]\notlp_endpoint = \"http://10.21.2.20:4317\"") && local.environment["us"].MERIDIAN__METRICS__OTLP_ENDPOINT == "http://10.21.2.20:4318"
    error_message = "The collector of the region itself."
  }
  assert {
    condition     = output.url == "wss://edge.example.com/v1/ws" && length(keys(output.region_urls)) == 3 && length(output.certificates) > 18
    error_message = "What operators need to know."
  }
}

run "tls_at_the_load_balancer_takes_the_certificate_from_edges" {
  command = plan

  variables {
    tls_at_nlb    = true
    assets_domain = "cdn.example.com"
  }
  assert {
    condition     = strcontains(local.toml["eu"], "tls_certificate = \"\"") && length(module.certificate_eu) == 1 && length(module.assets) == 1
    error_message = "A certificate of ACM in each region, and none in edges."
  }
}

run "equal_networks_are_refused" {
  command         = plan
  expect_failures = [var.regions]

  variables {
    regions = {
      eu = { aws_region = "eu-central-1", vpc_cidr = "10.20.0.0/16", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
      us = { aws_region = "us-east-1", vpc_cidr = "10.20.0.0/16", zones = ["us-east-1a", "us-east-1b", "us-east-1c"] }
      ap = { aws_region = "ap-northeast-1", vpc_cidr = "10.22.0.0/16", zones = ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"] }
    }
  }
}

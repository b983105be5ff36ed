# What the module refuses, and what must stand in what it renders. The whole text is compared with
# tests/golden by crates/cli/tests/terraform_local, which also has nats-server and the edge check it.

variables {
  regions = {
    eu = {
      nats  = { n1 = { host = "10.1.1.10" }, n2 = { host = "10.1.2.10" }, n3 = { host = "10.1.3.10" } }
      edges = { "eu-1" = { identity = "edge-eu" }, "eu-2" = { identity = "edge-eu" } }
    }
    us = {
      nats  = { n1 = { host = "10.2.1.10" }, n2 = { host = "10.2.2.10" }, n3 = { host = "10.2.3.10" } }
      edges = { "us-1" = {} }
    }
    sa = {
      joined = 1
      nats   = { n1 = { host = "10.3.1.10" } }
    }
  }
  namespaces = [
    { name = "orders", pattern = "orders.>", class = "durable", stream = { home = "eu" } },
  ]
  auth = { mode = "dev", allow_anonymous_beyond_loopback = true }
}

run "a_founder_names_no_later_region" {
  command = plan
  assert {
    condition     = !strcontains(output.nats_servers["eu-n1"].conf, "10.3.1.10")
    error_message = "A later region must not change a founder's file."
  }
  assert {
    condition     = strcontains(output.nats_servers["sa-n1"].conf, "10.1.1.10:7222")
    error_message = "The later region dials the founders."
  }
}

run "every_listener_asks_for_a_certificate" {
  command = plan
  assert {
    condition     = alltrue([for _, s in output.nats_servers : length(regexall("verify(_and_map)?: true", s.conf)) == 3])
    error_message = "Clients, routes and gateways use mTLS."
  }
  assert {
    condition     = alltrue([for _, s in output.nats_servers : strcontains(s.conf, "http: \"127.0.0.1:")])
    error_message = "The monitor knows no authentication, so it stays on loopback."
  }
}

run "a_region_reads_its_own_copy_and_nobody_forges_it" {
  command = plan
  assert {
    condition     = strcontains(output.nats_servers["us-n1"].conf, "\"$JS.API.DIRECT.GET.ORDERS_1_us\"") && !strcontains(output.nats_servers["us-n1"].conf, "\"$JS.API.DIRECT.GET.ORDERS_1\"")
    error_message = "An edge reads its region's copy and no other."
  }
  assert {
    condition     = length(regexall("\\{(edge|region|publish|stream)\\}", output.nats_servers["us-n1"].conf)) == 0
    error_message = "A word of the permissions was not filled in."
  }
  assert {
    condition     = strcontains(output.nats_servers["eu-n1"].conf, "_INBOX_eu-1.>") && strcontains(output.nats_servers["eu-n1"].conf, "_INBOX_eu-2.>") && !strcontains(output.nats_servers["us-n1"].conf, "_INBOX_eu-1.>")
    error_message = "Edges of one identity share a user; other regions know nothing of it."
  }
}

run "users_and_certificates_need_a_reload_and_not_a_restart" {
  command = plan
  variables {
    services = { app = { publish = ["orders.>"] } }
  }
  assert {
    condition     = output.nats_servers["eu-n1"].restart_key == run.every_listener_asks_for_a_certificate.nats_servers["eu-n1"].restart_key
    error_message = "A new user must not restart a server."
  }
  assert {
    condition     = output.nats_servers["eu-n1"].conf != run.every_listener_asks_for_a_certificate.nats_servers["eu-n1"].conf
    error_message = "The new user is in the file."
  }
}

run "an_even_number_of_servers_is_refused" {
  command = plan
  variables {
    regions = { eu = { nats = { n1 = { host = "a" }, n2 = { host = "b" } } } }
  }
  expect_failures = [var.regions]
}

run "two_servers_at_one_address_are_refused" {
  command = plan
  variables {
    regions = { eu = { nats = { n1 = { host = "a" } } }, us = { nats = { n1 = { host = "a" } } } }
  }
  expect_failures = [var.regions]
}

run "an_edge_id_in_two_regions_is_refused" {
  command = plan
  variables {
    regions = {
      eu = { nats = { n1 = { host = "a" } }, edges = { "e-1" = {} } }
      us = { nats = { n1 = { host = "b" } }, edges = { "e-1" = {} } }
    }
  }
  expect_failures = [var.regions]
}

run "a_namespace_of_internal_subjects_is_refused" {
  command = plan
  variables {
    namespaces = [{ name = "bad", pattern = "_mrd.reg.>" }]
  }
  expect_failures = [var.namespaces]
}

run "more_replicas_than_servers_are_refused" {
  command = plan
  variables {
    namespaces = [{ name = "orders", pattern = "orders.>", class = "durable", stream = { home = "eu", replicas = 3 } }]
  }
  expect_failures = [var.namespaces]
}

run "a_stream_without_a_home_region_is_refused" {
  command = plan
  variables {
    namespaces = [{ name = "orders", pattern = "orders.>", class = "durable", stream = { home = "mars" } }]
  }
  expect_failures = [var.namespaces]
}

run "a_service_cannot_be_given_everything" {
  command = plan
  variables {
    services = { app = { publish = [">"] } }
  }
  expect_failures = [var.services]
}

run "tokens_need_an_issuer" {
  command = plan
  variables {
    auth = { mode = "token" }
  }
  expect_failures = [var.auth]
}

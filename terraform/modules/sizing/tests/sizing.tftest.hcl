run "a_lost_region_has_room_elsewhere" {
  command = plan
  variables {
    connections = 600000
    regions     = 3
    edge        = { connections_max = 50000, memory_gib = 64 }
    headroom    = 1
  }
  assert {
    condition     = output.sizing.edges_by.connections == 6
    error_message = "300,000 clients of two regions left need 6 edges of 50,000 each."
  }
}

run "what_is_dearest_decides" {
  command = plan
  variables {
    deliveries_per_connection_per_second = 20
    edge                                 = { network_gbit = 10 }
  }
  assert {
    condition     = output.sizing.edges_decided_by == "cpu" && output.sizing.edges_per_region == output.sizing.edges_by.cpu
    error_message = "Many deliveries are a matter of CPU."
  }
}

run "storage_follows_from_rate_retention_and_copies" {
  command = plan
  variables {
    message_bytes               = 874 # and 150 B beside it: 1 KiB
    durable_messages_per_second = 1024
    retention_seconds           = 1024
    replicas                    = 3
    regions                     = 3
  }
  assert {
    condition     = output.sizing.jetstream_gib_per_server == 1 && output.sizing.jetstream_gib_in_all == 9
    error_message = "1 GiB is stored once a server, by three servers in three regions."
  }
}

run "there_are_two_edges_at_least" {
  command = plan
  variables {
    connections = 10
  }
  assert {
    condition     = output.sizing.edges_per_region == 2
    error_message = "One edge cannot be replaced without a break."
  }
}

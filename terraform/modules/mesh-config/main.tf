# Text only. A template holds placeholders and nothing else, no loops: crates/local fills the same
# files for `meridian dev` and the tests, so there is one truth.

locals {
  templates    = "${path.module}/templates"
  region_names = sort(keys(var.regions))

  # Every nats-server by its name in the mesh.
  servers = merge([
    for region, r in var.regions : {
      for name, s in r.nats : "${region}-${name}" => merge(s, { region = region, name = "${region}-${name}" })
    }
  ]...)

  # Every edge by its id. `place` spreads a region's edges over its servers.
  edges = merge([
    for region, r in var.regions : {
      for id, e in r.edges : id => merge(e, {
        region   = region
        identity = coalesce(e.identity, id)
        place    = index(sort(keys(r.edges)), id) % length(r.nats)
        otlp     = r.otlp_endpoint
      })
    }
  ]...)

  # Two authorities: whoever holds an edge's certificate cannot join as a server.
  client_tls = { for name, s in local.servers : name => templatefile("${local.templates}/tls.conf.tftpl", {
    indent = "", pki_dir = s.pki_dir, name = "server", ca = "clients-ca", verify = "verify_and_map"
  }) }
  peer_tls = { for name, s in local.servers : name => templatefile("${local.templates}/tls.conf.tftpl", {
    indent = "  ", pki_dir = s.pki_dir, name = "peer", ca = "peers-ca", verify = "verify"
  }) }

  message_trace = { for region in local.region_names : region => (
    var.message_trace_percent == 0 ? "" : templatefile("${local.templates}/message-trace.conf.tftpl", {
      region = region, percent = var.message_trace_percent
    })
  ) }

  clusters = { for name, s in local.servers : name => templatefile("${local.templates}/cluster.conf.tftpl", {
    region    = s.region
    listen    = "${var.listen_host}:${s.route_port}"
    advertise = "  cluster_advertise: \"${s.host}:${s.route_port}\"\n"
    routes = join(", ", [for n in sort(keys(var.regions[s.region].nats)) :
      "\"nats-route://${var.regions[s.region].nats[n].host}:${var.regions[s.region].nats[n].route_port}\""
    ])
    tls = local.peer_tls[name]
  }) }

  # A region's line in `gateways`, with the address of each of its servers.
  gateway_lines = { for region, r in var.regions : region => format("    { name: \"%s\", urls: [%s] }\n", region,
    join(", ", [for n in sort(keys(r.nats)) : "\"nats://${r.nats[n].host}:${r.nats[n].gateway_port}\""])
  ) }

  gateways = { for name, s in local.servers : name => templatefile("${local.templates}/gateway.conf.tftpl", {
    region    = s.region
    listen    = "${var.listen_host}:${s.gateway_port}"
    advertise = "${s.host}:${s.gateway_port}"
    # The peers' authority decides who is a region, so a new one needs no word in the old ones'
    # files: nats-server cannot reload gateways, and refuses every reload of a file that changes
    # them, new users and certificates included.
    reject_unknown_cluster = "false"
    gateways = join("", [for region in local.region_names : local.gateway_lines[region]
    if var.regions[region].joined <= var.regions[s.region].joined])
    tls = local.peer_tls[name]
  }) }

  # `whole` is the file. `fixed` lacks what a running server takes by a reload (SIGHUP): when it
  # changes, the server has to be restarted.
  server_conf = { for name, s in local.servers : name => {
    for what in ["whole", "fixed"] : what => templatefile("${local.templates}/nats-server.conf.tftpl", {
      server_name      = name
      region           = s.region
      listen           = "${var.listen_host}:${s.client_port}"
      client_advertise = "client_advertise: \"${s.host}:${s.client_port}\"\n"
      monitor_listen   = "${var.monitor_listen_host}:${s.monitor_port}"
      client_tls       = local.client_tls[name]
      store_dir        = "\"${s.store_dir}\""
      memory_max       = var.jetstream.memory_max
      file_max         = var.jetstream.file_max
      sync_interval    = "  sync_interval: \"${var.jetstream.sync_interval}\"\n"
      system_users     = "    { user: \"CN=system\" }\n"
      users            = what == "fixed" ? "" : local.users[s.region]
      message_trace    = what == "fixed" ? "" : local.message_trace[s.region]
      cluster          = local.is_alone ? "" : local.clusters[name]
      gateway          = length(var.regions) == 1 ? "" : local.gateways[name]
      websocket        = ""
    })
  } }

  # Without gateways a group of one that routes to itself never elects a leader, and with gateways
  # JetStream does not start without routes.
  is_alone = length(local.servers) == 1
}

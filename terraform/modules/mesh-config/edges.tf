# Each edge's configuration file. Keys and their meaning: config/edge.toml at the top of the tree.

locals {
  # Where clients of a draining edge may go, other regions' first edge last.
  alternates = { for id, e in local.edges : id => compact(concat(
    [for other in sort(keys(var.regions[e.region].edges)) : var.regions[e.region].edges[other].public_url if other != id],
    [for region in local.region_names : region == e.region ? null : try(coalesce(
      var.regions[region].public_url,
      [for other in sort(keys(var.regions[region].edges)) : var.regions[region].edges[other].public_url][0],
    ), null)],
  )) }

  # The region's servers, each edge's own first.
  nats_urls = { for id, e in local.edges : id => [
    for i in range(length(var.regions[e.region].nats)) : format("tls://%s:%d",
      values(var.regions[e.region].nats)[(i + e.place) % length(var.regions[e.region].nats)].host,
      values(var.regions[e.region].nats)[(i + e.place) % length(var.regions[e.region].nats)].client_port,
    )
  ] }

  issuers = join("", [for issuer in var.auth.issuers :
    "[[auth.issuers]]\n${join("", [for key in sort(keys(issuer)) : "${key} = ${jsonencode(issuer[key])}\n"])}"
  ])

  namespaces = join("", [for n in var.namespaces : join("\n", concat(
    [
      "", "[[namespaces]]",
      "name = \"${n.name}\"",
      "pattern = \"${n.pattern}\"",
      "class = \"${n.class}\"",
      "publish = ${n.publish}",
      "request = ${n.request}",
      "headers = [${join(", ", [for h in n.headers : jsonencode(h)])}]",
      "slow_client = \"${n.slow_client}\"",
      "",
    ],
    n.stream == null ? [] : concat(
      ["[namespaces.stream]", "home = \"${n.stream.home}\""],
      n.stream.name == null ? [] : ["name = \"${n.stream.name}\""],
      n.stream.home_stream == null ? [] : ["home_stream = \"${n.stream.home_stream}\""],
      [
        "epoch = ${n.stream.epoch}",
        "replicas = ${n.stream.replicas}",
        "max_age_s = ${n.stream.max_age_s}",
        "max_messages_per_subject = ${n.stream.max_messages_per_subject}",
        "max_bytes = ${format("%d", n.stream.max_bytes)}",
        "duplicate_window_s = ${n.stream.duplicate_window_s}",
        "",
      ],
    ),
  ))])

  # `fixed` lacks what other regions and edges have a part in.
  edge_toml = { for id, e in local.edges : id => { for what in ["whole", "fixed"] : what => templatefile("${local.templates}/edge.toml.tftpl", {
    id              = id
    region          = e.region
    shards          = e.shards
    alternates      = what == "fixed" ? "" : join(", ", [for url in local.alternates[id] : jsonencode(url)])
    public          = e.public
    admin           = e.admin
    tls_certificate = e.tls_certificate
    tls_key         = e.tls_key
    origins         = join(", ", [for origin in var.origins : jsonencode(origin)])
    servers         = join(", ", [for url in local.nats_urls[id] : jsonencode(url)])
    nats_tls = join("", [
      "tls_ca = \"${e.pki_dir}/clients-ca.crt\"\n",
      "tls_certificate = \"${e.pki_dir}/edge.crt\"\n",
      "tls_key = \"${e.pki_dir}/edge.key\"\n",
    ])
    regions                         = what == "fixed" ? "" : join(", ", [for region in local.region_names : jsonencode(region)])
    auth_mode                       = var.auth.mode
    allow_anonymous_beyond_loopback = var.auth.allow_anonymous_beyond_loopback
    clock_skew_s                    = var.auth.clock_skew_s
    issuers                         = local.issuers
    limits                          = join("", [for key in sort(keys(var.edge_limits)) : "${key} = ${var.edge_limits[key]}\n"])
    drain_window_ms                 = var.drain_window_ms
    log_format                      = var.log.format
    log_level                       = var.log.level
    telemetry                       = e.otlp == "" ? "" : "\n[tracing]\notlp_endpoint = ${jsonencode(e.otlp)}\nnats_spans = ${var.message_trace_percent > 0}\n\n[metrics]\notlp_endpoint = ${jsonencode(e.otlp)}\n"
    namespaces                      = local.namespaces
  }) } }
}

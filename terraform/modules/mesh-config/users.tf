# Who may do what in NATS: a second lock behind the edge's own checks. A user is the subject of a
# client certificate (verify_and_map), so no configuration holds a secret.

locals {
  # The names of streams, as crates/nats/src/streams/namespace.rs makes them.
  streams = { for n in var.namespaces : n.name => {
    home = coalesce(n.stream.home_stream, "${coalesce(n.stream.name, upper(n.name))}_${n.stream.epoch}")
    copies = { for region in local.region_names : region => (
      region == n.stream.home
      ? coalesce(n.stream.home_stream, "${coalesce(n.stream.name, upper(n.name))}_${n.stream.epoch}")
      : "${coalesce(n.stream.name, upper(n.name))}_${n.stream.epoch}_${region}"
    ) }
  } if n.stream != null }

  # What may stand for a word of config/nats/edge-permissions.conf, the one list of what an edge may
  # do. `meridian dev` fills in the same file.
  permission_values = { for region, r in var.regions : region => { for identity, ids in local.identities[region] : identity => {
    edge      = ids
    region    = [region]
    publish   = distinct([for n in var.namespaces : n.pattern if n.publish || n.request])
    ephemeral = [for n in var.namespaces : n.pattern if n.stream == null]
    durable   = [for n in var.namespaces : n.pattern if n.stream != null]
    stream    = distinct([for _, s in local.streams : s.copies[region]])
    home      = distinct([for _, s in local.streams : s.home])
  } } }
  permission_lines = [
    for line in split("\n", trimspace(file("${path.module}/../../../config/nats/edge-permissions.conf"))) : line
    if !startswith(line, "#")
  ]
  # A line stands once for each value of its word; `{region}` may stand beside another.
  edge_permissions = { for region, by_identity in local.permission_values : region => {
    for identity, values in by_identity : identity => join("", flatten([
      for line in local.permission_lines : [
        for value in flatten([
          for word in [try(regex("\\{(edge|publish|ephemeral|durable|stream|home)\\}", line)[0], "region")] :
          [for v in values[word] : { word = word, value = v }]
        ]) : "${replace(replace(line, "{${value.word}}", value.value), "{region}", region)}\n"
      ]
    ]))
  } }

  # The ids of the edges that share an identity.
  identities = { for region, r in var.regions : region => {
    for id, e in r.edges : coalesce(e.identity, id) => id...
  } }

  users = { for region in local.region_names : region => join("", concat(
    [for identity, _ in local.identities[region] : templatefile("${local.templates}/edge-user.conf.tftpl", {
      credentials = "user: \"CN=${identity}\""
      permissions = local.edge_permissions[region][identity]
    })],
    [for name, service in var.services : templatefile("${local.templates}/user.conf.tftpl", {
      credentials = "user: \"CN=service-${name}\""
      publish     = "allow: [${join(", ", [for s in concat(service.publish, ["_mrd.trace.${region}"]) : "\"${s}\""])}]"
      subscribe   = "allow: [${join(", ", [for s in concat(service.subscribe, ["_INBOX_${name}.>"]) : "\"${s}\""])}]"
    })],
    # Makes, promotes and purges streams; what JetStream alone may say, it may not.
    [templatefile("${local.templates}/user.conf.tftpl", {
      credentials = "user: \"CN=operator\""
      publish     = "allow: [\">\"], deny: [\"_mrd.reg.>\", \"_mrd.hb.>\"]"
      subscribe   = "allow: [\">\"]"
    })],
  )) }
}

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

  client_publish = distinct([for n in var.namespaces : n.pattern if n.publish || n.request])

  edge_publish = { for region in local.region_names : region => concat(
    local.client_publish,
    flatten([for _, s in local.streams : distinct([
      "$JS.API.DIRECT.GET.${s.copies[region]}",
      "$JS.API.STREAM.INFO.${s.copies[region]}",
      "$JS.API.STREAM.INFO.${s.home}",
    ])]),
  ) }
  edge_subscribe = { for region in local.region_names : region => [
    for n in var.namespaces : n.stream == null ? n.pattern : "_mrd.reg.${region}.${n.pattern}"
  ] }

  # The ids of the edges that share an identity.
  identities = { for region, r in var.regions : region => {
    for id, e in r.edges : coalesce(e.identity, id) => id...
  } }

  users = { for region in local.region_names : region => join("", concat(
    [for identity, ids in local.identities[region] : templatefile("${local.templates}/edge-user.conf.tftpl", {
      credentials = "user: \"CN=${identity}\""
      region      = region
      publish     = join("", [for subject in local.edge_publish[region] : ", \"${subject}\""])
      subscribe = join("", [for subject in concat(
        local.edge_subscribe[region],
        flatten([for id in ids : ["_mrd.edge.${id}.>", "_INBOX_${id}.>"]]),
      ) : ", \"${subject}\""])
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

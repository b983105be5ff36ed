output "nats_servers" {
  description = "Every nats-server by its name: its region, its configuration, and restart_key, which changes when a running server has to be restarted for it; otherwise a reload is enough."
  value = { for name, s in local.servers : name => {
    region       = s.region
    host         = s.host
    client_port  = s.client_port
    route_port   = s.route_port
    gateway_port = s.gateway_port
    monitor_port = s.monitor_port
    store_dir    = s.store_dir
    pki_dir      = s.pki_dir
    conf         = local.server_conf[name].whole
    restart_key  = sha256(local.server_conf[name].fixed)
  } }
}

output "edges" {
  description = "Every edge by its id: its region, its configuration, the certificate's identity, and restart_key, which does not change when only other regions or edges come or go: such an edge may go on with its old file until its next roll."
  value = { for id, e in local.edges : id => {
    region      = e.region
    identity    = e.identity
    public      = e.public
    admin       = e.admin
    pki_dir     = e.pki_dir
    toml        = local.edge_toml[id].whole
    restart_key = sha256(local.edge_toml[id].fixed)
  } }
}

output "certificates" {
  description = "What an authority has to issue, by <directory>/<file> below a place for certificates. `ca`: peers-ca or clients-ca; `usage`: server, client or both; `names`: DNS names and addresses."
  value = merge(
    { for name, s in local.servers : "${name}/peer" => { ca = "peers-ca", common_name = name, usage = "both", names = [s.host] } },
    { for name, s in local.servers : "${name}/server" => { ca = "clients-ca", common_name = name, usage = "server", names = [s.host] } },
    { for identity in distinct([for _, e in local.edges : e.identity]) : "edges/${identity}/edge" => { ca = "clients-ca", common_name = identity, usage = "client", names = [] } },
    { for name, _ in var.services : "services/${name}/client" => { ca = "clients-ca", common_name = "service-${name}", usage = "client", names = [] } },
    { for name in ["operator", "system"] : "operators/${name}/client" => { ca = "clients-ca", common_name = name, usage = "client", names = [] } },
  )
}

output "streams" {
  description = "The durable namespaces' streams: the home stream's name, and each region's copy."
  value       = local.streams
}

output "cloud_init" {
  description = "cloud-init user data of every nats-server and edge, for an image that has nats-server and meridian in /usr/local/bin."
  value = {
    nats  = local.nats_cloud_init
    edges = local.edge_cloud_init
  }
}

output "units" {
  description = "systemd units of a nats-server and of an edge."
  value       = local.units
}

output "prometheus_targets" {
  description = "Targets for Prometheus's file_sd_configs, as JSON: every edge's /metrics, and the exporter beside every nats-server."
  value       = local.prometheus_targets
}

output "otel_env" {
  description = "The environment that sends an edge's or a service's telemetry to its region's collector, by region."
  value       = local.otel_env
}

output "files" {
  description = "Everything by relative path, to write it somewhere: nats/<server>.conf, edges/<id>.toml, prometheus/targets.json, units."
  value = merge(
    { for name, s in local.server_conf : "nats/${name}.conf" => s.whole },
    { for id, toml in local.edge_toml : "edges/${id}.toml" => toml.whole },
    { for region, env in local.otel_env : "otel/${region}.env" => env },
    { for name, unit in local.units : "systemd/${name}" => unit },
    { "prometheus/targets.json" = local.prometheus_targets },
  )
}

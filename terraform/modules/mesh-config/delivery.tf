# What carries the configuration to a machine, and what watches it there.

locals {
  units = {
    "nats-server.service" = templatefile("${local.templates}/nats-server.service.tftpl", { mesh_name = var.mesh_name })
    "meridian-edge.service" = templatefile("${local.templates}/meridian-edge.service.tftpl", {
      mesh_name      = var.mesh_name
      stop_timeout_s = ceil(var.drain_window_ms / 1000) + 20
    })
  }

  # JSON is YAML too, so nothing in a file can break out of it.
  nats_cloud_init = { for name, s in local.servers : name => "#cloud-config\n${jsonencode({
    write_files = [
      { path = "/etc/nats/nats-server.conf", content = local.server_conf[name].whole, permissions = "0644" },
      { path = "/etc/systemd/system/nats-server.service", content = local.units["nats-server.service"], permissions = "0644" },
    ]
    runcmd = concat(
      ["id nats >/dev/null 2>&1 || useradd --system --home-dir ${s.store_dir} nats", "mkdir -p ${s.store_dir} ${s.pki_dir}"],
      var.boot_commands.nats,
      ["chown -R nats ${s.store_dir} ${s.pki_dir}", "systemctl daemon-reload", "systemctl enable --now nats-server.service"],
    )
  })}\n" }

  edge_cloud_init = { for id, e in local.edges : id => "#cloud-config\n${jsonencode({
    write_files = [
      { path = "/etc/meridian/edge.toml", content = local.edge_toml[id].whole, permissions = "0644" },
      { path = "/etc/meridian/edge.env", content = local.otel_env[e.region], permissions = "0600" },
      { path = "/etc/systemd/system/meridian-edge.service", content = local.units["meridian-edge.service"], permissions = "0644" },
    ]
    runcmd = concat(
      ["id meridian >/dev/null 2>&1 || useradd --system meridian", "mkdir -p ${e.pki_dir}"],
      var.boot_commands.edge,
      ["chown -R meridian ${e.pki_dir}", "systemctl daemon-reload", "systemctl enable --now meridian-edge.service"],
    )
  })}\n" }

  prometheus_targets = jsonencode(concat(
    [for id, e in local.edges : {
      targets = ["${coalesce(e.metrics_host, regex("^(.*):[0-9]+$", e.admin)[0])}:${regex("[0-9]+$", e.admin)}"]
      labels  = { job = "meridian-edge", mesh = var.mesh_name, region = e.region, edge = id }
    }],
    [for name, s in local.servers : {
      targets = ["${s.host}:${s.exporter_port}"]
      labels  = { job = "nats", mesh = var.mesh_name, region = s.region, server = name }
    }],
  ))

  otel_env = { for region, r in var.regions : region => r.otlp_endpoint == "" ? "" : join("\n", [
    "OTEL_EXPORTER_OTLP_ENDPOINT=${r.otlp_endpoint}",
    "OTEL_RESOURCE_ATTRIBUTES=cloud.region=${region},deployment.environment.name=${var.mesh_name}",
    "",
  ]) }
}

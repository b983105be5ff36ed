# The user data of a machine: cloud-init puts node.py and units of systemd in place and starts them.
# Everything else comes by node.py from the bucket and from Secrets Manager.

locals {
  user = { edge = "meridian", nats = "nats" }[var.role]

  units = merge(
    {
      "meridian-boot.service"    = file("${path.module}/units/meridian-boot.service")
      "meridian-refresh.service" = file("${path.module}/units/meridian-refresh.service")
      "meridian-refresh.timer"   = file("${path.module}/units/meridian-refresh.timer")
      "meridian-agent.service"   = templatefile("${path.module}/units/meridian-agent.service.tftpl", { role = var.role })
    },
    var.role == "edge" ? {
      "meridian-edge.service" = templatefile("${path.module}/units/meridian-edge.service.tftpl", {
        stop_timeout_s  = ceil(var.drain_window_ms / 1000) + 30
        descriptors_max = var.connections_max + 5000
      })
      } : {
      "nats-server.service" = file("${path.module}/units/nats-server.service")
    },
  )

  files = concat(
    [
      { path = "/usr/local/bin/meridian-node", permissions = "0755", content = file("${path.module}/node.py") },
      { path = "/etc/meridian/node.json", permissions = "0644", content = jsonencode(var.settings) },
    ],
    [for name in sort(keys(local.units)) : { path = "/etc/systemd/system/${name}", permissions = "0644", content = local.units[name] }],
  )

  cloud_config = {
    users = [
      "default",
      { name = local.user, system = true, shell = "/sbin/nologin", no_create_home = true },
    ]
    write_files = [for file in local.files : {
      path        = file.path
      permissions = file.permissions
      encoding    = "gz+b64"
      content     = base64gzip(file.content)
    }]
    runcmd = concat(
      [["systemctl", "daemon-reload"]],
      # Not awaited: boot may take until the operator has put the secrets.
      [for name in sort(keys(local.units)) : ["systemctl", "enable", "--now", "--no-block", name] if name != "meridian-refresh.service"],
    )
  }

  user_data = "#cloud-config\n${yamlencode(local.cloud_config)}"
}

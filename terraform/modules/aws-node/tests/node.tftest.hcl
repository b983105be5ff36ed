variables {
  role            = "edge"
  drain_window_ms = 120000
  connections_max = 15000
  settings        = { role = "edge", region = "eu" }
}

run "an_edge_gets_its_agent_and_units" {
  command = plan

  assert {
    condition     = startswith(output.user_data, "#cloud-config\n")
    error_message = "cloud-init reads the first line."
  }
  assert {
    condition = toset([for file in yamldecode(output.user_data).write_files : file.path]) == toset([
      "/usr/local/bin/meridian-node", "/etc/meridian/node.json",
      "/etc/systemd/system/meridian-agent.service", "/etc/systemd/system/meridian-boot.service",
      "/etc/systemd/system/meridian-edge.service", "/etc/systemd/system/meridian-refresh.service",
      "/etc/systemd/system/meridian-refresh.timer",
    ])
    error_message = "The files of an edge."
  }
  assert {
    condition     = strcontains(local.units["meridian-edge.service"], "TimeoutStopSec=150\n") && strcontains(local.units["meridian-edge.service"], "LimitNOFILE=20000\n")
    error_message = "systemd waits longer than the drain window, and allows a descriptor a connection."
  }
  assert {
    condition     = strcontains(local.units["meridian-agent.service"], "edge-agent")
    error_message = "The agent of an edge."
  }
}

run "a_nats_server_gets_lame_duck_mode_as_its_end" {
  command = plan

  variables {
    role     = "nats"
    settings = { role = "nats", region = "eu" }
  }
  assert {
    condition     = strcontains(local.units["nats-server.service"], "KillSignal=SIGUSR2") && strcontains(local.units["meridian-agent.service"], "nats-agent")
    error_message = "A nats-server is never stopped without lame duck mode."
  }
}

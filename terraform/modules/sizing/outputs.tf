output "sizing" {
  description = "Instances, memory, egress and JetStream storage, with the assumptions beside them."
  value = {
    edges_per_region              = local.edges_per_region
    edges_decided_by              = [for what, n in local.edges_by : what if n == max(values(local.edges_by)...)][0]
    edges_by                      = { for what, n in local.edges_by : what => ceil(n) }
    nats_servers_per_region       = 3
    nats_memory_mib_each          = ceil(local.nats_memory_bytes / pow(1024, 2)) + 64
    client_egress_mbit_per_region = ceil(local.per_region * var.deliveries_per_connection_per_second * local.frame_bytes * 8 / pow(10, 6))
    client_egress_tib_per_month   = ceil(var.connections * var.deliveries_per_connection_per_second * local.frame_bytes * local.month / pow(1024, 4))
    between_regions_tib_per_month = ceil(var.messages_per_second * (var.regions - 1) * local.frame_bytes * local.month / pow(1024, 4))
    jetstream_gib_per_server      = ceil(local.stored_bytes / pow(1024, 3))
    jetstream_gib_in_all          = ceil(local.stored_bytes * var.replicas * var.regions / pow(1024, 3))

    assumptions = [
      "Clients are spread evenly, and the mesh is sized for one region less: its clients go to the others.",
      "An idle connection takes ${var.costs.edge_connection_bytes} B in the edge: measured, 1.51 KiB, README.md, Figures.",
      "and ${var.costs.kernel_connection_bytes} B in the kernel, ${var.tls ? "${var.costs.tls_connection_bytes} B for TLS" : "no TLS"}: assumed, not measured.",
      "A delivery takes ${var.costs.delivery_us} µs of a core: measured, the dearest shared-subject row of README.md, Figures. A subject for each client costs more: 22.5 µs there.",
      "A frame has ${var.costs.frame_overhead_bytes} B beside its payload (WebSocket, TLS, TCP/IP, subject): assumed.",
      "A distinct filter takes ${var.costs.nats_local_filter_bytes} B in its region's server and ${var.costs.nats_remote_filter_bytes} B in every other: measured once with nats-server 2.15.1, 1 server a region; a subscription is taken to be at one server. At most some 250,000 distinct filters a region are advised.",
      "Every message is wanted in every region, so it crosses to each of the others once; without interest it does not.",
      "A stored message takes ${var.costs.stored_overhead_bytes} B beside its payload: assumed. Each region has a copy with ${var.replicas} replicas, and a server holds one of each.",
      "Machines are planned to ${format("%.0f", var.headroom * 100)} %.",
    ]
  }
}

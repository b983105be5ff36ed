# How large a mesh has to be, from measured costs. Provider-free; text and numbers only. It is an
# estimate to begin with: what decides is meridian_edge_utilization_ratio under the real load.

terraform {
  required_version = ">= 1.9"
}

locals {
  per_region = var.connections / var.regions
  # If a region is lost, its clients go to the others.
  peak_per_region = var.regions > 1 ? var.connections / (var.regions - 1) : var.connections

  deliveries_per_region = local.peak_per_region * var.deliveries_per_connection_per_second
  frame_bytes           = var.message_bytes + var.costs.frame_overhead_bytes

  edges_by = {
    connections = local.peak_per_region / (var.edge.connections_max * var.headroom)
    memory      = local.peak_per_region * (var.costs.edge_connection_bytes + var.costs.kernel_connection_bytes + (var.tls ? var.costs.tls_connection_bytes : 0)) / (var.edge.memory_gib * pow(1024, 3) * var.headroom)
    cpu         = local.deliveries_per_region * var.costs.delivery_us / (1000000 * var.edge.cores * var.headroom)
    egress      = local.deliveries_per_region * local.frame_bytes * 8 / (var.edge.network_gbit * pow(10, 9) * var.headroom)
  }
  # Two at least, so that one can be replaced.
  edges_per_region = max(2, ceil(max(values(local.edges_by)...)))

  filters_per_region = local.peak_per_region * var.distinct_filters_per_connection
  filters_elsewhere  = var.connections * var.distinct_filters_per_connection
  nats_memory_bytes  = local.filters_per_region * var.costs.nats_local_filter_bytes + local.filters_elsewhere * var.costs.nats_remote_filter_bytes

  stored_bytes = var.durable_messages_per_second * var.retention_seconds * (var.message_bytes + var.costs.stored_overhead_bytes)
  month        = 30 * 24 * 3600
}

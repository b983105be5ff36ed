output "edges" {
  description = "The edges' WebSocket URLs by region."
  value = { for region in keys(var.regions) : region => [
    for id in sort([for id, e in module.mesh.edges : id if e.region == region]) : "ws://${module.mesh.edges[id].public}/v1/ws"
  ] }
}

output "nats" {
  description = "The nats-servers' addresses by region."
  value = { for region in keys(var.regions) : region => [
    for name in sort([for name, s in module.mesh.nats_servers : name if s.region == region]) :
    "tls://${module.mesh.nats_servers[name].host}:${module.mesh.nats_servers[name].client_port}"
  ] }
}

output "directory" {
  description = "Where configurations, certificates (pki), logs and pid files (run) are."
  value       = local.directory
}

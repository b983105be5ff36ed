output "url" {
  description = "Where clients connect."
  value       = "wss://${var.domain}/v1/ws"
}

output "region_urls" {
  description = "By region: its own address."
  value       = { for name, _ in var.regions : name => "wss://${name}.${var.domain}/v1/ws" }
}

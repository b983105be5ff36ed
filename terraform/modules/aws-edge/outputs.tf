output "dns_name" {
  description = "The load balancer's own name, for alias records."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "The hosted zone of that name."
  value       = aws_lb.this.zone_id
}

output "group_name" {
  description = "The Auto Scaling group; its name is the dimension of the edges' metrics."
  value       = aws_autoscaling_group.this.name
}

output "load_balancer_dimension" {
  description = "The load balancer as CloudWatch names it."
  value       = aws_lb.this.arn_suffix
}

output "target_group_dimension" {
  description = "The target group as CloudWatch names it."
  value       = aws_lb_target_group.edges.arn_suffix
}

output "secret_arns" {
  description = "The secrets to fill: `nats`, and with tls.mode edge `tls`."
  value = merge(
    { nats = aws_secretsmanager_secret.pki.arn },
    { for secret in aws_secretsmanager_secret.tls : "tls" => secret.arn },
  )
}

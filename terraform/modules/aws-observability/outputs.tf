output "otlp_endpoint" {
  description = "Where edges send traces by OTLP over gRPC; empty without a collector."
  value       = var.collector == null ? "" : "http://${var.collector.private_ip}:4317"
}

output "dashboard_name" {
  description = "The region's dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarms" {
  description = "The name of every alarm."
  value       = sort([for _, alarm in merge(aws_cloudwatch_metric_alarm.this, aws_cloudwatch_metric_alarm.recover) : alarm.alarm_name])
}

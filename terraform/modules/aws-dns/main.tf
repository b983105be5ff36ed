# One name for the mesh, answered with the nearest region that works. The provider's region is
# us-east-1, since Route 53 keeps the metrics of health checks there and nowhere else.

resource "aws_route53_health_check" "region" {
  for_each = var.health_checks ? var.regions : {}

  # A connection is what clients need first. What edges say of themselves, evaluate_target_health
  # brings below.
  type              = "TCP"
  fqdn              = each.value.dns_name
  port              = 443
  request_interval  = 10
  failure_threshold = 3
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_route53_record" "latency" {
  for_each = { for name, region in var.regions : name => region if region.in_service }

  zone_id         = var.zone_id
  name            = var.domain
  type            = "A"
  set_identifier  = each.key
  health_check_id = var.health_checks ? aws_route53_health_check.region[each.key].id : null

  latency_routing_policy {
    region = each.value.aws_region
  }

  alias {
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

# For `alternates`: where an edge that drains sends its clients. Answered whatever health says.
resource "aws_route53_record" "region" {
  for_each = var.regions

  zone_id = var.zone_id
  name    = "${each.key}.${var.domain}"
  type    = "A"

  alias {
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
    evaluate_target_health = false
  }
}

resource "aws_cloudwatch_metric_alarm" "region" {
  for_each = aws_route53_health_check.region

  alarm_name          = "${var.name}-${each.key}-unreachable"
  alarm_description   = "Region ${each.key} takes no connections from outside. Runbook: docs/aws.md, alarms."
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 2
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  dimensions = { HealthCheckId = each.value.id }
}

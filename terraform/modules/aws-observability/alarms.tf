# What wakes somebody. Each has a line in docs/aws.md, alarms.

locals {
  # An alarm a line: the metric, how it is read, and what the end of the world looks like. `missing`
  # says what it means that nobody reports.
  alarms = merge(
    {
      "edges-near-capacity" = {
        what       = "Edges are nearly full: the group is at its max, or grows too slowly."
        namespace  = var.metrics_namespace, metric = "Utilization", statistic = "Average"
        when       = "GreaterThanThreshold", threshold = 80, minutes = 5, missing = "notBreaching"
        dimensions = { AutoScalingGroupName = var.edge.group }
      }
      "edges-silent" = {
        what       = "No edge has reported for 5 minutes: none is in service, or none reaches CloudWatch."
        namespace  = var.metrics_namespace, metric = "Connections", statistic = "SampleCount"
        when       = "LessThanThreshold", threshold = 1, minutes = 5, missing = "breaching"
        dimensions = { AutoScalingGroupName = var.edge.group }
      }
      "edges-missing" = {
        what       = "Fewer edges are in service than the group's min: new ones do not become ready."
        namespace  = "AWS/AutoScaling", metric = "GroupInServiceInstances", statistic = "Minimum"
        when       = "LessThanThreshold", threshold = var.edge.min, minutes = 15, missing = "breaching"
        dimensions = { AutoScalingGroupName = var.edge.group }
      }
      "edges-draining" = {
        what       = "An edge has been ending for more than 15 minutes."
        namespace  = "AWS/AutoScaling", metric = "GroupTerminatingInstances", statistic = "Minimum"
        when       = "GreaterThanThreshold", threshold = 0, minutes = 15, missing = "notBreaching"
        dimensions = { AutoScalingGroupName = var.edge.group }
      }
      "edges-unready" = {
        what       = "The load balancer has found an edge unready for 3 minutes: mostly it has no NATS."
        namespace  = "AWS/NetworkELB", metric = "UnHealthyHostCount", statistic = "Maximum"
        when       = "GreaterThanThreshold", threshold = 0, minutes = 3, missing = "notBreaching"
        dimensions = { LoadBalancer = var.edge.load_balancer, TargetGroup = var.edge.target_group }
      }
      "edge-certificate" = {
        what       = "A certificate of the edges ends within 14 days."
        namespace  = var.metrics_namespace, metric = "CertificateDays", statistic = "Minimum"
        when       = "LessThanThreshold", threshold = 14, minutes = 60, missing = "notBreaching"
        dimensions = { AutoScalingGroupName = var.edge.group }
      }
    },
    { for server, _ in var.nats : "nats-${server}-unhealthy" => {
      what       = "nats-server ${server} has not been healthy for 3 minutes, or does not report."
      namespace  = var.metrics_namespace, metric = "Healthy", statistic = "Minimum"
      when       = "LessThanThreshold", threshold = 1, minutes = 3, missing = "breaching"
      dimensions = { Server = server }
    } },
    { for server, _ in var.nats : "nats-${server}-store" => {
      what       = "The disk of nats-server ${server} is 80 percent full."
      namespace  = var.metrics_namespace, metric = "StoreUsed", statistic = "Maximum"
      when       = "GreaterThanThreshold", threshold = 80, minutes = 5, missing = "notBreaching"
      dimensions = { Server = server }
    } },
    { for server, _ in var.nats : "nats-${server}-gateways" => {
      what       = "nats-server ${server} has lost the gateway to a region: messages of that region are missing here."
      namespace  = var.metrics_namespace, metric = "Gateways", statistic = "Minimum"
      when       = "LessThanThreshold", threshold = var.gateways, minutes = 2, missing = "notBreaching"
      dimensions = { Server = server }
    } if var.gateways > 0 },
    { for server, _ in var.nats : "nats-${server}-certificate" => {
      what       = "A certificate of nats-server ${server} ends within 14 days."
      namespace  = var.metrics_namespace, metric = "CertificateDays", statistic = "Minimum"
      when       = "LessThanThreshold", threshold = 14, minutes = 60, missing = "notBreaching"
      dimensions = { Server = server }
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.what} Runbook: docs/aws.md, alarms."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  comparison_operator = each.value.when
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

data "aws_region" "here" {}

# A machine whose host is broken starts on another one, with its address and its disk.
resource "aws_cloudwatch_metric_alarm" "recover" {
  for_each = var.nats

  alarm_name          = "${var.name}-nats-${each.key}-host"
  alarm_description   = "The host of nats-server ${each.key} is broken: EC2 moves the machine. Runbook: docs/aws.md, alarms."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed_System"
  statistic           = "Maximum"
  dimensions          = { InstanceId = each.value }
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 2
  alarm_actions       = concat(["arn:aws:automate:${data.aws_region.here.name}:ec2:recover"], var.alarm_topic_arns)
  ok_actions          = var.alarm_topic_arns
}

# The group follows what edges say of themselves. CPU and egress only ever add edges: both fall when
# clients are being moved, and an edge that ends moves its clients.

resource "aws_autoscaling_policy" "utilization" {
  name                   = "utilization"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value     = var.scaling.utilization
    disable_scale_in = !var.scaling.scale_in

    customized_metric_specification {
      namespace   = var.metrics_namespace
      metric_name = "Utilization"
      statistic   = "Average"
      unit        = "Percent"

      metric_dimension {
        name  = "AutoScalingGroupName"
        value = local.group_name
      }
    }
  }
}

locals {
  # By what it is: the metric, and beyond which value the group grows. A second step is higher.
  step_out = {
    cpu = { metric = "CPUUtilization", threshold = var.scaling.cpu, second = 15 }
    egress = {
      metric = "NetworkOut"
      # Bytes a minute of one edge, as CloudWatch has them with detailed monitoring.
      threshold = var.scaling.egress_mbit_s * 1000000 / 8 * 60
      second    = var.scaling.egress_mbit_s * 1000000 / 8 * 60 * 0.25
    }
  }
}

resource "aws_autoscaling_policy" "step_out" {
  for_each = local.step_out

  name                      = "${each.key}-out"
  autoscaling_group_name    = aws_autoscaling_group.this.name
  policy_type               = "StepScaling"
  adjustment_type           = "PercentChangeInCapacity"
  min_adjustment_magnitude  = 1
  metric_aggregation_type   = "Average"
  estimated_instance_warmup = var.scaling.warmup_s

  step_adjustment {
    metric_interval_lower_bound = 0
    metric_interval_upper_bound = each.value.second
    scaling_adjustment          = 20
  }

  step_adjustment {
    metric_interval_lower_bound = each.value.second
    scaling_adjustment          = 50
  }
}

resource "aws_cloudwatch_metric_alarm" "step_out" {
  for_each = local.step_out

  alarm_name          = "${var.name}-edge-${each.key}-out"
  alarm_description   = "Adds edges. Never removes any."
  namespace           = "AWS/EC2"
  metric_name         = each.value.metric
  statistic           = "Average"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.step_out[each.key].arn]

  dimensions = { AutoScalingGroupName = local.group_name }
}

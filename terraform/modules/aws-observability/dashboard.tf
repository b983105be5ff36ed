# One page a region, for those who look at AWS first. What a message does, traces and the dashboards
# of Grafana show.

locals {
  here    = data.aws_region.here.name
  by_edge = ["AutoScalingGroupName", var.edge.group]
  by_lb   = ["LoadBalancer", var.edge.load_balancer]
  by_hour = { view = "timeSeries", region = local.here, period = 60 }

  charts = [
    { title = "Connections of all edges", metrics = [concat([var.metrics_namespace, "Connections"], local.by_edge, [{ stat = "Sum" }])] },
    { title = "Utilization of edges, percent", metrics = [
      concat([var.metrics_namespace, "Utilization"], local.by_edge, [{ stat = "Average" }]),
      concat([var.metrics_namespace, "Utilization"], local.by_edge, [{ stat = "Maximum" }]),
    ] },
    { title = "Edges", metrics = [for metric in ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"] :
      concat(["AWS/AutoScaling", metric], local.by_edge, [{ stat = "Average" }])
    ] },
    { title = "Load balancer", metrics = [
      concat(["AWS/NetworkELB", "ActiveFlowCount"], local.by_lb, [{ stat = "Average" }]),
      concat(["AWS/NetworkELB", "NewFlowCount"], local.by_lb, [{ stat = "Sum" }]),
      concat(["AWS/NetworkELB", "TCP_Target_Reset_Count"], local.by_lb, [{ stat = "Sum" }]),
    ] },
    { title = "Egress to browsers, bytes a minute", metrics = [concat(["AWS/NetworkELB", "ProcessedBytes"], local.by_lb, [{ stat = "Sum" }])] },
    { title = "nats-servers: healthy", metrics = [for server, _ in var.nats : [var.metrics_namespace, "Healthy", "Server", server, { stat = "Minimum" }]] },
    { title = "nats-servers: gateways", metrics = [for server, _ in var.nats : [var.metrics_namespace, "Gateways", "Server", server, { stat = "Minimum" }]] },
    { title = "nats-servers: disk, percent", metrics = [for server, _ in var.nats : [var.metrics_namespace, "StoreUsed", "Server", server, { stat = "Maximum" }]] },
    { title = "nats-servers: CPU, percent", metrics = [for _, id in var.nats : ["AWS/EC2", "CPUUtilization", "InstanceId", id, { stat = "Average" }]] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for index, chart in local.charts : {
    type       = "metric"
    x          = index % 3 * 8
    y          = floor(index / 3) * 6
    width      = 8
    height     = 6
    properties = merge(local.by_hour, chart)
  }] })
}

mock_provider "aws" {
  source = "../mocks"
}

variables {
  name     = "meridian-eu"
  region   = "eu"
  edge     = { group = "meridian-eu-edge", load_balancer = "net/lb/1", target_group = "targetgroup/tg/1", min = 3 }
  nats     = { eu-n1 = "i-1", eu-n2 = "i-2", eu-n3 = "i-3" }
  gateways = 2
  collector = {
    ami_id = "ami-12345678", subnet_id = "subnet-a", private_ip = "10.20.2.20", security_group_id = "sg-collector"
  }
  alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
}

run "what_must_report_alarms_when_it_is_silent" {
  assert {
    condition     = alltrue([for name in ["edges-silent", "edges-missing", "nats-eu-n1-unhealthy", "nats-eu-n2-unhealthy", "nats-eu-n3-unhealthy"] : aws_cloudwatch_metric_alarm.this[name].treat_missing_data == "breaching"])
    error_message = "A machine that is gone reports nothing, and that is the alarm."
  }
  assert {
    condition     = alltrue([for _, alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(var.alarm_topic_arns) && alarm.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "Every alarm tells somebody, and so does its end."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["nats-eu-n1-gateways"].threshold == 2 && length(aws_cloudwatch_metric_alarm.this) == 6 + 3 * 4
    error_message = "Six of edges, four of each server."
  }
  assert {
    condition     = alltrue([for _, alarm in aws_cloudwatch_metric_alarm.recover : contains(alarm.alarm_actions, "arn:aws:automate:eu-central-1:ec2:recover")])
    error_message = "A broken host is left."
  }
}

run "the_collector_stands_where_edges_expect_it" {
  assert {
    condition     = output.otlp_endpoint == "http://10.20.2.20:4317" && aws_instance.collector["this"].private_ip == "10.20.2.20" && strcontains(aws_instance.collector["this"].user_data, "0.0.0.0:4317")
    error_message = "One address, known before the machine is."
  }
  assert {
    condition     = aws_instance.collector["this"].metadata_options[0].http_tokens == "required" && aws_instance.collector["this"].root_block_device[0].encrypted && aws_instance.collector["this"].vpc_security_group_ids == toset(["sg-collector"])
    error_message = "IMDSv2, an encrypted disk, its own group."
  }
}

run "a_mesh_of_one_region_has_no_gateways_and_may_do_without_a_collector" {
  variables {
    gateways  = 0
    collector = null
  }
  assert {
    condition     = length([for name, _ in aws_cloudwatch_metric_alarm.this : name if strcontains(name, "gateways")]) == 0 && length(aws_instance.collector) == 0 && output.otlp_endpoint == ""
    error_message = "No alarm on what cannot be, and no machine that nobody asked for."
  }
}

run "the_dashboard_shows_metrics_that_somebody_reports" {
  assert {
    condition = alltrue(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
      for metric in widget.properties.metrics : metric[0] != "Meridian" || contains(["Connections", "Utilization", "Healthy", "Gateways", "StoreUsed"], metric[1])
    ]]))
    error_message = "A chart of a metric that node.py does not report."
  }
}

mock_provider "aws" {
  source = "../mocks"
}

variables {
  name                     = "meridian-eu"
  region                   = "eu"
  vpc_id                   = "vpc-1"
  load_balancer_subnet_ids = ["subnet-a", "subnet-b", "subnet-c"]
  edge_subnet_ids          = ["subnet-d", "subnet-e", "subnet-f"]
  security_group_ids       = { load_balancer = "sg-lb", edge = "sg-edge" }
  bucket                   = { name = "bucket", arn = "arn:aws:s3:::bucket" }
  binary                   = { key = "bin/meridian", version = "v1", sha256 = "00" }
  toml                     = "# one\n"
  ami_id                   = "ami-12345678"
  nats_servers = [
    { zone = "eu-central-1a", url = "tls://10.20.2.10:4222" },
    { zone = "eu-central-1b", url = "tls://10.20.2.74:4222" },
  ]
}

run "a_nats_outage_ends_no_machine_and_resets_no_connection" {
  assert {
    condition     = aws_autoscaling_group.this.health_check_type == "EC2"
    error_message = "By ELB health, edges without NATS would be terminated, all of them."
  }
  assert {
    condition     = !aws_lb_target_group.edges.target_health_state[0].enable_unhealthy_connection_termination && aws_lb_target_group.edges.target_health_state[0].unhealthy_draining_interval == 900
    error_message = "Unready edges keep their connections, for longer than a drain takes."
  }
  assert {
    condition     = aws_lb_target_group.edges.health_check[0].path == "/readyz" && aws_lb_target_group.edges.health_check[0].protocol == "HTTP" && aws_lb_target_group.edges.health_check[0].port == "7411"
    error_message = "Readiness steers the load balancer."
  }
}

run "connections_outlive_deregistration_and_show_their_client" {
  assert {
    condition     = !aws_lb_target_group.edges.connection_termination && aws_lb_target_group.edges.deregistration_delay == "60" && aws_lb_target_group.edges.preserve_client_ip == "true"
    error_message = "The edge ends connections, by its drain, not the load balancer."
  }
}

run "tls_passes_to_the_edge_by_default" {
  assert {
    condition     = aws_lb_listener.this.protocol == "TCP" && aws_lb_listener.this.certificate_arn == null && aws_lb_listener.this.tcp_idle_timeout_seconds == 600
    error_message = "TCP on 443, idle for longer than the longest heartbeat."
  }
  assert {
    condition     = length(aws_secretsmanager_secret.tls) == 1 && contains(keys(output.secret_arns), "tls")
    error_message = "The certificate has a place."
  }
  assert {
    condition     = aws_lb.this.load_balancer_type == "network" && aws_lb.this.enable_deletion_protection && aws_lb.this.security_groups == toset(["sg-lb"])
    error_message = "A protected network load balancer that has its group from the start."
  }
}

# With a state of its own, since the provider keeps a value that is no longer given.
run "tls_ends_at_the_load_balancer_if_asked" {
  state_key = "nlb"

  variables {
    tls = { mode = "nlb", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/mock" }
  }
  assert {
    condition     = aws_lb_listener.this.protocol == "TLS" && aws_lb_listener.this.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.this.alpn_policy == "HTTP1Only" && aws_lb_listener.this.tcp_idle_timeout_seconds != 600
    error_message = "TLS 1.2 at least, HTTP/1.1, and no idle timeout, which TLS listeners do not have."
  }
  assert {
    condition     = length(aws_secretsmanager_secret.tls) == 0 && !strcontains(jsonencode(module.node.settings), "/etc/meridian/tls")
    error_message = "Edges have no certificate then."
  }
}

run "tls_at_the_load_balancer_without_a_certificate_is_refused" {
  command         = plan
  expect_failures = [var.tls]

  variables {
    tls = { mode = "nlb" }
  }
}

run "an_edge_is_told_to_drain_and_counts_when_it_is_ready" {
  assert {
    condition = { for hook in aws_autoscaling_group.this.initial_lifecycle_hook : hook.name => [hook.lifecycle_transition, hook.default_result] } == {
      launch = ["autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON"]
      drain  = ["autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE"]
    }
    error_message = "Both hooks are there before the first instance."
  }
  assert {
    condition     = module.node.settings.edge.drain_hook == "drain" && module.node.settings.edge.launch_hook == "launch" && module.node.settings.edge.group == aws_autoscaling_group.this.name
    error_message = "The agent ends these hooks of this group."
  }
  assert {
    condition     = alltrue([for hook in aws_autoscaling_group.this.initial_lifecycle_hook : hook.heartbeat_timeout > 4 * 60])
    error_message = "Four of the agent's heartbeats, one a minute, may be lost."
  }
}

run "a_change_rolls_the_group_without_losing_capacity" {
  assert {
    condition = (
      aws_autoscaling_group.this.instance_refresh[0].preferences[0].min_healthy_percentage == 100 &&
      aws_autoscaling_group.this.instance_refresh[0].preferences[0].auto_rollback &&
      aws_autoscaling_group.this.launch_template[0].version == "3"
    )
    error_message = "A new edge before an old one goes, and back if it does not work."
  }
  assert {
    condition     = module.node.settings.files[1].sha256 == sha256("# one\n") && aws_launch_template.this.user_data == base64encode(module.node.user_data)
    error_message = "The configuration's hash stands in the user data, so a change of it changes the template."
  }
}

run "the_group_grows_by_three_signals_and_shrinks_by_one" {
  assert {
    condition = (
      aws_autoscaling_policy.utilization.target_tracking_configuration[0].target_value == 60 &&
      aws_autoscaling_policy.utilization.target_tracking_configuration[0].customized_metric_specification[0].metric_name == "Utilization"
    )
    error_message = "Target tracking on what edges report."
  }
  assert {
    condition     = alltrue(flatten([for _, policy in aws_autoscaling_policy.step_out : [for step in policy.step_adjustment : step.scaling_adjustment > 0 && tonumber(step.metric_interval_lower_bound) >= 0]]))
    error_message = "Steps only go out: no scale-in by CPU or egress."
  }
  assert {
    condition     = { for name, alarm in aws_cloudwatch_metric_alarm.step_out : name => alarm.metric_name } == { cpu = "CPUUtilization", egress = "NetworkOut" } && aws_cloudwatch_metric_alarm.step_out["egress"].threshold == 3000000000
    error_message = "400 Mbit/s are 3 GB a minute."
  }
  assert {
    condition     = module.node.settings.edge.environment.MERIDIAN__METRICS__CAPACITY_EGRESS_BYTES_PER_S == "50000000"
    error_message = "An edge measures its egress by the same number."
  }
  assert {
    condition     = aws_launch_template.this.monitoring[0].enabled
    error_message = "Alarms of a minute need detailed monitoring."
  }
}

run "scale_in_can_be_switched_off" {
  variables {
    scaling = { scale_in = false }
  }
  assert {
    condition     = aws_autoscaling_policy.utilization.target_tracking_configuration[0].disable_scale_in
    error_message = "For a launch."
  }
}

run "machines_are_private_encrypted_and_ask_for_a_token_of_metadata" {
  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 only."
  }
  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.this.block_device_mappings[0].ebs[0].volume_size == 20
    error_message = "Encrypted disks, with a size."
  }
  assert {
    condition     = length(aws_launch_template.this.network_interfaces) == 0 && aws_launch_template.this.vpc_security_group_ids == toset(["sg-edge"])
    error_message = "No public address, and the one group."
  }
  assert {
    condition     = flatten([for statement in module.role.statements : statement.resources if contains(statement.actions, "autoscaling:CompleteLifecycleAction")]) == ["arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/meridian-eu-edge"]
    error_message = "An edge ends lifecycle actions of its own group only."
  }
}

run "a_drain_that_outlasts_the_load_balancer_is_refused" {
  command         = plan
  expect_failures = [var.drain]

  variables {
    drain = { window_ms = 600000, unhealthy_s = 300 }
  }
}

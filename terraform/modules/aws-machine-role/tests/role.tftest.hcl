mock_provider "aws" {
  source = "../mocks"
}

variables {
  name                   = "meridian-eu-edge"
  objects                = ["arn:aws:s3:::bucket/edge/*"]
  secrets                = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:meridian-eu/edge-AbCdEf"]
  auto_scaling_group_arn = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/meridian-eu-edge"
  metrics_namespaces     = ["Meridian"]
}

run "only_actions_that_know_no_resources_have_a_star" {
  command = plan

  assert {
    condition = alltrue([for statement in output.statements : !contains(statement.resources, "*") || alltrue([
      for action in statement.actions : can(regex("^(cloudwatch:PutMetricData|ssm:UpdateInstanceInformation|ssm:ListInstanceAssociations|ssmmessages:|ec2messages:|xray:)", action))
    ])])
    error_message = "A star stands for a resource where there could be a name."
  }
  assert {
    condition     = alltrue(flatten([for statement in output.statements : [for action in statement.actions : !strcontains(action, "*")]]))
    error_message = "No action has a wildcard."
  }
  assert {
    condition     = flatten([for statement in output.statements : statement.namespaces if contains(statement.actions, "cloudwatch:PutMetricData")])[0] == "Meridian"
    error_message = "Metrics are bounded by their namespace."
  }
}

run "without_a_group_and_sessions_nothing_of_them_is_allowed" {
  command = plan

  variables {
    auto_scaling_group_arn = null
    session_manager        = false
  }
  assert {
    condition     = alltrue(flatten([for statement in output.statements : [for action in statement.actions : !can(regex("^(autoscaling|ssm|ssmmessages|ec2messages|xray|kms):", action))]]))
    error_message = "What was not asked for is not allowed."
  }
}

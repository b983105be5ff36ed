# What one kind of machine may do in AWS, and nothing more. AWS's ready-made policy for Session
# Manager may read every parameter of the account, so its actions are listed here instead.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

locals {
  statements = concat(
    length(var.objects) == 0 ? [] : [{
      actions = ["s3:GetObject", "s3:GetObjectVersion"], resources = var.objects, namespaces = []
    }],
    length(var.secrets) == 0 ? [] : [{
      actions = ["secretsmanager:GetSecretValue"], resources = var.secrets, namespaces = []
    }],
    var.kms_key_arn == null ? [] : [{
      actions = ["kms:Decrypt"], resources = [var.kms_key_arn], namespaces = []
    }],
    var.auto_scaling_group_arn == null ? [] : [{
      actions    = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
      resources  = [var.auto_scaling_group_arn]
      namespaces = []
    }],
    # These actions know no resources; metrics are bounded by their namespace.
    [{ actions = ["cloudwatch:PutMetricData"], resources = ["*"], namespaces = var.metrics_namespaces }],
    var.traces ? [{
      actions    = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
      resources  = ["*"]
      namespaces = []
    }] : [],
    var.session_manager ? [{
      actions = [
        "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations",
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
        "ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage",
        "ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply",
      ]
      resources  = ["*"]
      namespaces = []
    }] : [],
  )
}

data "aws_iam_policy_document" "machine" {
  dynamic "statement" {
    for_each = local.statements

    content {
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = length(statement.value.namespaces) == 0 ? [] : [statement.value.namespaces]

        content {
          test     = "StringEquals"
          variable = "cloudwatch:namespace"
          values   = condition.value
        }
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "this" {
  name   = "machine"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.machine.json
}

resource "aws_iam_instance_profile" "this" {
  name = var.name
  role = aws_iam_role.this.name
}

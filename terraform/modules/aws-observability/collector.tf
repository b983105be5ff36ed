# Takes OTLP of the region's edges and brings traces to X-Ray and metrics to CloudWatch: AWS's own
# agent, from Amazon Linux's packages. One machine, since an edge is well without it; EC2 restarts it
# on another host by itself.

locals {
  collectors = { for one in ["this"] : one => var.collector if var.collector != null }

  agent = {
    agent = { metrics_collection_interval = 60 }
    # The agent wants ports of its own for each: gRPC is 4317 for traces and 4318 for metrics.
    traces  = { traces_collected = { otlp = { grpc_endpoint = "0.0.0.0:4317", http_endpoint = "127.0.0.1:4327" } } }
    metrics = { namespace = "${var.metrics_namespace}/OTLP", metrics_collected = { otlp = { grpc_endpoint = "0.0.0.0:4318", http_endpoint = "127.0.0.1:4328" } } }
  }
  agent_file = "/opt/aws/amazon-cloudwatch-agent/etc/meridian.json"

  cloud_config = {
    packages    = ["amazon-cloudwatch-agent"]
    write_files = [{ path = local.agent_file, permissions = "0644", content = jsonencode(local.agent) }]
    runcmd = [[
      "/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl",
      "-a", "fetch-config", "-m", "ec2", "-s", "-c", "file:${local.agent_file}",
    ]]
  }
}

module "role" {
  source   = "../aws-machine-role"
  for_each = local.collectors

  name               = "${var.name}-collector"
  metrics_namespaces = ["${var.metrics_namespace}/OTLP"]
  traces             = true
  session_manager    = var.session_manager
}

resource "aws_instance" "collector" {
  for_each = local.collectors

  ami                         = each.value.ami_id
  instance_type               = each.value.instance_type
  subnet_id                   = each.value.subnet_id
  private_ip                  = each.value.private_ip
  vpc_security_group_ids      = [each.value.security_group_id]
  iam_instance_profile        = module.role[each.key].instance_profile_name
  ebs_optimized               = true
  monitoring                  = true
  user_data_replace_on_change = true

  # checkov reads no string with strings in its template, and would skip the whole file.
  user_data = "#cloud-config\n${yamlencode(local.cloud_config)}"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    encrypted   = true
    kms_key_id  = var.kms_key_arn
  }

  tags = { Name = "${var.name}-collector" }
}

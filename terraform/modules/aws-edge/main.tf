# The edges of one region: a load balancer that passes TCP, and a group of machines that grows with
# what they use. What a machine does is in ../aws-node/node.py.

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}
data "aws_partition" "here" {}

locals {
  group_name  = "${var.name}-edge"
  launch_hook = "launch"
  drain_hook  = "drain"
  pki         = "/etc/meridian/pki"
  tls         = "/etc/meridian/tls"

  # ARNs without their unknown middle, since the group names the role and not the other way round.
  group_arn = "arn:${data.aws_partition.here.partition}:autoscaling:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.group_name}"

  secrets = concat(
    [{ arn = aws_secretsmanager_secret.pki.arn, directory = local.pki, names = ["clients-ca.crt", "edge.crt", "edge.key"] }],
    [for secret in aws_secretsmanager_secret.tls : { arn = secret.arn, directory = local.tls, names = ["tls.crt", "tls.key"] }],
    var.secrets,
  )
}

# Who the edges are to NATS.
resource "aws_secretsmanager_secret" "pki" {
  name                    = "${var.name}/edge/nats"
  description             = "The edges' certificate for NATS, as JSON from file name to PEM"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
}

# Who the edges are to browsers. Whatever renews the certificate puts it here; edges take it up
# within 10 minutes and end no connection for it.
resource "aws_secretsmanager_secret" "tls" {
  count = var.tls.mode == "edge" ? 1 : 0

  name                    = "${var.name}/edge/tls"
  description             = "The public certificate chain and its key, as JSON: tls.crt and tls.key in PEM"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
}

module "role" {
  source = "../aws-machine-role"

  name                   = "${var.name}-edge"
  objects                = ["${var.bucket.arn}/edge/*", "${var.bucket.arn}/${var.binary.key}"]
  secrets                = local.secrets[*].arn
  auto_scaling_group_arn = local.group_arn
  metrics_namespaces     = [var.metrics_namespace]
  session_manager        = var.session_manager
  kms_key_arn            = var.kms_key_arn
}

resource "aws_s3_object" "toml" {
  bucket       = var.bucket.name
  key          = "edge/edge.toml"
  content      = var.toml
  content_type = "application/toml"
}

module "node" {
  source = "../aws-node"

  role            = "edge"
  drain_window_ms = var.drain.window_ms
  connections_max = var.group.connections_max
  settings = {
    role              = "edge"
    region            = var.region
    aws_region        = data.aws_region.here.name
    bucket            = var.bucket.name
    metrics_namespace = var.metrics_namespace
    files = [
      merge(var.binary, { path = "/usr/local/bin/meridian", mode = "755" }),
      {
        key     = aws_s3_object.toml.key
        version = aws_s3_object.toml.version_id
        sha256  = sha256(var.toml)
        path    = "/etc/meridian/edge.toml"
        mode    = "644"
      },
    ]
    secrets = [for secret in local.secrets : merge(secret, { owner = "meridian" })]
    edge = {
      group           = local.group_name
      launch_hook     = local.launch_hook
      drain_hook      = local.drain_hook
      admin           = "http://127.0.0.1:${var.ports.admin}"
      connections_max = var.group.connections_max
      servers         = var.nats_servers
      environment = merge({
        # The share of it that is used is a part of Utilization, long before steps are taken.
        MERIDIAN__METRICS__CAPACITY_EGRESS_BYTES_PER_S = tostring(var.scaling.egress_mbit_s * 125000)
      }, var.environment)
      environment_file = "/etc/meridian/edge.env"
      certificates     = concat(["${local.pki}/edge.crt"], var.tls.mode == "edge" ? ["${local.tls}/tls.crt"] : [])
      stop             = ["systemctl", "stop", "meridian-edge"]
    }
  }
}

resource "aws_launch_template" "this" {
  name                   = local.group_name
  image_id               = var.ami_id
  instance_type          = var.instance_type
  update_default_version = true
  ebs_optimized          = true
  vpc_security_group_ids = [var.security_group_ids.edge]
  user_data              = base64encode(module.node.user_data)

  iam_instance_profile {
    name = module.role.instance_profile_name
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type = "gp3"
      volume_size = 20
      encrypted   = "true"
      kms_key_id  = var.kms_key_arn
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = local.group_name, Role = "edge" }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { Name = local.group_name }
  }
}

resource "aws_autoscaling_group" "this" {
  name                = local.group_name
  min_size            = var.group.min
  max_size            = var.group.max
  vpc_zone_identifier = var.edge_subnet_ids
  target_group_arns   = [aws_lb_target_group.edges.arn]

  # Not ELB: an edge that loses NATS is not ready and serves on. By the load balancer's word the
  # group would end every edge of a region whose NATS is down.
  health_check_type         = "EC2"
  health_check_grace_period = 60
  default_instance_warmup   = var.scaling.warmup_s
  termination_policies      = ["OldestLaunchTemplate", "OldestInstance"]
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]
  # The first edges wait for the operator's secrets.
  wait_for_capacity_timeout = "0"

  launch_template {
    id = aws_launch_template.this.id
    # A number, since a refresh is not rolled back to "$Latest".
    version = aws_launch_template.this.latest_version
  }

  # An edge counts only when it is ready, so a configuration that does not work replaces nobody.
  initial_lifecycle_hook {
    name                 = local.launch_hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    default_result       = "ABANDON"
    heartbeat_timeout    = 900
  }

  # An edge ends when its clients have left. Its agent sends heartbeats meanwhile.
  initial_lifecycle_hook {
    name                 = local.drain_hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    default_result       = "CONTINUE"
    heartbeat_timeout    = 300
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 110
      instance_warmup        = tostring(var.scaling.warmup_s)
      auto_rollback          = true
      skip_matching          = true
    }
  }

  tag {
    key                 = "Name"
    value               = local.group_name
    propagate_at_launch = false
  }

  lifecycle {
    # The policies own it.
    ignore_changes = [desired_capacity]
  }
}

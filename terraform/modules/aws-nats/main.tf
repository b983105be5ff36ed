# The nats-servers of one region: one a zone, each with an address and a disk that stay. No load
# balancer stands before them: routes, gateways and edges know each by its address, and a gateway
# behind a balancer would take connections for another server.
#
# Terraform never replaces or restarts a running server for a new configuration, binary or image: it
# puts them into the bucket, and scripts/roll-nats-aws.sh has one server after the other take them up.

data "aws_region" "here" {}

locals {
  # Files of a server's secret: mutual TLS for clients and for peers, by two authorities.
  pki_files = ["clients-ca.crt", "peers-ca.crt", "peer.crt", "peer.key", "server.crt", "server.key"]
  pki       = "/etc/nats/pki"
}

resource "aws_secretsmanager_secret" "pki" {
  for_each = var.servers

  name                    = "${var.name}/nats/${each.key}"
  description             = "Certificates and keys of nats-server ${var.region}-${each.key}, as JSON from file name to PEM"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
}

module "role" {
  source = "../aws-machine-role"

  name               = "${var.name}-nats"
  objects            = ["${var.bucket.arn}/nats/*", "${var.bucket.arn}/${var.binary.key}"]
  secrets            = [for name in sort(keys(var.servers)) : aws_secretsmanager_secret.pki[name].arn]
  metrics_namespaces = [var.metrics_namespace]
  session_manager    = var.session_manager
  kms_key_arn        = var.kms_key_arn
}

resource "aws_s3_object" "conf" {
  for_each = var.servers

  bucket       = var.bucket.name
  key          = "nats/${each.key}/nats-server.conf"
  content      = each.value.conf
  content_type = "text/plain"
}

# What a server takes up when it is rolled.
resource "aws_s3_object" "manifest" {
  for_each = var.servers

  bucket       = var.bucket.name
  key          = "nats/${each.key}/manifest.json"
  content_type = "application/json"
  content = jsonencode({ files = [
    merge(var.binary, { path = "/usr/local/bin/nats-server", mode = "755" }),
    {
      key     = aws_s3_object.conf[each.key].key
      version = aws_s3_object.conf[each.key].version_id
      sha256  = sha256(each.value.conf)
      path    = "/etc/nats/nats-server.conf"
      mode    = "644"
    },
  ] })
}

module "node" {
  source   = "../aws-node"
  for_each = var.servers

  role = "nats"
  settings = {
    role              = "nats"
    region            = var.region
    aws_region        = data.aws_region.here.name
    bucket            = var.bucket.name
    manifest          = aws_s3_object.manifest[each.key].key
    state_directory   = "/var/lib/meridian"
    metrics_namespace = var.metrics_namespace
    secrets = [{
      arn = aws_secretsmanager_secret.pki[each.key].arn, directory = local.pki, owner = "nats", names = local.pki_files
    }]
    nats = {
      name          = "${var.region}-${each.key}"
      volume        = aws_ebs_volume.data[each.key].id
      mount         = "/var/lib/nats"
      monitor       = "http://127.0.0.1:8222"
      binary        = "/usr/local/bin/nats-server"
      configuration = "/etc/nats/nats-server.conf"
      certificates  = ["${local.pki}/peer.crt", "${local.pki}/server.crt"]
      lame_duck     = ["systemctl", "kill", "--kill-who=main", "--signal=SIGUSR2", "nats-server"]
      reload        = ["systemctl", "reload", "nats-server"]
    }
  }
}

resource "aws_instance" "this" {
  for_each = var.servers

  ami                     = var.ami_id
  instance_type           = coalesce(each.value.instance_type, var.instance_type)
  subnet_id               = each.value.subnet_id
  private_ip              = each.value.host
  vpc_security_group_ids  = [var.security_group_id]
  iam_instance_profile    = module.role.instance_profile_name
  user_data               = module.node[each.key].user_data
  ebs_optimized           = true
  monitoring              = true
  disable_api_termination = var.deletion_protection

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

  tags = { Name = "${var.name}-${each.key}", Server = "${var.region}-${each.key}" }

  lifecycle {
    ignore_changes = [ami, user_data]
  }
}

# Apart from the instance, so that a broken machine is replaced and the messages stay.
resource "aws_ebs_volume" "data" {
  for_each = var.servers

  availability_zone = each.value.zone
  type              = "gp3"
  size              = var.volume.size
  iops              = var.volume.iops
  throughput        = var.volume.throughput
  encrypted         = true
  kms_key_id        = var.kms_key_arn
  final_snapshot    = var.deletion_protection
  tags              = { Name = "${var.name}-${each.key}-data", Server = "${var.region}-${each.key}" }
}

resource "aws_volume_attachment" "data" {
  for_each = var.servers

  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.data[each.key].id
  instance_id                    = aws_instance.this[each.key].id
  stop_instance_before_detaching = true
}

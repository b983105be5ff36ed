# What machines fetch when they start: binaries and configurations, in their own region, so that it
# needs neither internet nor another region. Versions stay: an edge that is rolled back finds what it
# was made with.

data "aws_caller_identity" "me" {}

locals {
  uploads = { meridian = var.binaries.meridian, nats_server = var.binaries.nats_server }

  binaries = { for name, object in aws_s3_object.binary : name => {
    key = object.key, version = object.version_id, sha256 = filesha256(local.uploads[name])
  } }
}

module "bucket" {
  source = "../aws-private-bucket"

  name                = "${var.name}-machines-${data.aws_caller_identity.me.account_id}"
  kms_key_arn         = var.kms_key_arn
  deletion_protection = var.deletion_protection
}

resource "aws_s3_object" "binary" {
  for_each = local.uploads

  bucket       = module.bucket.name
  key          = "bin/${replace(each.key, "_", "-")}"
  source       = each.value
  source_hash  = filesha256(each.value)
  content_type = "application/octet-stream"

  # A first version without versioning would have no id to name.
  depends_on = [module.bucket]
}

# The SDK, the demo and every static file: a private bucket that CloudFront alone may read.

locals {
  # AWS's own policies, the same in every account.
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  cors_and_security = "e61eb60c-9c35-4d20-a928-2b84e02af89c"
  immutable         = "public, max-age=31536000, immutable"
  revalidated       = "public, max-age=60"
  content_types = {
    css  = "text/css; charset=utf-8", html = "text/html; charset=utf-8", ico = "image/x-icon"
    js   = "text/javascript; charset=utf-8", mjs = "text/javascript; charset=utf-8"
    json = "application/json", map = "application/json", md = "text/markdown; charset=utf-8"
    png  = "image/png", svg = "image/svg+xml", ts = "text/plain; charset=utf-8"
    txt  = "text/plain; charset=utf-8", wasm = "application/wasm", woff2 = "font/woff2"
  }

  files = merge([
    for prefix, folder in var.folders : {
      for path in fileset(folder, "**") : "${prefix}/${path}" => "${folder}/${path}"
    }
  ]...)
}

resource "aws_s3_bucket" "this" {
  bucket        = "${var.name}-assets-${var.bucket_suffix}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "old versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

# Who may read: this one distribution. Without this policy CloudFront is refused like everybody.
data "aws_iam_policy_document" "read" {
  statement {
    sid       = "CloudFrontReads"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/*"]

    principals {
      type        = "Service"
      identifiers = ["cloudfront.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "AWS:SourceArn"
      values   = [aws_cloudfront_distribution.this.arn]
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.read.json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_object" "file" {
  for_each = local.files

  bucket       = aws_s3_bucket.this.id
  key          = each.key
  source       = each.value
  source_hash  = filesha256(each.value)
  content_type = lookup(local.content_types, reverse(split(".", each.key))[0], "application/octet-stream")
  # A name that holds a hash or a version never means another content.
  cache_control = can(regex("[-.][0-9a-f]{8,}\\.|[-@][0-9]+\\.[0-9]+\\.[0-9]+", each.key)) ? local.immutable : local.revalidated
}

resource "aws_cloudfront_origin_access_control" "this" {
  name                              = "${var.name}-assets"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_distribution" "this" {
  enabled             = true
  is_ipv6_enabled     = true
  http_version        = "http2and3"
  comment             = "${var.name}: SDK, demo and static files"
  default_root_object = "index.html"
  aliases             = [var.domain]
  price_class         = var.price_class
  web_acl_id          = var.web_acl_arn

  origin {
    origin_id                = "assets"
    domain_name              = aws_s3_bucket.this.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.this.id
  }

  # Pages of other origins load the SDK as a module, so it answers with CORS.
  default_cache_behavior {
    target_origin_id           = "assets"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD", "OPTIONS"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    cache_policy_id            = local.caching_optimized
    response_headers_policy_id = local.cors_and_security
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  dynamic "logging_config" {
    for_each = var.access_logs_bucket == null ? [] : [var.access_logs_bucket]

    content {
      bucket = logging_config.value
      prefix = "${var.name}-assets/"
    }
  }
}

resource "aws_route53_record" "this" {
  for_each = toset(["A", "AAAA"])

  zone_id = var.zone_id
  name    = var.domain
  type    = each.key

  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}

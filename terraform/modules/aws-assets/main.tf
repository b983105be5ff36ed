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

module "bucket" {
  source = "../aws-private-bucket"

  name                = "${var.name}-assets-${var.bucket_suffix}"
  kms_key_arn         = var.kms_key_arn
  deletion_protection = var.deletion_protection
}

# Who may read: this one distribution. Without this policy CloudFront is refused like everybody.
data "aws_iam_policy_document" "read" {
  statement {
    sid       = "CloudFrontReads"
    actions   = ["s3:GetObject"]
    resources = ["${module.bucket.arn}/*"]

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
    resources = [module.bucket.arn, "${module.bucket.arn}/*"]

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
  bucket = module.bucket.name
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_s3_object" "file" {
  for_each = local.files

  bucket       = module.bucket.name
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
    domain_name              = module.bucket.domain_name
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

mock_provider "aws" {
  source = "../mocks"
}

variables {
  name            = "meridian"
  bucket_suffix   = "123456789012"
  domain          = "cdn.example.com"
  zone_id         = "Z1"
  certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
  folders         = { sdk = "tests/files" }
}

run "cloudfront_alone_reads_the_bucket" {
  assert {
    condition = (
      data.aws_iam_policy_document.read.statement[0].principals == toset([{ type = "Service", identifiers = toset(["cloudfront.amazonaws.com"]) }]) &&
      one(data.aws_iam_policy_document.read.statement[0].condition).values == tolist([aws_cloudfront_distribution.this.arn]) &&
      aws_s3_bucket_policy.this.bucket == module.bucket.name
    )
    error_message = "The bucket has a policy, for CloudFront and this distribution."
  }
  assert {
    condition     = one(aws_cloudfront_distribution.this.origin).origin_access_control_id == aws_cloudfront_origin_access_control.this.id && aws_cloudfront_origin_access_control.this.signing_behavior == "always"
    error_message = "CloudFront signs what it asks of S3."
  }
}

run "browsers_get_https_and_a_certificate_of_the_domain" {
  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].viewer_protocol_policy == "redirect-to-https" && aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021"
    error_message = "TLS 1.2 at least."
  }
  assert {
    condition     = aws_cloudfront_distribution.this.aliases == toset(["cdn.example.com"]) && toset(keys(aws_route53_record.this)) == toset(["A", "AAAA"])
    error_message = "The domain points at the distribution, over IPv6 too."
  }
}

run "files_have_types_and_only_hashed_names_are_kept_for_long" {
  assert {
    condition     = { for key, file in aws_s3_object.file : key => [file.content_type, file.cache_control] } == { "sdk/meridian.js" = ["text/javascript; charset=utf-8", "public, max-age=60"], "sdk/part.0123456789abcdef.css" = ["text/css; charset=utf-8", "public, max-age=31536000, immutable"] }
    error_message = "Content types by ending, and how long a name may be kept."
  }
}

output "url" {
  description = "Where the files are served."
  value       = "https://${var.domain}"
}

output "bucket" {
  description = "Where they are, for `aws s3 sync` by a release."
  value       = module.bucket.name
}

output "distribution_id" {
  description = "The distribution, for invalidations."
  value       = aws_cloudfront_distribution.this.id
}

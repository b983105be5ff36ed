output "name" {
  description = "The bucket."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "Its ARN, for policies."
  value       = aws_s3_bucket.this.arn
}

output "domain_name" {
  description = "Its own name in its region, for CloudFront."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}

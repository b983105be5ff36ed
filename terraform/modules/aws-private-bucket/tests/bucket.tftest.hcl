mock_provider "aws" {
  source = "../mocks"
}

variables {
  name = "meridian-eu-machines-123456789012"
}

run "a_bucket_is_closed_and_keeps_versions" {
  assert {
    condition     = alltrue([for what in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] : aws_s3_bucket_public_access_block.this[what]])
    error_message = "Closed to the public in all four ways."
  }
  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled" && !aws_s3_bucket.this.force_destroy
    error_message = "Versions stay, and so does a bucket that holds something."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Encrypted, with S3's key unless there is one of yours."
  }
}

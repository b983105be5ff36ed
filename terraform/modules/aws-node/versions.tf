# No provider on purpose: what stands here is known while planning, and tested without a cloud.
terraform {
  required_version = ">= 1.9"
}

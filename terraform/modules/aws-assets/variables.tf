variable "name" {
  description = "Begins the name of everything here, such as meridian. Names of buckets are unique in the world: bucket_suffix tells them apart."
  type        = string
  nullable    = false
}

variable "bucket_suffix" {
  description = "Ends the bucket's name, such as the account's id."
  type        = string
  nullable    = false
}

variable "domain" {
  description = "The name that the files are served under, such as cdn.example.com."
  type        = string
  nullable    = false
}

variable "zone_id" {
  description = "The hosted zone of `domain`."
  type        = string
  nullable    = false
}

variable "certificate_arn" {
  description = "A certificate of ACM in us-east-1 for `domain`."
  type        = string
  nullable    = false
}

variable "folders" {
  description = "Folders of this machine to upload, by the path that they are served under, such as { sdk = \"sdk/js/dist\" }."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "price_class" {
  description = "Where CloudFront serves from: PriceClass_100, PriceClass_200 or PriceClass_All."
  type        = string
  default     = "PriceClass_100"
  nullable    = false
}

variable "web_acl_arn" {
  description = "A WAF of your own; null: none."
  type        = string
  default     = null
}

variable "access_logs_bucket" {
  description = "The domain name of a bucket for CloudFront's access logs; null: none."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "A key of your own for the bucket, which CloudFront must be allowed to use; null: S3's."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the bucket is kept while anything is in it."
  type        = bool
  default     = true
  nullable    = false
}

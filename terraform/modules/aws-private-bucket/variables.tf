variable "name" {
  description = "The bucket's name, unique in the world."
  type        = string
  nullable    = false
}

variable "kms_key_arn" {
  description = "A key of your own; null: S3's."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the bucket is kept while anything is in it."
  type        = bool
  default     = true
  nullable    = false
}

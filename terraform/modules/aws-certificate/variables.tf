variable "domain_name" {
  description = "The certificate's first name."
  type        = string
  nullable    = false
}

variable "alternative_names" {
  description = "Its other names."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "zone_id" {
  description = "The hosted zone that holds all these names; it gets the records that prove them."
  type        = string
  nullable    = false
}

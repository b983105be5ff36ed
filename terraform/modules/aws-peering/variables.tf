variable "name" {
  description = "Names the peering, such as meridian-eu-us."
  type        = string
  nullable    = false
}

variable "requester" {
  description = "The region that asks: its VPC, its network, and the route tables of its private subnets by zone."
  type        = object({ vpc_id = string, vpc_cidr = string, route_table_ids = map(string) })
  nullable    = false
}

variable "accepter" {
  description = "The region that accepts, with its AWS region."
  type        = object({ vpc_id = string, vpc_cidr = string, route_table_ids = map(string), aws_region = string })
  nullable    = false

  validation {
    condition     = var.accepter.vpc_cidr != var.requester.vpc_cidr
    error_message = "Networks of peered regions must not overlap."
  }
}

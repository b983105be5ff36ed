variable "region" {
  description = "The region's name in the mesh, such as eu."
  type        = string
  nullable    = false
}

variable "vpc_cidr" {
  description = "The region's network. Regions that are peered must not overlap."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]), 0) >= 16 && try(tonumber(split("/", var.vpc_cidr)[1]), 99) <= 22
    error_message = "vpc_cidr is an IPv4 network from /16 to /22, such as 10.20.0.0/16."
  }
}

variable "zones" {
  description = "The availability zones, such as eu-central-1a: one nats-server stands in each, so 1 or 3."
  type        = list(string)
  nullable    = false

  validation {
    condition     = contains([1, 3], length(var.zones)) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones are 1 or 3 different availability zones: a nats-server stands in each, and 2 survive no more than 1."
  }
}

variable "edge_subnet_bits" {
  description = "Prefix length of each zone's subnet for edges, 26 to 28. It bounds how many edges a region may have: 59, 27 or 11 a zone."
  type        = number
  default     = 27
  nullable    = false

  validation {
    condition     = contains([26, 27, 28], var.edge_subnet_bits)
    error_message = "edge_subnet_bits is 26, 27 or 28."
  }
}

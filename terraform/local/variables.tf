variable "regions" {
  description = "The regions by name. `index` gives a region its ports and must stay what it is; `joined` is 0 for the founders and higher for each region that comes later."
  type = map(object({
    index  = number
    joined = optional(number, 0)
  }))
  default = {
    eu = { index = 0 }
    us = { index = 1 }
    ap = { index = 2 }
  }
  nullable = false

  validation {
    condition     = length(distinct([for _, r in var.regions : r.index])) == length(var.regions)
    error_message = "Two regions have the same index, and so the same ports."
  }
  validation {
    condition     = alltrue([for _, r in var.regions : r.index >= 0 && r.index < 1000 && floor(r.index) == r.index])
    error_message = "A region's index is a whole number from 0 to 999."
  }
  validation {
    condition     = contains(keys(var.regions), var.home)
    error_message = "home, where the durable namespace's stream is, is one of the regions."
  }
}

variable "home" {
  description = "The home region of the durable namespace orders.>."
  type        = string
  default     = "eu"
  nullable    = false
}

variable "servers" {
  description = "nats-servers a region: 1, 3 or 5."
  type        = number
  default     = 3
  nullable    = false
}

variable "edges" {
  description = "Edges a region, up to 9."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.edges >= 0 && var.edges <= 9 && floor(var.edges) == var.edges
    error_message = "edges is a whole number from 0 to 9."
  }
}

variable "base_port" {
  description = "The first port: a region takes 50 from base_port + 50 × index. Destroy the mesh before you change it."
  type        = number
  default     = 17400
  nullable    = false

  validation {
    condition     = var.base_port >= 1024 && var.base_port <= 63000
    error_message = "base_port is from 1024 to 63000."
  }
}

variable "directory" {
  description = "Where configurations, certificates, logs and JetStream's files go. Default: .mesh here."
  type        = string
  default     = null
}

variable "nats_server" {
  description = "The program nats-server. Default: NATS_SERVER, PATH, .tools at the top of the tree."
  type        = string
  default     = ""
  nullable    = false
}

variable "meridian" {
  description = "The program meridian. Default: MERIDIAN, PATH, target/release and target/debug."
  type        = string
  default     = ""
  nullable    = false
}

variable "mesh_name" {
  description = "Names the mesh: in certificates, labels and file headers."
  type        = string
  default     = "meridian"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.mesh_name))
    error_message = "mesh_name is 1 to 32 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "regions" {
  description = <<-EOT
    The regions by name. `nats`: its nats-servers by a short name such as n1; `host` is what others
    dial, ports may differ a server. `edges`: its edges by id, unique in the mesh; an autoscaled
    group declares as many ids as it may have instances, and each instance takes a free one.
    Edges of one `identity` (default: the id) share a certificate and one NATS user.
  EOT
  type = map(object({
    nats = map(object({
      host         = string
      client_port  = optional(number, 4222)
      route_port   = optional(number, 6222)
      gateway_port = optional(number, 7222)
      monitor_port = optional(number, 8222)
      # Where `meridian nats-exporter` beside it serves Prometheus, on the same host.
      exporter_port = optional(number, 8223)
      store_dir     = optional(string, "/var/lib/nats")
      pki_dir       = optional(string, "/etc/nats/pki")
    }))
    edges = optional(map(object({
      identity        = optional(string)
      public          = optional(string, "0.0.0.0:443")
      admin           = optional(string, "127.0.0.1:7411")
      metrics_host    = optional(string) # what Prometheus dials; default: the host of `admin`
      public_url      = optional(string) # wss://…/v1/ws, told to other edges' clients
      pki_dir         = optional(string, "/etc/meridian/pki")
      tls_certificate = optional(string, "") # of the public listener; empty: no TLS there
      tls_key         = optional(string, "")
      shards          = optional(number, 0)
    })), {})
    # Where this region's clients go when an edge drains, beside other edges' public_url.
    public_url    = optional(string)
    otlp_endpoint = optional(string, "")
    # 0 for the founders, and a higher number for each later region: a nats-server's file names the
    # regions that joined no later than its own, and later ones make themselves known. nats-server
    # cannot reload its gateways, so a founder's file must not change when a region comes.
    joined = optional(number, 0)
  }))
  nullable = false

  validation {
    condition     = length(var.regions) > 0 && length(var.regions) <= 32
    error_message = "regions has 1 to 32 regions."
  }
  validation {
    condition     = alltrue([for name, _ in var.regions : can(regex("^[a-z][a-z0-9-]{0,31}$", name))])
    error_message = "A region's name is 1 to 32 lower-case letters, digits and -, and begins with a letter: it becomes a subject token, a stream's suffix and a file name."
  }
  validation {
    condition     = alltrue([for _, region in var.regions : contains([1, 3, 5], length(region.nats))])
    error_message = "A region has 1, 3 or 5 nats-servers: an even number survives no more losses than one less."
  }
  validation {
    condition     = alltrue(flatten([for _, region in var.regions : [for name, _ in region.nats : can(regex("^[a-z][a-z0-9]{0,15}$", name))]]))
    error_message = "A nats-server's name is 1 to 16 lower-case letters and digits, such as n1; <region>-<name> must never be given to another disk."
  }
  validation {
    condition     = alltrue(flatten([for _, region in var.regions : [for id, _ in region.edges : can(regex("^[a-z][a-z0-9-]{0,63}$", id))]]))
    error_message = "An edge's id is 1 to 64 lower-case letters, digits and -, and begins with a letter."
  }
  validation {
    condition     = length(distinct(flatten([for _, region in var.regions : keys(region.edges)]))) == length(flatten([for _, region in var.regions : keys(region.edges)]))
    error_message = "Edge ids are unique in the whole mesh: an id names an inbox and the subject of an edge's commands."
  }
  validation {
    condition = length(distinct(flatten([for _, region in var.regions : [for _, s in region.nats : [
      for port in [s.client_port, s.route_port, s.gateway_port, s.monitor_port] : "${s.host}:${port}"
      ]]]))) == length(flatten([for _, region in var.regions : [for _, s in region.nats : [
      s.client_port, s.route_port, s.gateway_port, s.monitor_port
    ]]]))
    error_message = "Two listeners of nats-servers have the same host and port."
  }
  validation {
    condition = alltrue(flatten([for _, region in var.regions : [for _, s in region.nats : [
      for port in [s.client_port, s.route_port, s.gateway_port, s.monitor_port] : port >= 1 && port <= 65535 && floor(port) == port
    ]]]))
    error_message = "Ports are whole numbers from 1 to 65535."
  }
  validation {
    condition = alltrue(flatten([for _, region in var.regions : [for _, s in region.nats :
      can(regex("^[A-Za-z0-9.:-]+$", s.host)) && can(regex("^/[^\"\\\\\\n]*$", s.store_dir)) && can(regex("^/[^\"\\\\\\n]*$", s.pki_dir))
    ]]))
    error_message = "A nats-server's host is a name or an address, its directories are absolute paths without quotes or backslashes."
  }
  validation {
    condition = alltrue(flatten([for _, region in var.regions : [for _, e in region.edges :
      (e.tls_certificate == "") == (e.tls_key == "")
    ]]))
    error_message = "An edge has both tls_certificate and tls_key, or neither."
  }
  validation {
    condition     = length(distinct(flatten([for name, region in var.regions : distinct([for id, e in region.edges : coalesce(e.identity, id)])]))) == length(flatten([for name, region in var.regions : distinct([for id, e in region.edges : coalesce(e.identity, id)])]))
    error_message = "Edges of two regions must not share an identity: what an edge may do depends on its region."
  }
}

variable "namespaces" {
  description = "What clients can reach at all; the same for every edge. The keys are those of [[namespaces]] in config/edge.toml."
  type = list(object({
    name        = string
    pattern     = string
    class       = optional(string, "ephemeral")
    publish     = optional(bool, false)
    request     = optional(bool, false)
    headers     = optional(list(string), [])
    slow_client = optional(string, "disconnect")
    stream = optional(object({
      home                     = string
      name                     = optional(string)
      epoch                    = optional(number, 1)
      home_stream              = optional(string)
      replicas                 = optional(number, 1)
      max_age_s                = optional(number, 0)
      max_messages_per_subject = optional(number, 0)
      max_bytes                = optional(number, 0)
      duplicate_window_s       = optional(number, 0)
    }))
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for n in var.namespaces : can(regex("^[A-Za-z0-9_-]{1,64}$", n.name))])
    error_message = "A namespace's name is 1 to 64 letters, digits, - and _."
  }
  validation {
    condition     = length(distinct(var.namespaces[*].name)) == length(var.namespaces)
    error_message = "Two namespaces have the same name."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : can(regex("^[^$_*>.\\s\"\\\\][^*>.\\s\"\\\\]*(\\.[^.\\s\"\\\\]+)*$", n.pattern))])
    error_message = "A namespace's pattern is a NATS subject; its first token is no wildcard and does not begin with $ or _."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : contains(["ephemeral", "durable"], n.class)])
    error_message = "A namespace's class is ephemeral or durable."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : (n.class == "durable") == (n.stream != null)])
    error_message = "A durable namespace has a stream, an ephemeral one has none."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : contains(["disconnect", "drop_oldest", "conflate"], n.slow_client)])
    error_message = "slow_client is disconnect, drop_oldest or conflate."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : n.stream == null ? true : contains(keys(var.regions), n.stream.home)])
    error_message = "A stream's home is one of the regions."
  }
  validation {
    condition     = alltrue([for n in var.namespaces : n.stream == null ? true : contains([1, 3, 5], n.stream.replicas) && alltrue([for _, r in var.regions : n.stream.replicas <= length(r.nats)])])
    error_message = "A stream's replicas are 1, 3 or 5, and no more than any region has nats-servers."
  }
}

variable "services" {
  description = "Internal services that use NATS directly, by name: each is a NATS user, named by its certificate, with what it may publish and subscribe. Their inboxes are _INBOX_<name>.>."
  type = map(object({
    publish   = optional(list(string), [])
    subscribe = optional(list(string), [])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, _ in var.services : can(regex("^[a-z][a-z0-9-]{0,63}$", name))])
    error_message = "A service's name is 1 to 64 lower-case letters, digits and -, and begins with a letter."
  }
  validation {
    condition     = alltrue(flatten([for _, s in var.services : [for subject in concat(s.publish, s.subscribe) : can(regex("^[^\\s\"\\\\]+$", subject))]]))
    error_message = "A service's subjects hold no spaces, quotes or backslashes."
  }
  validation {
    condition     = alltrue(flatten([for _, s in var.services : [for subject in s.publish : !can(regex("^(_mrd|>|\\*)", subject))]]))
    error_message = "A service may not publish below _mrd, nor everywhere: it could forge what edges take for stored messages. Name the subjects."
  }
}

variable "listen_host" {
  description = "What nats-servers listen on for clients, routes and gateways. They advertise their own host."
  type        = string
  default     = "0.0.0.0"
  nullable    = false
}

variable "monitor_listen_host" {
  description = "What nats-server's HTTP monitor listens on. It knows no authentication: leave it on loopback, and scrape it by an exporter beside it."
  type        = string
  default     = "127.0.0.1"
  nullable    = false
}

variable "jetstream" {
  description = "JetStream's share of each server. sync_interval: `always` survives the loss of power on all servers at once, and is slow; 2m is nats-server's default."
  type = object({
    memory_max    = optional(string, "1G")
    file_max      = optional(string, "50G")
    sync_interval = optional(string, "2m")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+[KMGT]?$", var.jetstream.memory_max)) && can(regex("^[0-9]+[KMGT]?$", var.jetstream.file_max))
    error_message = "jetstream.memory_max and file_max are sizes such as 256M or 50G."
  }
  validation {
    condition     = can(regex("^(always|[0-9]+(ms|s|m))$", var.jetstream.sync_interval))
    error_message = "jetstream.sync_interval is always, or a duration such as 10s or 2m."
  }
}

variable "message_trace_percent" {
  description = "How many of the messages whose traceparent is sampled nats-server reports to _mrd.trace.<region>, in percent; 0 switches it off. Sample where messages are published, and leave this at 100."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.message_trace_percent >= 0 && var.message_trace_percent <= 100 && floor(var.message_trace_percent) == var.message_trace_percent
    error_message = "message_trace_percent is a whole number from 0 to 100."
  }
}

variable "auth" {
  description = "[auth] of every edge. The keys of `issuers` are those of [[auth.issuers]] in config/edge.toml; secrets by file or environment only."
  type = object({
    mode                            = optional(string, "token")
    allow_anonymous_beyond_loopback = optional(bool, false)
    clock_skew_s                    = optional(number, 30)
    issuers                         = optional(list(map(string)), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["dev", "token"], var.auth.mode)
    error_message = "auth.mode is dev or token."
  }
  validation {
    condition     = var.auth.mode == "dev" || length(var.auth.issuers) > 0
    error_message = "auth.mode token needs at least one issuer."
  }
}

variable "edge_limits" {
  description = "[limits] of every edge, such as { connections_max = 50000 }; config/edge.toml has the keys and their defaults."
  type        = map(number)
  default     = {}
  nullable    = false
}

variable "origins" {
  description = "Origins, beside the edge's own, whose pages may use the HTTP transports."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "drain_window_ms" {
  description = "How long an edge takes to let its clients go when it is stopped."
  type        = number
  default     = 10000
  nullable    = false

  validation {
    condition     = var.drain_window_ms >= 0 && var.drain_window_ms <= 840000
    error_message = "drain_window_ms is at most 840,000: a lifecycle hook of 15 minutes has to hold it."
  }
}

variable "boot_commands" {
  description = "Shell commands that cloud-init runs before it starts the service: mount the disk, fetch certificates and binaries."
  type = object({
    nats = optional(list(string), [])
    edge = optional(list(string), [])
  })
  default  = {}
  nullable = false
}

variable "log" {
  description = "[log] of every edge."
  type = object({
    format = optional(string, "json")
    level  = optional(string, "info")
  })
  default  = {}
  nullable = false
}

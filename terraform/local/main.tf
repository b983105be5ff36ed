# A mesh on loopback from the same configuration as anywhere else: nats-servers with mTLS
# everywhere, edges, streams. Processes survive terraform and are found again by their pid files.

locals {
  directory = coalesce(var.directory, "${abspath(path.module)}/.mesh")
  first     = { for region, r in var.regions : region => var.base_port + 50 * r.index }
  programs = {
    NATS_SERVER_WANTED = var.nats_server
    MERIDIAN_WANTED    = var.meridian
  }
}

module "mesh" {
  source    = "../modules/mesh-config"
  mesh_name = "local"

  regions = { for region, r in var.regions : region => {
    joined = r.joined
    nats = { for n in range(var.servers) : "n${n + 1}" => {
      host          = "127.0.0.1"
      client_port   = local.first[region] + 5 * n
      route_port    = local.first[region] + 5 * n + 1
      gateway_port  = local.first[region] + 5 * n + 2
      monitor_port  = local.first[region] + 5 * n + 3
      exporter_port = local.first[region] + 5 * n + 4
      store_dir     = "${local.directory}/data/${region}-n${n + 1}"
      pki_dir       = "${local.directory}/pki/${region}-n${n + 1}"
    } }
    edges = { for k in range(var.edges) : "${region}-${k + 1}" => {
      public     = "127.0.0.1:${local.first[region] + 30 + 2 * k}"
      admin      = "127.0.0.1:${local.first[region] + 31 + 2 * k}"
      public_url = "ws://127.0.0.1:${local.first[region] + 30 + 2 * k}/v1/ws"
      pki_dir    = "${local.directory}/pki/edges/${region}-${k + 1}"
      shards     = 1
    } }
  } }

  namespaces = [
    { name = "demo", pattern = "demo.>", publish = true, request = true, headers = ["x-kind"] },
    { name = "orders", pattern = "orders.>", class = "durable", publish = true, stream = {
      home = var.home, replicas = min(var.servers, 3), max_age_s = 86400, max_bytes = 268435456
    } },
  ]
  services = {
    app = { publish = ["demo.>", "orders.>"], subscribe = ["demo.>"] }
  }

  listen_host     = "127.0.0.1"
  jetstream       = { memory_max = "64M", file_max = "1G" }
  auth            = { mode = "dev" }
  edge_limits     = { commands_per_second = 1000, commands_burst = 1000 }
  drain_window_ms = 1000
  log             = { format = "text" }
}

resource "terraform_data" "directory" {
  input = local.directory

  provisioner "local-exec" {
    command     = "./process.sh make-directory"
    working_dir = path.module
    environment = { MESH = self.input }
  }
  # Last of all: what is left are logs, data and whatever lost its state.
  provisioner "local-exec" {
    when        = destroy
    command     = "./process.sh stop-all && ./process.sh remove-directory"
    working_dir = path.module
    environment = { MESH = self.input }
  }
}

resource "terraform_data" "certificate" {
  for_each         = module.mesh.certificates
  triggers_replace = each.value
  input            = local.directory
  depends_on       = [terraform_data.directory]

  provisioner "local-exec" {
    command     = "./pki.sh issue"
    working_dir = path.module
    environment = {
      MESH        = self.input
      FILE        = each.key
      AUTHORITY   = each.value.ca
      COMMON_NAME = each.value.common_name
      USAGE       = each.value.usage
      NAMES       = join(" ", each.value.names)
    }
  }
}

# A new file is taken by a running server at once. What it cannot take without a restart is left to
# scripts/roll-nats.sh, which restarts one server at a time.
resource "terraform_data" "nats_file" {
  for_each         = module.mesh.nats_servers
  triggers_replace = sha256(each.value.conf)
  depends_on       = [terraform_data.certificate]

  provisioner "local-exec" {
    command     = "./process.sh configure"
    working_dir = path.module
    environment = {
      MESH        = local.directory
      NAME        = each.key
      FILE        = "nats/${each.key}.conf"
      CONTENT     = each.value.conf
      RESTART_KEY = each.value.restart_key
      RELOAD      = "HUP"
    }
  }
}

resource "terraform_data" "edge_file" {
  for_each         = module.mesh.edges
  triggers_replace = sha256(each.value.toml)
  depends_on       = [terraform_data.certificate]

  # An edge does not reload: it goes on with what it began with until it is rolled.
  provisioner "local-exec" {
    command     = "./process.sh configure"
    working_dir = path.module
    environment = {
      MESH        = local.directory
      NAME        = each.key
      FILE        = "edges/${each.key}.toml"
      CONTENT     = each.value.toml
      RESTART_KEY = each.value.restart_key
      RELOAD      = ""
    }
  }
}

# How often a process has been started. One that died since counts one more, so that the plan shows
# it and the apply starts it again; terraform_data itself sees nothing of the world.
locals {
  generation = { for name in concat(keys(module.mesh.nats_servers), keys(module.mesh.edges)) : name => (
    try(tonumber(trimspace(file("${local.directory}/run/${name}.generation"))), 0) +
    (try(strcontains(file("/proc/${trimspace(file("${local.directory}/run/${name}.pid"))}/cmdline"), "${name}."), false) ? 0 : 1)
  ) }
}

resource "terraform_data" "nats" {
  for_each         = module.mesh.nats_servers
  input            = { directory = local.directory, name = each.key }
  triggers_replace = local.generation[each.key]
  depends_on       = [terraform_data.nats_file, terraform_data.directory]

  provisioner "local-exec" {
    command     = "./process.sh start-nats"
    working_dir = path.module
    environment = merge(local.programs, {
      MESH       = self.input.directory
      NAME       = self.input.name
      GENERATION = self.triggers_replace
      HEALTH     = "127.0.0.1:${each.value.monitor_port}"
    })
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "./process.sh stop"
    working_dir = path.module
    environment = { MESH = self.input.directory, NAME = self.input.name }
  }
}

# One meta leader, then the streams of every region: `apply` goes over what is there without harm.
resource "terraform_data" "streams" {
  count            = var.edges > 0 ? 1 : 0
  triggers_replace = [module.mesh.streams, sort(keys(var.regions))]
  depends_on       = [terraform_data.nats, terraform_data.edge_file]

  provisioner "local-exec" {
    command     = "./process.sh apply-streams"
    working_dir = path.module
    environment = merge(local.programs, { MESH = local.directory, NAME = "${var.home}-1" })
  }
}

resource "terraform_data" "edge" {
  for_each         = module.mesh.edges
  input            = { directory = local.directory, name = each.key }
  triggers_replace = local.generation[each.key]
  depends_on       = [terraform_data.nats, terraform_data.edge_file, terraform_data.streams]

  provisioner "local-exec" {
    command     = "./process.sh start-edge"
    working_dir = path.module
    environment = merge(local.programs, {
      MESH       = self.input.directory
      NAME       = self.input.name
      GENERATION = self.triggers_replace
      HEALTH     = each.value.admin
    })
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "./process.sh stop"
    working_dir = path.module
    environment = { MESH = self.input.directory, NAME = self.input.name }
  }
}

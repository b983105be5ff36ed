mock_provider "aws" {
  source = "../../modules/mocks"
}

variables {
  domain   = "edge.example.com"
  zone_id  = "Z1"
  binaries = { meridian = "main.tf", nats_server = "main.tf" }
}

run "one_server_serves_one_edge" {
  assert {
    condition     = toset(keys(output.secrets.eu)) == toset(["nats/n1", "edge/nats", "edge/tls"]) && output.url == "wss://edge.example.com/v1/ws"
    error_message = "One nats-server, and the edges' two certificates."
  }
  assert {
    condition     = !strcontains(module.mesh.nats_servers["eu-n1"].conf, "cluster {")
    error_message = "A server that is alone routes to nobody."
  }
}

//! A service's NATS client that says by its certificate who it is, as on a mesh from Terraform.

use std::path::Path;

/// Connects to the first of these servers that takes it, and to another when that is gone.
/// `identity` holds `client.crt`, `client.key` and the authority, `clients-ca.crt`. Answers to its
/// requests come to `_INBOX_<name>.…`.
///
/// # Errors
/// What async-nats says when no server takes the certificate.
pub async fn certified_nats(
    servers: &[String],
    identity: &Path,
    name: &str,
) -> Result<async_nats::Client, async_nats::ConnectError> {
    let servers: Vec<async_nats::ServerAddr> =
        servers.iter().map(|server| server.parse().unwrap()).collect();
    async_nats::ConnectOptions::new()
        .require_tls(true)
        .add_root_certificates(identity.join("clients-ca.crt"))
        .add_client_certificate(identity.join("client.crt"), identity.join("client.key"))
        .custom_inbox_prefix(format!("_INBOX_{name}"))
        .retain_servers_order()
        .ignore_discovered_servers()
        .connect(servers)
        .await
}

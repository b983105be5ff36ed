//! Who may say what a client's address is: the socket itself, or proxies that are listed.

use super::ListenSection;
use meridian_core::address::AddressBlock;
use serde::{Deserialize, Serialize};

/// Where a client's address stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddress {
    /// It is the socket's.
    #[default]
    Socket,
    /// In the PROXY header, version 1 or 2, that begins every socket of a trusted proxy.
    ProxyProtocol,
    /// In `X-Forwarded-For`, as trusted proxies write it.
    XForwardedFor,
}

impl ListenSection {
    /// Whose word is taken. The configuration has been checked, so nothing is left out.
    pub(crate) fn trusted_blocks(&self) -> Vec<AddressBlock> {
        self.trusted_proxies.iter().filter_map(|block| block.parse().ok()).collect()
    }
}

/// What is wrong with them.
pub(super) fn mistakes(listen: &ListenSection) -> Vec<String> {
    let blocks = listen.trusted_proxies.iter().enumerate();
    let mut mistakes: Vec<String> = blocks
        .filter_map(|(index, block)| {
            let error = block.parse::<AddressBlock>().err()?;
            Some(format!("listen.trusted_proxies[{index}]: {block:?} {error}"))
        })
        .collect();
    let is_trusting = listen.client_address != ClientAddress::Socket;
    match (is_trusting, listen.trusted_proxies.is_empty()) {
        (true, true) => {
            let what = "nobody's word is taken without listen.trusted_proxies: list the proxies";
            mistakes.push(format!("listen.client_address: {what}"));
        }
        (false, false) => {
            let what = "not asked: set listen.client_address to what they send";
            mistakes.push(format!("listen.trusted_proxies: {what}"));
        }
        _ => {}
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_only_where_it_is_listed() {
        let listen = |client_address, proxies: &[&str]| ListenSection {
            client_address,
            trusted_proxies: proxies.iter().map(|proxy| (*proxy).to_owned()).collect(),
            ..ListenSection::default()
        };
        let of = |client_address, proxies| mistakes(&listen(client_address, proxies));
        assert!(of(ClientAddress::Socket, &[]).is_empty());
        assert!(of(ClientAddress::ProxyProtocol, &["10.0.0.0/8", "::1"]).is_empty());
        assert!(of(ClientAddress::XForwardedFor, &[])[0].contains("listen.client_address"));
        assert!(of(ClientAddress::Socket, &["10.0.0.1"])[0].contains("not asked"));
        assert!(of(ClientAddress::ProxyProtocol, &["proxy.local"])[0].contains("[0]"));
    }
}

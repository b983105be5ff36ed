//! In which order a region's servers are tried. Pure.

use crate::error::Error;
use crate::server_url::ServerUrl;

/// The configured servers of one region, the preferred one first. Owned by whoever reconnects.
///
/// It never learns servers from INFO: gossip crosses what an operator wanted apart, and a
/// connection that drifted into another region would be served from far away without anyone
/// noticing.
#[derive(Clone, Debug)]
pub struct ServerPool {
    servers: Vec<ServerUrl>,
    next: usize,
}

impl ServerPool {
    /// # Errors
    /// [`Error::Address`] for an empty list.
    pub fn new(servers: Vec<ServerUrl>) -> Result<Self, Error> {
        if servers.is_empty() {
            return Err(Error::Address("the list of servers is empty"));
        }
        Ok(Self { servers, next: 0 })
    }

    /// The server for the next attempt: each in turn, and again from the first.
    ///
    /// Without a [`ServerPool::restart`] it is the one after the server in use, which is what a
    /// lame duck calls for.
    pub fn next_server(&mut self) -> &ServerUrl {
        let at = self.next;
        self.next = (at + 1) % self.servers.len();
        &self.servers[at]
    }

    /// After a connection was lost: the preferred server is tried first again.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// How many servers there are; at least one.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(hosts: &[&str]) -> ServerPool {
        let servers = hosts.iter().map(|host| format!("nats://{host}").parse().unwrap());
        ServerPool::new(servers.collect()).unwrap()
    }

    #[test]
    fn servers_are_tried_in_the_configured_order_over_and_over() {
        let mut pool = pool(&["a", "b", "c"]);
        let hosts: Vec<String> = (0..5).map(|_| pool.next_server().host().to_owned()).collect();
        assert_eq!(hosts, ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn loss_returns_to_the_preferred_server_and_a_lame_duck_moves_on() {
        let mut pool = pool(&["a", "b", "c"]);
        assert_eq!(pool.next_server().host(), "a");
        assert_eq!(pool.next_server().host(), "b", "the lame duck's successor");
        pool.restart();
        assert_eq!(pool.next_server().host(), "a");
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert!(matches!(ServerPool::new(Vec::new()), Err(Error::Address(_))));
    }
}

//! The floor's dialect: connect, and frames come. Nothing is asked, because the floor measures
//! `send(2)` and no more.

use super::{Dialect, Event, Upgrade};
use crate::Endpoint;
use crate::payload::StampScanner;

/// Speaks to `meridian-floor`.
#[derive(Debug, Clone)]
pub struct Floor {
    endpoint: Endpoint,
    scanner: StampScanner,
}

impl Floor {
    /// The floor whose sockets are accepted at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, scanner: StampScanner::default() }
    }
}

impl Dialect for Floor {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn upgrade(&self) -> Upgrade {
        Upgrade::None
    }

    fn opening(&self, _subject: &str) -> Vec<u8> {
        Vec::new()
    }

    fn is_open(&self, _text: &[u8]) -> Result<bool, String> {
        Ok(true)
    }

    fn read(&self, piece: &[u8], is_last: bool, carry: &mut Vec<u8>, on: &mut impl FnMut(Event)) {
        self.scanner.scan(piece, is_last, carry, |stamp| on(Event::Message(stamp)));
    }
}

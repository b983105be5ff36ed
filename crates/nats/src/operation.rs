//! What a server sends, borrowed from the read buffer.

use crate::headers::Headers;
use crate::server_info::ServerInfo;

/// One complete operation from the server, valid until the reader is used again.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// MSG or HMSG.
    Message(Message<'a>),
    /// The server wants a PONG; without one it closes the connection after two more.
    Ping,
    /// The answer to a PING of ours: everything that was sent before it has been taken by the
    /// server.
    Pong,
    /// The server says something new of itself: lame duck mode, a changed limit.
    Info(Box<ServerInfo>),
    /// `-ERR` without its quotation marks. After most errors the server closes the connection; a
    /// permissions violation leaves it open.
    Error(&'a str),
    /// `+OK`, which a server sends only to verbose clients.
    Ok,
}

/// One message for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The number that the subscription was made with.
    pub sid: u64,
    /// The subject that it was published to. Not always UTF-8.
    pub subject: &'a [u8],
    /// Where an answer is expected.
    pub reply: Option<&'a [u8]>,
    /// Empty for MSG.
    pub headers: Headers<'a>,
    /// The payload, without the headers.
    pub payload: &'a [u8],
}

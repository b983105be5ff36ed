//! The crate's one error. Variants are told apart by what the caller should do next.

/// What can go wrong between an edge and a NATS server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server address that cannot be used. The message never repeats the address, which may hold
    /// a password.
    #[error(
        "invalid NATS server address: {0}; write nats://user:password@host:port, or tls:// for TLS"
    )]
    Address(&'static str),

    /// A file of a certificate, a key or an authority that cannot be used.
    #[error("{}: {reason}; TLS to NATS needs PEM files that fit together", path.display())]
    Tls {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The server could not be reached, or did not finish the handshake in time: try the next one.
    #[error(
        "cannot reach {server}: {source}; check that nats-server runs and that its port is open"
    )]
    Unreachable {
        /// The server's address, without its password.
        server: String,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// The server knows us not. Another attempt with the same credentials will not help.
    #[error(
        "{server} refused the credentials: {message}; check the user and the password, or the \
         client certificate"
    )]
    Unauthorized {
        /// The server's address, without its password.
        server: String,
        /// The server's own words.
        message: String,
    },

    /// The server answered the handshake with another error, or offers less than is needed.
    #[error("{server} refused the connection: {message}")]
    Refused {
        /// The server's address, without its password.
        server: String,
        /// The server's own words, or what it lacks.
        message: String,
    },

    /// The other side closed the connection, or there is none at the moment: reconnect.
    #[error("the connection to NATS is closed")]
    Closed,

    /// Reading or writing failed: reconnect.
    #[error("the connection to NATS broke: {0}")]
    Io(#[from] std::io::Error),

    /// The server sent what the protocol does not allow, so the place in the stream is lost:
    /// reconnect.
    #[error("NATS protocol violation by the server: {0}")]
    Protocol(&'static str),

    /// A part of a command that must not go on the wire. Nothing was sent; the connection is
    /// unharmed.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which part: `subject`, `reply subject`, `header name`, `header value`.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },

    /// A command longer than the server would take. Nothing was sent; the connection is unharmed.
    #[error("{what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Which part: `control line` or `payload`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that is allowed.
        bytes_max: usize,
    },

    /// The server takes bytes more slowly than they are appended. Nothing was sent: flush, then
    /// retry.
    #[error("more than {bytes_max} bytes wait for the NATS server; retry when it has read them")]
    Backlog {
        /// The bound of the outgoing buffer.
        bytes_max: usize,
    },

    /// async-nats refused a command on the control connection.
    #[error("control connection: {0}")]
    Control(String),
}

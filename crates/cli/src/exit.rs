//! Exit codes, and which error ends with which.

use meridian_client::{Closed, Error as ClientError};
use meridian_proto::ErrorCode;
use std::io;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    CannotConnect = 3,
    Forbidden = 4,
    Timeout = 5,
    CheckFailed = 6,
    DataLoss = 7,
    Interrupted = 130,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::CannotConnect,
        Self::Forbidden,
        Self::Timeout,
        Self::CheckFailed,
        Self::DataLoss,
        Self::Interrupted,
    ];

    /// What the process returns.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Failure => "failure",
            Self::Usage => "wrong usage or configuration",
            Self::CannotConnect => "cannot connect",
            Self::Forbidden => "not authenticated, or not allowed",
            Self::Timeout => "timed out, or no responders",
            Self::CheckFailed => "a check failed",
            Self::DataLoss => "messages were lost",
            Self::Interrupted => "interrupted (Ctrl-C)",
        }
    }
}

/// The exit codes for `--help`.
pub(crate) fn table() -> String {
    let rows = Exit::ALL.map(|exit| format!("{:>5}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The arguments have no meaning together; clap has refused those that have none alone.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(meridian_edge::ConfigErrors),
    /// Talking to an edge.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A local mesh.
    #[error(transparent)]
    Local(#[from] meridian_local::Error),
    /// A load run.
    #[error(transparent)]
    Bench(#[from] meridian_bench::Error),
    /// Standard input or output.
    #[error("cannot {action}: {source}: check where it is piped to or from")]
    Pipe { action: &'static str, source: io::Error },
    /// The process itself could not start.
    #[error("cannot start: {0}: check the limits on memory, threads and open files")]
    Runtime(io::Error),
    /// An edge that cannot run.
    #[error(transparent)]
    Edge(#[from] meridian_edge::Error),
    /// Streams of durable namespaces.
    #[error(transparent)]
    Streams(#[from] meridian_nats::streams::Error),
    /// A signal asked for the end. There is nothing more to say.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Whether there is nothing to print: the user knows, or nobody reads.
    pub(crate) fn is_quiet(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Pipe { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }

    /// The code that belongs to it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config(_) => Exit::Usage,
            Self::Client(error) => of_client(error),
            Self::Bench(error) => of_bench(error),
            Self::Streams(error) => crate::commands::streams::exit_of(error),
            Self::Local(_) | Self::Runtime(_) | Self::Edge(_) => Exit::Failure,
            // `meridian sub … | head -1` has done what was wanted.
            Self::Pipe { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Pipe { .. } => Exit::Failure,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Address { .. } | ClientError::Tls(_) => Exit::Usage,
        ClientError::Connect { .. } | ClientError::Handshake { .. } => Exit::CannotConnect,
        ClientError::Timeout { what: "connection", .. } => Exit::CannotConnect,
        ClientError::Timeout { .. } => Exit::Timeout,
        ClientError::Refused(failure) => of_refusal(failure.code),
        ClientError::Closed(closed) => of_close(closed),
        _ => Exit::Failure,
    }
}

fn of_refusal(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::TokenExpired
        | ErrorCode::Expired => Exit::Forbidden,
        ErrorCode::UpstreamTimeout | ErrorCode::NoResponders => Exit::Timeout,
        ErrorCode::InvalidSubject => Exit::Usage,
        _ => Exit::Failure,
    }
}

/// A close as an exit code.
pub(crate) fn of_close(closed: &Closed) -> Exit {
    match closed.code {
        // Token expired; invalid token, kicked, revoked, wrong origin.
        3002 | 3500 | 3502 | 3506 | 3507 => Exit::Forbidden,
        // Overloaded, or too many connections: nobody let us in.
        3007 | 3503 => Exit::CannotConnect,
        _ => Exit::Failure,
    }
}

fn of_bench(error: &meridian_bench::Error) -> Exit {
    use meridian_bench::Error as Bench;
    match error {
        Bench::Url { .. } | Bench::Options(_) => Exit::Usage,
        Bench::Connect { .. } | Bench::Refused { .. } => Exit::CannotConnect,
        Bench::TimedOut { .. } => Exit::Timeout,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_proto::item::Failure;

    #[test]
    fn codes_are_those_of_the_table() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }

    #[test]
    fn an_edges_refusal_decides_the_code() {
        for (code, exit) in [
            (ErrorCode::Unauthorized, Exit::Forbidden),
            (ErrorCode::Forbidden, Exit::Forbidden),
            (ErrorCode::UpstreamTimeout, Exit::Timeout),
            (ErrorCode::NoResponders, Exit::Timeout),
            (ErrorCode::InvalidSubject, Exit::Usage),
            (ErrorCode::UnknownSubjectSpace, Exit::Failure),
        ] {
            let error = Error::Client(ClientError::Refused(Failure::new(code, "no")));
            assert_eq!(error.exit(), exit, "{code:?}");
        }
    }

    #[test]
    fn what_ends_a_connection_decides_the_code() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let refused = ClientError::Connect { address: "x:1".into(), source };
        assert_eq!(Error::from(refused).exit(), Exit::CannotConnect);
        let late = |what| ClientError::Timeout { what, after_ms: 1 };
        assert_eq!(Error::from(late("connection")).exit(), Exit::CannotConnect);
        assert_eq!(Error::from(late("reply")).exit(), Exit::Timeout);
        for (code, exit) in
            [(3500, Exit::Forbidden), (3007, Exit::CannotConnect), (3003, Exit::Failure)]
        {
            let closed = Closed { code, reason: String::new() };
            assert_eq!(Error::from(ClientError::Closed(closed)).exit(), exit, "{code}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_says_nothing() {
        let error = |kind: io::ErrorKind| Error::Pipe { action: "write", source: kind.into() };
        let closed = error(io::ErrorKind::BrokenPipe);
        assert!(closed.is_quiet() && closed.exit() == Exit::Ok);
        let full = error(io::ErrorKind::StorageFull);
        assert!(!full.is_quiet() && full.exit() == Exit::Failure);
    }
}

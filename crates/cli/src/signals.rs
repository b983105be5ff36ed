//! SIGINT and SIGTERM as events. Owned by the command that runs.

use crate::exit::Error;
use std::future::Future;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From its creation on they no longer end the process by themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the system refuses.
    pub(crate) fn listen() -> Result<Self, Error> {
        let open = |kind| signal(kind).map_err(Error::Runtime);
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// Waits for either. Cancel-safe.
    pub(crate) async fn recv(&mut self) {
        tokio::select! { biased;
            // Which one it was makes no difference to anybody.
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs a future that may be dropped at any point, unless a signal comes first.
    ///
    /// # Errors
    /// Those of the future, and [`Error::Interrupted`].
    pub(crate) async fn race<T, E>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error>
    where
        Error: From<E>,
    {
        tokio::select! { biased;
            // The person at the terminal comes first.
            () = self.recv() => Err(Error::Interrupted),
            result = work => Ok(result?),
        }
    }
}

//! Ctrl-C, and being asked to end.
//!
//! In: signals. Out: a future that resolves at each. Does I/O.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::CliError;

/// Listens for SIGINT and SIGTERM (on Windows: Ctrl-C). From then on they no longer end the process by themselves.
#[cfg(unix)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

#[cfg(unix)]
impl Interrupt {
    /// Starts to listen.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|e| CliError::Failed(format!("cannot listen to signals: {e}")));
        Ok(Self { int: listen(SignalKind::interrupt())?, term: listen(SignalKind::terminate())? })
    }

    /// Waits for the next signal. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// Listens for Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Interrupt;

#[cfg(not(unix))]
impl Interrupt {
    /// Starts to listen.
    pub(crate) fn listen() -> Result<Self, CliError> {
        Ok(Self)
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

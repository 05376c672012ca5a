//! Signals that end the process.
//!
//! In: signals. Out: a future that resolves with each. Does I/O.

#[cfg(unix)]
use std::task::Poll;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::CliError;

/// Listens for SIGINT and SIGTERM (on Windows: Ctrl-C). From then on they no longer end the process by themselves.
#[cfg(unix)]
pub(crate) struct Interrupt(Vec<Signal>);

#[cfg(unix)]
impl Interrupt {
    /// Starts to listen.
    pub(crate) fn listen() -> Result<Self, CliError> {
        Self::to([SignalKind::interrupt(), SignalKind::terminate()])
    }

    /// Starts to listen, also for SIGHUP and SIGQUIT. This is for a command that must clean up before it ends.
    pub(crate) fn listen_to_all() -> Result<Self, CliError> {
        Self::to([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()])
    }

    fn to(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|e| CliError::Failed(format!("cannot listen to signals: {e}")));
        kinds.into_iter().map(listen).collect::<Result<_, _>>().map(Self)
    }

    /// Waits for the next signal. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let any = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
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

    /// Starts to listen.
    pub(crate) fn listen_to_all() -> Result<Self, CliError> {
        Self::listen()
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

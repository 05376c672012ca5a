//! The producers that the retry lab sends with.
//!
//! In: a cluster. Out: records sent once, by the producer that suits the trouble. Does I/O through them.

use std::net::TcpListener;

use milena::{
    Record,
    patterns::retry::{Delivered, Retry, RetryError},
};

use super::{super::strings::Strings, cases::Trouble};
use crate::exit::CliError;

/// Producers that do not retry by themselves, so that each attempt is one request.
pub(super) struct Senders {
    usual: Strings,
    /// Waits for metadata only shortly.
    impatient: Strings,
    /// The same, with nobody at the other end.
    alone: Strings,
}

impl Senders {
    pub(super) async fn start(bootstrap: &str) -> Result<Self, CliError> {
        let nobody = unused_address().map_err(|e| CliError::Failed(format!("no port on 127.0.0.1: {e}")))?;
        Ok(Self {
            usual: Strings::start(bootstrap, "30000").await?,
            impatient: Strings::start(bootstrap, "200").await?,
            alone: Strings::start(&nobody, "200").await?,
        })
    }

    /// Sends a record with retries.
    pub(super) async fn send(
        &self,
        retry: &Retry,
        trouble: &Trouble,
        record: Record<'_>,
    ) -> Result<Delivered, RetryError> {
        let sender = match trouble {
            Trouble::NoTopic => &self.impatient,
            Trouble::NoBroker => &self.alone,
            _ => &self.usual,
        };
        retry.send(sender, record).await
    }

    /// Closes the producers; nothing of theirs is on its way any more.
    pub(super) async fn close(self) {
        for sender in [self.usual, self.impatient, self.alone] {
            sender.close().await;
        }
    }
}

/// An address that nobody listens at: a port that was free a moment ago.
fn unused_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

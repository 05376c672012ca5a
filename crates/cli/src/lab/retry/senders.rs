//! The producers that the retry lab sends with.
//!
//! In: a cluster. Out: records, each sent by the producer that its case needs. Does I/O through the producers.

use std::net::TcpListener;

use milena::Record;
use milena_resilience::retry::Retry;

use super::{super::strings::Strings, Ended, cases::Cause};
use crate::exit::CliError;

/// How long a producer waits for metadata, in milliseconds.
const PATIENT: &str = "30000";
const IMPATIENT: &str = "200";

/// Producers with `retries=0`, so that each attempt is one request.
pub(super) struct Senders {
    bootstrap: String,
    usual: Strings,
}

impl Senders {
    pub(super) async fn start(bootstrap: &str) -> Result<Self, CliError> {
        Ok(Self { bootstrap: bootstrap.to_owned(), usual: Strings::start(bootstrap, PATIENT).await? })
    }

    /// Sends a record with retries. A producer that cannot succeed is closed with its case, so that its warnings end there.
    pub(super) async fn send(&self, retry: &Retry, cause: &Cause, record: Record<'_>) -> Result<Ended, CliError> {
        let servers = match cause {
            Cause::NoTopic => self.bootstrap.clone(),
            Cause::NoBroker => unused_address().map_err(|e| CliError::Failed(format!("no port on 127.0.0.1: {e}")))?,
            _ => return Ok(retry.send(&self.usual, record).await),
        };
        let sender = Strings::start(&servers, IMPATIENT).await?;
        let ended = retry.send(&sender, record).await;
        sender.close().await;
        Ok(ended)
    }

    /// Closes the producer, which has no record in flight.
    pub(super) async fn close(self) {
        self.usual.close().await;
    }
}

/// An address without a listener: a port that was free a moment ago.
fn unused_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

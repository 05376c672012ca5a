//! Where a lab runs: on the embedded broker, unless a cluster is named.
//!
//! In: bootstrap servers, or none. Out: bootstrap servers, and the embedded broker if it is the one. Does I/O.

use milena::broker::{Builder, EmbeddedBroker};

use super::say;
use crate::exit::CliError;

/// The cluster of a lab.
pub(super) struct Cluster {
    bootstrap: String,
    embedded: Option<EmbeddedBroker>,
}

impl Cluster {
    /// The cluster that was named; without one, an embedded broker that is started now.
    pub(super) async fn open(named: Option<&str>, embedded: Builder) -> Result<Self, CliError> {
        if let Some(bootstrap) = named {
            return Ok(Self { bootstrap: bootstrap.to_owned(), embedded: None });
        }
        let broker = embedded.start().await;
        let broker = broker.map_err(|e| CliError::Failed(format!("cannot start the embedded broker: {e}")))?;
        say(&format!("embedded broker on {}", broker.bootstrap_servers()));
        Ok(Self { bootstrap: broker.bootstrap_servers(), embedded: Some(broker) })
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) fn embedded(&self) -> Option<&EmbeddedBroker> {
        self.embedded.as_ref()
    }

    /// Stops the embedded broker.
    pub(super) async fn close(self) {
        if let Some(broker) = self.embedded {
            broker.shutdown().await;
        }
    }
}

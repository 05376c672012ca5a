//! The cluster of a command: the embedded broker, unless a cluster is named.
//!
//! In: bootstrap servers, or none. Out: bootstrap servers, and the embedded broker if it was started. Does I/O.

use milena::broker::{Builder, EmbeddedBroker};

use crate::{console::to_stdout, exit::CliError};

/// The cluster of a command.
pub(crate) struct Cluster {
    bootstrap: String,
    embedded: Option<EmbeddedBroker>,
}

impl Cluster {
    /// Returns the named cluster. Without a name, starts an embedded broker and prints its address.
    pub(crate) async fn open(named: Option<&str>, embedded: Builder) -> Result<Self, CliError> {
        let cluster = Self::open_quietly(named, embedded).await?;
        if cluster.embedded.is_some() {
            to_stdout(&format!("embedded broker on {}", cluster.bootstrap));
        }
        Ok(cluster)
    }

    /// Does the same as `open`, but prints nothing.
    pub(crate) async fn open_quietly(named: Option<&str>, embedded: Builder) -> Result<Self, CliError> {
        if let Some(bootstrap) = named {
            return Ok(Self { bootstrap: bootstrap.to_owned(), embedded: None });
        }
        let broker = embedded.start().await;
        let broker = broker.map_err(|e| CliError::Failed(format!("cannot start the embedded broker: {e}")))?;
        Ok(Self { bootstrap: broker.bootstrap_servers(), embedded: Some(broker) })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(crate) fn embedded(&self) -> Option<&EmbeddedBroker> {
        self.embedded.as_ref()
    }

    /// Stops the embedded broker.
    pub(crate) async fn close(self) {
        if let Some(broker) = self.embedded {
            broker.shutdown().await;
        }
    }
}

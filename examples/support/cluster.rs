//! The cluster that the examples use: the one that `BOOTSTRAP_SERVERS` names, or an embedded broker.

use std::{env, io};

use milena::broker::EmbeddedBroker;

/// Where to connect to, and the broker that stops when this is dropped.
pub(crate) struct Cluster {
    bootstrap_servers: String,
    _embedded: Option<EmbeddedBroker>,
}

impl Cluster {
    /// Starts an embedded broker with `topic`, unless `BOOTSTRAP_SERVERS` is set. A real cluster must have the topic, or create
    /// topics when they are first used.
    pub(crate) async fn find_or_start(topic: &str, partitions: usize) -> io::Result<Self> {
        if let Ok(bootstrap_servers) = env::var("BOOTSTRAP_SERVERS") {
            return Ok(Self { bootstrap_servers, _embedded: None });
        }
        let broker = EmbeddedBroker::builder().topic(topic, partitions).start().await?;
        Ok(Self { bootstrap_servers: broker.bootstrap_servers(), _embedded: Some(broker) })
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

//! What the steps work on: two gateways, a client that reads back, and faults.
//!
//! In: a cluster and two ports. Out: answers of the gateways, and records as they are in Kafka. Does I/O. The first gateway has the course's
//! settings. The second one gives an event up after seconds instead of two minutes, so that the step about errors does not take as long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milena::admin::{Admin, ConsumedRecord};
use milena_gateway::{Config, Ended, Gateway, Server};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    faults::Faults,
    http::{self, Reply},
};
use crate::{
    cluster::Cluster,
    exit::CliError,
    lab::{
        orders::{ends, prepare, read_back},
        to_stdout,
    },
};

/// The topic of requests that name none.
pub(super) const TOPIC: &str = "bhf-transactions";
/// Nothing that is waited for here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a state is asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// What the second gateway has otherwise: it gives up sooner.
const IMPATIENT: [(&str, &str); 2] = [("delivery.timeout.ms", "4000"), ("max.block.ms", "4000")];

/// Where a step takes place.
pub(super) struct Site<'a> {
    pub(super) first: Served,
    pub(super) second: Served,
    pub(super) admin: Admin,
    pub(super) cluster: &'a Cluster,
    pub(super) faults: &'a Faults<'a>,
    /// Tells the events of this run from others.
    run: String,
    /// Where this run begins, by partition.
    begins: Vec<i64>,
}

/// A gateway that serves.
pub(super) struct Served {
    pub(super) address: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

impl<'a> Site<'a> {
    pub(super) async fn open(cluster: &'a Cluster, faults: &'a Faults<'a>, ports: [u16; 2]) -> Result<Self, CliError> {
        let mut admin = Admin::connect(cluster.bootstrap()).await?;
        let begins = prepare(&mut admin, TOPIC, -1, &[]).await?;
        let [first, second] = ports;
        let first = Served::start(cluster.bootstrap(), first, &[]).await?;
        let second = Served::start(cluster.bootstrap(), second, &IMPATIENT).await?;
        to_stdout(&format!("gateways at http://{} and http://{}", first.address, second.address));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { first, second, admin, cluster, faults, run: format!("{:x}", now.as_nanos()), begins })
    }

    /// An event id that is of this run only.
    pub(super) fn event(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    /// What this run and others have written to the topic of requests that name none, since this run began.
    pub(super) async fn records(&mut self) -> Result<Vec<ConsumedRecord>, CliError> {
        read_back(&mut self.admin, TOPIC, &self.begins).await
    }

    /// The end of each partition of a topic.
    pub(super) async fn ends(&mut self, topic: &str) -> Result<Vec<i64>, CliError> {
        ends(&mut self.admin, topic).await
    }

    pub(super) async fn close(self) {
        tokio::join!(self.first.stop(), self.second.stop());
    }
}

impl Served {
    /// At this port, or at another one if it is taken.
    async fn start(bootstrap: &str, port: u16, properties: &[(&str, &str)]) -> Result<Self, CliError> {
        let server = match Self::bind(bootstrap, port, properties).await? {
            Ok(server) => server,
            Err(_) => Self::bind(bootstrap, 0, properties).await?.map_err(refused)?,
        };
        let address = server.local_addr().map_err(refused)?.to_string();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Ok(Self { address, stop, ended })
    }

    async fn bind(
        bootstrap: &str,
        port: u16,
        properties: &[(&str, &str)],
    ) -> Result<std::io::Result<Server>, CliError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let flags = [("port", port.to_string().as_str()), ("shutdown-ms", "5000")].map(|flag| owned(&flag));
        let properties: Vec<_> = properties.iter().map(owned).collect();
        let config = Config::read(&flags, &properties, &[]);
        let config = config.map_err(|violations| CliError::Failed(violations.join("; ")))?;
        Ok(Server::bind(Gateway::start(config, bootstrap).await?).await)
    }

    /// Sends an event, and prints what was asked and answered.
    pub(super) async fn send(&self, query: &str) -> Result<Reply, CliError> {
        let reply = self.send_quietly(query).await?;
        to_stdout(&format!("POST /api/v1/send?{query}\n  {} {}", reply.status, reply.text));
        Ok(reply)
    }

    /// Sends an event.
    pub(super) async fn send_quietly(&self, query: &str) -> Result<Reply, CliError> {
        http::post(&self.address, &format!("/api/v1/send?{query}"), None).await
    }

    /// The state of a request.
    pub(super) async fn state(&self, request_id: &str) -> Result<Value, CliError> {
        Ok(http::get(&self.address, &format!("/api/v1/status?requestId={request_id}")).await?.json())
    }

    /// The state of a request once it has an outcome, or the last one when patience ends.
    pub(super) async fn outcome(&self, request_id: &str) -> Result<Value, CliError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state(request_id).await?;
            if state["state"] != "PENDING" || Instant::now() > deadline {
                return Ok(state);
            }
            sleep(PAUSE).await;
        }
    }

    async fn stop(self) {
        // An error means that it has ended already.
        let _ = self.stop.send(());
        drop(self.ended.await);
    }
}

fn refused(error: std::io::Error) -> CliError {
    CliError::Failed(format!("cannot listen: {error}"))
}

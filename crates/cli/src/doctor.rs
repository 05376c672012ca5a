//! `milena doctor`: what is wrong between this machine and a cluster, step by step.
//!
//! In: servers, settings of security, perhaps a topic. Out: a line for each check, with a hint where it failed. Does I/O. What is printed and
//! hinted is in [`report`]. Deliberately absent: anything that changes the cluster. No record is sent.

#[cfg(feature = "tls")]
mod certificates;
mod report;

use std::time::{Duration, Instant};

use milena::{
    ProducerBuilder,
    admin::{Admin, AdminError, ClusterDescription, TopicDescription},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use self::report::{Check, Format, Step};
use crate::{
    connection::Connection,
    console,
    exit::{CliError, Exit},
    interrupt::Interrupt,
};

/// How long a name may take to be looked up, and a connection to be made.
const PATIENCE: Duration = Duration::from_secs(10);
const BOOTSTRAP: &str = "bootstrap.servers";

/// Find out what is wrong between this machine and a cluster
///
/// For each server: whether its name has addresses, whether each can be connected to, which certificates it shows, whether a Kafka broker is
/// there that supports what is needed, and whether it lets this client in. Then what that broker says of the cluster, the same for the address that each broker advertises, and, with --topic, whether
/// the topic is there, has leaders, and may be written to. Nothing is changed, and no record is sent.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  milena doctor
  milena doctor --bootstrap-server kafka.example:9092 --config client.properties --topic orders
  milena doctor --output json

Exit codes: 0 all is well, 1 a check failed, 2 arguments or configuration are wrong, 130 interrupted.")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,

    /// Topic to look at
    #[arg(long, short)]
    topic: Option<String>,

    /// How to print checks
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = examine(args) => done,
    }
}

async fn examine(args: Args) -> Result<Exit, CliError> {
    let settings = args.connection.settings()?;
    ProducerBuilder::from_properties(settings.iter().cloned()).effective_properties()?;
    let servers: Vec<String> = report::value(&settings, BOOTSTRAP)
        .unwrap_or_default()
        .split(',')
        .map(|server| server.trim().to_owned())
        .collect();
    let mut examination = Examination { settings, output: args.output, failed: false };
    let mut description = None;
    for server in &servers {
        let Some(mut admin) = examination.server(None, server).await? else { continue };
        if description.is_none() {
            description = examination.cluster(server, &mut admin, args.topic.as_deref()).await;
        }
    }
    if let Some(description) = description {
        for broker in &description.brokers {
            let address = report::address(&broker.host, broker.port);
            if !servers.contains(&address) {
                examination.server(Some(broker.id), &address).await?;
            }
        }
        if let (Some(name), Some(topic)) = (&args.topic, &description.topic) {
            examination.topic(name, topic);
        }
    }
    Ok(if examination.failed { Exit::Failed } else { Exit::Good })
}

/// The checks until now.
struct Examination {
    settings: Vec<(String, String)>,
    output: Format,
    failed: bool,
}

impl Examination {
    fn tell(&mut self, check: &Check) {
        self.failed |= check.result.is_err();
        console::to_stdout(&check.line(self.output));
    }

    /// Checks one address, step by step; that of a bootstrap server, or the one that a broker advertises. Returns a client that the broker
    /// there has let in.
    async fn server(&mut self, advertised: Option<i32>, server: &str) -> Result<Option<Admin>, CliError> {
        let subject = advertised
            .map_or_else(|| format!("bootstrap server {server}"), |broker| format!("broker {broker} {server}"));
        let check = |step, result| Check::new(&subject, step, result).of_advertised(advertised.is_some());
        let found = match timeout(PATIENCE, lookup_host(server)).await {
            Ok(Ok(found)) => Ok(found.collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let shown = found.clone().map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        self.tell(&check(Step::Name, shown));
        let mut reached = false;
        for address in found.unwrap_or_default() {
            let start = Instant::now();
            let connected = match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(_)) => Ok(format!("{address} in {} ms", start.elapsed().as_millis())),
                Ok(Err(error)) => Err(format!("{address}: {error}")),
                Err(_) => Err(format!("{address}: no answer within {} s", PATIENCE.as_secs())),
            };
            reached |= connected.is_ok();
            self.tell(&check(Step::Tcp, connected));
        }
        if !reached || !self.tls(&subject, server).await? {
            return Ok(None);
        }
        let settings = self.settings.iter().cloned().chain([(BOOTSTRAP.to_owned(), server.to_owned())]);
        let opened = match Admin::from_properties(settings).await {
            Err(error @ (AdminError::InvalidConfig(_) | AdminError::InvalidBootstrap { .. })) => {
                return Err(error.into());
            }
            opened => opened,
        };
        let described = match &opened {
            Ok(admin) => Ok(admin.connection()),
            Err(error) => Err(error),
        };
        for (step, result) in report::opened(&self.settings, described) {
            self.tell(&check(step, result));
        }
        Ok(opened.ok())
    }

    /// Shakes hands, if the settings ask for TLS. Returns whether it is worth going on.
    #[cfg(feature = "tls")]
    async fn tls(&mut self, subject: &str, server: &str) -> Result<bool, CliError> {
        let shown = match Admin::tls_handshake(self.settings.iter().cloned(), server).await {
            Ok(None) => return Ok(true),
            Ok(Some(handshake)) => report::handshake(&handshake, jiff::Timestamp::now()),
            Err(error @ AdminError::Unreachable { .. }) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let is_good = shown.is_ok();
        self.tell(&Check::new(subject, Step::Tls, shown));
        Ok(is_good)
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, clippy::unused_self, reason = "with the feature it shakes hands")]
    async fn tls(&mut self, _: &str, _: &str) -> Result<bool, CliError> {
        Ok(true)
    }

    /// What the broker says of the cluster.
    async fn cluster(&mut self, server: &str, admin: &mut Admin, topic: Option<&str>) -> Option<ClusterDescription> {
        let described = admin.describe(topic).await;
        let said = match &described {
            Ok(description) => report::cluster(description),
            Err(error) => Err(error.to_string()),
        };
        self.tell(&Check::new(server, Step::Metadata, said));
        described.ok()
    }

    fn topic(&mut self, name: &str, topic: &TopicDescription) {
        let subject = format!("topic {name}");
        self.tell(&Check::new(&subject, Step::Topic, report::topic(topic)));
        if topic.partitions > 0 {
            self.tell(&Check::new(&subject, Step::Rights, report::rights(topic)));
        }
    }
}

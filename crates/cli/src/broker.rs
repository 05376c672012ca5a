//! `milena broker`: the embedded broker in the foreground.
//!
//! In: the number of nodes, topics, and who may do what. Out: the address to connect to. Does I/O. Deliberately absent: anything beyond a broker
//! for experiments.

mod security;

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    path::PathBuf,
    time::Duration,
};

use milena::broker::EmbeddedBroker;

use self::security::Security;
use crate::{
    console::{self, to_stderr, to_stdout},
    exit::{CliError, Exit},
    interrupt::Interrupt,
};

/// Run the embedded broker, for experiments
///
/// The broker speaks Kafka's protocol, so any client can connect. It listens on 127.0.0.1 only. It keeps its records in memory:
/// they are gone when it stops, unless --data names a folder. The first line on stdout is the address to connect to.
///
/// Clients may be asked to authenticate, connections to be encrypted, and users to have rights, to try how a program does with that. It is no
/// protection for anything of value.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  A broker on localhost:9092 with a topic of three partitions:
    milena broker --topic orders:3
  Three nodes on ports that the system chooses, no topic unless it is created:
    milena broker --port 0 --nodes 3 --no-auto-create
  The same topics, records and committed offsets after a restart, also after a crash:
    milena broker --data kafka-data
  Clients use TLS and authenticate, and alice may write to one topic and to no other:
    milena broker --users-file users.txt --tls ca.pem --topic orders:3 --acl 'User:alice WRITE topic orders'
    milena doctor -X security.protocol=SASL_SSL -X ssl.truststore.type=PEM -X ssl.truststore.location=ca.pem \\
      -X sasl.mechanism=SCRAM-SHA-256 -X sasl.username=alice -X sasl.password=... --topic orders
  Clients authenticate by OAUTHBEARER, with tokens of a file, and again each minute:
    milena broker --tokens-file tokens.txt --session 60

A rule is PRINCIPAL OPERATION RESOURCE, where the resource is \"topic NAME\", \"group NAME\" or \"cluster\"; NAME * is all of them. \
PREFIXED, host=ADDRESS (without it, clients of every address are meant) and DENY may follow. Operations: ALL, READ, WRITE, CREATE, \
DELETE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 it could not start (the port is taken?), 2 arguments are wrong.")]
pub(crate) struct Args {
    /// Port of the first node, on 127.0.0.1; the others take the ports that follow. 0 lets the system choose
    #[arg(long, short, value_name = "PORT", default_value_t = 9092)]
    port: u16,

    /// How many nodes
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,

    /// Topic to create, with its number of partitions; may be repeated
    #[arg(long = "topic", short, value_name = "NAME:PARTITIONS", value_parser = topic)]
    topics: Vec<(String, usize)>,

    /// Do not create a topic when a client writes to it
    #[arg(long)]
    no_auto_create: bool,

    /// Partitions of topics that are created without a number
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    default_partitions: u16,

    /// Folder that keeps topics, settings, records, producers and committed offsets across restarts; it is made if need be. What is in it is in memory
    /// as well. Users and rules are not kept
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// How often retention is applied and compacted topics are compacted, in milliseconds (log.cleaner.backoff.ms)
    #[arg(long, value_name = "MS", default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(1..))]
    log_cleaner_backoff_ms: u64,

    #[command(flatten)]
    security: Security,
}

fn topic(text: &str) -> Result<(String, usize), String> {
    match text.split_once(':').map(|(name, partitions)| (name, partitions.parse())) {
        Some((name, Ok(partitions @ 1..=10_000))) if !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err("expected name:partitions with 1 to 10000 partitions, as in orders:3".into()),
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let mut builder = EmbeddedBroker::builder()
        .nodes(args.nodes.into())
        .port(args.port)
        .auto_create(!args.no_auto_create)
        .default_partitions(args.default_partitions.into());
    for (name, partitions) in &args.topics {
        builder = builder.topic(name, *partitions);
    }
    if let Some(path) = &args.data {
        builder = builder.data_dir(path);
    }
    let broker = args.security.apply(builder)?.start().await.map_err(|e| CliError::Failed(cannot_start(&e)))?;
    args.security.write_files(&broker)?;
    to_stdout(&broker.bootstrap_servers());
    if !console::all_taken() {
        broker.shutdown().await;
        return Ok(Exit::Failed);
    }
    let kept = match &args.data {
        Some(path) => format!("kept in {}", path.display()),
        None => "in memory only".to_owned(),
    };
    to_stderr(&format!("embedded broker is listening; its records are {kept}; Ctrl-C stops it"));
    tokio::select! {
        () = interrupt.next() => {}
        never = clean(&broker, Duration::from_millis(args.log_cleaner_backoff_ms)) => match never {},
    }
    broker.shutdown().await;
    Ok(Exit::Good)
}

/// Applies retention and compacts, again and again.
async fn clean(broker: &EmbeddedBroker, every: Duration) -> Infallible {
    loop {
        tokio::time::sleep(every).await;
        broker.clean();
    }
}

/// The error names the address that could not be bound.
fn cannot_start(error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::AddrInUse => "; choose another port with --port, or 0 for one that is free",
        _ => "",
    };
    format!("cannot start the broker: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_a_name_and_a_number_of_partitions() {
        assert_eq!(topic("orders:3"), Ok(("orders".into(), 3)));
        for text in ["orders", ":3", "orders:", "orders:0", "orders:-1", "orders:10001", "orders:3:4", ""] {
            assert!(topic(text).is_err(), "{text}");
        }
    }
}

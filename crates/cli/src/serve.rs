//! `milena serve`: an HTTP gateway in front of the producer.
//!
//! In: flags and the environment. Out: the address on stdout, then nothing until a signal ends it. Does I/O. The flags are made of the
//! gateway's own table of settings. Without a bootstrap address there is an embedded broker, so the command runs on its own. Deliberately
//! absent: what the gateway does, which is in its crate.

use std::sync::Arc;

use clap::{Arg, ArgMatches, Command, FromArgMatches};
use milena::{
    ErrorCode,
    broker::{Api, EmbeddedBroker, Fault},
};
use milena_gateway::{Config, Ended, Gateway, Lab, SETTINGS, Server, Tokens};
use milena_resilience::store::Store;

use crate::{
    console::{all_taken, to_stderr, to_stdout},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    settings::name_and_value,
    store, trouble,
};

/// Partitions of the embedded broker's topics.
const PARTITIONS: usize = 3;

/// Serve HTTP in front of the producer: POST /api/v1/send, and more
///
/// Without --bootstrap-server (or KAFKA_BOOTSTRAP_SERVERS) the records go to an embedded broker, which keeps them in memory. Each setting of
/// the producer can be given as a property, or in the environment by its name in capitals, as in KAFKA_REQUEST_TIMEOUT_MS=1000.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  milena serve
  curl -X POST 'localhost:18080/api/v1/send?mode=idempotent&eventId=E-1&key=account-123'
  curl -X POST 'localhost:18080/api/v1/send?sendMode=async'
  curl 'localhost:18080/api/v1/status?requestId=ID'
  curl -X POST localhost:18080/api/v1/topics/orders/records -H 'Content-Type: application/json' \\
       -d '{\"key\": {\"text\": \"user-1\"}, \"value\": {\"json\": {\"total\": 9}}}'
  KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PORT=18081 milena serve
  What Kafka does not take now is stored, and delivered later; the state of a request survives a restart:
    milena serve --bootstrap-server kafka:9092 --store events.db

Exit codes: 0 ended by a signal with nothing left undone, 1 it was not, or the port cannot be opened, 2 settings are wrong.")]
pub(crate) struct Args {
    /// Brokers to connect to first, as host:port,host:port [default: an embedded broker]
    #[arg(long, short, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,

    /// Setting of the producer by its Java name, as in acks=all; may be repeated
    #[arg(long = "property", short = 'X', value_name = "NAME=VALUE", value_parser = name_and_value)]
    properties: Vec<(String, String)>,

    #[command(flatten)]
    gateway: Flags,
}

/// The settings of the gateway that were given as flags.
#[derive(Debug)]
struct Flags(Vec<(String, String)>);

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let flag = |setting: &milena_gateway::Setting| {
            let default = if setting.default.is_empty() { "none" } else { setting.default };
            let help = format!("{} [env: {}] [default: {default}]", setting.doc, setting.variable);
            Arg::new(setting.name).long(setting.name).value_name("VALUE").help(help)
        };
        command.args(SETTINGS.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| matches.get_one::<String>(name).map(|value| (name.to_owned(), value.clone()));
        Ok(Self(SETTINGS.iter().filter_map(|setting| given(setting.name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let config = read(args)?;
    let tokens = config.token_file.as_deref().map(read_tokens).transpose();
    #[cfg(feature = "tls")]
    let https = milena_gateway::Https::open(&config);
    #[cfg(feature = "tls")]
    let (https, tokens) = match (https, tokens) {
        (Ok(https), Ok(tokens)) => (https, Ok(tokens)),
        (https, tokens) => {
            return Err(refused(&[https.err().unwrap_or_default(), tokens.err().into_iter().collect()].concat()));
        }
    };
    let tokens = tokens.map_err(|violation| refused(&[violation]))?;
    for variable in &config.unused {
        tracing::warn!("{variable} is no setting of milena's producer and is not used");
    }
    let embedded = match config.bootstrap_servers() {
        Some(_) => None,
        None => Some(Arc::new(start_broker(&config.default_topic).await?)),
    };
    let bootstrap = embedded.as_ref().map_or_else(String::new, |broker| broker.bootstrap_servers());
    let store: Option<Arc<dyn Store>> = match &config.store {
        Some(address) => Some(store::open_to_keep(address, config.status_age).await?.into()),
        None => None,
    };
    let lab = embedded.as_ref().map(|broker| Faults(Arc::clone(broker)));
    let is_secure = config.tls_keystore.is_some();
    let server = bind(config, &bootstrap, tokens, store.clone(), lab).await?;
    #[cfg(feature = "tls")]
    let server = server.with_https(https);
    let address = server.local_addr().map_err(|error| CliError::Failed(format!("cannot listen: {error}")))?;
    to_stdout(&format!("{}://{address}", if is_secure { "https" } else { "http" }));
    if embedded.is_some() {
        to_stderr(&format!(
            "records go to an embedded broker at {bootstrap}, in memory only; --bootstrap-server names another"
        ));
    }
    let ended = server.run(interrupt.next()).await;
    if let Some(store) = store {
        store::close(&*store).await?;
    }
    // A connection that was cut may hold it still; then it ends with the process.
    if let Some(broker) = embedded.and_then(Arc::into_inner) {
        broker.shutdown().await;
    }
    Ok(conclude(&ended))
}

/// The configuration, or every violation.
fn read(args: Args) -> Result<Config, CliError> {
    let bootstrap = args.bootstrap_server.map(|servers| ("bootstrap.servers".to_owned(), servers));
    let properties: Vec<_> = bootstrap.into_iter().chain(args.properties).collect();
    // A variable that is no UTF-8 is none of ours.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables: Vec<_> = std::env::vars_os().filter_map(text).collect();
    Config::read(&args.gateway.0, &properties, &variables).map_err(|violations| refused(&violations))
}

fn refused(violations: &[String]) -> CliError {
    match violations {
        [violation] => CliError::Usage(violation.clone()),
        _ => CliError::Usage(format!("invalid settings:\n  - {}", violations.join("\n  - "))),
    }
}

fn read_tokens(path: &str) -> Result<Tokens, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let tokens = text.and_then(|text| Tokens::parse(&text));
    tokens.map_err(|error| format!("token-file {path}: {error}"))
}

/// The faults that the gateway's page has for the embedded broker: those of `milena lab gateway`, and a full one.
struct Faults(Arc<EmbeddedBroker>);

const FAULTS: [(&str, &str); 3] = [
    ("slow", "Answers come 5 s late"),
    ("cut", "Connections are closed before an answer"),
    ("refuse", "Too few replicas: NOT_ENOUGH_REPLICAS"),
];

impl Lab for Faults {
    fn faults(&self) -> &[(&'static str, &'static str)] {
        &FAULTS
    }

    fn begin(&self, fault: &str) -> bool {
        let fault = match fault {
            "slow" => trouble::slow(),
            "cut" => trouble::cut(),
            "refuse" => Fault::error(ErrorCode::NOT_ENOUGH_REPLICAS).on(Api::Produce).forever(),
            _ => return false,
        };
        self.0.inject(fault);
        true
    }

    fn heal(&self) {
        self.0.heal();
    }
}

async fn start_broker(topic: &str) -> Result<EmbeddedBroker, CliError> {
    let broker = EmbeddedBroker::builder().default_partitions(PARTITIONS).topic(topic, PARTITIONS).start().await;
    broker.map_err(|error| CliError::Failed(format!("cannot start the embedded broker: {error}")))
}

async fn bind(
    config: Config,
    bootstrap: &str,
    tokens: Option<Tokens>,
    store: Option<Arc<dyn Store>>,
    lab: Option<Faults>,
) -> Result<Server, CliError> {
    let address = format!("{}:{}", config.host, config.port);
    let gateway = Gateway::start(config, bootstrap).await?;
    let gateway = match tokens {
        Some(tokens) => gateway.with_tokens(tokens),
        None => gateway,
    };
    let gateway = match store {
        Some(store) => {
            let started = gateway.with_store(store).await;
            started.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?
        }
        None => gateway,
    };
    let gateway = match lab {
        Some(lab) => gateway.with_lab(lab),
        None => gateway,
    };
    Server::bind(gateway).await.map_err(|error| {
        CliError::Failed(format!(
            "cannot listen at {address}: {error}; choose another port with --port, or 0 for one that is free"
        ))
    })
}

fn conclude(ended: &Ended) -> Exit {
    if ended.cut > 0 {
        to_stderr(&format!("{} connections were cut, because --shutdown-ms had passed", ended.cut));
    }
    if let Some(error) = &ended.undelivered {
        to_stderr(&format!("not all records were delivered: {error}"));
    }
    let nothing_left = ended.cut == 0 && ended.undelivered.is_none() && all_taken();
    if nothing_left { Exit::Good } else { Exit::Failed }
}

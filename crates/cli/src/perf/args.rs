//! The arguments of `milena perf`, which are those of `kafka-producer-perf-test`.

use std::path::PathBuf;

use clap::ValueEnum;
use milena::Preset;

use super::payload::{KeyDistribution, Payload};
use crate::{
    connection::{ProfileArgs, warn_of_deprecated, warn_of_secrets},
    exit::CliError,
    properties, settings,
};

/// Measure how fast records are produced, as kafka-producer-perf-test does
///
/// Accepts that tool's options and prints its lines, so that scripts which parse them keep working. Latency is the time from the
/// call of send to the callback of an acknowledged record. With --throughput it is also measured from the time at which the record
/// was due, so that the wait behind slow records counts as well (coordinated omission). Failed records are counted by their cause.
/// Lines that the tool does not print go to stderr, so that the total is the last line of stdout. Without a broker it runs on the
/// embedded one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  As fast as it goes, on the embedded broker:
    milena perf --topic test --num-records 1000000 --record-size 100
  A thousand records a second to a real Kafka, compressed, as JSON:
    milena perf --topic test --num-records 10000 --record-size 1000 --throughput 1000 \\
      --bootstrap-server localhost:9092 --command-property compression.type=lz4 --output json
  What a preset is worth, beside the defaults:
    milena perf --topic test --num-records 1000000 --record-size 1000 --preset throughput

With --output json there is an object on each line: \"type\" is \"window\" for each --reporting-interval, \"total\" at the end and
\"steady\" for all but the --warmup-records. Each has records, seconds, records_per_second, megabytes_per_second (of 1024*1024),
latency_us with avg, p50, p95, p99, p999 and max in microseconds from the call of send, latency_from_due_us with the same from
when each record was due (with --throughput only), errors by cause; a window also has acknowledged (so far), the total retries, failed,
not_acknowledged and interrupted. With --print-metrics the last line has \"type\" \"metrics\" and all of them by name.

Exit codes: 0 every record was acknowledged, 1 a record failed, 2 arguments are wrong, 130 stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Topic to send to
    #[arg(long)]
    pub(super) topic: String,

    /// How many records to send
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) num_records: u64,

    /// Size of each record's value in bytes: random capital letters, others for each record
    #[arg(long, value_name = "BYTES", group = "payload", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    record_size: Option<u32>,

    /// File of values, of which each record gets a random one
    #[arg(long, value_name = "PATH", group = "payload")]
    payload_file: Option<PathBuf>,

    /// Delimiter between the values of --payload-file; \n is the end of a line, \t a tab
    #[arg(long, value_name = "TEXT", default_value = "\\n", requires = "payload_file")]
    payload_delimiter: String,

    /// Send the numbers 0, 1, 2, … as values
    #[arg(long, group = "payload")]
    payload_monotonic: bool,

    /// Records a second, or -1 for no limit
    #[arg(long, value_name = "NUMBER", default_value_t = -1.0, allow_negative_numbers = true)]
    pub(super) throughput: f64,

    /// Brokers to connect to first, as host:port,host:port [default: the embedded broker]
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Producer settings by their Java names, as in linger.ms=50; may be repeated
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = settings::name_and_value)]
    command_property: Vec<(String, String)>,

    /// File of producer settings in the form of Java's .properties
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Deprecated: use --command-property
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = settings::name_and_value)]
    producer_props: Vec<(String, String)>,

    /// Deprecated: use --command-config
    #[arg(long = "producer.config", value_name = "PATH")]
    producer_config: Option<PathBuf>,

    /// Settings that belong together: throughput, durability or latency; each can be set to something else
    #[arg(long, value_name = "NAME", value_parser = settings::preset)]
    pub(super) preset: Option<Preset>,

    /// Print the producer's metrics at the end
    #[arg(long)]
    pub(super) print_metrics: bool,

    /// Records that are sent before measuring begins
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) warmup_records: u64,

    /// Milliseconds between two progress lines
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) reporting_interval: u64,

    /// Number of different keys
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) record_key_range: Option<u64>,

    /// Which key each record gets
    #[arg(long, value_enum, default_value = "none")]
    pub(super) key_distribution: KeyDistribution,

    /// Seed of random values and keys: the same seed gives the same ones
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) random_seed: u64,

    /// Not supported: milena has no transactions
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,

    /// How to print
    #[arg(long, short, value_enum, default_value = "text")]
    pub(super) output: Output,

    #[command(flatten)]
    profile: ProfileArgs,
}

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// kafka-producer-perf-test's lines
    Text,
    /// A JSON object on each line
    Json,
}

impl Args {
    /// Checks that clap cannot express.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let usage = |message: &str| Err(CliError::Usage(message.to_owned()));
        if self.transactional_id.is_some() {
            return usage("--transactional-id: milena has no transactions; leave it out");
        }
        if (0.0..0.001).contains(&self.throughput) || !self.throughput.is_finite() {
            return usage("--throughput: expected at least 0.001 records a second, or -1 for as many as will go");
        }
        if self.warmup_records >= self.num_records {
            return usage("--warmup-records: expected fewer than --num-records, or nothing is measured");
        }
        match (self.key_distribution, self.record_key_range) {
            (KeyDistribution::None, Some(_)) => {
                usage("--record-key-range: expected --key-distribution range or random with it")
            }
            (KeyDistribution::Range | KeyDistribution::Random, None) => {
                usage("--key-distribution: expected --record-key-range with it, which says how many keys there are")
            }
            _ => Ok(()),
        }
    }

    /// All settings; a later one overrides an earlier one.
    pub(super) fn properties(&self) -> Result<Vec<(String, String)>, CliError> {
        warn_of_deprecated(&[
            ("--producer-props", "--command-property", !self.producer_props.is_empty()),
            ("--producer.config", "--command-config", self.producer_config.is_some()),
        ]);
        let mut settings = vec![("client.id".to_owned(), "perf-producer-client".to_owned())];
        settings.extend(self.profile.settings()?);
        for path in self.producer_config.iter().chain(&self.command_config) {
            settings.extend(properties::load(path).map_err(CliError::Usage)?);
        }
        for named in [&self.producer_props, &self.command_property] {
            warn_of_secrets(named, "--command-config");
            settings.extend(named.iter().cloned());
        }
        settings.extend(self.bootstrap_server.clone().map(|servers| ("bootstrap.servers".to_owned(), servers)));
        Ok(settings)
    }

    pub(super) fn payload(&self) -> Result<Payload, CliError> {
        match (self.record_size, &self.payload_file, self.payload_monotonic) {
            (Some(size), ..) => Ok(Payload::random(size as usize, self.random_seed)),
            (None, Some(path), _) => Payload::from_file(path, &self.payload_delimiter, self.random_seed),
            (None, None, true) => Ok(Payload::counted()),
            (None, None, false) => Err(CliError::Usage(
                "expected what to send: one of --record-size, --payload-file and --payload-monotonic".to_owned(),
            )),
        }
    }
}

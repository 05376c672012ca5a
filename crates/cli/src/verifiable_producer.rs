//! `milena verifiable-producer`: sends numbers and says of each what became of it, as Kafka's tool of that name does.
//!
//! In: arguments. Out: that tool's lines of JSON on stdout, by which Kafka's own system tests follow a producer, and nothing else there. The
//! loop that sends is here; [`events`] has the lines, [`exceptions`] Java's names of errors. Source: `org.apache.kafka.tools.VerifiableProducer` 4.2.

mod events;
mod exceptions;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use milena::{Ack, DeliveryError, Producer, Record};
use tokio::sync::Notify;

use self::{
    events::{Sent, print},
    exceptions::{CLOSED_WHILE_SENDING, of_delivery, of_send},
};
use crate::{
    apache::value,
    connection::{gathered, warn_of_deprecated},
    console::to_stderr,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    pace::doze_until,
    settings,
};

/// Send increasing numbers and print as JSON what became of each, as Kafka's VerifiableProducer does
///
/// Accepts that tool's options and prints its lines, so that Kafka's own system tests can drive it. The values are 0, 1, 2, …, with
/// --value-prefix 7 they are 7.0, 7.1, 7.2, … Nothing is sent again (retries=0) unless the configuration says so. Settings of the
/// configuration override those of flags. SIGTERM and Ctrl-C stop it: what was sent is delivered, then the last two lines are printed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  milena verifiable-producer --bootstrap-server localhost:9092 --topic numbers --max-messages 3 --acks -1

Lines: startup_complete, then producer_send_success or producer_send_error for each number, then shutdown_complete and tool_data. The
offset is -1 with --acks 0. The exception is the class that Java's producer would name, the message is milena's own.

Exit codes: 0 also if numbers were not delivered, 2 arguments are wrong, 130 stopped by a signal.")]
pub(crate) struct Args {
    /// Topic to send to
    #[arg(long)]
    topic: String,

    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: String,

    /// How many numbers to send; -1 for as many as it can until it is stopped
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i32,

    /// Numbers a second; -1 for no limit
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    throughput: i32,

    /// Which acknowledgement to wait for: 0, 1 or -1 (all)
    #[arg(long, value_name = "ACKS", default_value = "-1", allow_negative_numbers = true, value_parser = ["0", "1", "-1"])]
    acks: String,

    /// File of producer settings in the form of Java's .properties
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Deprecated: use --command-config
    #[arg(long = "producer.config", value_name = "PATH", conflicts_with = "command_config")]
    producer_config: Option<PathBuf>,

    /// Timestamp of the first record in milliseconds since 1970; the others are later by the time that has passed. -1 for the time
    /// of sending
    #[arg(long, value_name = "MS", default_value_t = -1, allow_negative_numbers = true)]
    message_create_time: i64,

    /// A number before each value, with a dot between them
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    value_prefix: Option<i32>,

    /// Keys 0 up to this number, without it, again and again; by default there are no keys
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    repeating_keys: Option<i32>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    warn_of_deprecated(&[("--producer.config", "--command-config", args.producer_config.is_some())]);
    let settings = args.settings()?;
    let has_offsets = value(&settings, "acks").map(str::trim) != Some("0");
    let producer = Producer::from_properties(settings).await?;
    let state = Arc::new(State { has_offsets, ..State::default() });
    let stopping = Arc::clone(&state);
    let listening = tokio::spawn(async move {
        interrupt.next().await;
        stopping.stopped.store(true, Relaxed);
        stopping.stop.notify_one();
        // A second signal gives up what is in flight.
        interrupt.next().await;
    });
    let started = Instant::now();
    print(&events::Plain::new("startup_complete"));
    let sent = args.send(&producer, &state).await;
    let given_up = state.stopped.load(Relaxed).then_some(listening);
    close(&producer, given_up).await;
    print(&events::Plain::new("shutdown_complete"));
    let acked = state.acked.load(Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    print(&events::ToolData::new(sent, acked, args.throughput, acked as f64 / seconds));
    Ok(if state.stopped.load(Relaxed) { Exit::Interrupted } else { Exit::Good })
}

/// Delivers what was sent, unless a second signal comes.
async fn close(producer: &Producer, second: Option<tokio::task::JoinHandle<()>>) {
    let second = async {
        match second {
            Some(signal) => drop(signal.await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        closed = producer.close() => closed.err().into_iter().for_each(|error| to_stderr(&format!("warning: {error}"))),
        () = second => drop(producer.close_timeout(Duration::ZERO).await),
    }
}

/// What the loop shares with callbacks and with the task that waits for signals.
#[derive(Debug, Default)]
struct State {
    /// Whether brokers are asked for acknowledgements, so that there are offsets.
    has_offsets: bool,
    acked: AtomicU64,
    stopped: AtomicBool,
    stop: Notify,
}

impl Args {
    /// All settings. As in Java those of the file come last.
    fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let own = [("bootstrap.servers", &*self.bootstrap_server), ("acks", &self.acks), ("retries", "0")];
        let mut settings: Vec<_> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let file = self.command_config.as_deref().or(self.producer_config.as_deref());
        settings.extend(gathered(("--command-config", file), &[], &[])?);
        // As in Java, which does not warn of it either: whoever asks for no retries or fewer acknowledgements asks for no idempotence.
        let trimmed = |name| value(&settings, name).map(str::trim);
        let can_be_idempotent = trimmed("retries") != Some("0") && matches!(trimmed("acks"), Some("-1" | "all"));
        if !can_be_idempotent && trimmed("enable.idempotence").is_none() {
            settings.push(("enable.idempotence".to_owned(), "false".to_owned()));
        }
        Ok(settings)
    }

    /// Sends number after number until all are sent or it is stopped. Returns how many it has tried.
    async fn send(&self, producer: &Producer, state: &Arc<State>) -> u64 {
        let most = u64::try_from(self.max_messages).unwrap_or(u64::MAX);
        let (started, mut create_time) = (now_ms(), self.message_create_time);
        let began = Instant::now();
        for number in 0..most {
            if state.stopped.load(Relaxed) {
                return number;
            }
            let sent = Sent::new(&self.topic, self.key(number), self.value(number));
            let timestamp = (self.message_create_time != -1).then_some(create_time);
            self.send_one(producer, state, sent, timestamp).await;
            create_time = create_time.saturating_add(now_ms() - started);
            self.pace(began, number, state);
        }
        most
    }

    /// Hands one record over, and has its outcome printed.
    async fn send_one(&self, producer: &Producer, state: &Arc<State>, sent: Sent, timestamp: Option<i64>) {
        let sent = Arc::new(sent);
        let (told, acked) = (Arc::clone(&sent), Arc::clone(state));
        let told = move |outcome: Result<Ack, DeliveryError>| match outcome {
            Ok(ack) => {
                acked.acked.fetch_add(1, Relaxed);
                print(&told.success(&ack, acked.has_offsets));
            }
            Err(error) => print(&told.error(&of_delivery(&error), &error.to_string())),
        };
        let mut record = Record::to(&self.topic).value(sent.value.as_str());
        if let Some(key) = &sent.key {
            record = record.key(key.as_str());
        }
        if let Some(timestamp) = timestamp {
            record = record.timestamp(timestamp);
        }
        let accepted = tokio::select! {
            biased;
            accepted = producer.send_with(record, told) => accepted,
            () = state.stop.notified() => {
                return print(&sent.error(CLOSED_WHILE_SENDING, "the producer was closed while the record waited to be accepted"));
            }
        };
        if let Err(error) = accepted {
            print(&sent.error(&of_send(&error), &error.to_string()));
        }
    }

    /// Waits until the next number is due.
    fn pace(&self, began: Instant, number: u64, state: &State) {
        if self.throughput <= 0 {
            return;
        }
        let after = Duration::from_secs_f64((number + 1) as f64 / f64::from(self.throughput));
        doze_until(began + after, &state.stopped);
    }

    fn key(&self, number: u64) -> Option<String> {
        self.repeating_keys.map(|keys| (number % u64::from(keys.unsigned_abs())).to_string())
    }

    fn value(&self, number: u64) -> String {
        self.value_prefix.map_or_else(|| number.to_string(), |prefix| format!("{prefix}.{number}"))
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(more: &[&str]) -> Args {
        let least = ["verifiable-producer", "--topic", "t", "--bootstrap-server", "h:1"];
        Command::parse_from(least.iter().chain(more)).args
    }

    #[test]
    fn keys_begin_again_and_values_have_the_prefix() {
        let plain = args(&[]);
        assert_eq!((plain.key(3), plain.value(3)), (None, "3".to_owned()));
        let both = args(&["--repeating-keys", "2", "--value-prefix", "7"]);
        let made: Vec<_> = (0..3).map(|number| (both.key(number).unwrap(), both.value(number))).collect();
        assert_eq!(made, [("0", "7.0"), ("1", "7.1"), ("0", "7.2")].map(|(key, value)| (key.into(), value.into())));
    }

    #[test]
    fn nothing_is_sent_again_unless_the_file_says_so() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let without = pair("enable.idempotence", "false");
        let expected = [pair("bootstrap.servers", "h:1"), pair("acks", "-1"), pair("retries", "0"), without.clone()];
        assert_eq!(args(&[]).settings().unwrap(), expected);
        let file = std::env::temp_dir().join(format!("milena-verifiable-{}", std::process::id()));
        let with_file = |text: &str| {
            std::fs::write(&file, text).unwrap();
            args(&["--acks", "0", "--command-config", file.to_str().unwrap()]).settings().unwrap().split_off(3)
        };
        assert_eq!(with_file("retries=5\nacks=1"), [pair("retries", "5"), pair("acks", "1"), without]);
        assert_eq!(with_file("retries=5\nacks=all"), [pair("retries", "5"), pair("acks", "all")]);
        assert_eq!(with_file("enable.idempotence=true"), [pair("enable.idempotence", "true")]);
        std::fs::remove_file(&file).unwrap();
    }
}

//! Sending with retries in the application: `sendWithAppRetry(record, maxAttempts = 3)`.
//!
//! In: nothing, or a cluster. Out: for each case a table of its attempts; twenty orders to a broker that fails at times; and
//! whether the attempts follow the policy and the topic holds the expected records.

mod cases;
mod judge;
mod senders;

use std::time::Duration;

use milena::{
    ErrorCode, Record,
    admin::Admin,
    broker::{Api, EmbeddedBroker, Fault},
};
use milena_resilience::retry::{Attempt, Delivered, Retry, RetryError, RetryPolicy};

use self::{
    cases::{Case, Cause, cases},
    judge::judge,
    senders::Senders,
};
use super::{
    checks::{self, Acked, Found, History, Sent, Verdict},
    conclude,
    duration::duration,
    orders::{ORDERS, Run, orders, prepare, read_back},
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    output, settings,
};

/// A budget that no case uses up: this lab does not show it.
const BUDGET: Duration = Duration::from_secs(24 * 60 * 60);
/// A little more than `max.request.size` allows.
const TOO_LARGE: usize = 1024 * 1024 + 1;

/// Send with retries in the application, and check the attempts
///
/// A retriable error is followed by a backoff (100 ms, 200 ms, 400 ms, ...) and another attempt. After the last attempt the record
/// fails with the list of all attempts. A record with a fatal error fails at once. A record that may have been written is sent
/// again only if the policy allows it, and then has the header possibleDuplicate. The producer's own retries are off here, so that
/// each attempt is one request.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up, with a broker that fails on command:
    milena lab retry
  Five attempts, waits with jitter:
    milena lab retry --max-attempts 5 --jitter 0.2
  What can be shown on a cluster that works: timeouts and the fatal errors of the producer's side
    milena lab retry --bootstrap-server localhost:9092

Exit codes: 0 every case ended as expected and every check holds, 1 a check failed, 2 arguments are wrong.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Topic to send to; created with 3 partitions if it does not exist
    #[arg(long, short, default_value = "orders")]
    topic: String,

    /// Most attempts for a record, the first one included
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..100))]
    max_attempts: u32,

    /// Backoff before the second attempt
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    backoff: Duration,

    /// Factor by which each backoff is longer than the one before
    #[arg(long, default_value_t = 2.0)]
    factor: f64,

    /// The longest backoff
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    max_backoff: Duration,

    /// Part of a backoff by which it is randomly longer or shorter, from 0 to 1
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    jitter: f64,
}

impl Args {
    fn policy(&self) -> RetryPolicy {
        RetryPolicy::new()
            .max_attempts(self.max_attempts)
            .backoff(self.backoff)
            .factor(self.factor)
            .max_backoff(self.max_backoff)
            .jitter(self.jitter)
            .budget(BUDGET)
    }
}

/// Runs the lab.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    following(args.policy(), row)?;
    let broker = EmbeddedBroker::builder().auto_create(false);
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), broker).await?;
    let verdicts = run_on(&cluster, &args).await;
    cluster.close().await;
    to_stdout("");
    Ok(conclude(&verdicts?))
}

async fn run_on(cluster: &Cluster, args: &Args) -> Result<Vec<Verdict>, CliError> {
    let mut admin = Admin::connect(cluster.bootstrap()).await?;
    let ends = prepare(&mut admin, &args.topic, -1, &[]).await?;
    let senders = Senders::start(cluster.bootstrap()).await?;
    let cases = possible(cases(&args.topic, &args.policy(), args.max_attempts), cluster);
    let run = Run::new(ORDERS + cases.len());
    let mut ended = Vec::new();
    for (case, number) in cases.into_iter().zip(ORDERS..) {
        let outcome = play(&case, number, &run, cluster, &senders, &args.topic).await?;
        ended.push((case, number, outcome));
    }
    let (sent, acked, retries) = twenty(&run, cluster, &senders, args).await?;
    senders.close().await;
    let records = read_back(&mut admin, &args.topic, &ends).await?;
    let mut verdicts = Vec::new();
    for (case, number, outcome) in &ended {
        let copies: Vec<_> = records.iter().filter(|record| run.number(record) == Some(*number)).collect();
        verdicts.push(judge(case, outcome, &copies));
    }
    if cluster.embedded().is_some() {
        let result = if retries > 0 { Ok(()) } else { Err("no attempt failed".into()) };
        verdicts.push(Verdict { claim: "the twenty orders met failures on their way".into(), result });
    }
    let found: Vec<Found> = records.into_iter().map(|record| run.found(record)).collect();
    let found = found.into_iter().filter(|found| found.number.is_none_or(|number| number < ORDERS)).collect();
    verdicts.extend(checks::check(&History { sent, acked, found }));
    Ok(verdicts)
}

/// The cases that can run on this cluster. Prints the names of those that are left out.
fn possible(cases: Vec<Case>, cluster: &Cluster) -> Vec<Case> {
    if cluster.embedded().is_some() {
        return cases;
    }
    let (left_out, possible): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.cause.needs_embedded());
    let names =
        left_out.iter().map(|case| &*case.name).chain(["a broker that fails now and then while twenty orders go out"]);
    let names: Vec<_> = names.map(|name| format!("\n  - {name}")).collect();
    to_stdout(&format!(
        "left out, because only the embedded broker fails on command (run without --bootstrap-server):{}",
        names.concat()
    ));
    possible
}

/// A retrying sender with this policy that prints each failed attempt.
fn following(policy: RetryPolicy, print: fn(&Attempt) -> String) -> Result<Retry, CliError> {
    let retry = Retry::new(policy).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(retry.observed_by(move |attempt, _| to_stdout(&print(attempt))))
}

type Ended = Result<Delivered, RetryError>;

/// Sends the record of one case, with its cause of failure in place.
async fn play(
    case: &Case,
    number: usize,
    run: &Run,
    cluster: &Cluster,
    senders: &Senders,
    topic: &str,
) -> Result<Ended, CliError> {
    to_stdout(&format!("\n{}\n{HEAD}", case.name));
    if let (Cause::Broker(fault), Some(broker)) = (&case.cause, cluster.embedded()) {
        broker.inject(fault.clone());
    }
    let nowhere = format!("{topic}-nowhere");
    let (topic, value) = match case.cause {
        Cause::NoTopic => (&*nowhere, b"nine".to_vec()),
        Cause::Name => ("no topic!", b"nine".to_vec()),
        Cause::Value => (topic, vec![0xff, 0xfe]),
        Cause::Size => (topic, vec![b'9'; TOO_LARGE]),
        Cause::None | Cause::Broker(_) | Cause::NoBroker => (topic, b"nine".to_vec()),
    };
    let record = run.tag(Record::to(topic).key("user-1").value(&value), number);
    let retry = following(case.policy.clone(), row)?;
    let ended = senders.send(&retry, &case.cause, record).await?;
    cluster.embedded().into_iter().for_each(EmbeddedBroker::heal);
    match &ended {
        Ok(delivered) => to_stdout(&last_row(delivered)),
        Err(error) => to_stdout(&format!("given up: {} ({})", error.gave_up(), error.persisted())),
    }
    Ok(ended)
}

/// Sends the twenty orders to a broker that fails at times. Returns also the number of failed attempts.
async fn twenty(
    run: &Run,
    cluster: &Cluster,
    senders: &Senders,
    args: &Args,
) -> Result<(Vec<Sent>, Vec<Acked>, usize), CliError> {
    to_stdout(match cluster.embedded() {
        Some(_) => "\ntwenty orders, and a broker that fails now and then",
        None => "\ntwenty orders",
    });
    if let Some(broker) = cluster.embedded() {
        let fails =
            |after| Fault::error(ErrorCode::NOT_ENOUGH_REPLICAS).on(Api::Produce).at_topic(&args.topic).after(after);
        for after in [3, 9, 16] {
            broker.inject(fails(after));
        }
    }
    let (sent, retry) = (
        orders(),
        following(args.policy().max_attempts(args.max_attempts.max(2)), |failed| format!("          {failed}"))?,
    );
    let (mut acked, mut retries) = (Vec::new(), 0);
    for (number, order) in sent.iter().enumerate() {
        let name = format!("order {:>2} {}", number + 1, order.key);
        let record = run.tag(Record::to(&args.topic).key(&order.key).value(&order.value), number);
        match senders.send(&retry, &Cause::None, record).await? {
            Ok(Delivered { ack, tried, .. }) => {
                retries += tried.len();
                to_stdout(&format!("{name}  {} attempts={}", output::place(&ack), tried.len() + 1));
                acked.push(Acked { number, partition: ack.partition(), offset: ack.offset() });
            }
            Err(error) => to_stdout(&format!("{name}  {}", output::printable(error.to_string().as_bytes()))),
        }
    }
    Ok((sent, acked, retries))
}

const HEAD: &str = "  attempt     began    waited      took  outcome";

fn row(attempt: &Attempt) -> String {
    let Attempt { number, waited, at, took, failure } = attempt;
    let outcome = format!("{} {}, {}", failure.type_name(), failure.code(), failure.persisted());
    table_row(*number, *at, *waited, &output::elapsed(*took), &outcome)
}

fn last_row(delivered: &Delivered) -> String {
    let number = u32::try_from(delivered.tried.len()).unwrap_or(u32::MAX).saturating_add(1);
    table_row(number, delivered.at, delivered.waited, "", &format!("delivered: {}", output::place(&delivered.ack)))
}

fn table_row(number: u32, at: Duration, waited: Duration, took: &str, outcome: &str) -> String {
    let waited = if waited.is_zero() { "-".to_owned() } else { output::elapsed(waited) };
    format!("{number:>9}  {:>8}  {waited:>8}  {took:>8}  {outcome}", output::elapsed(at))
}

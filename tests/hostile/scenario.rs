//! The scenario of every case. A producer receives false responses, and its outcomes are judged. Then all responses are correct,
//! and the same producer must deliver.
//!
//! In: a [`Case`]. Out: nothing, or a panic that names the case. The broker's log decides: an acknowledged record must be in it
//! once, at the acknowledged offset; a record reported as not written must not be in it; a record with an unknown outcome at most
//! once. Nothing here asserts a duration. The number of connections and requests is compared with the elapsed time, which checks
//! the backoff.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use milena::{DeliveryError, FailureKind, Persisted, Producer, Record, SendError, broker::EmbeddedBroker};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    HANG,
    proxy::{Dialect, Proxy, Reply, Rule},
    responses::{PARTITIONS, Request, TOPIC},
};

/// The number of cases that run concurrently.
const AT_ONCE: usize = 16;
/// How many records are sent until one has the expected outcome: on a busy machine a record can expire before the false response.
const TRIES: usize = 10;
/// The backoff of connections and of requests.
const BACKOFF: Duration = Duration::from_millis(10);
/// The shortest backoff with jitter.
const SHORTEST: Duration = Duration::from_millis(8);

/// The expected result of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// `send` fails with all these words in the error.
    Unsent(&'static [&'static str]),
    /// The record is accepted, and fails with all these words in the error.
    Fails(FailureKind, Persisted, &'static [&'static str]),
    /// The record is delivered, and acknowledged with its offset.
    Delivered,
    /// The record is delivered, and acknowledged without an offset.
    Somewhere,
}

/// How many responses are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Never,
    Once,
    Always,
}

/// A rule for replies, and the expected result.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) rule: Rule,
    pub(crate) times: Times,
    pub(crate) expect: Expect,
    /// Whether the producer must end a connection after such a reply.
    pub(crate) closes: bool,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        dialect: Dialect,
        api: i16,
        reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        (times, expect, closes): (Times, Expect, bool),
    ) -> Self {
        Self { name: name.into(), dialect, rule: Rule { api, reply: Box::new(reply) }, times, expect, closes }
    }
}

/// Runs all cases, and fails with the names of those that failed.
pub(crate) async fn run_all(cases: Vec<Case>) {
    let (mut running, mut failed) = (JoinSet::new(), Vec::new());
    for case in cases {
        if running.len() == AT_ONCE {
            failed.extend(running.join_next().await.and_then(Result::ok).flatten());
        }
        // Each case is a separate task, so that a panic does not end the others.
        running.spawn(async {
            let name = case.name.clone();
            tokio::spawn(async { tokio::time::timeout(HANG, run(case)).await.expect("the case hangs") })
                .await
                .err()
                .map(|error| format!("{name}: {}", why(error)))
        });
    }
    failed.extend(running.join_all().await.into_iter().flatten());
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

fn why(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

/// The outcome of a record: its offset if it was delivered, else whether it may have been written.
type Outcome = Result<Option<i64>, Persisted>;

async fn run(case: Case) {
    let broker = EmbeddedBroker::builder().topic(TOPIC, 3).auto_create(false).start().await.unwrap();
    assert_eq!(PARTITIONS, 3);
    let Case { dialect, rule, times, expect, closes, .. } = case;
    let how_often = [(Times::Never, 0), (Times::Once, 1), (Times::Always, usize::MAX)];
    let how_often = how_often.iter().find(|(named, _)| *named == times).map_or(0, |(_, often)| *often);
    let proxy = Proxy::start(broker.port(1).unwrap(), dialect, Some(rule), how_often).await;
    let since = Instant::now();
    let producer = producer(&proxy, matches!(expect, Expect::Delivered | Expect::Somewhere)).await;
    let mut history = send_until_expected(&producer, &proxy, times, expect).await;
    assert_no_spin(&proxy, since.elapsed());
    proxy.pass_through();
    history.extend(send_until_delivered(&producer).await);
    while closes && !proxy.has_ended_affected() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_no_spin(&proxy, since.elapsed());
    producer.close().await.unwrap();
    assert_true(&broker, &history);
}

/// A producer with short backoffs, so that a case is over soon. Timeouts are long only if records must be delivered.
async fn producer(proxy: &Proxy, is_patient: bool) -> Producer {
    let (request, delivery) = if is_patient { (500, 30_000) } else { (200, 500) };
    let (request, delivery) = (Duration::from_millis(request), Duration::from_millis(delivery));
    let builder = Producer::builder(&proxy.address.to_string()).linger(Duration::ZERO);
    let builder = builder.retry_backoff(BACKOFF, BACKOFF * 2).reconnect_backoff(BACKOFF, BACKOFF * 2);
    // Without a reachable broker the producer connects to bootstrap.servers again; by default after five minutes.
    let builder = builder.rebootstrap_after(Some(Duration::from_millis(300)));
    builder.request_timeout(request).delivery_timeout(delivery).max_block(delivery).build().await.unwrap()
}

/// Sends records until one has the expected outcome.
async fn send_until_expected(
    producer: &Producer,
    proxy: &Proxy,
    times: Times,
    expect: Expect,
) -> Vec<(String, Outcome)> {
    let (mut history, mut got) = (Vec::new(), String::new());
    for number in 0..TRIES {
        let value = format!("false {number}");
        let outcome = send(producer, &value).await;
        got = format!("{outcome:?}");
        let as_expected = match (&outcome, expect) {
            (Err(Sent::Refused(error)), Expect::Unsent(words)) => has(error, words),
            (Err(Sent::Failed(error)), Expect::Fails(kind, persisted, words)) => {
                (error.kind(), error.persisted()) == (kind, persisted) && has(error, words)
            }
            (Ok(offset), Expect::Delivered | Expect::Somewhere) => {
                assert_eq!(offset.is_some(), matches!(expect, Expect::Delivered), "{got}");
                true
            }
            (Ok(_), _) => panic!("expected {expect:?}, got a success: {got}"),
            (Err(_), _) => false,
        };
        history.push((value, outcome.map_err(|error| error.persisted())));
        if as_expected && (proxy.replaced() > 0 || times == Times::Never) {
            return history;
        }
        sleep(BACKOFF).await;
    }
    panic!("expected {expect:?} after {} false responses, got {got}", proxy.replaced());
}

/// Sends records until one is delivered. The first may expire while the producer is still in backoff.
async fn send_until_delivered(producer: &Producer) -> Vec<(String, Outcome)> {
    let mut history = Vec::new();
    while history.last().is_none_or(|(_, outcome): &(_, Outcome)| outcome.is_err()) {
        let value = format!("correct {}", history.len());
        let outcome = send(producer, &value).await.map_err(|error| error.persisted());
        history.push((value, outcome));
        // A refusal is immediate, and each send may request metadata, so the loop must not spin.
        sleep(BACKOFF).await;
    }
    history
}

/// Why a record was not delivered.
#[derive(Debug)]
enum Sent {
    Refused(SendError),
    Failed(DeliveryError),
}

impl Sent {
    fn persisted(&self) -> Persisted {
        match self {
            Self::Refused(error) => error.persisted(),
            Self::Failed(error) => error.persisted(),
        }
    }
}

async fn send(producer: &Producer, value: &str) -> Result<Option<i64>, Sent> {
    let delivery = producer.send(Record::to(TOPIC).partition(0).value(value)).await.map_err(Sent::Refused)?;
    delivery.await.map(|ack| ack.offset()).map_err(Sent::Failed)
}

fn has(error: &(impl ToString + Debug), words: &[&str]) -> bool {
    let text = error.to_string();
    words.iter().all(|word| text.contains(word))
}

/// Asserts that the backoff allows this number of connections and requests in the elapsed time. The producer connects to two nodes
/// (the bootstrap server and node 1 are the same broker), and repeats requests of three APIs on each connection.
fn assert_no_spin(proxy: &Proxy, elapsed: Duration) {
    let rounds = usize::try_from(elapsed.as_millis() / SHORTEST.as_millis()).unwrap() + 1;
    let (connections, requests) = (proxy.connections(), proxy.requests());
    assert!(connections <= 2 * (rounds + 1), "{connections} connections in {elapsed:?}");
    assert!(requests <= 4 * connections + 4 * (rounds + 1), "{requests} requests in {elapsed:?}");
}

fn assert_true(broker: &EmbeddedBroker, history: &[(String, Outcome)]) {
    let log = broker.log(TOPIC, 0);
    for (value, outcome) in history {
        let standing = log.iter().filter(|record| record.value.as_deref() == Some(value.as_bytes()));
        let offsets: Vec<_> = standing.map(|record| record.offset).collect();
        let is_true = match outcome {
            Ok(Some(offset)) => offsets == [*offset],
            Ok(None) => offsets.len() == 1,
            Err(Persisted::No) => offsets.is_empty(),
            Err(Persisted::Unknown) => offsets.len() <= 1,
        };
        assert!(is_true, "{value:?} has the outcome {outcome:?}, but its offsets in the log are {offsets:?}");
    }
}

//! The scenario of every lie. A producer gets the lie, and its outcomes are judged. Then the broker tells the truth,
//! and the same producer must deliver.
//!
//! In: a [`Case`]. Out: nothing, or a panic that names the case. The honest broker's log decides: an acknowledged
//! record is there once, at the acknowledged offset; a record that was reported as not written is not there; one with
//! an unknown outcome is there at most once. Nothing here asserts a duration. The number of connections and requests is
//! compared with the time that has passed, which checks the backoff.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use milena::{DeliveryError, FailureKind, Persisted, Producer, Record, SendError, broker::EmbeddedBroker};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    HANG,
    liar::{Dialect, Liar, Lie, Told},
    responses::{Asked, PARTITIONS, TOPIC},
};

/// Cases that run side by side.
const AT_ONCE: usize = 16;
/// How often the outcome may be another than the one expected: on a busy machine time can run out before the lie is told.
const TRIES: usize = 10;
/// The backoff between attempts, of connections as of requests.
const BACKOFF: Duration = Duration::from_millis(10);
/// What jitter leaves of it.
const SHORTEST: Duration = Duration::from_millis(8);

/// What is to come of a lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// `send` fails, with all these words.
    Unsent(&'static [&'static str]),
    /// The record is accepted and fails so, with all these words.
    Fails(FailureKind, Persisted, &'static [&'static str]),
    /// The record is delivered, at the offset where it stands.
    Delivered,
    /// The record is delivered, and no offset is told.
    Somewhere,
}

/// How often it is lied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Never,
    Once,
    Always,
}

/// A lie, and what is to come of it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) lie: Lie,
    pub(crate) times: Times,
    pub(crate) expect: Expect,
    /// Whether the producer must end a connection on which it was told this.
    pub(crate) closes: bool,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        dialect: Dialect,
        api: i16,
        tell: impl Fn(&Asked) -> Told + Send + Sync + 'static,
        (times, expect, closes): (Times, Expect, bool),
    ) -> Self {
        Self { name: name.into(), dialect, lie: Lie { api, tell: Box::new(tell) }, times, expect, closes }
    }
}

/// Runs all cases, and fails with the names of those that failed.
pub(crate) async fn run_all(cases: Vec<Case>) {
    let (mut running, mut failed) = (JoinSet::new(), Vec::new());
    for case in cases {
        if running.len() == AT_ONCE {
            failed.extend(running.join_next().await.and_then(Result::ok).flatten());
        }
        // A task of its own each, so that one that panics does not end the others.
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

/// A record that was handed over, and what the producer said of it.
type Outcome = Result<Option<i64>, Persisted>;

async fn run(case: Case) {
    let broker = EmbeddedBroker::builder().topic(TOPIC, 3).auto_create(false).start().await.unwrap();
    assert_eq!(PARTITIONS, 3);
    let Case { dialect, lie, times, expect, closes, .. } = case;
    let how_often = [(Times::Never, 0), (Times::Once, 1), (Times::Always, usize::MAX)];
    let how_often = how_often.iter().find(|(named, _)| *named == times).map_or(0, |(_, often)| *often);
    let liar = Liar::start(broker.port(1).unwrap(), dialect, Some(lie), how_often).await;
    let since = Instant::now();
    let producer = producer(&liar, matches!(expect, Expect::Delivered | Expect::Somewhere)).await;
    let mut history = be_lied_to(&producer, &liar, times, expect).await;
    assert_no_spin(&liar, since.elapsed());
    liar.repent();
    history.extend(be_told_the_truth(&producer).await);
    while closes && !liar.is_shunned() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_no_spin(&liar, since.elapsed());
    producer.close().await.unwrap();
    assert_true(&broker, &history);
}

/// A producer with backoffs so short that a case is over soon, and with patience only where records are to arrive.
async fn producer(liar: &Liar, is_patient: bool) -> Producer {
    let (request, delivery) = if is_patient { (500, 30_000) } else { (200, 500) };
    let (request, delivery) = (Duration::from_millis(request), Duration::from_millis(delivery));
    let builder = Producer::builder(&liar.address.to_string()).linger(Duration::ZERO);
    let builder = builder.retry_backoff(BACKOFF, BACKOFF * 2).reconnect_backoff(BACKOFF, BACKOFF * 2);
    // A producer whose brokers are all somewhere else starts again from bootstrap.servers; by default after five minutes.
    let builder = builder.rebootstrap_after(Some(Duration::from_millis(300)));
    builder.request_timeout(request).delivery_timeout(delivery).max_block(delivery).build().await.unwrap()
}

/// Sends until what is expected has come.
async fn be_lied_to(producer: &Producer, liar: &Liar, times: Times, expect: Expect) -> Vec<(String, Outcome)> {
    let (mut history, mut said) = (Vec::new(), String::new());
    for number in 0..TRIES {
        let value = format!("lie {number}");
        let outcome = send(producer, &value).await;
        said = format!("{outcome:?}");
        let as_expected = match (&outcome, expect) {
            (Err(Sent::Refused(error)), Expect::Unsent(words)) => has(error, words),
            (Err(Sent::Failed(error)), Expect::Fails(kind, persisted, words)) => {
                (error.kind(), error.persisted()) == (kind, persisted) && has(error, words)
            }
            (Ok(offset), Expect::Delivered | Expect::Somewhere) => {
                assert_eq!(offset.is_some(), matches!(expect, Expect::Delivered), "{said}");
                true
            }
            (Ok(_), _) => panic!("taken for a success: {said}"),
            (Err(_), _) => false,
        };
        history.push((value, outcome.map_err(|error| error.persisted())));
        if as_expected && (liar.told() > 0 || times == Times::Never) {
            return history;
        }
        sleep(BACKOFF).await;
    }
    panic!("expected {expect:?} after {} lies, got {said}", liar.told());
}

/// Sends until a record arrives. It may take some: the first have little time, and the producer may still be backing off.
async fn be_told_the_truth(producer: &Producer) -> Vec<(String, Outcome)> {
    let mut history = Vec::new();
    while history.last().is_none_or(|(_, outcome): &(_, Outcome)| outcome.is_err()) {
        let value = format!("truth {}", history.len());
        let outcome = send(producer, &value).await.map_err(|error| error.persisted());
        history.push((value, outcome));
        // A refusal comes at once, and whoever sends again and again has the producer ask again and again.
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

/// The number of connections and of requests is what backing off allows in that time. Two nodes are connected to (the
/// bootstrap server and node 1 are the same broker), and on each connection three kinds of requests repeat.
fn assert_no_spin(liar: &Liar, elapsed: Duration) {
    let rounds = usize::try_from(elapsed.as_millis() / SHORTEST.as_millis()).unwrap() + 1;
    let (connections, requests) = (liar.connections(), liar.requests());
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
        assert!(is_true, "{value:?} was told to be {outcome:?} and stands at {offsets:?}");
    }
}

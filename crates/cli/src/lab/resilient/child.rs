//! The process that publishes, and how the lab starts and kills it.
//!
//! In: an [`Order`]. Out: one line for each event, and the state each 200 ms. Its stdin tells it to stop: when that is closed, it publishes nothing
//! new, waits until the store is empty, and ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{self, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use milena::Producer;
use milena_resilience::{
    breaker::{BreakerConfig, BreakerState},
    event::EventId,
    publisher::{Publication, PublishError, ResilientPublisher},
    relay::{RelayConfig, Schedule},
    store::NewEvent,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    console::to_stdout,
    exit::{CliError, Exit},
    store,
};

/// How many users there are; each has its key.
const USERS: u64 = 5;
/// Larger than the topic takes.
const POISON_BYTES: usize = 20_000;
/// Lines that have not been read.
const LINES: usize = 10_000;

/// What the process is to do.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    /// The address of the store.
    pub(super) store: String,
    pub(super) rate: u32,
    pub(super) faster: u32,
    /// The first event's number.
    pub(super) from: u64,
    /// Whether one event is too large, once the breaker is open.
    pub(super) poison: bool,
}

/// The process, from outside.
pub(super) struct Child {
    process: process::Child,
    pub(super) lines: Lines,
}

/// The lines of the process.
pub(super) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(super) async fn recv(&mut self) -> Option<String> {
        self.0.recv().await
    }

    /// The next line of a process that has ended.
    pub(super) fn blocking_next(&mut self) -> Option<String> {
        tokio::task::block_in_place(|| self.0.blocking_recv())
    }
}

impl Child {
    /// Starts this binary again.
    pub(super) fn start(order: &Order) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::Failed(format!("cannot start the publishing process: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["lab", "resilient", "--bootstrap-server", &order.bootstrap, "--topic", &order.topic]);
        command.args([
            "--store",
            &order.store,
            "--rate",
            &order.rate.to_string(),
            "--faster",
            &order.faster.to_string(),
        ]);
        command.args(["--publish-from", &order.from.to_string()]);
        if order.poison {
            command.arg("--poison");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (sender, receiver) = mpsc::channel(LINES);
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { process, lines: Lines(receiver) })
    }

    /// Kills it: it cannot do anything about that.
    pub(super) fn kill(&mut self) -> Result<(), CliError> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(drop).map_err(|error| CliError::Failed(format!("cannot kill the publishing process: {error}")))
    }

    /// Has it publish what is stored, and end.
    pub(super) fn stop(&mut self) {
        drop(self.process.stdin.take());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The process, from inside.
pub(super) async fn publish(order: &Order) -> Result<Exit, CliError> {
    let publisher = publisher(order).await?;
    let (mut ticks, mut states) = (interval(Duration::from_secs(1) / order.rate), interval(Duration::from_millis(200)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stopped = stdin_is_closed();
    let (mut number, mut needs_poison, mut events) = (order.from, order.poison, JoinSet::new());
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let is_poison = needs_poison && publisher.breaker().state() == BreakerState::Open;
                needs_poison &= !is_poison;
                if is_poison {
                    to_stdout(&format!("poison {number}"));
                }
                // The order of events is that of these calls.
                let handle = publisher.publish_async(event(&order.topic, number, is_poison));
                events.spawn(async move { (number, handle.await) });
                number += 1;
            }
            _ = states.tick() => tell_state(&publisher).await,
            Some(Ok((number, Ok(result)))) = events.join_next() => tell(number, &result),
            _ = stopped.recv() => break,
        }
    }
    while let Some(ended) = events.join_next().await {
        if let Ok((number, Ok(result))) = ended {
            tell(number, &result);
        }
    }
    while publisher.retry_stats().await.is_ok_and(|stats| stats.unsettled() > 0) {
        sleep(Duration::from_millis(100)).await;
        tell_state(&publisher).await;
    }
    publisher.close().await;
    to_stdout("done");
    Ok(Exit::Good)
}

async fn publisher(order: &Order) -> Result<ResilientPublisher, CliError> {
    let failed = |error: String| CliError::Failed(format!("the publishing process cannot start: {error}"));
    let ms = Duration::from_millis;
    let builder = Producer::builder(&order.bootstrap).linger(ms(0)).max_block(ms(1_000));
    let producer = builder.request_timeout(ms(500)).delivery_timeout(ms(1_000)).build().await?;
    let store = store::open_for_lab(&order.store).await?;
    let breaker = BreakerConfig::consecutive_failures(5).wait_duration_in_open_state(ms(1_000));
    let relay =
        RelayConfig::default().lease(ms(2_000)).interval(ms(1_000)).schedule(Schedule::default().faster(order.faster));
    let builder = ResilientPublisher::builder(Arc::new(producer), Arc::from(store)).breaker(breaker).relay(relay);
    builder.start().await.map_err(|error| failed(error.to_string()))
}

fn event(topic: &str, number: u64, is_poison: bool) -> NewEvent {
    let padding = if is_poison { "x".repeat(POISON_BYTES) } else { String::new() };
    let value = serde_json::json!({ "event": number, "padding": padding }).to_string();
    let id = EventId::new();
    NewEvent::new(id, topic, value).key(format!("user-{}", number % USERS)).header("eventId", id.to_string())
}

fn tell(number: u64, result: &Result<Publication, PublishError>) {
    let word = match result {
        Ok(Publication::Published { .. }) => "published",
        Ok(Publication::Stored { .. }) => "stored",
        Err(_) => "returned",
    };
    to_stdout(&format!("{word} {number}"));
}

async fn tell_state(publisher: &ResilientPublisher) {
    let (breaker, relay) = (publisher.publisher_stats().breaker.state, publisher.relay_stats());
    let waiting = publisher.retry_stats().await.map_or(0, |stats| stats.unsettled());
    let (drained, dead) = (relay.resolved, relay.dead_lettered);
    to_stdout(&format!("state {breaker}  stored {waiting}  drained {drained}  dead letters {dead}"));
}

/// Tells when stdin is closed.
fn stdin_is_closed() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        // Whatever is said, its end counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.blocking_send(());
    });
    receiver
}

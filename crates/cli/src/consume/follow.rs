//! `--follow`: reads the records that are appended after the command started, until it is ended.
//!
//! In: the position in each partition. Out: records as they arrive, and a message when brokers are unavailable. Does I/O. A
//! partition's position moves only past records that were printed, so an outage neither loses nor repeats a record.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use milena::admin::{Admin, AdminError, OffsetSpec};
use tokio::time::sleep;

use super::{outage::Outage, position::Position, printer::Printer};
use crate::exit::CliError;

/// How long the fetches of one round over all partitions may wait for records, in total.
const ROUND: Duration = Duration::from_millis(500);
/// The backoff after a round in which no fetch succeeded with records.
const PAUSE: Duration = Duration::from_millis(250);
const PACE: Pace = Pace { refresh: Duration::from_secs(3), grace: Duration::from_secs(1) };

/// The intervals of a follower.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How often metadata is requested for added partitions.
    refresh: Duration,
    /// How long an outage may last before it is reported.
    grace: Duration,
}

/// Which partitions are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) positions: Vec<Position>,
    /// Whether added partitions are followed as well.
    pub(super) all: bool,
}

/// Reads until the printer is full. `report` receives the messages for the user.
pub(super) async fn follow<W: Write>(
    admin: &mut Admin,
    followed: Followed,
    printer: &mut Printer<'_, W>,
    report: impl FnMut(&str),
) -> Result<(), CliError> {
    follow_at(PACE, admin, followed, printer, report).await
}

async fn follow_at<W: Write>(
    pace: Pace,
    admin: &mut Admin,
    mut followed: Followed,
    printer: &mut Printer<'_, W>,
    mut report: impl FnMut(&str),
) -> Result<(), CliError> {
    let (mut outage, mut refreshed) = (Outage::new(pace.grace), Instant::now());
    while !printer.full() {
        let mut round = Round::default();
        let share = ROUND / u32::try_from(followed.positions.len()).unwrap_or(u32::MAX).max(1);
        for position in &mut followed.positions {
            round.note(read_on(admin, position, share, printer).await)?;
        }
        printer.flush();
        if followed.all && round.responded && refreshed.elapsed() >= pace.refresh {
            round.note(add_new(admin, printer.topic, &mut followed.positions).await)?;
            refreshed = Instant::now();
        }
        if let Some(message) = outage.after_round(round.error.as_deref(), Instant::now()) {
            report(&message);
        }
        if round.error.is_some() && !round.moved {
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// The result of a round over all partitions.
#[derive(Debug, Default)]
struct Round {
    /// Whether a broker responded. If none did, requesting metadata for added partitions is of no use.
    responded: bool,
    /// Whether a position advanced, or a partition was added.
    moved: bool,
    /// The first retriable error.
    error: Option<String>,
}

impl Round {
    /// Returns an error that is not retriable.
    fn note(&mut self, done: Result<bool, AdminError>) -> Result<(), AdminError> {
        match done {
            Ok(moved) => (self.responded, self.moved) = (true, self.moved | moved),
            Err(error) if is_transient(&error) => {
                self.error.get_or_insert_with(|| error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether a retry may succeed. A broker that has just started may not know a topic yet.
fn is_transient(error: &AdminError) -> bool {
    let unknown = matches!(error, AdminError::UnknownTopic { .. } | AdminError::UnknownPartition { .. });
    error.retriable() || unknown
}

/// Adds partitions that were created meanwhile, from their beginning.
async fn add_new(admin: &mut Admin, topic: &str, positions: &mut Vec<Position>) -> Result<bool, AdminError> {
    let known = positions.iter().map(|position| position.partition + 1).max().unwrap_or(0);
    let count = admin.partitions(topic).await?;
    for partition in known..count {
        let next = admin.offsets(topic, partition, OffsetSpec::Earliest).await?;
        positions.push(Position { partition, next, end: next });
    }
    Ok(known < count)
}

/// Prints the records from a position on, and advances the position past them.
async fn read_on<W: Write>(
    admin: &mut Admin,
    position: &mut Position,
    wait: Duration,
    printer: &mut Printer<'_, W>,
) -> Result<bool, AdminError> {
    let fetched = admin.read_once(printer.topic, position.partition, position.next, wait).await?;
    let moved = fetched.next_offset > position.next;
    position.next = fetched.next_offset;
    let _ = fetched.records.iter().try_for_each(|record| printer.print(record));
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufWriter};

    use milena::{Producer, Record, broker::EmbeddedBroker};
    use tokio::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::output::Format;

    /// A test that waits longer than this has failed.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Sends each printed line to the test.
    struct Out(Sender<String>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            for line in str::from_utf8(bytes).unwrap().lines() {
                self.0.try_send(line.to_owned()).unwrap();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A follower of the topic `orders`, which has one partition at first.
    struct Follower {
        lines: Receiver<String>,
        reports: Receiver<String>,
        ended: tokio::task::JoinHandle<Result<(), CliError>>,
    }

    impl Follower {
        async fn start(broker: &EmbeddedBroker, max_messages: u64) -> Self {
            let mut admin = Admin::connect(&broker.bootstrap_servers()).await.unwrap();
            let (out, lines) = channel(100);
            let (reported, reports) = channel(100);
            let ended = tokio::spawn(async move {
                let (format, left, out) = (Format::Text, Some(max_messages), BufWriter::new(Out(out)));
                let mut printer = Printer { topic: "orders", format, safe: false, left, out };
                let pace = Pace { refresh: Duration::from_millis(20), grace: Duration::ZERO };
                let positions = vec![Position { partition: 0, next: 0, end: 0 }];
                let followed = Followed { positions, all: true };
                let report = |message: &str| reported.try_send(message.to_owned()).unwrap();
                follow_at(pace, &mut admin, followed, &mut printer, report).await
            });
            Self { lines, reports, ended }
        }

        /// The topic-partition and offset of the next record, and its value.
        async fn line(&mut self) -> (String, String) {
            let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await.unwrap().unwrap();
            let mut columns = line.split('\t');
            (columns.next().unwrap().to_owned(), columns.nth(2).unwrap().to_owned())
        }

        async fn report(&mut self) -> String {
            tokio::time::timeout(PATIENCE, self.reports.recv()).await.unwrap().unwrap()
        }

        /// Waits until `max_messages` records have been printed, and checks that no more follow.
        async fn end(mut self) {
            tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
            assert_eq!(self.lines.recv().await, None);
        }
    }

    async fn cluster(nodes: usize) -> EmbeddedBroker {
        EmbeddedBroker::builder().nodes(nodes).topic("orders", 1).start().await.unwrap()
    }

    async fn write(broker: &EmbeddedBroker, partition: i32, values: &[&str]) {
        let producer = Producer::from_properties([("bootstrap.servers", broker.bootstrap_servers())]).await.unwrap();
        for value in values {
            let sent = producer.send(Record::to("orders").partition(partition).value(*value)).await.unwrap();
            sent.await.unwrap();
        }
        producer.close().await.unwrap();
    }

    fn at(place: &str, value: &str) -> (String, String) {
        (place.into(), value.into())
    }

    #[tokio::test]
    async fn a_partition_that_is_added_is_read_from_its_beginning() {
        let broker = cluster(2).await;
        let mut follower = Follower::start(&broker, 3).await;
        write(&broker, 0, &["a"]).await;
        assert_eq!(follower.line().await, at("orders-0@0", "a"));
        broker.add_partitions("orders", 2).unwrap();
        write(&broker, 1, &["b", "c"]).await;
        assert_eq!(follower.line().await, at("orders-1@0", "b"));
        assert_eq!(follower.line().await, at("orders-1@1", "c"));
        follower.end().await;
    }

    #[tokio::test]
    async fn an_outage_of_a_broker_is_reported_and_each_record_is_read_once() {
        let broker = cluster(1).await;
        let mut follower = Follower::start(&broker, 4).await;
        for (place, value) in [("orders-0@0", "a"), ("orders-0@1", "b"), ("orders-0@2", "c")] {
            write(&broker, 0, &[value]).await;
            assert_eq!(follower.line().await, at(place, value));
            broker.stop_node(1).await;
            let report = follower.report().await;
            assert!(report.contains("trying on: "), "{report}");
            broker.restart_node(1).await.unwrap();
            let report = follower.report().await;
            assert!(report.starts_with("everything can be read again"), "{report}");
        }
        write(&broker, 0, &["d"]).await;
        assert_eq!(follower.line().await, at("orders-0@3", "d"));
        follower.end().await;
    }

    #[tokio::test]
    async fn a_leader_that_moves_is_followed_and_each_record_is_read_once() {
        let broker = cluster(3).await;
        let mut follower = Follower::start(&broker, 4).await;
        for (node, place, value) in
            [(2, "orders-0@0", "a"), (3, "orders-0@1", "b"), (1, "orders-0@2", "c"), (2, "orders-0@3", "d")]
        {
            broker.move_leader("orders", 0, node).unwrap();
            write(&broker, 0, &[value]).await;
            assert_eq!(follower.line().await, at(place, value));
        }
        follower.end().await;
    }

    #[tokio::test]
    async fn an_error_that_is_not_retriable_ends_the_follower() {
        let broker = cluster(1).await;
        write(&broker, 0, &["a", "b"]).await;
        let mut follower = Follower::start(&broker, 4).await;
        assert_eq!(follower.line().await.1, "a");
        assert_eq!(follower.line().await.1, "b");
        broker.truncate_log("orders", 0, 1).unwrap();
        let error = tokio::time::timeout(PATIENCE, follower.ended).await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains("OFFSET_OUT_OF_RANGE"), "{error}");
    }
}

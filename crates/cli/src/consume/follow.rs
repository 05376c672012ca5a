//! `--follow`: reads the records that are appended after the command started, until it is ended.
//!
//! In: the position in each partition. Out: records as they arrive, and a message when brokers are unavailable. Does I/O. A
//! partition's position moves only past records that were printed, so an outage neither loses nor repeats a record.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use milena::admin::{Admin, AdminError, ConsumedRecord, OffsetSpec};
use regex::Regex;
use tokio::time::sleep;

use super::{outage::Outage, position::Position};
use crate::exit::CliError;

/// How long the fetches of one round over all partitions may wait for records, in total.
const ROUND: Duration = Duration::from_millis(500);
/// The backoff after a round in which no fetch succeeded with records.
const PAUSE: Duration = Duration::from_millis(250);
/// Topics of the cluster itself, which no pattern means.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];
const PACE: Pace = Pace { refresh: Duration::from_secs(3), grace: Duration::from_secs(1) };

/// The intervals of a follower.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How often metadata is requested for added partitions.
    refresh: Duration,
    /// How long an outage may last before it is reported.
    grace: Duration,
}

/// Where records go.
pub(crate) trait Sink {
    /// Takes a record of a topic. Breaks when no further one is wanted.
    fn take(&mut self, topic: &str, record: &ConsumedRecord) -> ControlFlow<()>;

    /// Whether no further record is wanted.
    fn is_over(&self) -> bool;

    /// Passes on what it holds back.
    fn flush(&mut self);
}

/// Which partitions are followed.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) positions: Vec<Position>,
    pub(crate) added: Added,
}

/// Which partitions are followed as well once they are there.
#[derive(Clone, Debug)]
pub(crate) enum Added {
    None,
    /// Those of a topic.
    Of(String),
    /// Those of the topics with such a name.
    Matching(Regex),
}

/// Reads until the sink wants no more. `report` receives the messages for the user.
pub(crate) async fn follow(
    admin: &mut Admin,
    followed: Followed,
    sink: &mut impl Sink,
    report: impl FnMut(&str),
) -> Result<(), CliError> {
    follow_at(PACE, admin, followed, sink, report).await
}

async fn follow_at(
    pace: Pace,
    admin: &mut Admin,
    mut followed: Followed,
    sink: &mut impl Sink,
    mut report: impl FnMut(&str),
) -> Result<(), CliError> {
    let (mut outage, mut refreshed) = (Outage::new(pace.grace), Instant::now());
    while !sink.is_over() {
        let mut round = Round::default();
        let share = ROUND / u32::try_from(followed.positions.len()).unwrap_or(u32::MAX).max(1);
        for position in &mut followed.positions {
            round.note(read_on(admin, position, share, sink).await)?;
        }
        sink.flush();
        if (round.responded || followed.positions.is_empty()) && refreshed.elapsed() >= pace.refresh {
            round.note(followed.add_new(admin).await)?;
            refreshed = Instant::now();
        }
        if let Some(message) = outage.after_round(round.error.as_deref(), Instant::now()) {
            report(&message);
        }
        if (round.error.is_some() || followed.positions.is_empty()) && !round.moved {
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
            Err(error) if error.may_pass() => {
                self.error.get_or_insert_with(|| error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Added {
    /// The names of the topics that there are.
    pub(crate) async fn topics(&self, admin: &mut Admin) -> Result<Vec<String>, AdminError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Of(topic) => Ok(vec![topic.clone()]),
            Self::Matching(pattern) => {
                let topics = admin.topics().await?.into_iter();
                Ok(topics.filter(|topic| pattern.is_match(topic) && !INTERNAL.contains(&topic.as_str())).collect())
            }
        }
    }
}

impl Followed {
    /// Adds partitions that were created meanwhile, from their beginning. Returns whether there are any.
    async fn add_new(&mut self, admin: &mut Admin) -> Result<bool, AdminError> {
        let before = self.positions.len();
        for topic in self.added.topics(admin).await? {
            let of_topic = self.positions.iter().filter(|position| *position.topic == *topic);
            let known = of_topic.map(|position| position.partition + 1).max().unwrap_or(0);
            for partition in known..admin.partitions(&topic).await? {
                let next = admin.offsets(&topic, partition, OffsetSpec::Earliest).await?;
                self.positions.push(Position { topic: topic.as_str().into(), partition, next, end: next });
            }
        }
        Ok(self.positions.len() > before)
    }
}

/// Passes on the records from a position on, and advances the position past them.
async fn read_on(
    admin: &mut Admin,
    position: &mut Position,
    wait: Duration,
    sink: &mut impl Sink,
) -> Result<bool, AdminError> {
    let fetched = admin.read_once(&position.topic, position.partition, position.next, wait).await?;
    let moved = fetched.next_offset > position.next;
    position.next = fetched.next_offset;
    let _ = fetched.records.iter().try_for_each(|record| sink.take(&position.topic, record));
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use milena::{Producer, Record, broker::EmbeddedBroker};
    use tokio::sync::mpsc::{Receiver, Sender, channel};

    use super::{
        super::printer::{Printer, Style},
        *,
    };
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
            let positions = vec![Position { topic: "orders".into(), partition: 0, next: 0, end: 0 }];
            Self::of(broker, Followed { positions, added: Added::Of("orders".into()) }, max_messages).await
        }

        async fn of(broker: &EmbeddedBroker, followed: Followed, max_messages: u64) -> Self {
            let mut admin = Admin::connect(&broker.bootstrap_servers()).await.unwrap();
            let (out, lines) = channel(100);
            let (reported, reports) = channel(100);
            let ended = tokio::spawn(async move {
                let mut printer = Printer::to(Out(out), Style::Lines(Format::Text), Some(max_messages), false);
                let pace = Pace { refresh: Duration::from_millis(20), grace: Duration::ZERO };
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
    async fn a_topic_that_is_created_is_read_from_its_beginning_if_its_name_matches() {
        let broker = cluster(1).await;
        let pattern = Regex::new("^(?:new-.*)$").unwrap();
        let followed = Followed { positions: Vec::new(), added: Added::Matching(pattern) };
        let mut follower = Follower::of(&broker, followed, 2).await;
        let producer = Producer::from_properties([("bootstrap.servers", broker.bootstrap_servers())]).await.unwrap();
        let mut admin = Admin::connect(&broker.bootstrap_servers()).await.unwrap();
        for topic in ["renew-1", "new-1", "new-2"] {
            admin.create_topic(topic, 1, 1, &[]).await.unwrap();
            producer.send(Record::to(topic).value(topic)).await.unwrap().await.unwrap();
        }
        assert_eq!(follower.line().await, at("new-1-0@0", "new-1"));
        assert_eq!(follower.line().await, at("new-2-0@0", "new-2"));
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

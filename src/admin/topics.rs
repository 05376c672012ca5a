//! Topics as an operator sees and changes them: replicas, settings, more partitions, fewer records.
//!
//! In: names, numbers and settings. Out: what brokers say, or that they did it. Does I/O. Whether a request may be sent again is [`may_repeat`], which
//! is pure. Changes go to the controller, as the creation of a topic does.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Admin, AdminError, Retries, create::may_be_done, metadata::AskController};
use crate::{
    error::ErrorCode,
    wire::apis::{
        create_partitions::CreatePartitions,
        delete_records::DeleteRecords,
        delete_topics::DeleteTopic,
        describe_configs::{AskConfigs, ConfigView},
        describe_topic_partitions::{AskPartitions, PartitionReplicas, TopicReplicas},
        incremental_alter_configs::AlterConfigs,
        replicas::AskReplicas,
        request::Request,
    },
};

/// How long the controller, or the replicas, may take.
const CHANGE_TIMEOUT_MS: i32 = 30_000;
/// How many partitions a broker is asked for at once.
const PAGE: i32 = 2_000;

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLayout {
    /// The error that the broker has for it, such as `UNKNOWN_TOPIC_OR_PARTITION`; `NONE` if there is none.
    pub error: ErrorCode,
    /// Its name.
    pub name: String,
    /// Its id, as Kafka's tools write it. `None` before Kafka 2.8.
    pub id: Option<String>,
    /// Whether Kafka keeps it for itself, as it does `__consumer_offsets`.
    pub is_internal: bool,
    /// Its partitions, by rising number.
    pub partitions: Vec<PartitionLayout>,
}

/// A partition, and the brokers that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLayout {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those that have all its records.
    pub in_sync: Vec<i32>,
    /// Those that may be elected although they are not in sync (KIP-966). `None` if the broker does not tell.
    pub eligible_leaders: Option<Vec<i32>>,
    /// Those that last were such. `None` if the broker does not tell.
    pub last_known_eligible_leaders: Option<Vec<i32>>,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// It is the topic's own.
    Topic,
    /// It was set for one broker while it ran.
    DynamicBroker,
    /// It was set for all brokers while they ran.
    DynamicDefaultBroker,
    /// It is in the broker's file.
    StaticBroker,
    /// Nobody has set it.
    Default,
    /// The broker names a source that milena does not know, by this number.
    Other(i8),
}

impl ConfigSource {
    fn of(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicSetting {
    /// Its name, such as `retention.ms`.
    pub name: String,
    /// Its value. `None` if it is secret.
    pub value: Option<String>,
    /// Where its value comes from.
    pub source: ConfigSource,
    /// Whether it is secret.
    pub is_sensitive: bool,
    /// Where its value could come from, the one that counts first: source, name and value.
    pub synonyms: Vec<(ConfigSource, String, Option<String>)>,
}

impl From<ConfigView> for TopicSetting {
    fn from(view: ConfigView) -> Self {
        let synonyms = view.synonyms.into_iter();
        Self {
            name: view.name,
            value: view.value,
            source: ConfigSource::of(view.source),
            is_sensitive: view.is_sensitive,
            synonyms: synonyms.map(|(name, value, source)| (ConfigSource::of(source), name, value)).collect(),
        }
    }
}

impl From<TopicReplicas> for TopicLayout {
    fn from(topic: TopicReplicas) -> Self {
        let mut partitions: Vec<_> = topic.partitions.into_iter().map(PartitionLayout::from).collect();
        partitions.sort_by_key(|partition| partition.partition);
        let id = (!topic.id.is_nil()).then(|| URL_SAFE_NO_PAD.encode(topic.id));
        Self { error: topic.error, name: topic.name, id, is_internal: topic.is_internal, partitions }
    }
}

impl From<PartitionReplicas> for PartitionLayout {
    fn from(partition: PartitionReplicas) -> Self {
        Self {
            partition: partition.partition,
            leader: partition.leader,
            replicas: partition.replicas,
            in_sync: partition.in_sync,
            eligible_leaders: partition.eligible,
            last_known_eligible_leaders: partition.last_eligible,
        }
    }
}

/// Whether a change that failed may be asked for again: it passes, and was certainly not made.
fn may_repeat<R: Request>(error: &AdminError) -> bool {
    passes(error) && !may_be_done(error, R::API)
}

/// Whether a later request may get another answer, where a topic that is missing is an answer.
fn passes(error: &AdminError) -> bool {
    error.retriable() && error.code() != Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

impl Admin {
    /// Topics with their partitions, replicas and ids, by name; `None` stands for all that this client may see. Creates none.
    ///
    /// Brokers before Kafka 3.8 do not tell which replicas may be elected.
    ///
    /// # Errors
    /// No broker responds, or not with what was asked. A topic that does not exist is no error: see [`TopicLayout::error`].
    pub async fn layouts(&mut self, topics: Option<&[&str]>) -> Result<Vec<TopicLayout>, AdminError> {
        let found = match topics {
            Some([]) => Vec::new(),
            Some(topics) => match self.pages(topics).await {
                Err(AdminError::UnsupportedVersion { .. }) => self.replicas(Some(topics)).await?,
                done => done?,
            },
            None => self.replicas(None).await?,
        };
        let mut layouts: Vec<_> = found.into_iter().map(TopicLayout::from).collect();
        layouts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(layouts)
    }

    async fn replicas(&mut self, topics: Option<&[&str]>) -> Result<Vec<TopicReplicas>, AdminError> {
        self.ask_any(&AskReplicas { topics }, "topics").await
    }

    async fn pages(&mut self, topics: &[&str]) -> Result<Vec<TopicReplicas>, AdminError> {
        let mut all: Vec<TopicReplicas> = Vec::new();
        let mut request = AskPartitions { topics, limit: PAGE, cursor: None };
        loop {
            let page = self.ask_any(&request, "topics").await?;
            for topic in page.topics {
                // A topic that a page ends in is in the next one as well.
                match all.last_mut().filter(|last| last.name == topic.name) {
                    Some(last) => last.partitions.extend(topic.partitions),
                    None => all.push(topic),
                }
            }
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Creates `topic` with these brokers for each partition, the preferred leader first, and waits until each partition has a leader. Otherwise as
    /// [`create_topic`](Self::create_topic).
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic).
    pub async fn create_topic_at(
        &mut self,
        topic: &str,
        replicas: &[Vec<i32>],
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        self.create_with(topic, (-1, -1), Some(replicas), configs).await
    }

    /// Deletes `topic` with its records. The request goes to the controller, and is sent again only if it was certainly not carried out.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with the broker's reason, such as `UNKNOWN_TOPIC_OR_PARTITION`; [`AdminError::Connection`] if the response was lost, so
    /// that the topic may be gone.
    pub async fn delete_topic(&mut self, topic: &str) -> Result<(), AdminError> {
        self.change(topic, &DeleteTopic { topic, timeout_ms: CHANGE_TIMEOUT_MS }).await
    }

    /// Adds partitions to `topic` until it has `count`, with these brokers for each partition that is added, or where the cluster puts them. Records of a
    /// key may go to another partition from then on.
    ///
    /// # Errors
    /// As [`delete_topic`](Self::delete_topic); `INVALID_PARTITIONS` if the topic has as many or more.
    pub async fn add_partitions(
        &mut self,
        topic: &str,
        count: i32,
        replicas: Option<&[Vec<i32>]>,
    ) -> Result<(), AdminError> {
        self.change(topic, &CreatePartitions { topic, count, replicas, timeout_ms: CHANGE_TIMEOUT_MS }).await
    }

    /// The settings of `topic`, in the broker's order.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with the broker's reason, such as `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn topic_settings(&mut self, topic: &str) -> Result<Vec<TopicSetting>, AdminError> {
        let settings = self.ask_any(&AskConfigs { topic }, topic).await?;
        Ok(settings.into_iter().map(TopicSetting::from).collect())
    }

    /// Changes settings of `topic`: sets those with a value, and gives those with `None` back to their defaults. Others stay as they are. All or none are
    /// changed. Needs Kafka 2.3.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with the broker's reason, such as `INVALID_CONFIG`; [`AdminError::Connection`] if the response was lost.
    pub async fn alter_topic(&mut self, topic: &str, changes: &[(&str, Option<&str>)]) -> Result<(), AdminError> {
        self.change(topic, &AlterConfigs { topic, changes }).await
    }

    /// Deletes the records of a partition before an offset; `None` deletes all. Returns where its log begins then.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `OFFSET_OUT_OF_RANGE` if the log does not reach to the offset, with `POLICY_VIOLATION` if the topic is only compacted;
    /// otherwise as [`offsets`](Self::offsets).
    pub async fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        before: Option<i64>,
    ) -> Result<i64, AdminError> {
        // Other negative numbers are refused, and -1 must not stand for the end by accident.
        let before = before.map_or(-1, |offset| if offset < 0 { i64::MIN } else { offset });
        let timeout_ms = CHANGE_TIMEOUT_MS;
        self.ask_leader(topic, partition, &DeleteRecords { topic, partition, before, timeout_ms }).await
    }

    async fn ask_any<R: Request>(&mut self, request: &R, subject: &str) -> Result<R::Response, AdminError> {
        let mut retries = Retries::default();
        loop {
            match self.ask_any_once(request, subject).await {
                Err(error) if passes(&error) && retries.wait().await => self.forget(),
                done => return done,
            }
        }
    }

    async fn change<R: Request<Response = ()>>(&mut self, topic: &str, request: &R) -> Result<(), AdminError> {
        let mut retries = Retries::default();
        loop {
            let controller = match self.ask_any(&AskController { topic }, topic).await {
                Ok(found) => found.node.and_then(|node| found.brokers.get(&node).cloned()),
                // What it has against the topic, it says of the change as well.
                Err(AdminError::Refused { .. }) => None,
                Err(error) => return Err(error),
            };
            let changed = match controller {
                Some(broker) => self.ask_node_once(&broker, request, topic).await,
                None => self.ask_any_once(request, topic).await,
            };
            match changed {
                Err(error) if may_repeat::<R>(&error) && retries.wait().await => self.forget(),
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::TopicId;

    #[test]
    fn ids_are_written_as_apache_kafka_writes_them() {
        for (id, text) in [
            (0_u128, "AAAAAAAAAAAAAAAAAAAAAA"),
            (1, "AAAAAAAAAAAAAAAAAAAAAQ"),
            (u128::MAX, "_____________________w"),
            (0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "ASNFZ4mrze8BI0VniavN7w"),
        ] {
            let topic = TopicReplicas {
                error: ErrorCode::NONE,
                name: "t".into(),
                id: TopicId::from_u128(id),
                is_internal: false,
                partitions: Vec::new(),
            };
            let expected = (id != 0).then(|| text.to_owned());
            assert_eq!(TopicLayout::from(topic).id, expected, "0 is none");
        }
    }

    #[test]
    fn a_change_that_may_have_been_made_is_not_asked_for_again() {
        let refused = |code| {
            let (broker, subject) = ("localhost:9092".into(), "orders".into());
            AdminError::Refused { broker, api: "CreatePartitions", subject, code: ErrorCode(code), message: None }
        };
        let lost = |api| AdminError::Connection { broker: "localhost:9092".into(), api, reason: "gone".into() };
        for (error, expected) in [
            (refused(41), true),
            (refused(7), false),
            (refused(3), false),
            (refused(37), false),
            (lost("CreatePartitions"), false),
            (lost("ApiVersions"), true),
            (AdminError::Unreachable { tried: vec![] }, true),
        ] {
            assert_eq!(may_repeat::<CreatePartitions<'_>>(&error), expected, "{error}");
        }
    }
}

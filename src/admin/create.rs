//! Creates a topic.
//!
//! In: a topic with its settings. Out: a topic whose partitions have leaders, or an error. Does I/O. [`next`] decides
//! what follows a failed attempt, and is pure. Only the controller creates topics (with KRaft any broker forwards the
//! request), so each attempt looks it up first. Deliberately absent: comparing the settings of a topic that exists.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, backoff, leaders, metadata::AskController};
use crate::{
    error::ErrorCode,
    wire::apis::{Api, create_topics::CreateTopic},
};

/// How long the creation may take, and then the election of all leaders.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the controller may take for one attempt. It leaves time for another.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const LEADER_POLL: Duration = Duration::from_millis(50);

/// What is known after a failed attempt.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// The topic existed before the first attempt.
    existed: bool,
    /// An attempt had no definite result, and may have created the topic.
    unsure: bool,
}

/// What to do after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Retry,
    /// The topic exists, and one of our attempts may have created it.
    Created,
    Fail,
}

fn next(error: &AdminError, past: Past) -> Next {
    match error.code() {
        Some(ErrorCode::TOPIC_ALREADY_EXISTS) if past.unsure && !past.existed => Next::Created,
        _ if error.retriable() => Next::Retry,
        _ => Next::Fail,
    }
}

/// Whether the failed attempt may have been carried out all the same.
pub(super) fn may_be_done(error: &AdminError, asked: Api) -> bool {
    match error {
        AdminError::Connection { api, .. } => *api == asked.name(),
        _ => error.code() == Some(ErrorCode::REQUEST_TIMED_OUT),
    }
}

impl Admin {
    /// Creates `topic` and waits until each of its partitions has a leader. -1 for `partitions` or `replication` is the
    /// broker's default. For brokers before Kafka 2.4, which do not accept -1, it is 1 partition and as many replicas
    /// as there are brokers, but at most 3. `configs` are topic settings such as `("retention.ms", "3600000")`.
    ///
    /// The request goes to the cluster's controller. If the controller moves or cannot be reached, the request is
    /// repeated for up to 30 seconds. If a response was lost, the topic may exist at the next attempt. It then counts
    /// as created if it did not exist before and has the requested number of partitions.
    ///
    /// # Errors
    /// [`AdminError::TopicExists`]; [`AdminError::Refused`] with the broker's reason; the last attempt's error after 30
    /// seconds; [`AdminError::NoLeader`] if the topic was created but a partition has no leader after another 30
    /// seconds.
    pub async fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        replication: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        self.create_with(topic, (partitions, replication), None, configs).await
    }

    /// As [`Self::create_topic`], or at these brokers.
    pub(super) async fn create_with(
        &mut self,
        topic: &str,
        (partitions, replication): (i32, i16),
        replicas: Option<&[Vec<i32>]>,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        let timeout_ms = i32::try_from(ATTEMPT_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        let request = CreateTopic { topic, partitions, replication, replicas, brokers: 0, configs, timeout_ms };
        if self.create(request).await? {
            return self.await_leaders(topic, usize::try_from(partitions).unwrap_or(1)).await;
        }
        self.await_leaders(topic, 1).await?;
        let as_asked = partitions == -1 || self.partitions(topic).await? == partitions;
        if as_asked { Ok(()) } else { Err(AdminError::TopicExists { topic: topic.to_owned() }) }
    }

    /// Whether this call certainly created the topic, or only may have.
    async fn create(&mut self, mut request: CreateTopic<'_>) -> Result<bool, AdminError> {
        let deadline = Instant::now() + CREATE_TIMEOUT;
        let mut past = Past::default();
        for attempt in 0.. {
            let Err(error) = self.create_once(&mut request, &mut past).await else { break };
            match next(&error, past) {
                Next::Created => return Ok(false),
                Next::Retry if Instant::now() + backoff(attempt) < deadline => {}
                _ if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {
                    return Err(AdminError::TopicExists { topic: request.topic.to_owned() });
                }
                _ => return Err(error),
            }
            past.unsure |= may_be_done(&error, Api::CreateTopics);
            self.forget();
            sleep(backoff(attempt)).await;
        }
        Ok(true)
    }

    async fn create_once(&mut self, request: &mut CreateTopic<'_>, past: &mut Past) -> Result<(), AdminError> {
        let topic = request.topic;
        let found = self.ask_any_once(&AskController { topic }, topic).await?;
        past.existed |= found.has_topic && !past.unsure;
        request.brokers = found.brokers.len();
        let controller = found.node.and_then(|node| found.brokers.get(&node));
        match controller {
            Some(broker) => self.ask_node_once(broker, request, topic).await,
            // There is no controller, or the broker does not name it. Any broker may know better.
            None => self.ask_any_once(request, topic).await,
        }
    }

    async fn await_leaders(&mut self, topic: &str, partitions: usize) -> Result<(), AdminError> {
        let deadline = Instant::now() + CREATE_TIMEOUT;
        loop {
            let partition = match self.refresh(topic).await {
                Ok(()) => match leaders::missing(self.cluster.topics.get(topic), partitions) {
                    None => return Ok(()),
                    Some(partition) => partition,
                },
                // Not every broker knows the new topic yet.
                Err(AdminError::UnknownTopic { .. }) => 0,
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(AdminError::NoLeader { topic: topic.to_owned(), partition });
            }
            sleep(LEADER_POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i16) -> AdminError {
        let (broker, subject) = ("localhost:9092".into(), "orders".into());
        AdminError::Refused { broker, api: "CreateTopics", subject, code: ErrorCode(code), message: None }
    }

    fn lost(api: &'static str) -> AdminError {
        AdminError::Connection { broker: "localhost:9092".into(), api, reason: "gone".into() }
    }

    #[test]
    fn errors_that_may_pass_are_retried_and_a_topic_that_may_be_ours_counts_as_created() {
        let (first, unsure) = (Past::default(), Past { existed: false, unsure: true });
        let existed = Past { existed: true, unsure: true };
        for (error, past, expected) in [
            (refused(41), first, Next::Retry),
            (refused(7), first, Next::Retry),
            (lost("CreateTopics"), first, Next::Retry),
            (AdminError::Unreachable { tried: vec![] }, unsure, Next::Retry),
            (refused(36), first, Next::Fail),
            (refused(36), unsure, Next::Created),
            (refused(36), existed, Next::Fail),
            (refused(38), unsure, Next::Fail),
            (refused(-1), first, Next::Fail),
        ] {
            assert_eq!(next(&error, past), expected, "{error} after {past:?}");
        }
    }

    #[test]
    fn only_an_attempt_that_was_sent_may_have_created_the_topic() {
        for (error, expected) in [
            (lost("CreateTopics"), true),
            (lost("Metadata"), false),
            (lost("ApiVersions"), false),
            (refused(7), true),
            (refused(41), false),
            (AdminError::Unreachable { tried: vec![] }, false),
        ] {
            assert_eq!(may_be_done(&error, Api::CreateTopics), expected, "{error}");
        }
    }
}

//! DescribeTopicPartitions: topics with their partitions and replicas, in pages (KIP-966).
//!
//! In: topics, and where the last page ended. Out: the request, and a page. Pure. For brokers before 3.8 there is [`super::replicas`].

use bytes::Bytes;
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    describe_topic_partitions_request::{Cursor, TopicRequest},
    describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic,
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, Unusable, topic_name},
};
use crate::{cluster::TopicId, error::ErrorCode, wire::text::printable};

/// Requests the partitions of topics, from the cursor on.
#[derive(Debug)]
pub(crate) struct AskPartitions<'a> {
    pub(crate) topics: &'a [&'a str],
    /// How many partitions a page has at most.
    pub(crate) limit: i32,
    pub(crate) cursor: Option<(String, i32)>,
}

/// A page, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionsPage {
    pub(crate) topics: Vec<TopicReplicas>,
    pub(crate) next: Option<(String, i32)>,
}

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicReplicas {
    pub(crate) error: ErrorCode,
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) is_internal: bool,
    pub(crate) partitions: Vec<PartitionReplicas>,
}

/// A partition with its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionReplicas {
    pub(crate) partition: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
    /// Those that may be elected although they are not in sync, and those that last were such. `None` if the broker does not tell.
    pub(crate) eligible: Option<Vec<i32>>,
    pub(crate) last_eligible: Option<Vec<i32>>,
}

/// The numbers of brokers.
pub(super) fn ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

impl Request for AskPartitions<'_> {
    const API: Api = Api::DescribeTopicPartitions;
    type Response = PartitionsPage;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let topics = self.topics.iter().map(|topic| TopicRequest::default().with_name(topic_name(topic)));
        let cursor = self.cursor.as_ref().map(|(topic, partition)| {
            Cursor::default().with_topic_name(topic_name(topic)).with_partition_index(*partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(self.limit)
            .with_cursor(cursor);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<PartitionsPage, Unusable> {
        let response: DescribeTopicPartitionsResponse = read(Self::API, version, frame)?;
        let next = response.next_cursor.map(|next| (next.topic_name.to_string(), next.partition_index));
        // A page that does not lead on would be asked for again and again.
        if next.is_some() && next == self.cursor {
            return Err(Unusable::Malformed("its cursor stays where it was".to_owned()));
        }
        Ok(PartitionsPage { topics: response.topics.iter().filter_map(told).collect(), next })
    }
}

/// `None` for a topic without a name.
fn told(topic: &DescribeTopicPartitionsResponseTopic) -> Option<TopicReplicas> {
    let partitions = topic.partitions.iter().map(|partition| PartitionReplicas {
        partition: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
        replicas: ids(&partition.replica_nodes),
        in_sync: ids(&partition.isr_nodes),
        eligible: partition.eligible_leader_replicas.as_deref().map(ids),
        last_eligible: partition.last_known_elr.as_deref().map(ids),
    });
    Some(TopicReplicas {
        error: ErrorCode(topic.error_code),
        name: printable(topic.name.as_ref()?),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions: partitions.collect(),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_topic_partitions_response::{
        Cursor as Next, DescribeTopicPartitionsResponsePartition,
    };

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    #[test]
    fn the_request_begins_where_the_last_page_ended() {
        for cursor in [None, Some((TOPIC.to_owned(), 7))] {
            let ask = AskPartitions { topics: &[TOPIC], limit: 50, cursor: cursor.clone() };
            let api = Api::DescribeTopicPartitions;
            let request: DescribeTopicPartitionsRequest = decoded(ask.encode(CALLER, 0), api, 0);
            assert_eq!((request.topics[0].name.as_str(), request.response_partition_limit), (TOPIC, 50));
            assert_eq!(request.cursor.map(|one| (one.topic_name.to_string(), one.partition_index)), cursor);
        }
    }

    #[test]
    fn a_page_has_replicas_and_leads_on() {
        let partition = |leader: i32, eligible: Option<Vec<BrokerId>>| {
            DescribeTopicPartitionsResponsePartition::default()
                .with_leader_id(leader.into())
                .with_replica_nodes(vec![1.into(), 2.into()])
                .with_isr_nodes(vec![2.into()])
                .with_eligible_leader_replicas(eligible)
                .with_last_known_elr(None)
        };
        let topic = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(TOPIC)))
            .with_partitions(vec![partition(2, Some(vec![1.into()])), partition(-1, None)]);
        let response = |next: Option<i32>| {
            let next = next.map(|next| Next::default().with_topic_name(topic_name(TOPIC)).with_partition_index(next));
            DescribeTopicPartitionsResponse::default().with_topics(vec![topic.clone()]).with_next_cursor(next)
        };
        let ask = AskPartitions { topics: &[TOPIC], limit: 2, cursor: Some((TOPIC.to_owned(), 2)) };
        for page in responses(&ask, &response(Some(4))) {
            let page = page.unwrap();
            let told: Vec<_> =
                page.topics[0].partitions.iter().map(|p| (p.leader, p.in_sync.clone(), p.eligible.clone())).collect();
            assert_eq!(told, [(Some(2), vec![2], Some(vec![1])), (None, vec![2], None)]);
            assert_eq!(page.next, Some((TOPIC.to_owned(), 4)));
        }
        assert!(responses(&ask, &response(None)).into_iter().all(|page| page.unwrap().next.is_none()));
        assert!(responses(&ask, &response(Some(2))).iter().all(is_malformed));
    }
}

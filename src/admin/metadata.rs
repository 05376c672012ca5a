//! The admin client's view of metadata: one topic's leaders, or the controller.
//!
//! In: a Metadata response. Out: a snapshot, or the controller, or why the response cannot be used. Pure. The producer
//! has a view of its own, because it trusts one response less.

use std::{collections::BTreeMap, iter, sync::Arc};

use bytes::Bytes;

use crate::{
    cluster::{Broker, Cluster, PartitionMetadata, TopicMetadata},
    error::ErrorCode,
    wire::apis::{
        Api, Caller,
        metadata::{self, ClusterView, TopicView},
        request::{Request, Unusable, accept, missing},
    },
};

/// Requests the brokers, and one topic's partitions and leaders. Never creates the topic.
#[derive(Debug)]
pub(crate) struct AskMetadata<'a> {
    pub(crate) topic: &'a str,
}

impl Request for AskMetadata<'_> {
    const API: Api = Api::Metadata;
    type Response = Cluster;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        metadata::encode(caller, version, iter::once(self.topic), false)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<Cluster, Unusable> {
        cluster(metadata::decode(frame, version)?, self.topic)
    }
}

/// Requests the names of all topics.
#[derive(Debug)]
pub(crate) struct AskTopics;

impl Request for AskTopics {
    const API: Api = Api::Metadata;
    type Response = Vec<String>;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        metadata::encode_all(caller, version)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<Vec<String>, Unusable> {
        topics(metadata::decode(frame, version)?)
    }
}

/// Requests the controller, and whether the topic exists. Never creates it.
#[derive(Debug)]
pub(crate) struct AskController<'a> {
    pub(crate) topic: &'a str,
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) brokers: BTreeMap<i32, Broker>,
    /// The broker that creates topics (with KRaft any broker, which forwards the request). `None` while there is none.
    pub(crate) node: Option<i32>,
    /// Whether the broker that responded knows the topic.
    pub(crate) has_topic: bool,
}

impl Request for AskController<'_> {
    const API: Api = Api::Metadata;
    type Response = Controller;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        metadata::encode(caller, version, iter::once(self.topic), false)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<Controller, Unusable> {
        controller(metadata::decode(frame, version)?, self.topic)
    }
}

fn cluster(response: ClusterView, topic: &str) -> Result<Cluster, Unusable> {
    let response = usable(response)?;
    let topic = named(&response, topic)?;
    accept(topic.error, None)?;
    let topics = [(Arc::clone(&topic.name), partitions(topic)?)].into();
    Ok(Cluster { topics, cluster_id: response.cluster_id, brokers: by_id(response.brokers) })
}

fn topics(response: ClusterView) -> Result<Vec<String>, Unusable> {
    let response = usable(response)?;
    let mut names: Vec<_> = response.topics.iter().map(|topic| topic.name.to_string()).collect();
    names.sort_unstable();
    Ok(names)
}

fn controller(response: ClusterView, topic: &str) -> Result<Controller, Unusable> {
    let response = usable(response)?;
    let has_topic = match named(&response, topic)?.error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => false,
        // The topic exists, and waits for its first leader.
        ErrorCode::LEADER_NOT_AVAILABLE => true,
        code => accept(code, None).map(|()| true)?,
    };
    let brokers = by_id(response.brokers);
    let node = response.controller.filter(|node| brokers.contains_key(node));
    Ok(Controller { brokers, node, has_topic })
}

/// Refuses a response with an error, or with a broker that cannot be dialled.
fn usable(response: ClusterView) -> Result<ClusterView, Unusable> {
    accept(ErrorCode(response.error), None)?;
    response.undialled.clone().map_or(Ok(response), |why| Err(Unusable::Malformed(why)))
}

fn by_id(brokers: Vec<Broker>) -> BTreeMap<i32, Broker> {
    brokers.into_iter().map(|broker| (broker.id, broker)).collect()
}

fn named<'a>(response: &'a ClusterView, name: &str) -> Result<&'a TopicView, Unusable> {
    response.topics.iter().find(|topic| *topic.name == *name).ok_or_else(|| missing("metadata", name))
}

fn partitions(topic: &TopicView) -> Result<TopicMetadata, Unusable> {
    let mut listed = topic.partitions.clone();
    listed.sort_unstable();
    if !listed.iter().map(|(number, ..)| *number).eq((0..).take(listed.len())) {
        return Err(Unusable::Malformed("a topic's partitions have gaps".into()));
    }
    let partition = |&(_, leader, leader_epoch): &_| PartitionMetadata {
        leader: Some(leader).filter(|node| *node >= 0),
        leader_epoch,
    };
    Ok(TopicMetadata { id: topic.id, partitions: listed.iter().map(partition).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "orders";

    fn response(code: i16, partitions: &[i32]) -> ClusterView {
        let partitions = partitions.iter().map(|&number| (number, number - 1, 7)).collect();
        let topic =
            TopicView { error: ErrorCode(code), name: TOPIC.into(), id: uuid::Uuid::nil(), partitions, rights: None };
        let brokers = vec![Broker { id: 1, host: "h".into(), port: 9092, rack: None }];
        ClusterView { brokers, topics: vec![topic], cluster_id: Some("cluster".into()), ..ClusterView::default() }
    }

    fn refused<T>(code: i16) -> Result<T, Unusable> {
        Err(Unusable::Refused { code: ErrorCode(code), message: None })
    }

    #[test]
    fn metadata_has_brokers_and_leaders_in_the_order_of_partitions() {
        let cluster = cluster(response(0, &[1, 0, 2]), TOPIC).unwrap();
        assert_eq!(cluster.cluster_id.as_deref(), Some("cluster"));
        assert_eq!(cluster.brokers[&1], Broker { id: 1, host: "h".into(), port: 9092, rack: None });
        let leaders: Vec<_> = cluster.topics[TOPIC].partitions.iter().map(|p| p.leader).collect();
        assert_eq!(leaders, [None, Some(0), Some(1)]);
    }

    #[test]
    fn metadata_with_an_error_or_without_the_topic_or_some_of_its_partitions_are_refused() {
        let malformed = |response, why: &str| {
            let Err(Unusable::Malformed(reason)) = cluster(response, TOPIC) else { panic!("expected {why}") };
            assert!(reason.contains(why), "{reason}");
        };
        assert_eq!(cluster(response(3, &[]), TOPIC), refused(3));
        assert_eq!(cluster(ClusterView { error: 129, ..response(0, &[0]) }, TOPIC), refused(129));
        malformed(response(0, &[0, 2]), "have gaps");
        malformed(response(0, &[1]), "have gaps");
        malformed(ClusterView::default(), "does not hold the metadata of orders");
        let undialled = Some("broker 1 has port 65536".to_owned());
        malformed(ClusterView { undialled, ..response(0, &[0]) }, "broker 1 has port 65536");
    }

    #[test]
    fn all_topics_are_named_in_order_also_those_that_cannot_be_used_now() {
        let topic = |name: &str, code| TopicView { name: name.into(), ..response(code, &[]).topics.remove(0) };
        let view = ClusterView { topics: vec![topic("b", 0), topic("a", 5)], ..response(0, &[]) };
        assert_eq!(topics(view), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(topics(ClusterView { error: 129, ..response(0, &[]) }), refused(129));
    }

    #[test]
    fn the_controller_is_known_even_if_the_topic_is_missing() {
        for (code, has_topic) in [(0, true), (5, true), (3, false)] {
            let found = controller(ClusterView { controller: Some(1), ..response(code, &[]) }, TOPIC).unwrap();
            assert_eq!((found.node, found.brokers.len(), found.has_topic), (Some(1), 1, has_topic));
        }
        for nobody in [None, Some(9)] {
            let found = controller(ClusterView { controller: nobody, ..response(3, &[]) }, TOPIC).unwrap();
            assert_eq!(found.node, None, "{nobody:?}");
        }
        assert_eq!(controller(response(29, &[]), TOPIC), refused(29));
    }
}

//! What a broker says of the cluster, and of one topic, for whoever looks for a fault.
//!
//! In: a Metadata response. Out: a [`ClusterDescription`]. Pure. A broker with an impossible address is no error here: it may be the fault.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    error::ErrorCode,
    wire::apis::{
        Api, Caller,
        metadata::{self, ClusterView, TopicView},
        request::{Request, Unusable, accept, missing},
    },
};

/// `AclOperation.WRITE` of Apache Kafka.
const WRITE: u32 = 4;

/// What a broker supports, and for how long it knows this client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionDescription {
    /// How many kinds of request it supports.
    pub apis: usize,
    /// The lowest and the highest version of Produce that it supports.
    pub produce: Option<(i16, i16)>,
    /// What it lacks that a producer with these settings needs.
    pub lack: Option<String>,
    /// After how long the client has to authenticate again (`connections.max.reauth.ms`); `None` if never.
    pub session: Option<Duration>,
}

/// A broker's view of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// The cluster's id, if the broker tells it.
    pub cluster_id: Option<String>,
    /// The broker that creates topics, if there is one.
    pub controller: Option<i32>,
    /// The brokers, by the addresses that they advertise.
    pub brokers: Vec<BrokerAddress>,
    /// Why a broker's advertised address cannot be connected to, if that is so of any.
    pub unusable: Option<String>,
    /// The topic that was asked for.
    pub topic: Option<TopicDescription>,
}

/// A broker and the address that it advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerAddress {
    /// Its id.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// The error that the broker has for it, such as `UNKNOWN_TOPIC_OR_PARTITION`; `NONE` if it can be used.
    pub error: ErrorCode,
    /// How many partitions it has.
    pub partitions: usize,
    /// Those without a leader.
    pub leaderless: Vec<i32>,
    /// Whether this client may write to it. `None` if the broker does not tell.
    pub may_write: Option<bool>,
}

/// Asks for the brokers, and for one topic with what this client may do with it. Never creates it.
#[derive(Debug)]
pub(super) struct AskDescription<'a> {
    pub(super) topic: Option<&'a str>,
}

impl Request for AskDescription<'_> {
    const API: Api = Api::Metadata;
    type Response = ClusterDescription;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        metadata::encode_with_rights(caller, version, self.topic)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<ClusterDescription, Unusable> {
        described(&metadata::decode(frame, version)?, self.topic)
    }
}

fn described(response: &ClusterView, topic: Option<&str>) -> Result<ClusterDescription, Unusable> {
    accept(ErrorCode(response.error), None)?;
    let broker = |b: &crate::cluster::Broker| BrokerAddress { id: b.id, host: b.host.to_string(), port: b.port };
    let named =
        |name: &str| response.topics.iter().find(|topic| *topic.name == *name).ok_or_else(|| missing("metadata", name));
    Ok(ClusterDescription {
        cluster_id: response.cluster_id.as_ref().map(ToString::to_string),
        controller: response.controller,
        brokers: response.brokers.iter().map(broker).collect(),
        unusable: response.undialled.clone(),
        topic: topic.map(named).transpose()?.map(of_topic),
    })
}

fn of_topic(topic: &TopicView) -> TopicDescription {
    let leaderless = topic.partitions.iter().filter(|(_, leader, _)| *leader < 0).map(|(partition, ..)| *partition);
    TopicDescription {
        error: topic.error,
        partitions: topic.partitions.len(),
        leaderless: leaderless.collect(),
        may_write: topic.rights.map(|rights| rights & (1 << WRITE) != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Broker;

    fn view(rights: Option<u32>) -> ClusterView {
        let partitions = vec![(0, 1, 3), (1, -1, 3)];
        let topic =
            TopicView { error: ErrorCode::NONE, name: "orders".into(), id: uuid::Uuid::nil(), partitions, rights };
        let brokers = vec![Broker { id: 1, host: "h".into(), port: 9092 }];
        ClusterView { brokers, topics: vec![topic], controller: Some(1), ..ClusterView::default() }
    }

    #[test]
    fn rights_and_partitions_without_a_leader_are_told() {
        for (rights, may_write) in [(None, None), (Some(1 << WRITE), Some(true)), (Some(1 << 8), Some(false))] {
            let topic = described(&view(rights), Some("orders")).unwrap().topic.unwrap();
            assert_eq!((topic.partitions, topic.leaderless, topic.may_write), (2, vec![1], may_write));
        }
        assert_eq!(described(&view(None), None).unwrap().topic, None);
    }

    #[test]
    fn a_response_without_the_topic_is_none() {
        assert!(matches!(described(&view(None), Some("other")), Err(Unusable::Malformed(_))));
    }

    #[test]
    fn a_broker_that_cannot_be_connected_to_is_told() {
        let view = ClusterView { undialled: Some("broker 2 has port 0".into()), ..view(None) };
        assert_eq!(described(&view, None).unwrap().unusable.as_deref(), Some("broker 2 has port 0"));
    }
}

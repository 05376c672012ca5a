//! What a broker says of the cluster, and of one topic, for whoever looks for a fault.
//!
//! In: a Metadata response. Out: a [`ClusterDescription`]. Pure. A broker with an impossible address is no error here: it may be the fault.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    error::{ErrorCode, rights},
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
    /// Who may not do what with it, and which rule allows it, if this client may not see it or not write to it.
    pub denied: Option<String>,
}

/// Asks for the brokers, and for one topic with what this client may do with it. Never creates it.
#[derive(Debug)]
pub(super) struct AskDescription<'a> {
    pub(super) topic: Option<&'a str>,
    /// Who the client is to the brokers, if it is known.
    pub(super) principal: Option<&'a str>,
}

impl Request for AskDescription<'_> {
    const API: Api = Api::Metadata;
    type Response = ClusterDescription;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        metadata::encode_with_rights(caller, version, self.topic)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<ClusterDescription, Unusable> {
        described(&metadata::decode(frame, version)?, self)
    }
}

fn described(response: &ClusterView, asked: &AskDescription<'_>) -> Result<ClusterDescription, Unusable> {
    accept(ErrorCode(response.error), None)?;
    let broker = |b: &crate::cluster::Broker| BrokerAddress { id: b.id, host: b.host.to_string(), port: b.port };
    let named =
        |name: &str| response.topics.iter().find(|topic| *topic.name == *name).ok_or_else(|| missing("metadata", name));
    Ok(ClusterDescription {
        cluster_id: response.cluster_id.as_ref().map(ToString::to_string),
        controller: response.controller,
        brokers: response.brokers.iter().map(broker).collect(),
        unusable: response.undialled.clone(),
        topic: asked.topic.map(named).transpose()?.map(|topic| of_topic(topic, asked.principal)),
    })
}

fn of_topic(topic: &TopicView, principal: Option<&str>) -> TopicDescription {
    let leaderless = topic.partitions.iter().filter(|(_, leader, _)| *leader < 0).map(|(partition, ..)| *partition);
    let may_write = topic.rights.map(|rights| rights & (1 << WRITE) != 0);
    let not_written = || rights::not_written(ErrorCode::TOPIC_AUTHORIZATION_FAILED, principal, &topic.name);
    let unseen = rights::not_described(topic.error, principal, &topic.name);
    TopicDescription {
        error: topic.error,
        partitions: topic.partitions.len(),
        leaderless: leaderless.collect(),
        may_write,
        denied: unseen.or_else(|| if may_write == Some(false) { not_written() } else { None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Broker;

    const NONE: AskDescription<'_> = AskDescription { topic: None, principal: Some("User:alice") };
    const ORDERS: AskDescription<'_> = AskDescription { topic: Some("orders"), ..NONE };

    fn view(rights: Option<u32>) -> ClusterView {
        let partitions = vec![(0, 1, 3), (1, -1, 3)];
        let topic =
            TopicView { error: ErrorCode::NONE, name: "orders".into(), id: uuid::Uuid::nil(), partitions, rights };
        let brokers = vec![Broker { id: 1, host: "h".into(), port: 9092, rack: None }];
        ClusterView { brokers, topics: vec![topic], controller: Some(1), ..ClusterView::default() }
    }

    #[test]
    fn rights_and_partitions_without_a_leader_are_told() {
        for (rights, may_write) in [(None, None), (Some(1 << WRITE), Some(true)), (Some(1 << 8), Some(false))] {
            let topic = described(&view(rights), &ORDERS).unwrap().topic.unwrap();
            assert_eq!((topic.partitions, topic.leaderless, topic.may_write), (2, vec![1], may_write));
            let denied = topic.denied.filter(|denied| denied.starts_with("User:alice may not WRITE to topic orders"));
            assert_eq!(denied.is_some(), may_write == Some(false));
        }
        assert_eq!(described(&view(None), &NONE).unwrap().topic, None);
    }

    #[test]
    fn a_topic_that_may_not_be_seen_is_told_with_the_rule_that_helps() {
        let mut view = view(None);
        view.topics[0].error = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        let denied = described(&view, &ORDERS).unwrap().topic.unwrap().denied.unwrap();
        assert!(denied.starts_with("User:alice may not DESCRIBE topic orders, so it is not told whether"), "{denied}");
    }

    #[test]
    fn a_response_without_the_topic_is_none() {
        let other = AskDescription { topic: Some("other"), ..NONE };
        assert!(matches!(described(&view(None), &other), Err(Unusable::Malformed(_))));
    }

    #[test]
    fn a_broker_that_cannot_be_connected_to_is_told() {
        let view = ClusterView { undialled: Some("broker 2 has port 0".into()), ..view(None) };
        assert_eq!(described(&view, &NONE).unwrap().unusable.as_deref(), Some("broker 2 has port 0"));
    }
}

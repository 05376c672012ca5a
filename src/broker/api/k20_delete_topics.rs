//! DeleteTopics (20), v1–6. Pure.
//!
//! Behaviour:
//! * Deletes topics, by name or by id, with what groups have committed for them. Any node takes the request, and the topic is gone when the response comes.
//! * Neither name nor id, both, or a topic that is named twice: `INVALID_REQUEST`. No such topic: `UNKNOWN_TOPIC_OR_PARTITION`, of an id
//!   `UNKNOWN_TOPIC_ID`.
//! * A client that may not DELETE the topic, nor DELETE on the cluster: `TOPIC_AUTHORIZATION_FAILED`, also for a topic that does not exist if the client
//!   could not DESCRIBE it. Such a client is not told the name of an id.
//!
//! Version notes:
//! * v4: flexible; v5: message; v6: topic ids

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::{
    messages::{
        DeleteTopicsRequest, DeleteTopicsResponse, delete_topics_request::DeleteTopicState,
        delete_topics_response::DeletableTopicResult,
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, faults::Target, kind::Api, state::State},
    cluster::TopicId,
    error::ErrorCode,
};

/// The first version that names topics by id.
const IDS: i16 = 6;

impl Handler for DeleteTopicsRequest {
    const API: Api = Api::DeleteTopics;
    const SERVED: (i16, i16) = (1, 6);

    fn targets(&self, state: &State) -> Vec<Target> {
        let name = |topic: &DeleteTopicState| match &topic.name {
            Some(name) => Some(name.to_string()),
            None => state.topic_by_id(topic.topic_id).map(|(name, _)| name.clone()),
        };
        wanted(self).iter().filter_map(name).map(|topic| Target { topic, partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DeleteTopicsResponse> {
        let all = wanted(self);
        let mut counts: BTreeMap<(Option<&str>, TopicId), usize> = BTreeMap::new();
        for topic in &all {
            let count = counts.entry((topic.name.as_ref().map(|name| name.as_str()), topic.topic_id)).or_default();
            *count = count.saturating_add(1);
        }
        let ids: BTreeSet<TopicId> = all.iter().map(|topic| topic.topic_id).collect();
        let results = counts.into_iter().map(|((name, id), count)| {
            let deleted = match (name, id.is_nil()) {
                (Some(_), false) | (None, true) => refused(name, id, ErrorCode::INVALID_REQUEST),
                _ if count > 1 => refused(name, id, ErrorCode::INVALID_REQUEST),
                (Some(name), true) => by_name(state, call, name, &ids),
                (None, false) => by_id(state, call, id),
            };
            respond(call, deleted)
        });
        let response = DeleteTopicsResponse::default().with_responses(results.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

/// What is told of a topic: its name and its id, as far as the client may know them, and whether it is deleted.
struct Deleted {
    name: Option<String>,
    id: TopicId,
    code: ErrorCode,
}

fn refused(name: Option<&str>, id: TopicId, code: ErrorCode) -> Deleted {
    Deleted { name: name.map(str::to_owned), id, code }
}

fn wanted(request: &DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let named = request.topic_names.iter().map(|name| DeleteTopicState::default().with_name(Some(name.clone())));
    request.topics.iter().cloned().chain(named).collect()
}

fn by_name(state: &mut State, call: &Call<'_>, name: &str, ids: &BTreeSet<TopicId>) -> Deleted {
    let unseen = |code| refused(Some(name), TopicId::nil(), code);
    if !may(state, call, Operation::Describe, name) {
        return unseen(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    match state.topics.get(name).map(|topic| topic.id) {
        None => unseen(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        Some(_) if !may(state, call, Operation::Delete, name) => unseen(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        Some(id) if ids.contains(&id) => refused(Some(name), id, ErrorCode::INVALID_REQUEST),
        Some(id) => delete(state, call, name, id),
    }
}

fn by_id(state: &mut State, call: &Call<'_>, id: TopicId) -> Deleted {
    let Some(name) = state.topic_by_id(id).map(|(name, _)| name.clone()) else {
        return refused(None, id, ErrorCode::UNKNOWN_TOPIC_ID);
    };
    if may(state, call, Operation::Delete, &name) {
        return delete(state, call, &name, id);
    }
    let seen = may(state, call, Operation::Describe, &name);
    refused(seen.then_some(&*name), id, ErrorCode::TOPIC_AUTHORIZATION_FAILED)
}

fn may(state: &State, call: &Call<'_>, operation: Operation, name: &str) -> bool {
    call.may_with_cluster(state, Operation::Delete) || call.may(state, operation, name)
}

fn delete(state: &mut State, call: &Call<'_>, name: &str, id: TopicId) -> Deleted {
    let code = match call.plan.refusal(name, None) {
        Some(code) => code,
        None => {
            state.remove_topic(name);
            call.plan.denial(name, None).unwrap_or(ErrorCode::NONE)
        }
    };
    refused(Some(name), id, code)
}

fn respond(call: &Call<'_>, deleted: Deleted) -> DeletableTopicResult {
    let Deleted { name, id, code } = deleted;
    let message = (code != ErrorCode::NONE).then(|| StrBytes::from_string(code.to_string()));
    DeletableTopicResult::default()
        .with_name(name.map(|name| StrBytes::from_string(name).into()))
        .with_topic_id(if call.version < IDS { TopicId::nil() } else { id })
        .with_error_code(code.0)
        .with_error_message(message.filter(|_| call.version >= 5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        builder::Builder,
        testing::{TestCluster, name},
    };

    fn orders() -> Builder {
        EmbeddedBroker::builder().topic("orders", 1)
    }

    fn named(names: &[&str]) -> DeleteTopicsRequest {
        DeleteTopicsRequest::default().with_topic_names(names.iter().map(|topic| name(topic)).collect())
    }

    fn states(topics: &[(Option<&str>, TopicId)]) -> DeleteTopicsRequest {
        let state = |(topic, id): &(Option<&str>, TopicId)| {
            DeleteTopicState::default().with_name(topic.map(name)).with_topic_id(*id)
        };
        DeleteTopicsRequest::default().with_topics(topics.iter().map(state).collect())
    }

    fn codes(cluster: &mut TestCluster, version: i16, request: &DeleteTopicsRequest) -> Vec<ErrorCode> {
        cluster.ask(1, version, request).responses.iter().map(|one| ErrorCode(one.error_code)).collect()
    }

    #[test]
    fn every_version_deletes_by_name_and_the_newest_by_id() {
        for version in 1..=6 {
            let mut cluster = TestCluster::new(orders(), 1);
            let request = if version < IDS { named(&["orders"]) } else { states(&[(Some("orders"), TopicId::nil())]) };
            assert_eq!(codes(&mut cluster, version, &request), [ErrorCode::NONE]);
            assert_eq!(codes(&mut cluster, version, &request), [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        }
        let mut cluster = TestCluster::new(orders(), 1);
        let request = states(&[(None, cluster.state.topics["orders"].id)]);
        let told = cluster.ask(1, 6, &request).responses.remove(0);
        assert_eq!((told.error_code, told.name), (0, Some(name("orders"))));
        assert_eq!(codes(&mut cluster, 6, &request), [ErrorCode::UNKNOWN_TOPIC_ID]);
    }

    #[test]
    fn a_topic_that_is_not_named_once_is_not_deleted() {
        let mut cluster = TestCluster::new(orders(), 1);
        let (id, none) = (cluster.state.topics["orders"].id, TopicId::nil());
        assert_eq!(codes(&mut cluster, 5, &named(&["orders", "orders"])), [ErrorCode::INVALID_REQUEST]);
        for topics in [&[(None, none)][..], &[(Some("orders"), id)], &[(None, id), (None, id)]] {
            assert_eq!(codes(&mut cluster, 6, &states(topics)), [ErrorCode::INVALID_REQUEST], "{topics:?}");
        }
        cluster.state.inject(Fault::error(ErrorCode::NOT_CONTROLLER).at_topic("orders"));
        assert_eq!(codes(&mut cluster, 6, &states(&[(None, id)])), [ErrorCode::NOT_CONTROLLER]);
        assert!(cluster.state.topics.contains_key("orders"));
    }

    #[test]
    fn who_may_not_delete_a_topic_learns_no_more_of_it_than_it_may() {
        let table: [(&[&str], ErrorCode, ErrorCode, bool); 4] = [
            (&[], ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::TOPIC_AUTHORIZATION_FAILED, false),
            (&["DESCRIBE topic *"], ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
            (&["DELETE topic orders"], ErrorCode::NONE, ErrorCode::TOPIC_AUTHORIZATION_FAILED, true),
            (&["DELETE cluster"], ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
        ];
        for (rules, code, unknown, is_told) in table {
            let rules = rules.iter().map(|rule| format!("User:ANONYMOUS {rule}").parse().unwrap());
            let mut cluster = TestCluster::new(rules.fold(orders().authorize(), Builder::acl), 1);
            assert_eq!(codes(&mut cluster, 5, &named(&["nothing"])), [unknown]);
            let told = cluster.ask(1, 6, &states(&[(None, cluster.state.topics["orders"].id)])).responses.remove(0);
            assert_eq!((ErrorCode(told.error_code), told.name.is_some()), (code, is_told));
        }
    }
}

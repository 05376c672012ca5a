//! FindCoordinator (10), v0–6. Pure.
//!
//! Behaviour:
//! * Names the node that coordinates a group. Groups are spread over nodes as Apache Kafka spreads them over partitions.
//! * A client that may not DESCRIBE a group: `GROUP_AUTHORIZATION_FAILED`. No node is up that could: `COORDINATOR_NOT_AVAILABLE`.
//! * Coordinators of transactions and share groups: `INVALID_REQUEST`, because there are none. Apache Kafka names a node.
//!
//! Version notes:
//! * v1: kinds of coordinators; v3: flexible; v4: many groups at once (KIP-699)

use kafka_protocol::{
    messages::{FindCoordinatorRequest, FindCoordinatorResponse, find_coordinator_response::Coordinator},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        kind::Api,
        state::{BrokerNode, State},
    },
    error::ErrorCode,
};

/// The kind of coordinator that there is: of groups.
const GROUP: i8 = 0;
/// The first version that asks for many at once.
const BATCHED: i16 = 4;

impl Handler for FindCoordinatorRequest {
    const API: Api = Api::FindCoordinator;
    const SERVED: (i16, i16) = (0, 6);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<FindCoordinatorResponse> {
        let response = FindCoordinatorResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if call.version >= BATCHED {
            let all = self.coordinator_keys.iter().map(|key| find(state, call, self.key_type, key));
            return Response::Reply(response.with_coordinators(all.collect()));
        }
        let found = find(state, call, self.key_type, &self.key);
        Response::Reply(
            response
                .with_error_code(found.error_code)
                .with_error_message(found.error_message)
                .with_node_id(found.node_id)
                .with_host(found.host)
                .with_port(found.port),
        )
    }
}

fn find(state: &State, call: &Call<'_>, kind: i8, key: &StrBytes) -> Coordinator {
    let coordinator = Coordinator::default().with_key(key.clone());
    match node(state, call, kind, key) {
        Ok((id, node)) => coordinator
            .with_node_id(id.into())
            .with_host(StrBytes::from_string(node.host.clone()))
            .with_port(node.port.into()),
        Err(code) => coordinator
            .with_error_code(code.0)
            .with_error_message(Some(StrBytes::from_string(code.to_string())))
            .with_node_id((-1).into())
            .with_port(-1),
    }
}

fn node<'a>(state: &'a State, call: &Call<'_>, kind: i8, group: &str) -> Result<(i32, &'a BrokerNode), ErrorCode> {
    if let Some(code) = call.plan.top_error() {
        return Err(code);
    }
    if kind != GROUP {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    if !call.may_with_group(state, Operation::Describe, group) {
        return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    }
    let id = state.coordinator(group).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    Ok((id, state.nodes.get(&id).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{EmbeddedBroker, Fault, testing::TestCluster};

    fn ask(cluster: &mut TestCluster, version: i16, kind: i8, group: &'static str) -> (ErrorCode, i32, i32) {
        let key = StrBytes::from_static_str(group);
        let request = FindCoordinatorRequest::default();
        let request = if version == 0 { request } else { request.with_key_type(kind) };
        if version < BATCHED {
            let found = cluster.ask(1, version, &request.with_key(key));
            return (ErrorCode(found.error_code), found.node_id.0, found.port);
        }
        let found = cluster.ask(1, version, &request.with_coordinator_keys(vec![key.clone()])).coordinators.remove(0);
        assert_eq!(found.key, key);
        (ErrorCode(found.error_code), found.node_id.0, found.port)
    }

    #[test]
    fn every_version_finds_the_same_node_of_a_group() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 3);
        for (group, node) in [("shop", 1), ("größe", 2), ("a", 3), ("", 1)] {
            let found: Vec<_> = (0..=6).map(|version| ask(&mut cluster, version, GROUP, group)).collect();
            assert_eq!(found, vec![(ErrorCode::NONE, node, 9000 + node); 7], "{group}");
        }
    }

    #[test]
    fn groups_of_a_stopped_node_go_to_the_next() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 3);
        let before = cluster.state.coordinator("shop").unwrap();
        cluster.state.stop(before);
        let after = cluster.state.coordinator("shop").unwrap();
        assert_ne!(before, after);
        cluster.state.restart(before);
        assert_eq!(cluster.state.coordinator("shop"), Some(before));
    }

    #[test]
    fn there_are_no_coordinators_of_transactions() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 1);
        for kind in [1, 2, 9, -1] {
            assert_eq!(ask(&mut cluster, 6, kind, "shop"), (ErrorCode::INVALID_REQUEST, -1, -1), "{kind}");
        }
    }

    #[test]
    fn an_injected_error_stands_at_each_group() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 1);
        cluster.state.inject(Fault::error(ErrorCode::COORDINATOR_NOT_AVAILABLE).times(2));
        for version in [3, 4] {
            assert_eq!(ask(&mut cluster, version, GROUP, "shop").0, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
    }
}

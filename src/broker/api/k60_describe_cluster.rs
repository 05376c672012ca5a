//! DescribeCluster (60), v0–2. Pure.
//!
//! Behaviour:
//! * Lists the nodes that are up, as Metadata does; the controller is the first of them.
//! * From v1 on a client says what it takes the node for (KIP-919): a broker (1), or a controller (2), which gets
//!   `MISMATCHED_ENDPOINT_TYPE`; anything else `UNSUPPORTED_ENDPOINT_TYPE`.
//! * What the client may do with the cluster, if it asks: nothing, if it may not DESCRIBE it.
//!
//! Version notes:
//! * v1: type of the endpoint; v2: nodes that are down as well, if the client asks (KIP-1073)

use kafka_protocol::{
    messages::{DescribeClusterRequest, DescribeClusterResponse, describe_cluster_response::DescribeClusterBroker},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::{CLUSTER, Kind, Operation},
        kind::Api,
        state::{BrokerNode, State},
        validate::Refusal,
    },
    error::ErrorCode,
};

/// What a client takes a node for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Handler for DescribeClusterRequest {
    const API: Api = Api::DescribeCluster;
    const SERVED: (i16, i16) = (0, 2);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DescribeClusterResponse> {
        let response = match check(self, call) {
            Ok(()) => describe(self, state, call),
            Err(refusal) => DescribeClusterResponse::default()
                .with_error_code(refusal.code.0)
                .with_error_message(Some(StrBytes::from_string(refusal.message))),
        };
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn check(request: &DescribeClusterRequest, call: &Call<'_>) -> Result<(), Refusal> {
    if let Some(code) = call.plan.top_error() {
        return Err(Refusal::new(code, "injected fault"));
    }
    match request.endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => {
            Err(Refusal::new(ErrorCode::MISMATCHED_ENDPOINT_TYPE, "this is a broker, the client wants a controller"))
        }
        other => {
            let message = format!("endpoint type is {other}, expected {BROKERS} or {CONTROLLERS}");
            Err(Refusal::new(ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, message))
        }
    }
}

fn describe(request: &DescribeClusterRequest, state: &State, call: &Call<'_>) -> DescribeClusterResponse {
    let wanted = |node: &&BrokerNode| node.up || request.include_fenced_brokers;
    let nodes = state.nodes.iter().filter(|(_, node)| wanted(node)).map(|(id, node)| {
        DescribeClusterBroker::default()
            .with_broker_id((*id).into())
            .with_host(StrBytes::from_string(node.host.clone()))
            .with_port(node.port.into())
            .with_rack(state.settings.rack(*id))
            .with_is_fenced(call.version >= 2 && !node.up)
    });
    let operations = if !request.include_cluster_authorized_operations {
        i32::MIN
    } else if call.may_with_cluster(state, Operation::Describe) {
        state.acls.operations(&call.session.requester(), Kind::Cluster, CLUSTER)
    } else {
        0
    };
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(state.settings.cluster_id.clone()))
        .with_controller_id(state.controller().into())
        .with_brokers(nodes.collect())
        .with_cluster_authorized_operations(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Builder, EmbeddedBroker, Fault, testing::TestCluster};

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().cluster_id("c"), 3)
    }

    fn request() -> DescribeClusterRequest {
        DescribeClusterRequest::default().with_endpoint_type(BROKERS)
    }

    fn nodes(response: &DescribeClusterResponse) -> Vec<(i32, i32, bool)> {
        response.brokers.iter().map(|node| (node.broker_id.0, node.port, node.is_fenced)).collect()
    }

    #[test]
    fn every_version_lists_the_nodes_that_are_up_and_the_controller() {
        for version in 0..=2 {
            let mut cluster = cluster();
            cluster.state.stop(1);
            let response = cluster.ask(2, version, &request());
            assert_eq!((response.error_code, response.cluster_id.as_str(), response.controller_id.0), (0, "c", 2));
            assert_eq!(nodes(&response), [(2, 9002, false), (3, 9003, false)]);
            assert_eq!(response.cluster_authorized_operations, i32::MIN);
        }
    }

    #[test]
    fn nodes_that_are_down_are_listed_for_those_who_ask() {
        let mut cluster = cluster();
        cluster.state.stop(3);
        let response = cluster.ask(1, 2, &request().with_include_fenced_brokers(true));
        assert_eq!(nodes(&response), [(1, 9001, false), (2, 9002, false), (3, 9003, true)]);
    }

    #[test]
    fn a_client_that_takes_the_node_for_something_else_is_refused_and_told_nothing() {
        for (kind, code) in [
            (0, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
            (CONTROLLERS, ErrorCode::MISMATCHED_ENDPOINT_TYPE),
            (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
            (-1, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
        ] {
            let response = cluster().ask(1, 1, &request().with_endpoint_type(kind));
            assert_eq!((ErrorCode(response.error_code), response.brokers.len()), (code, 0), "{kind}");
        }
        let mut cluster = cluster();
        cluster.state.inject(Fault::error(ErrorCode::UNKNOWN_SERVER_ERROR));
        assert_eq!(ErrorCode(cluster.ask(1, 0, &request()).error_code), ErrorCode::UNKNOWN_SERVER_ERROR);
    }

    #[test]
    fn rights_are_told_to_those_who_ask_and_may_see_the_cluster() {
        let rights = |rules: &[&str]| {
            let rules = rules.iter().map(|rule| format!("User:ANONYMOUS {rule}").parse().unwrap());
            let mut cluster = TestCluster::new(rules.fold(EmbeddedBroker::builder().authorize(), Builder::acl), 1);
            let request = request().with_include_cluster_authorized_operations(true);
            cluster.ask(1, 0, &request).cluster_authorized_operations
        };
        let bits = |operations: &[Operation]| operations.iter().fold(0, |bits, one| bits | (1 << one.code()));
        assert_eq!(rights(&[]), 0);
        assert_eq!(rights(&["CREATE cluster"]), 0);
        assert_eq!(rights(&["DESCRIBE cluster", "CREATE cluster"]), bits(&[Operation::Describe, Operation::Create]));
    }
}

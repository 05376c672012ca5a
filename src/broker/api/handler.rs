//! The trait that the file of each API implements for its request.
//!
//! In: a decoded request, the state, and a [`Call`]. Out: a [`Response`]. Pure.

use kafka_protocol::protocol::Request as Message;

use crate::{
    broker::{
        acls::{CLUSTER, Kind, Operation},
        faults::{Plan, Target},
        groups::Ticket,
        kind::Api,
        session::Session,
        state::State,
    },
    error::ErrorCode,
    wire::shape::Shaped,
};

/// The circumstances of a request: when, where and from whom it arrived, its version, and its faults.
pub(in crate::broker) struct Call<'a> {
    pub(in crate::broker) now_ms: i64,
    pub(in crate::broker) arrived_ms: i64,
    /// The node that received the request.
    pub(in crate::broker) node: i32,
    pub(in crate::broker) version: i16,
    /// The number of the request, under which it waits.
    pub(in crate::broker) ticket: Ticket,
    pub(in crate::broker) client_id: &'a str,
    pub(in crate::broker) plan: &'a Plan,
    /// Who the client of its connection is.
    pub(in crate::broker) session: &'a mut Session,
}

impl Call<'_> {
    /// Whether the client may do this with a topic.
    pub(super) fn may(&self, state: &State, operation: Operation, topic: &str) -> bool {
        // Without an authorizer nobody is asked for, since that takes a text.
        !state.acls.is_on() || state.acls.allows(&self.session.requester(), operation, Kind::Topic, topic)
    }

    /// Whether the client may do this with a consumer group.
    pub(super) fn may_with_group(&self, state: &State, operation: Operation, group: &str) -> bool {
        !state.acls.is_on() || state.acls.allows(&self.session.requester(), operation, Kind::Group, group)
    }

    /// Why a request to a group is refused before the group is looked at.
    pub(super) fn check_group(&self, state: &State, operation: Operation, group: &str) -> Result<(), ErrorCode> {
        match self.plan.top_error() {
            Some(code) => Err(code),
            None if !self.may_with_group(state, operation, group) => Err(ErrorCode::GROUP_AUTHORIZATION_FAILED),
            None if group.is_empty() => Err(ErrorCode::INVALID_GROUP_ID),
            None => self.check_coordinator(state, group),
        }
    }

    /// Whether this node coordinates a group.
    pub(super) fn check_coordinator(&self, state: &State, group: &str) -> Result<(), ErrorCode> {
        if state.coordinator(group) == Some(self.node) { Ok(()) } else { Err(ErrorCode::NOT_COORDINATOR) }
    }

    /// Why no offset of this partition can be kept or deleted.
    pub(super) fn check_offset(&self, state: &State, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        if !self.may(state, Operation::Read, topic) {
            return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        }
        let is_there = state.topics.get(topic).is_some_and(|topic| topic.partition(partition).is_some());
        if is_there { Ok(()) } else { Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) }
    }

    /// Whether the client may do this with the cluster.
    pub(super) fn may_with_cluster(&self, state: &State, operation: Operation) -> bool {
        !state.acls.is_on() || state.acls.allows(&self.session.requester(), operation, Kind::Cluster, CLUSTER)
    }
}

/// The result of a handler.
pub(in crate::broker) enum Response<T> {
    Reply(T),
    /// The connection is closed after it.
    Last(T),
    /// The request has no response (`acks=0`).
    Silent,
    /// The connection is closed.
    Close,
    /// The request is held until this time, or until the state changes.
    Hold {
        until_ms: i64,
    },
}

/// A request that this broker handles.
pub(super) trait Handler: Shaped + Message + Send + Sync + 'static {
    const API: Api;
    /// The first and the last version that ApiVersions advertises.
    const SERVED: (i16, i16);

    /// The topics and partitions that the request names.
    fn targets(&self, _state: &State) -> Vec<Target> {
        Vec::new()
    }

    /// The client's software, if the request names it.
    fn software(&self) -> Option<String> {
        None
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<<Self as Message>::Response>;
}

//! What each API's file has to say of its request: its kind, its versions, and how it is handled.
//!
//! In: a decoded request, the state, and what a handler is told beside. Out: an [`Answer`]. Pure.

use kafka_protocol::protocol::Request as Message;

use super::kind::Api;
use crate::{
    broker::{
        faults::{Plan, Target},
        state::State,
    },
    wire::shape::Shaped,
};

/// What a handler is told beside the request.
pub(in crate::broker) struct Call<'a> {
    pub(in crate::broker) now_ms: i64,
    pub(in crate::broker) arrived_ms: i64,
    /// The node that was asked.
    pub(in crate::broker) node: i32,
    pub(in crate::broker) version: i16,
    pub(in crate::broker) plan: &'a Plan,
}

/// What a handler says.
pub(in crate::broker) enum Answer<T> {
    Reply(T),
    /// No answer is due (`acks=0`).
    Silent,
    /// Close the connection.
    Close,
    /// Not yet.
    Hold {
        until_ms: i64,
    },
}

/// A request that this broker handles.
pub(super) trait Handler: Shaped + Message + Send + Sync + 'static {
    const API: Api;
    /// The versions that are advertised, first and last.
    const SERVED: (i16, i16);

    /// The topics and partitions that it names.
    fn targets(&self, _state: &State) -> Vec<Target> {
        Vec::new()
    }

    /// What the client calls itself, where the request says so.
    fn software(&self) -> Option<String> {
        None
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<<Self as Message>::Response>;
}

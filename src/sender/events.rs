//! What the sender is told, and what it wants done.
//!
//! In and out: plain values. Pure.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

/// A connection. Numbers are never used again, so what a dead connection still says is recognised.
pub(crate) type ConnectionId = u64;

/// What happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection was made.
    Connected { connection: ConnectionId },
    /// A connection ended, or could not be made. `written` is the correlation id of the last request that was handed to the
    /// kernel whole: a broker cannot have seen the whole of a later one.
    Disconnected { connection: ConnectionId, why: Arc<str>, written: Option<i32> },
    /// A frame came.
    Frame { connection: ConnectionId, frame: Bytes },
    /// A request that will not be answered was handed to the kernel whole.
    Written { connection: ConnectionId, correlation: i32 },
    /// A connection has been read, as [`Action::Read`] asked: all that had come has been told.
    Read { connection: ConnectionId },
    /// The accumulator has changed: a batch can be sent, or a topic was asked for.
    Woken,
}

/// What is to be done outside.
#[derive(Debug)]
pub(crate) enum Action {
    /// Make a connection. So many attempts in a row have failed before; this one is given up after `within`.
    Connect { connection: ConnectionId, host: Arc<str>, port: u16, failures: u32, within: Duration },
    /// Send a request: its segments, in order. Requests go out in the order of their actions.
    Send { connection: ConnectionId, correlation: i32, segments: Vec<Bytes>, answered: bool },
    /// Tell all that has come on a connection, and then that it has been read. One that is being made tells whether it is made.
    Read { connection: ConnectionId },
    /// End a connection. Nothing that it still says counts.
    Disconnect { connection: ConnectionId },
}

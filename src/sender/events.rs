//! What happens outside the sender, and what it wants done there.
//!
//! In and out: plain values. Pure.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::sasl::Credentials;

/// A connection. Numbers are never used again, so events of a connection that has ended are recognised.
pub(crate) type ConnectionId = u64;

/// What happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection was made.
    Connected { connection: ConnectionId },
    /// A connection ended, or could not be made. `written` is the correlation id of the last request that was handed to the
    /// kernel whole: a broker cannot have seen the whole of a later one.
    /// `is_refused`: one side does not accept the other, and will not the next time either, unless somebody acts.
    Disconnected { connection: ConnectionId, why: Arc<str>, written: Option<i32>, is_refused: bool },
    /// A frame came.
    Frame { connection: ConnectionId, frame: Bytes },
    /// A request without a response was handed to the kernel whole.
    Written { connection: ConnectionId, correlation: i32 },
    /// A connection has been read after [`Action::Read`]: all that had come is in the events before this one.
    Read { connection: ConnectionId },
    /// There is another token, or none could be had, for this reason.
    Token(Result<Arc<Credentials>, Arc<str>>),
    /// The accumulator has changed: a batch can be sent, or a caller wants a topic.
    Woken,
}

/// What is to be done outside.
#[derive(Debug)]
pub(crate) enum Action {
    /// Make a connection. So many attempts in a row have failed before; this one ends after `within`.
    Connect { connection: ConnectionId, host: Arc<str>, port: u16, failures: u32, within: Duration },
    /// Send a request: its segments, in order. Requests go out in the order of their actions.
    Send { connection: ConnectionId, correlation: i32, segments: Vec<Bytes>, answered: bool },
    /// Read all that has come on a connection, and then say that it has been read. For one that is being made, say whether it is made.
    Read { connection: ConnectionId },
    /// End a connection. Its later events do not count.
    Disconnect { connection: ConnectionId },
    /// Get another token soon: a broker does not accept this one.
    RenewToken,
}

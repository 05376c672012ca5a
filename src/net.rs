//! The shell around the sender: the only part of the producer with sockets, tasks and the clock.
//!
//! In: the sender's actions. Out: events. Does input and output. Deliberately absent: any decision. [`crate::sender`]
//! decides where to connect, and what to send, retry or give up.

mod compress;
mod connection;
mod driver;

pub(crate) use driver::{Driver, Shutdown};

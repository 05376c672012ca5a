//! The shell around the sender: the only place of the producer with sockets, tasks and the clock.
//!
//! In: the sender's actions. Out: events. Does input and output. Deliberately absent: any decision; what is connected to,
//! sent, retried or given up is decided in [`crate::sender`].

mod compress;
mod connection;
mod driver;

pub(crate) use driver::{Driver, Shutdown};

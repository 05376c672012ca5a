//! Free ports for brokers.
//!
//! In: nothing. Out: loopback ports without a listener, distinct within this process. The system does not choose them
//! (port 0), because a broker that restarts needs the same port: between two starts the system could give an ephemeral
//! port to an outgoing connection. These ports are below the ephemeral range.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The next port to try. Processes begin far apart, so that two test binaries do not race for one port.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// One free port.
///
/// # Panics
/// When every port of the range is taken.
pub(crate) fn free() -> u16 {
    let spread = (process::id() % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (spread.wrapping_mul(97) % COUNT + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a free port on loopback")
}

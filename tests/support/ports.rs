//! Free ports for brokers.
//!
//! In: how many. Out: ports on loopback that nothing listens on, distinct within this process. Not the system's choice
//! (port 0), for a broker that restarts must find its port again: between two starts the system would lend a port of its
//! own range to any outgoing connection. These are below that range.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Where this process looks next; processes start far apart, so that two test binaries do not race for one port.
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

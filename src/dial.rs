//! Connects to a host and a port.
//!
//! In: a host, a port, how long it may take, and how it is secured. Out: a connection, or why there is none. Does input and output.
//! The host is resolved again for each connection. All its addresses are tried, IPv4 first, because `localhost` often
//! has an IPv6 address where no broker listens. If an address is silent, the next one is tried beside it ([RFC
//! 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5)). Deliberately absent: the time limit, which the caller
//! keeps; SASL.

#[cfg(feature = "canonical-names")]
mod names;
mod transport;

use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::transport::{DialError, Security, Transport};
use crate::config::Config;
#[cfg(all(feature = "admin", feature = "tls"))]
pub use crate::tls::TlsHandshake;
#[cfg(all(feature = "admin", feature = "tls"))]
use crate::{config::tls::TlsSettings, tls};

/// How long an address may be silent before the next one is tried beside it, as RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// The sizes of the socket's buffers in bytes. `None` is the system's default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketBuffers {
    /// `send.buffer.bytes`.
    pub(crate) send: Option<usize>,
    /// `receive.buffer.bytes`.
    pub(crate) receive: Option<usize>,
}

/// Where the attempts begin, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DialPlan {
    /// How many attempts failed in a row before this one. Each begins with the next address.
    pub(crate) failures: u32,
    /// When the caller gives up, counted from the start.
    pub(crate) within: Duration,
}

/// Connects to the first address of `host` that accepts, and secures the connection.
///
/// # Cancel safety
/// Dropping the future ends all its attempts.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    plan: DialPlan,
    buffers: SocketBuffers,
    security: &Security,
) -> Result<Transport, DialError> {
    let secure = async |socket| security.secure(socket, host).await;
    connect_and(host, port, plan, buffers, security.listener(), secure).await
}

/// Connects in the same way, and tells what the server shows in a TLS handshake; or every violation of a setting or file.
#[cfg(all(feature = "admin", feature = "tls"))]
pub(crate) async fn examine(
    host: &str,
    port: u16,
    plan: DialPlan,
    settings: &TlsSettings,
) -> Result<Result<TlsHandshake, Vec<String>>, DialError> {
    let shake_hands = async |socket| Ok(tls::examine(settings, socket, host).await);
    let listener = tls::Peer::Broker.listener();
    connect_and(host, port, plan, SocketBuffers::default(), listener, shake_hands).await
}

/// Connects to the first address of `host` that accepts, and does what is to be done before anything else is sent. An error says that `listener` may
/// not speak TLS.
async fn connect_and<T>(
    host: &str,
    port: u16,
    plan: DialPlan,
    buffers: SocketBuffers,
    listener: &str,
    secure: impl AsyncFnOnce(TcpStream) -> Result<T, DialError>,
) -> Result<T, DialError> {
    let started = Instant::now();
    let socket = connect_any(host, port, plan, buffers).await.map_err(DialError::passing)?;
    // A little less than is left, so that this reason comes before the caller's own.
    let limit = plan.within.saturating_sub(started.elapsed()) * 9 / 10;
    let silent = |_| {
        let why = format!("no answer to TLS within {} ms: check that {listener} speaks it", limit.as_millis());
        Err(DialError::passing(vec![why]))
    };
    timeout(limit, secure(socket)).await.unwrap_or_else(silent)
}

/// Connects to the first address of `host` that accepts.
async fn connect_any(host: &str, port: u16, plan: DialPlan, buffers: SocketBuffers) -> Result<TcpStream, Vec<String>> {
    let unresolved = |error: io::Error| vec![format!("cannot resolve host {host}: {error}")];
    let resolved = lookup_host((host, port)).await.map_err(unresolved)?;
    let addresses = in_turn(resolved.collect(), plan.failures);
    if addresses.is_empty() {
        return Err(vec![format!("host {host} has no address")]);
    }
    let share = share(plan.within, addresses.len());
    let head_start = HEAD_START.min(share / 2);
    let (mut untried, mut tries, mut failures) = (addresses.into_iter(), JoinSet::new(), Vec::new());
    loop {
        if let Some(address) = untried.next() {
            tries.spawn(async move { (address, within(share, connect(address, buffers)).await) });
        }
        tokio::select! {
            Some(tried) = tries.join_next() => match tried {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => failures.push(format!("cannot connect to {address}: {error}")),
                Err(_) => failures.push("the runtime is shutting down".into()),
            },
            () = sleep(head_start), if untried.len() > 0 => {}
            else => return Err(failures),
        }
    }
}

/// The addresses in the order in which they are tried.
fn in_turn(mut addresses: Vec<SocketAddr>, failures: u32) -> Vec<SocketAddr> {
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let first = usize::try_from(failures).unwrap_or(0) % addresses.len().max(1);
    addresses.rotate_left(first);
    addresses
}

/// How long each of the addresses may take, so that a silent one does not keep the others from being tried again.
fn share(within: Duration, addresses: usize) -> Duration {
    within / u32::try_from(addresses).unwrap_or(u32::MAX).max(1)
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("no response within {} ms", limit.as_millis()));
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(silent()))
}

/// The servers to ask first: those of `bootstrap.servers`, or the canonical names of their addresses (`client.dns.lookup`).
pub(crate) async fn bootstrap(config: &Config) -> Vec<(String, u16)> {
    #[cfg(feature = "canonical-names")]
    if config.canonical_names {
        return names::canonical(config.bootstrap_servers.clone()).await;
    }
    config.bootstrap_servers.clone()
}

/// Fails if no host can be resolved, with the reasons.
pub(crate) async fn check_resolvable(hosts: &[(String, u16)]) -> Result<(), String> {
    let mut failures = Vec::new();
    for (host, port) in hosts {
        match lookup_host((host.as_str(), *port)).await.map(|mut addresses| addresses.next()) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => failures.push(format!("{host} has no address")),
            Err(error) => failures.push(format!("{host}: {error}")),
        }
    }
    Err(failures.join(", "))
}

async fn connect(address: SocketAddr, buffers: SocketBuffers) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    buffers.send.map_or(Ok(()), |bytes| socket.set_send_buffer_size(size(bytes)))?;
    buffers.receive.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(size(bytes)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ipv4_is_tried_first_and_each_attempt_begins_with_the_next_address() {
        let (six, a, b) = ("[::1]:9", "127.0.0.1:9", "127.0.0.2:9");
        let table = [(0, [a, b, six]), (1, [b, six, a]), (2, [six, a, b]), (3, [a, b, six]), (u32::MAX, [a, b, six])];
        for (failures, expected) in table {
            assert_eq!(in_turn(addresses(&[six, a, b]), failures), addresses(&expected), "{failures}");
        }
        assert_eq!(in_turn(Vec::new(), 5), []);
    }

    #[test]
    fn the_time_is_divided_among_the_addresses() {
        for (within_ms, count, expected_ms) in [(10_000, 0, 10_000), (10_000, 1, 10_000), (10_000, 4, 2_500)] {
            let within = Duration::from_millis(within_ms);
            assert_eq!(share(within, count), Duration::from_millis(expected_ms), "{within_ms}, {count}");
        }
    }

    #[tokio::test]
    async fn the_error_names_a_silent_address_with_its_share_of_the_time_and_a_refusing_one_with_its_reason() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let plan = DialPlan { failures: 0, within: Duration::from_secs(10) };
        let error = dial("127.0.0.1", free, plan, SocketBuffers::default(), &Security::Plain).await.unwrap_err();
        assert!(error.tried[0].contains("cannot connect to 127.0.0.1"), "{error:?}");
        let never = within(Duration::from_millis(3), std::future::pending::<io::Result<()>>()).await.unwrap_err();
        assert_eq!(never.to_string(), "no response within 3 ms");
    }
}

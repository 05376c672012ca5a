//! Makes connections.
//!
//! In: a host and a port. Out: a connected socket, or why there is none. Does input and output. Names are resolved anew
//! for each connection, and every address is tried, IPv4 first: `localhost` often names an IPv6 address where no broker
//! listens. Deliberately absent: the time limit for all of it, which the sender keeps; TLS and SASL.

use std::{io, net::SocketAddr};

use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Sizes of the kernel's buffers, in bytes; `None` leaves them to the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketBuffers {
    /// `send.buffer.bytes`.
    pub(super) send: Option<usize>,
    /// `receive.buffer.bytes`.
    pub(super) receive: Option<usize>,
}

/// Connects to the first address of `host` that answers.
pub(super) async fn dial(host: &str, port: u16, buffers: SocketBuffers) -> Result<TcpStream, String> {
    let mut addresses: Vec<_> = match lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(format!("cannot resolve host {host}: {error}")),
    };
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut failures = Vec::new();
    for address in addresses {
        match connect(address, buffers).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(format!("cannot connect to {address}: {error}")),
        }
    }
    if failures.is_empty() {
        return Err(format!("host {host} has no address"));
    }
    Err(failures.join("; "))
}

/// Why none of the hosts has an address, if none has.
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

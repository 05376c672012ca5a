//! Peers on loopback that are not Kafka brokers.
//!
//! In: the bytes that they send. Out: their address. Each runs on its own threads, and serves any number of connections until the
//! process ends. Deliberately absent: the Kafka protocol, and a broker with faults, which is the embedded broker.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::ports;

/// The response of a web server to a Kafka request.
pub const HTTP_RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The response of a TLS server to bytes that are no handshake: a fatal alert, "unexpected message".
pub const TLS_ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a];

/// A peer that sends `response` after the first bytes of each connection, then closes it.
#[must_use]
pub fn responding(response: &'static [u8]) -> SocketAddr {
    serve(move |mut connection| {
        let mut request = [0; 1024];
        // The client may have closed the connection.
        if connection.read(&mut request).is_ok_and(|read| read > 0) {
            connection.write_all(response).ok();
        }
    })
}

/// A peer that accepts connections and reads requests, but sends nothing.
#[must_use]
pub fn silent() -> SocketAddr {
    serve(|mut connection| {
        let mut request = [0; 1024];
        while connection.read(&mut request).is_ok_and(|read| read > 0) {}
    })
}

/// An address on loopback without a listener.
#[must_use]
pub fn closed_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, ports::free()).into()
}

fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(connection));
        }
    });
    address
}

//! Peers on loopback that are not Kafka brokers, or stop being one.
//!
//! In: what they send. Out: their address. Each has threads of its own, and serves any number of connections until the
//! process ends. Deliberately absent: the Kafka protocol. The embedded broker plays a broker with faults.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::ports;

/// What a web server says to a Kafka request.
pub const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What a TLS server says to bytes that are no handshake: a fatal alert, "unexpected message".
pub const TLS_ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a];

/// A peer that answers the first bytes of each connection with `response`, then closes it.
#[must_use]
pub fn answering(response: &'static [u8]) -> SocketAddr {
    serve(move |mut connection| {
        let mut request = [0; 1024];
        // A client that is gone already needs no response.
        if connection.read(&mut request).is_ok_and(|read| read > 0) {
            connection.write_all(response).ok();
        }
    })
}

/// A peer that accepts connections and reads what comes, and never says a word.
#[must_use]
pub fn silent() -> SocketAddr {
    serve(|mut connection| {
        let mut request = [0; 1024];
        while connection.read(&mut request).is_ok_and(|read| read > 0) {}
    })
}

/// An address on loopback where nobody listens.
#[must_use]
pub fn nobody() -> SocketAddr {
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

//! The sink as a program, `bench-sink PARTITIONS [PORT [CERTIFICATE KEY]]`, with TLS if it has a certificate. It prints `listening HOST:PORT`. When its standard input
//! ends, it prints its counts and ends.

use std::{
    env,
    io::{self, Read},
};

use bench_sink::{Secure, Sink};

fn main() -> io::Result<()> {
    let number = |nth, otherwise: u16| env::args().nth(nth).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    let secure = secure(env::args().nth(3), env::args().nth(4))?;
    let sink = Sink::start_secured(number(1, 6), number(2, 0), secure)?;
    println!("listening {}", sink.address());
    io::stdin().read_to_end(&mut Vec::new())?;
    println!("sink {}", sink.told());
    Ok(())
}

#[cfg(feature = "tls")]
fn secure(certificate: Option<String>, key: Option<String>) -> io::Result<Secure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Secure::tls(&certificate, &key),
        _ => Ok(Secure::default()),
    }
}

#[cfg(not(feature = "tls"))]
fn secure(certificate: Option<String>, _: Option<String>) -> io::Result<Secure> {
    match certificate {
        Some(_) => Err(io::Error::other("this build has no TLS: build bench-sink with the feature `tls`")),
        None => Ok(Secure::default()),
    }
}

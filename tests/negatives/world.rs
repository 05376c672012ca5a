//! Brokers and clients of the tables.
//!
//! In: a builder, and what stands before its broker and changes what it says; a client's properties. Out: what a producer says.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    ConfigError, Producer, ProducerBuilder, Record, SendError,
    broker::{Builder, EmbeddedBroker, Fault, Tls},
    tls::tests::{
        pki::{Ca, Issued},
        server::plain,
    },
};

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The producer cannot be built.
    Builds,
    /// `send` is refused at once, and will be unless somebody acts.
    Refused,
    /// `send` gives up after `max.block.ms`, since the next moment could have been better.
    Later,
    /// The record is accepted and fails for good, and is certainly not written.
    Fails,
}

/// What becomes of a message of SCRAM from the broker.
type Lie = fn(String) -> String;

/// What stands before a broker.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// It ends each connection after so many bytes from the broker.
    Cut(usize),
    /// It changes the broker's messages of SCRAM.
    Lies(Lie),
    /// It answers that there is no mechanism.
    WithoutMechanisms,
}

/// A broker, started or not.
pub(super) struct Server {
    /// Where clients connect to.
    pub(super) address: String,
    builder: Builder,
    fault: Option<Fault>,
    before: Before,
    broker: Option<EmbeddedBroker>,
}

/// A broker with these settings.
pub(super) fn of(builder: Builder) -> Server {
    Server { address: String::new(), builder, fault: None, before: Before::Nothing, broker: None }
}

/// A broker that lets everybody in.
pub(super) fn broker() -> Server {
    of(EmbeddedBroker::builder())
}

/// A broker with TLS.
pub(super) fn tls(tls: Tls) -> Server {
    of(EmbeddedBroker::builder().tls(tls))
}

/// The same broker, whose connections end after so many bytes.
pub(super) fn cut_after(server: &Server, bytes: usize) -> Server {
    Server { before: Before::Cut(bytes), ..of(server.builder.clone()) }
}

/// The same broker, whose messages of SCRAM are changed.
pub(super) fn mangled(server: &Server, lie: Lie) -> Server {
    Server { before: Before::Lies(lie), ..of(server.builder.clone()) }
}

/// A broker that wants SASL and has no mechanism.
pub(super) fn without_mechanisms() -> Server {
    Server { before: Before::WithoutMechanisms, ..of(EmbeddedBroker::builder().user("alice", "secret")) }
}

impl Server {
    pub(super) fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    pub(super) async fn start(&mut self) {
        let broker = self.builder.clone().start().await.expect("the embedded broker starts");
        self.fault.take().map(|fault| broker.inject(fault));
        let (port, before) = (broker.port(1).expect("a broker has a port"), self.before);
        self.address = match before {
            Before::Nothing => broker.bootstrap_servers(),
            before => format!("127.0.0.1:{}", plain(move |client| between(client, port, before))),
        };
        self.broker = Some(broker);
    }
}

/// Carries what a client and the broker say to each other.
fn between(client: TcpStream, port: u16, before: Before) {
    let broker = TcpStream::connect(("127.0.0.1", port)).expect("the broker is there");
    let (mut from, mut to) = (client.try_clone().expect("a socket"), broker.try_clone().expect("a socket"));
    let requests = thread::spawn(move || io::copy(&mut from, &mut to));
    let (client, broker) = (Arc::new(client), Arc::new(broker));
    let ended = match before {
        Before::Nothing => io::copy(&mut &*broker, &mut &*client).map(drop),
        Before::Cut(bytes) => io::copy(&mut (&*broker).take(bytes as u64), &mut &*client).map(drop),
        Before::Lies(lie) => {
            carry_frames(
                &broker,
                &client,
                |number, frame| {
                    if number < 2 { frame } else { lied(&frame, lie).unwrap_or(frame) }
                },
            )
        }
        Before::WithoutMechanisms => carry_frames(&broker, &client, |number, frame| {
            // SaslHandshake: the correlation id, UNSUPPORTED_SASL_MECHANISM, and no mechanisms.
            if number == 1 { [&frame[..4], &[0, 33, 0, 0, 0, 0]].concat() } else { frame }
        }),
    };
    drop(ended);
    for socket in [client, broker] {
        drop(socket.shutdown(Shutdown::Both));
    }
    drop(requests.join());
}

/// Carries frames from the broker to the client, each as `change` makes it of its number and its bytes.
fn carry_frames(
    mut broker: &TcpStream,
    mut client: &TcpStream,
    change: impl Fn(usize, Vec<u8>) -> Vec<u8>,
) -> io::Result<()> {
    for number in 0.. {
        let mut length = [0; 4];
        broker.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        broker.read_exact(&mut frame)?;
        let frame = change(number, frame);
        let length = u32::try_from(frame.len()).expect("a short frame").to_be_bytes();
        client.write_all(&[&length[..], &frame].concat())?;
    }
    Ok(())
}

/// A response to SaslAuthenticate (version 2) with another message: correlation id, tagged fields, error, no error message, and the message
/// behind its length, which counts one more and takes one byte or two.
fn lied(frame: &[u8], lie: Lie) -> Option<Vec<u8>> {
    const AT: usize = 4 + 1 + 2 + 1;
    let (start, rest) = frame.split_at_checked(AT)?;
    let (length, rest) = match *rest {
        [low, high, ref rest @ ..] if low >= 128 => (usize::from(low & 127) + 128 * usize::from(high), rest),
        [low, ref rest @ ..] => (usize::from(low), rest),
        [] => return None,
    };
    let (message, end) = rest.split_at_checked(length.checked_sub(1)?)?;
    let message = lie(String::from_utf8(message.to_vec()).ok()?);
    let length = message.len() + 1;
    let low = u8::try_from(length % 128).ok()?;
    let length = if length < 128 { vec![low] } else { vec![low | 128, u8::try_from(length / 128).ok()?] };
    Some([start, &length, message.as_bytes(), end].concat())
}

/// The properties of a client.
#[derive(Clone)]
pub(super) struct Client(Vec<(&'static str, String)>);

/// A client without TLS and SASL.
pub(super) fn plain_text(server: &Server) -> Client {
    Client(vec![("bootstrap.servers", server.address.clone())])
}

/// A client with TLS that trusts a CA.
pub(super) fn tls_client(ca: &Ca, server: &Server) -> Client {
    plain_text(server).tls_with(&ca.pem)
}

/// The same with a certificate of its own.
pub(super) fn with_certificate(ca: &Ca, server: &Server, issued: &Issued) -> Client {
    let client = tls_client(ca, server).with("ssl.keystore.certificate.chain", &issued.chain);
    client.with("ssl.keystore.key", &issued.key)
}

/// A client that authenticates by SCRAM-SHA-256.
pub(super) fn scram(server: &Server, user: &str, password: &str) -> Client {
    plain_text(server).sasl("SCRAM-SHA-256", user, password)
}

impl Client {
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    pub(super) fn tls_with(self, pem: &str) -> Self {
        let pems = self.with("security.protocol", "SSL").with("ssl.truststore.type", "PEM");
        pems.with("ssl.keystore.type", "PEM").with("ssl.truststore.certificates", pem)
    }

    pub(super) fn tls_from(self, path: &str) -> Self {
        let file = self.with("security.protocol", "SSL").with("ssl.truststore.type", "PEM");
        file.with("ssl.truststore.location", path)
    }

    pub(super) fn sasl(self, mechanism: &str, user: &str, password: &str) -> Self {
        let client = self.with("security.protocol", "SASL_PLAINTEXT").with("sasl.mechanism", mechanism);
        client.with("sasl.username", user).with("sasl.password", password)
    }

    pub(super) async fn producer(self) -> Result<Producer, ConfigError> {
        let builder = ProducerBuilder::from_properties(self.0);
        builder.max_block(Duration::from_secs(5)).build().await
    }
}

/// How it ends, if in one of the known ways, and what the producer says.
pub(super) async fn outcome(client: Client, expected: End) -> (Option<End>, String) {
    let patience = if expected == End::Later { Duration::from_millis(500) } else { Duration::from_secs(20) };
    let producer = match ProducerBuilder::from_properties(client.0).max_block(patience).build().await {
        Ok(producer) => producer,
        Err(error) => return (Some(End::Builds), error.to_string()),
    };
    match producer.send(Record::to("orders").value("hunter2")).await {
        Ok(delivery) => match delivery.await {
            Ok(_) => (None, "the record was written".to_owned()),
            Err(error) => {
                let is_final = !error.retriable() && error.persisted() == crate::Persisted::No;
                (is_final.then_some(End::Fails), error.to_string())
            }
        },
        Err(error) => {
            let end = match error {
                SendError::Unauthenticated { .. } | SendError::TopicRefused { .. } if !error.retriable() => {
                    End::Refused
                }
                _ => End::Later,
            };
            (Some(end), error.to_string())
        }
    }
}

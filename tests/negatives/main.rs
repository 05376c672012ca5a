//! Whatever is wrong between a client and a broker that wants to know who it is: each case with the sentence that a producer says.
//!
//! One table for TLS, one for SASL, one for rights, each row through [`ProducerBuilder`] and [`Producer::send`] against the embedded broker, or
//! against a broker that answers what it should not. Runs without Kafka. The pieces are in [`world`].

mod world;

use std::time::Duration;

use self::world::{
    Client, End, Server, broker, cut_after, mangled, of, plain_text, scram, tls, tls_client, with_certificate,
};
use crate::{
    SaslMechanism,
    broker::{Api, Builder, ClientAuth, EmbeddedBroker, Fault, Tls},
    error::ErrorCode,
    tls::tests::{
        encrypted,
        pki::{Ca, Wanted, self_signed},
    },
};

/// What is wrong, the broker, the client's properties, how it ends, and what the error says.
type Row = (&'static str, fn(&Ca) -> Server, fn(&Ca, &Server) -> Client, End, &'static str);

fn run(rows: &[Row]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ca = Ca::new("Shop CA");
    let wrong: Vec<_> = rows.iter().filter_map(|row| runtime.block_on(wrong(row, &ca))).collect();
    assert!(wrong.is_empty(), "{} of {} are not as expected:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// What is not as a row has it.
async fn wrong((what, server, client, end, says): &Row, ca: &Ca) -> Option<String> {
    let mut server = server(ca);
    server.start().await;
    let (ended, sentence) = world::outcome(client(ca, &server), *end).await;
    let is_right = ended == Some(*end) && sentence.contains(says) && !sentence.contains("hunter2");
    (!is_right).then(|| format!("{what}: expected {end:?} with {says:?}, got {ended:?}: {sentence}"))
}

/// A broker whose certificate is what `wanted` says.
fn shows(ca: &Ca, wanted: &Wanted) -> Server {
    of(EmbeddedBroker::builder().tls(Tls::new().keystore(ca.issue(wanted).store())))
}

fn good(ca: &Ca, tls: impl Fn(Tls) -> Tls) -> Server {
    of(EmbeddedBroker::builder()
        .tls(tls(Tls::new().keystore(ca.issue(&Wanted::default()).store()).truststore(&ca.pem))))
}

#[test]
fn each_fault_of_tls_is_told_by_its_cause() {
    use End::{Builds, Later, Refused};
    let rows: &[Row] = &[
        (
            "a client without TLS",
            |ca| good(ca, |tls| tls),
            |_, server| plain_text(server),
            Later,
            "security.protocol=SSL",
        ),
        (
            "TLS to a PLAINTEXT listener",
            |_| broker(),
            tls_client,
            Later,
            "as a PLAINTEXT listener does: check the port",
        ),
        (
            "a CA that is not trusted",
            |_| tls(Tls::new()),
            tls_client,
            Refused,
            "is issued by \"milena embedded broker\", which is not trusted",
        ),
        (
            "a certificate that signed itself",
            |_| of(EmbeddedBroker::builder().tls(Tls::new().keystore(self_signed(&Wanted::default()).store()))),
            tls_client,
            Refused,
            "is self-signed and not trusted: add it to ssl.truststore.location",
        ),
        (
            "a certificate that has expired",
            |ca| shows(ca, &Wanted { years: (2000, 2001), ..Wanted::default() }),
            tls_client,
            Refused,
            "the broker's certificate expired",
        ),
        (
            "a certificate of the future, or a clock that is slow",
            |ca| shows(ca, &Wanted { years: (2090, 2100), ..Wanted::default() }),
            tls_client,
            Refused,
            "check the clock of this machine",
        ),
        (
            "a certificate for another name",
            |ca| shows(ca, &Wanted { names: vec!["kafka.example"], ..Wanted::default() }),
            tls_client,
            Refused,
            "the broker's certificate is for kafka.example, expected 127.0.0.1",
        ),
        (
            "a certificate for a name alone, and an address is connected to",
            |ca| shows(ca, &Wanted { names: vec!["localhost"], ..Wanted::default() }),
            tls_client,
            Refused,
            "the broker's certificate is for localhost, expected 127.0.0.1",
        ),
        (
            "a certificate without names",
            |ca| shows(ca, &Wanted { names: vec![], ..Wanted::default() }),
            tls_client,
            Refused,
            "has no subjectAltName, expected one with 127.0.0.1",
        ),
        (
            "no client certificate where one is required",
            |ca| good(ca, |tls| tls.client_auth(ClientAuth::Required)),
            tls_client,
            Refused,
            "the broker requires a client certificate: set ssl.keystore.location",
        ),
        (
            "a client certificate of another CA",
            |ca| good(ca, |tls| tls.client_auth(ClientAuth::Required)),
            |ca, server| with_certificate(ca, server, &Ca::new("Other").issue(&Wanted::default())),
            Refused,
            "does not trust the client's certificate",
        ),
        (
            "a client certificate of another CA where none is required",
            |ca| good(ca, |tls| tls.client_auth(ClientAuth::Requested)),
            |ca, server| with_certificate(ca, server, &Ca::new("Other").issue(&Wanted::default())),
            Refused,
            "does not trust the client's certificate",
        ),
        (
            "a client certificate that has expired",
            |ca| good(ca, |tls| tls.client_auth(ClientAuth::Required)),
            |ca, server| with_certificate(ca, server, &ca.issue(&Wanted { years: (2000, 2001), ..Wanted::default() })),
            Refused,
            "the client's certificate has expired",
        ),
        (
            "no version of TLS in common",
            |ca| good(ca, |tls| tls.protocols(["TLSv1.2"])),
            |ca, server| tls_client(ca, server).with("ssl.enabled.protocols", "TLSv1.3"),
            Refused,
            "no version of TLS in common",
        ),
        (
            "no cipher suite in common",
            |ca| good(ca, |tls| tls.cipher_suites(["TLS_AES_128_GCM_SHA256"])),
            |ca, server| tls_client(ca, server).with("ssl.cipher.suites", "TLS_AES_256_GCM_SHA384"),
            Refused,
            "no cipher suite in common",
        ),
        (
            "a broker that closes the connection in the middle of the handshake",
            |ca| cut_after(&good(ca, |tls| tls), 100),
            tls_client,
            Later,
            "in the middle of the TLS handshake",
        ),
        (
            "a key that is another certificate's",
            |_| broker(),
            |ca, server| {
                let (one, other) = (ca.issue(&Wanted::default()), ca.issue(&Wanted::default()));
                let client = tls_client(ca, server).with("ssl.keystore.certificate.chain", &one.chain);
                client.with("ssl.keystore.key", &other.key)
            },
            Builds,
            "the key does not belong to the first certificate",
        ),
        (
            "a file that is not there",
            |_| broker(),
            |_, server| plain_text(server).tls_from("/nowhere/ca.pem"),
            Builds,
            "ssl.truststore.location: cannot read /nowhere/ca.pem",
        ),
        (
            "a text that is no PEM",
            |_| broker(),
            |_, server| plain_text(server).tls_with("hunter2"),
            Builds,
            "ssl.truststore.certificates: expected certificates in PEM (-----BEGIN CERTIFICATE-----), found none",
        ),
        (
            "a wrong password of a key",
            |_| broker(),
            |ca, server| {
                let client = tls_client(ca, server).with("ssl.keystore.certificate.chain", encrypted::CERTIFICATE);
                client.with("ssl.keystore.key", encrypted::AES).with("ssl.key.password", "hunter3")
            },
            Builds,
            "ssl.key.password: it is not the password of the key",
        ),
        (
            "no password of a key that has one",
            |_| broker(),
            |ca, server| {
                let client = tls_client(ca, server).with("ssl.keystore.certificate.chain", encrypted::CERTIFICATE);
                client.with("ssl.keystore.key", encrypted::AES)
            },
            Builds,
            "ssl.key.password: expected the password of the key",
        ),
        (
            "a truststore in JKS",
            |_| broker(),
            |_, server| plain_text(server).tls_from("client.jks").with("ssl.truststore.type", "JKS"),
            Builds,
            "`keytool -list -rfc -keystore client.jks",
        ),
        (
            "a keystore in PKCS12",
            |_| broker(),
            |ca, server| {
                tls_client(ca, server).with("ssl.keystore.location", "client.p12").with("ssl.keystore.type", "PKCS12")
            },
            Builds,
            "`openssl pkcs12 -in client.p12 -out client.pem`",
        ),
    ];
    run(rows);
}

fn alice() -> Builder {
    EmbeddedBroker::builder().user("alice", "secret")
}

/// A broker that says something else in the response to a client's message.
fn lies(lie: fn(String) -> String) -> Server {
    mangled(&of(alice()), lie)
}

/// A text with another first character behind `name`.
fn another(text: &str, name: &str) -> String {
    let at = text.find(name).map_or(0, |at| at + name.len());
    let other = if text[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn each_fault_of_sasl_is_told_by_its_cause() {
    use End::{Builds, Later, Refused};
    let rows: &[Row] = &[
        (
            "a wrong password by PLAIN",
            |_| of(alice()),
            |_, server| plain_text(server).sasl("PLAIN", "alice", "hunter2"),
            Refused,
            "refused user \"alice\" by PLAIN: SASL_AUTHENTICATION_FAILED (58)",
        ),
        (
            "a wrong password by SCRAM",
            |_| of(alice()),
            |_, server| scram(server, "alice", "hunter2"),
            Refused,
            "refused user \"alice\" by SCRAM-SHA-256: SASL_AUTHENTICATION_FAILED (58)",
        ),
        (
            "a user that is not known",
            |_| of(alice()),
            |_, server| scram(server, "nobody", "secret"),
            Refused,
            "refused user \"nobody\" by SCRAM-SHA-256",
        ),
        (
            "a mechanism that is not enabled",
            |_| of(alice().sasl([SaslMechanism::Plain])),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "has not enabled SCRAM-SHA-256 on this listener: it has PLAIN",
        ),
        (
            "a broker that has no mechanism at all",
            |_| world::without_mechanisms(),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "has not enabled SCRAM-SHA-256 on this listener",
        ),
        (
            "a mechanism that milena does not have",
            |_| of(alice()),
            |_, server| plain_text(server).sasl("GSSAPI", "alice", "hunter2"),
            Builds,
            "milena has no Kerberos (GSSAPI",
        ),
        (
            "a client without SASL",
            |_| of(alice()),
            |_, server| plain_text(server),
            Later,
            "a listener that wants SASL does so",
        ),
        (
            "SASL to a listener without it",
            |_| broker(),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "the broker does not authenticate by SASL on this listener: check the port, and security.protocol",
        ),
        (
            "a broker that closes the connection in the middle of an authentication",
            |_| {
                let fault = Fault::drop_response().on(Api::SaslAuthenticate).forever();
                of(alice()).with_fault(fault)
            },
            |_, server| scram(server, "alice", "secret"),
            Later,
            "closed the connection",
        ),
        (
            "a broker that does not know the password that it lets in with",
            |_| lies(|said| if said.starts_with("v=") { another(&said, "v=") } else { said }),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "the broker could not prove that it knows the password",
        ),
        (
            "a nonce that is not made from the client's",
            |_| lies(|said| if said.starts_with("r=") { another(&said, "r=") } else { said }),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "the broker's nonce is not made from this client's",
        ),
        (
            "too few iterations",
            |_| lies(|said| said.replace("i=4096", "i=4095")),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "expected from 4096 to 131072 iterations of the password's hash, got 4095",
        ),
        (
            "too many iterations",
            |_| lies(|said| said.replace("i=4096", "i=999999")),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "expected from 4096 to 131072 iterations of the password's hash, got 999999",
        ),
        (
            "SASL_SSL, and a wrong password",
            |ca| of(alice().tls(Tls::new().keystore(ca.issue(&Wanted::default()).store()))),
            |ca, server| scram(server, "alice", "hunter2").tls_with(&ca.pem).with("security.protocol", "SASL_SSL"),
            Refused,
            "refused user \"alice\" by SCRAM-SHA-256",
        ),
        (
            "SASL_SSL, and a CA that is not trusted",
            |_| of(alice().tls(Tls::new())),
            |ca, server| scram(server, "alice", "hunter2").tls_with(&ca.pem).with("security.protocol", "SASL_SSL"),
            Refused,
            "which is not trusted",
        ),
        (
            "SASL_PLAINTEXT to a listener with TLS",
            |_| of(alice().tls(Tls::new())),
            |_, server| scram(server, "alice", "hunter2"),
            Later,
            "TLS",
        ),
    ];
    run(rows);
}

/// A broker with the topic `orders`, where alice may do what the rules say.
fn guarded(rules: &[&str]) -> Server {
    let rules = rules.iter().map(|rule| format!("User:alice {rule}").parse().unwrap());
    of(rules.fold(alice().authorize().topic("orders", 1), Builder::acl))
}

#[test]
fn each_right_that_is_missing_is_told_with_the_rule_that_helps() {
    use End::{Fails, Refused};
    let rows: &[Row] = &[
        (
            "a topic that may not be seen",
            |_| guarded(&[]),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "TOPIC_AUTHORIZATION_FAILED (29) for topic orders; User:alice may not DESCRIBE topic orders",
        ),
        (
            "a topic that does not exist and may not be created",
            |_| of(alice().acl("User:alice WRITE topic orders".parse().unwrap())),
            |_, server| scram(server, "alice", "secret"),
            Refused,
            "`kafka-acls.sh --add --allow-principal User:alice --producer --topic orders`",
        ),
        (
            "a topic that may not be written to",
            |_| guarded(&["DESCRIBE topic orders", "IDEMPOTENT_WRITE cluster"]),
            |_, server| scram(server, "alice", "secret"),
            Fails,
            "User:alice may not WRITE to topic orders: grant it by `kafka-acls.sh --add --allow-principal User:alice --operation WRITE \
             --topic orders`",
        ),
        (
            "a topic that may not be written to, which is denied",
            |_| guarded(&["ALL topic *", "WRITE topic orders DENY"]),
            |_, server| scram(server, "alice", "secret"),
            Fails,
            "(not written, not retriable); User:alice may not WRITE to topic orders",
        ),
        (
            "no right to write idempotently",
            |_| guarded(&["DESCRIBE topic orders"]),
            |_, server| scram(server, "alice", "secret"),
            Fails,
            "CLUSTER_AUTHORIZATION_FAILED (31)",
        ),
        (
            "no right to write idempotently, and what helps",
            |_| guarded(&["DESCRIBE topic orders"]),
            |_, server| scram(server, "alice", "secret"),
            Fails,
            "User:alice has neither WRITE on any topic nor IDEMPOTENT_WRITE on the cluster",
        ),
        (
            "a client that nobody knows",
            |_| of(EmbeddedBroker::builder().authorize()),
            |_, server| plain_text(server),
            Refused,
            "User:ANONYMOUS may not DESCRIBE topic orders",
        ),
        (
            "a client that is known by its certificate",
            |ca| {
                let tls = Tls::new().keystore(ca.issue(&Wanted::default()).store()).truststore(&ca.pem);
                of(EmbeddedBroker::builder().authorize().tls(tls.client_auth(ClientAuth::Required)))
            },
            |ca, server| with_certificate(ca, server, &ca.issue(&Wanted::default())),
            Refused,
            "this client may not DESCRIBE topic orders",
        ),
    ];
    run(rows);
}

#[tokio::test]
async fn a_session_that_has_ended_and_a_user_that_is_gone_are_told_as_a_refusal() {
    let builder = alice().topic("orders", 1).session_lifetime(Duration::from_millis(1_200));
    let broker = builder.start().await.unwrap();
    let mut server = of(EmbeddedBroker::builder());
    server.address = broker.bootstrap_servers();
    let producer = scram(&server, "alice", "secret").producer().await.unwrap();
    producer.send(crate::Record::to("orders").value("a")).await.unwrap().await.unwrap();
    assert!(broker.remove_user("alice"));
    while producer.metrics().get("producer-metrics", "connection-count") != Some(0.0) {
        drop(producer.send(crate::Record::to("orders").value("b")).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = producer.send(crate::Record::to("another").value("c")).await.map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::SASL_AUTHENTICATION_FAILED, "{error}");
    assert!(error.to_string().contains("refused user \"alice\" by SCRAM-SHA-256"), "{error}");
}

//! SaslHandshake and SaslAuthenticate, and what is served before and after them.

use std::{io::ErrorKind, time::Duration};

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, SaslHandshakeRequest};

use super::*;
use crate::{
    SaslMechanism,
    sasl::{Credentials, Mechanism},
    secret::Secret,
};

const LISTENER: &str = "SASL_PLAINTEXT";
/// Sessions by PLAIN, SCRAM-SHA-256 and OAUTHBEARER outlast every test. One by SCRAM-SHA-512 is over at once.
pub(super) const LIFETIMES_MS: [&str; 2] = ["3600000", "1"];

/// Runs a scenario against both brokers, which know alice and bob. `lifetime_ms` is that of the embedded one.
pub(super) fn same_secured(lifetime_ms: &str, scenario: impl Fn(&mut Client) -> Seen) {
    static REAL: OnceLock<RealKafka> = OnceLock::new();
    let real = scenario(&mut Client::connect(&REAL.get_or_init(start_real).secured_server(LISTENER)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lifetime = Duration::from_millis(lifetime_ms.parse().unwrap());
    let broker = EmbeddedBroker::builder().user("alice", "secret").user("bob", "secret").session_lifetime(lifetime);
    let all =
        [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::OauthBearer];
    let broker = runtime.block_on(broker.sasl(all).auto_create(false).start()).unwrap();
    let embedded = scenario(&mut Client::connect(&broker.bootstrap_servers()));
    assert_same(&embedded, &real);
}

fn start_real() -> RealKafka {
    let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
        .into_iter()
        .flat_map(|mechanism| ["alice", "bob"].map(|user| format!("{mechanism}=[name={user},password=\"secret\"]")));
    let users: Vec<String> = users.collect();
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let plain =
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"secret\" user_bob=\"secret\";";
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";";
    let settings = [
        ("auto.create.topics.enable", "false"),
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", plain),
        ("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config", scram),
        ("listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config", scram),
        ("listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config", oauth),
        ("connections.max.reauth.ms", LIFETIMES_MS[0]),
        ("listener.name.sasl_plaintext.scram-sha-512.connections.max.reauth.ms", LIFETIMES_MS[1]),
    ];
    RealKafka::start_secured(&[LISTENER], &users.iter().map(String::as_str).collect::<Vec<_>>(), &settings)
}

pub(super) fn shake(client: &mut Client, mechanism: &'static str) -> String {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let Some(response) = client.try_ask(1, &request) else { return "closed".into() };
    let mut mechanisms = response.mechanisms;
    mechanisms.sort();
    format!("{} {mechanisms:?}", ErrorCode(response.error_code))
}

/// What the broker answers to a message, and that message of the broker.
pub(super) fn say(client: &mut Client, message: &[u8]) -> (String, Bytes) {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(message));
    let Some(response) = client.try_ask(2, &request) else { return ("closed".into(), Bytes::new()) };
    let (code, lifetime) = (ErrorCode(response.error_code), response.session_lifetime_ms);
    (format!("{code} {:?} for {lifetime} ms", response.error_message.as_deref()), response.auth_bytes)
}

/// Authenticates, first or again.
pub(super) fn log_in(client: &mut Client, mechanism: Mechanism, user: &str, password: &str) -> Seen {
    let credentials = Credentials::new(mechanism, user, Secret::new(password));
    let mut seen = vec![shake(client, mechanism.name())];
    let (mut exchange, mut message) = credentials.begin(1);
    loop {
        let (answer, said) = say(client, &message);
        let is_error = !answer.starts_with("NONE");
        seen.push(answer);
        match exchange.answer(&credentials, &said) {
            Ok(Some(next)) if !is_error => message = next,
            _ => return seen,
        }
    }
}

/// Whether the broker has closed the connection, or does so soon. Then another one is made.
pub(super) fn ends(client: &mut Client, soon: Duration) -> String {
    client.socket.set_read_timeout(Some(soon)).unwrap();
    match client.socket.read(&mut [0; 1]) {
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
            client.socket.set_read_timeout(None).unwrap();
            "goes on".into()
        }
        Ok(1..) => "says more".into(),
        _ => {
            client.socket = TcpStream::connect(&client.address).unwrap();
            "ends".into()
        }
    }
}

/// Whether Metadata is served. Apache Kafka may say `ILLEGAL_SASL_STATE` before it closes the connection, which the embedded broker does not.
pub(super) fn serves(client: &mut Client) -> String {
    match client.try_ask(9, &MetadataRequest::default().with_topics(Some(Vec::new()))) {
        Some(response) if !response.brokers.is_empty() => "served".into(),
        Some(_) => format!("closed: {}", ends(client, WHILE) == "ends").replace("closed: true", "closed"),
        None => "closed".into(),
    }
}

/// Long enough for a broker to close a connection.
pub(super) const WHILE: Duration = Duration::from_secs(10);
/// Long enough to see a connection that was closed already.
const MOMENT: Duration = Duration::from_millis(300);

const MECHANISMS: [Mechanism; 3] = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];

#[test]
fn each_mechanism_lets_users_in_and_nobody_else() {
    same_secured(LIFETIMES_MS[0], |client| {
        let mut seen = Seen::new();
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
            for (user, password) in [("alice", "secret"), ("alice", "wrong"), ("nobody", "secret")] {
                seen.extend(log_in(client, mechanism, user, password));
                let ended = password == "wrong" || user == "nobody";
                seen.push(if ended { ends(client, WHILE) } else { serves(client) });
                client.socket = TcpStream::connect(&client.address).unwrap();
            }
        }
        seen
    });
}

#[test]
fn messages_that_are_none_are_refused_in_the_same_words() {
    same_secured(LIFETIMES_MS[0], |client| {
        let mut seen = Seen::new();
        let messages: [(usize, &[u8]); 14] = [
            (0, b""),
            (0, b"\0alice"),
            (0, b"\0\0secret"),
            (0, b"\0alice\0"),
            (0, b"bob\0alice\0secret"),
            (0, b"alice\0alice\0secret"),
            (0, b"\0alice\0secret\0\0"),
            (1, b""),
            (1, b"y,,n=alice,r=abc"),
            (1, b"n,a=bob,n=alice,r=abc"),
            (1, b"n,,n=alice"),
            (1, b"n,,n=a=b,r=abc"),
            (1, b"n,,n=,r=abc"),
            (1, b"\xff"),
        ];
        for (mechanism, message) in messages {
            seen.push(shake(client, MECHANISMS[mechanism].name()));
            seen.push(say(client, message).0);
            client.socket = TcpStream::connect(&client.address).unwrap();
        }
        for mechanism in ["GSSAPI", "plain", ""] {
            seen.push(shake(client, mechanism));
            seen.push(ends(client, WHILE));
        }
        seen
    });
}

#[test]
fn before_a_client_is_known_little_is_served() {
    same_secured(LIFETIMES_MS[0], |client| {
        let versions = |client: &mut Client| {
            let response = client.try_ask(0, &ApiVersionsRequest::default());
            response.map_or_else(|| "closed".to_owned(), |response| ErrorCode(response.error_code).to_string())
        };
        let mut seen = vec![serves(client), say(client, b"\0alice\0secret").0];
        seen.extend([versions(client), serves(client)]);
        client.socket = TcpStream::connect(&client.address).unwrap();
        seen.extend([versions(client), versions(client)]);
        client.socket = TcpStream::connect(&client.address).unwrap();
        seen.extend([versions(client), say(client, b"\0alice\0secret").0]);
        client.socket = TcpStream::connect(&client.address).unwrap();
        seen.extend([versions(client), shake(client, "PLAIN"), serves(client)]);
        client.socket = TcpStream::connect(&client.address).unwrap();
        seen.extend([shake(client, "PLAIN"), say(client, b"\0alice\0secret").0, versions(client), versions(client)]);
        seen.extend([say(client, b"\0alice\0secret").0, serves(client)]);
        seen
    });
}

#[test]
fn a_client_authenticates_again_as_the_same_user_by_the_same_mechanism_and_not_all_the_time() {
    same_secured(LIFETIMES_MS[0], |client| {
        let mut seen = Seen::new();
        for (mechanism, user) in [
            (Mechanism::Plain, "alice"),
            (Mechanism::Plain, "bob"),
            (Mechanism::ScramSha256, "alice"),
            (Mechanism::ScramSha256, "bob"),
        ] {
            seen.extend(log_in(client, Mechanism::Plain, "alice", "secret"));
            let again = log_in(client, mechanism, user, "secret");
            if again.last().is_some_and(|answer| answer.starts_with("NONE")) {
                // Within a second after that.
                seen.extend([shake(client, "PLAIN"), serves(client)]);
            }
            seen.extend(again);
            client.socket = TcpStream::connect(&client.address).unwrap();
        }
        seen.extend(log_in(client, Mechanism::Plain, "alice", "secret"));
        seen.extend(log_in(client, Mechanism::Plain, "alice", "wrong"));
        seen.push(ends(client, WHILE));
        seen
    });
}

#[test]
fn a_session_that_is_over_serves_nothing_but_a_handshake() {
    same_secured(LIFETIMES_MS[1], |client| {
        let mut seen = log_in(client, Mechanism::ScramSha512, "alice", "secret");
        // The session is over after a millisecond, and nobody says so.
        seen.push(ends(client, MOMENT));
        seen.extend(log_in(client, Mechanism::ScramSha512, "alice", "secret"));
        seen.extend([ends(client, MOMENT), serves(client)]);
        seen
    });
}

#[test]
fn without_sasl_the_requests_are_known_and_come_at_a_wrong_time() {
    same(|client| {
        let mut seen = vec![shake(client, "PLAIN"), say(client, b"\0alice\0secret").0, serves(client)];
        let keys = client.ask(0, &ApiVersionsRequest::default()).api_keys.into_iter();
        let sasl = keys.filter(|line| [17, 36].contains(&line.api_key));
        seen.extend(sasl.map(|line| format!("{} up to version {}", line.api_key, line.max_version)));
        seen
    });
}

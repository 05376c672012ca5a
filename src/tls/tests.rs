//! TLS against servers of the tests' own.

mod canary;
pub(crate) mod encrypted;
#[cfg(all(feature = "admin", feature = "oidc"))]
mod endpoint;
#[cfg(feature = "admin")]
mod examine;
pub(crate) mod pki;
pub(crate) mod server;

use std::{
    fs,
    io::{self, IoSlice, Read, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use rcgen::ExtendedKeyUsagePurpose;
use tokio::{net::TcpStream, time::timeout};

use self::{
    pki::{Ca, Issued, KINDS, Kind, Wanted, self_signed},
    server::{BOTH, ONLY_12, ONLY_13, Setup, echo, plain, serve},
};
use super::{Peer, Stream, Tls, files::Texts, provider};
use crate::{
    ProducerBuilder,
    config::Config,
    dial::{DialPlan, Security, SocketBuffers, dial},
};

/// Longer than anything takes here.
const HANG: Duration = Duration::from_secs(20);

fn config(properties: &[(&str, &str)]) -> Config {
    let ssl = [("security.protocol", "SSL"), ("ssl.truststore.type", "PEM"), ("ssl.keystore.type", "PEM")];
    let builder = ProducerBuilder::new("localhost:9092").properties(ssl).properties(properties.iter().copied());
    builder.validate().unwrap()
}

fn open(properties: &[(&str, &str)]) -> Result<Arc<Tls>, Vec<String>> {
    Tls::open(&config(properties).tls.unwrap(), Peer::Broker).map(Arc::new)
}

fn violations(properties: &[(&str, &str)]) -> Vec<String> {
    open(properties).err().unwrap_or_default()
}

/// A client that trusts a CA, and has more settings.
fn client(ca: &Ca, more: &[(&str, &str)]) -> Arc<Tls> {
    open(&[&[("ssl.truststore.certificates", ca.pem.as_str())], more].concat()).unwrap()
}

fn identity(issued: &Issued) -> [(&'static str, String); 2] {
    [("ssl.keystore.certificate.chain", issued.chain.clone()), ("ssl.keystore.key", issued.key.clone())]
}

async fn connect(tls: &Arc<Tls>, host: &str, port: u16) -> Result<Stream, String> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let secured = timeout(HANG, Arc::clone(tls).secure(socket, host)).await.expect("the handshake hangs");
    secured.map_err(|refusal| refusal.why)
}

/// Sends a few bytes and waits until they are back.
async fn round_trip(stream: &mut Stream) -> io::Result<()> {
    let exchange = async {
        while write(stream, b"hello")? == 0 {
            stream.writable().await?;
        }
        let mut buffer = BytesMut::new();
        while buffer.len() < 5 {
            stream.readable().await?;
            match stream.try_read_buf(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        assert_eq!(buffer, b"hello"[..]);
        Ok(())
    };
    timeout(HANG, exchange).await.expect("the exchange hangs")
}

/// How many bytes the kernel has taken; 0 if it would block.
fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

/// Why a connection fails, in the handshake or, as with TLS 1.3 and a client's certificate, after it.
async fn failure(tls: &Arc<Tls>, host: &str, port: u16) -> String {
    match connect(tls, host, port).await {
        Err(why) => why,
        Ok(mut stream) => round_trip(&mut stream).await.expect_err("the connection is good").to_string(),
    }
}

#[tokio::test]
async fn brokers_with_each_kind_of_key_are_connected_to_in_each_version_by_name_and_by_address() {
    let ca = Ca::new("Shop CA");
    let tls = client(&ca, &[]);
    for kind in KINDS {
        for versions in [BOTH, ONLY_12, ONLY_13] {
            if matches!(kind, Kind::Ed25519) && versions == ONLY_12 {
                // graviola's server cannot; its client can.
                continue;
            }
            let (port, seen) = echo(&Setup { versions, ..Setup::new(ca.issue(&Wanted { kind, ..Wanted::default() })) });
            for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
                let mut stream = connect(&tls, host, port).await.unwrap();
                round_trip(&mut stream).await.unwrap();
                let seen = seen.recv_timeout(HANG).unwrap();
                assert_eq!((seen.name.as_deref(), seen.is_tls13), (name, versions != ONLY_12), "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_provider_of_the_build_shakes_hands_in_each_version() {
    let ca = Ca::new("Shop CA");
    let settings = config(&[("ssl.truststore.certificates", &ca.pem)]).tls.unwrap();
    for (name, provider) in provider::all() {
        for versions in [ONLY_12, ONLY_13] {
            let (port, _seen) = echo(&Setup { versions, ..Setup::new(ca.issue(&Wanted::default())) });
            let tls = Arc::new(
                Tls::made_of(&settings, Peer::Broker, provider.clone(), Texts::read(&settings).unwrap()).unwrap(),
            );
            let mut stream = connect(&tls, "localhost", port).await.unwrap_or_else(|why| panic!("{name}: {why}"));
            round_trip(&mut stream).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let ca = Ca::new("Shop CA");
    let tls = client(&ca, &[]);
    for versions in [ONLY_12, ONLY_13] {
        let (port, seen) = echo(&Setup { versions, ..Setup::new(ca.issue(&Wanted::default())) });
        for expected in [false, true] {
            round_trip(&mut connect(&tls, "localhost", port).await.unwrap()).await.unwrap();
            assert_eq!(seen.recv_timeout(HANG).unwrap().was_resumed, expected);
        }
    }
}

#[tokio::test]
async fn a_wildcard_an_intermediate_and_a_certificate_that_is_trusted_by_itself_are_accepted() {
    let ca = Ca::new("Shop CA");
    let wildcard = ca.issue_by_intermediate(&Wanted { names: vec!["*.shop.example"], ..Wanted::default() });
    let (port, _seen) = echo(&Setup::new(wildcard));
    round_trip(&mut connect(&client(&ca, &[]), "kafka-1.shop.example", port).await.unwrap()).await.unwrap();
    for is_ca in [false, true] {
        let alone = self_signed(&Wanted { is_ca, ..Wanted::default() });
        let tls = open(&[("ssl.truststore.certificates", &alone.chain)]).unwrap();
        let (port, _seen) = echo(&Setup::new(alone));
        round_trip(&mut connect(&tls, "localhost", port).await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_check_of_names_the_chain_is_checked_all_the_same() {
    let (ca, other) = (Ca::new("Shop CA"), Ca::new("Other CA"));
    let off = [("ssl.endpoint.identification.algorithm", "")];
    let (port, _seen) = echo(&Setup::new(ca.issue(&Wanted { names: vec!["elsewhere"], ..Wanted::default() })));
    round_trip(&mut connect(&client(&ca, &off), "localhost", port).await.unwrap()).await.unwrap();
    assert!(
        failure(&client(&other, &off), "localhost", port).await.contains("issued by \"Shop CA\", which is not trusted")
    );
}

#[tokio::test]
async fn each_fault_of_a_brokers_certificate_has_its_sentence() {
    let (ca, other) = (Ca::new("Shop CA"), Ca::new("Other CA"));
    let wanted = Wanted::default;
    for (issued, host, says) in [
        (
            other.issue(&wanted()),
            "localhost",
            "is issued by \"Other CA\", which is not trusted: add that CA to ssl.truststore.location",
        ),
        (self_signed(&wanted()), "localhost", "\"broker\" is self-signed and not trusted"),
        (self_signed(&Wanted { is_ca: true, ..wanted() }), "localhost", "\"broker\" is self-signed and not trusted"),
        (ca.issue(&Wanted { years: (2019, 2020), ..wanted() }), "localhost", "expired "),
        (ca.issue(&Wanted { years: (2090, 2091), ..wanted() }), "localhost", "check the clock of this machine"),
        (ca.issue(&wanted()), "kafka-1", "is for localhost, 127.0.0.1, expected kafka-1"),
        (ca.issue(&wanted()), "127.0.0.2", "is for localhost, 127.0.0.1, expected 127.0.0.2"),
        (ca.issue(&wanted()), "fe80::1%eth0", "expected fe80::1"),
        (
            ca.issue(&Wanted { names: vec![], ..wanted() }),
            "localhost",
            "has no subjectAltName, expected one with localhost",
        ),
        (ca.issue(&Wanted { is_ca: true, ..wanted() }), "localhost", "is a CA's"),
        (
            ca.issue(&Wanted { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..wanted() }),
            "localhost",
            "issue one with serverAuth",
        ),
    ] {
        for versions in [ONLY_12, ONLY_13] {
            let (port, _seen) = echo(&Setup { versions, ..Setup::new(issued.clone()) });
            let sentence = failure(&client(&ca, &[]), host, port).await;
            assert!(sentence.contains(says), "{says}: {sentence}");
        }
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_and_each_way_to_be_refused_for_it_has_its_sentence() {
    let (ca, other) = (Ca::new("Shop CA"), Ca::new("Other CA"));
    let wanted = Wanted { common_name: "client", names: vec!["client"], ..Wanted::default() };
    let (valid, foreign) = (identity(&ca.issue(&wanted)), identity(&other.issue(&wanted)));
    let old = identity(&ca.issue(&Wanted { years: (2019, 2020), ..wanted }));
    for versions in [ONLY_12, ONLY_13] {
        let clients = Some(ca.pem.clone());
        let (port, seen) = echo(&Setup { versions, clients, ..Setup::new(ca.issue(&Wanted::default())) });
        let with = |identity: &[(&'static str, String); 2]| {
            client(&ca, &identity.each_ref().map(|(name, value)| (*name, value.as_str())))
        };
        round_trip(&mut connect(&with(&valid), "localhost", port).await.unwrap()).await.unwrap();
        assert_eq!(seen.recv_timeout(HANG).unwrap().client_certificates, 1);
        for (tls, says) in [
            (client(&ca, &[]), "the broker requires a client certificate: set ssl.keystore.location"),
            (with(&foreign), "the broker does not trust the client's certificate"),
            (with(&old), "the client's certificate has expired"),
        ] {
            let sentence = failure(&tls, "localhost", port).await;
            assert!(sentence.contains(says), "{says}: {sentence}");
        }
    }
}

#[tokio::test]
async fn versions_and_suites_that_are_not_shared_are_named() {
    let ca = Ca::new("Shop CA");
    let server = |versions, suite| echo(&Setup { versions, suite, ..Setup::new(ca.issue(&Wanted::default())) }).0;
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    for (port, setting, says) in [
        (
            server(ONLY_12, None),
            ("ssl.enabled.protocols", "TLSv1.3"),
            "no version of TLS in common with ssl.enabled.protocols",
        ),
        (
            server(ONLY_13, None),
            ("ssl.enabled.protocols", "TLSv1.2"),
            "no version of TLS in common with ssl.enabled.protocols",
        ),
        (
            server(ONLY_13, Some("TLS13_AES_256_GCM_SHA384")),
            ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256"),
            "no cipher suite in common",
        ),
        (
            server(ONLY_12, Some("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")),
            ("ssl.cipher.suites", suite),
            "no cipher suite in common",
        ),
    ] {
        let sentence = failure(&client(&ca, &[setting]), "localhost", port).await;
        assert!(sentence.contains(says), "{setting:?}: {sentence}");
    }
}

#[tokio::test]
async fn peers_that_do_not_speak_tls_are_recognised() {
    let ca = Ca::new("Shop CA");
    let closes = plain(|mut socket| drop(socket.read(&mut [0; 4])));
    let http = plain(|mut socket| {
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let half = plain(|mut socket| {
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(&[0x16, 3, 3]);
    });
    for (port, says) in [
        (closes, "closed the connection without an answer to TLS, as a PLAINTEXT listener does: check the port"),
        (http, "the listener does not speak TLS: check the port"),
        (half, "closed the connection in the middle of the TLS handshake"),
    ] {
        let sentence = failure(&client(&ca, &[]), "localhost", port).await;
        assert!(sentence.contains(says), "{sentence}");
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_is_told_as_one_that_may_not_speak_tls() {
    let ca = Ca::new("Shop CA");
    let port = plain(|mut socket| while let Ok(1..) = socket.read(&mut [0; 1024]) {});
    let plan = DialPlan { failures: 0, within: Duration::from_millis(200) };
    let security = Security::Tls(client(&ca, &[]));
    let failed = dial("localhost", port, plan, SocketBuffers::default(), &security).await.unwrap_err();
    assert!(failed.tried[0].starts_with("no answer to TLS within ") && !failed.is_final, "{failed:?}");
}

#[tokio::test]
async fn what_a_broker_sent_before_it_ended_the_session_in_error_is_read_first() {
    let ca = Ca::new("Shop CA");
    let port = serve(&Setup::new(ca.issue(&Wanted::default())), |mut session, mut socket| {
        while session.is_handshaking() {
            session.complete_io(&mut socket).unwrap();
        }
        session.writer().write_all(b"answer").unwrap();
        session.send_close_notify();
        let mut bytes = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut bytes).unwrap();
        }
        // What follows is no record.
        socket.write_all(&[&bytes[..], &[0xff; 100]].concat()).unwrap();
        let _ = socket.read(&mut [0; 1024]);
    });
    let mut stream = connect(&client(&ca, &[]), "localhost", port).await.unwrap();
    let mut buffer = BytesMut::new();
    while buffer.is_empty() {
        stream.readable().await.unwrap();
        let _ = stream.try_read_buf(&mut buffer);
    }
    assert_eq!(buffer, b"answer"[..]);
    while stream.try_read_buf(&mut buffer).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        stream.readable().await.unwrap();
    }
}

#[tokio::test]
async fn as_many_bytes_as_count_as_written_reach_a_peer_that_reads_late() {
    let ca = Ca::new("Shop CA");
    let (go, wait) = std::sync::mpsc::channel();
    let (wait, (told, to_be_told)) = (std::sync::Mutex::new(wait), std::sync::mpsc::channel());
    let port = serve(&Setup::new(ca.issue(&Wanted::default())), move |mut session, mut socket| {
        while session.is_handshaking() {
            session.complete_io(&mut socket).unwrap();
        }
        // Behind the tickets: a socket that is closed before all is read is reset.
        session.writer().write_all(b"!").unwrap();
        while session.wants_write() {
            session.write_tls(&mut socket).unwrap();
        }
        wait.lock().unwrap().recv().unwrap();
        let mut stream = rustls::StreamOwned::new(session, socket);
        let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            received += len;
        }
        told.send(received).unwrap();
    });
    let mut stream = connect(&client(&ca, &[]), "localhost", port).await.unwrap();
    let (bytes, mut counted) = (vec![7; 50_000], 0);
    let mut buffer = BytesMut::new();
    while buffer.is_empty() {
        stream.readable().await.unwrap();
        let _ = stream.try_read_buf(&mut buffer);
    }
    // Until the buffers of both sides are full, so that a record is in the kernel in part.
    loop {
        match write(&mut stream, &bytes).unwrap() {
            0 if timeout(Duration::from_millis(300), stream.writable()).await.is_err() => break,
            written => counted += written,
        }
    }
    assert!(stream.wants_write(), "a record is left in part");
    drop(stream);
    go.send(()).unwrap();
    assert_eq!(to_be_told.recv_timeout(HANG).unwrap(), counted);
}

#[tokio::test]
async fn the_end_of_a_stream_is_told_to_the_peer() {
    let ca = Ca::new("Shop CA");
    let (told, to_be_told) = std::sync::mpsc::channel();
    let port = serve(&Setup::new(ca.issue(&Wanted::default())), move |session, socket| {
        let read = rustls::StreamOwned::new(session, socket).read(&mut [0; 16]);
        told.send(read.map_err(|error| error.to_string())).unwrap();
    });
    drop(connect(&client(&ca, &[]), "localhost", port).await.unwrap());
    assert_eq!(to_be_told.recv_timeout(HANG).unwrap(), Ok(0), "close_notify came before the end");
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("milena-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn files_that_change_count_for_the_next_connection_and_those_in_use_go_on() {
    let (old, new) = (Ca::new("Old CA"), Ca::new("New CA"));
    let wanted = Wanted { common_name: "client", ..Wanted::default() };
    let folder = Folder::new("reload");
    let trust = folder.file("trust.pem", &old.pem);
    let store = folder.file("store.pem", &old.issue(&wanted).store());
    let tls = open(&[("ssl.truststore.location", &trust), ("ssl.keystore.location", &store)]).unwrap();
    let server = |ca: &Ca| echo(&Setup { clients: Some(ca.pem.clone()), ..Setup::new(ca.issue(&Wanted::default())) }).0;
    let (old_port, new_port) = (server(&old), server(&new));
    let mut in_use = connect(&tls, "localhost", old_port).await.unwrap();
    round_trip(&mut in_use).await.unwrap();

    // Half of a rotation: it cannot be used, so the last valid one stays.
    folder.file("store.pem", &new.issue(&wanted).chain);
    round_trip(&mut connect(&tls, "localhost", old_port).await.unwrap()).await.unwrap();
    fs::remove_file(&store).unwrap();
    round_trip(&mut connect(&tls, "localhost", old_port).await.unwrap()).await.unwrap();

    folder.file("trust.pem", &new.pem);
    folder.file("store.pem", &new.issue(&wanted).store());
    round_trip(&mut connect(&tls, "localhost", new_port).await.unwrap()).await.unwrap();
    round_trip(&mut in_use).await.unwrap();
    assert!(connect(&tls, "localhost", old_port).await.unwrap_err().contains("\"Old CA\", which is not trusted"));
}

#[test]
fn every_wrong_file_and_text_is_named_with_its_property_all_at_once() {
    let ca = Ca::new("Shop CA");
    let (one, two) = (ca.issue(&Wanted::default()), ca.issue(&Wanted::default()));
    let folder = Folder::new("wrong");
    let (empty, good) = (folder.file("empty.pem", "hunter2"), folder.file("good.pem", &one.store()));
    let missing = folder.0.join("missing.pem").to_str().unwrap().to_owned();
    let chain = ("ssl.keystore.certificate.chain", one.chain.as_str());
    let damaged = one.key.replace("MI", "NI");
    for (properties, expected) in [
        (
            vec![
                ("ssl.truststore.location", missing.as_str()),
                ("ssl.keystore.location", &missing),
                ("ssl.cipher.suites", "hunter3"),
            ],
            vec![
                "ssl.cipher.suites: expected some of",
                "ssl.truststore.location: cannot read",
                "ssl.keystore.location: cannot read",
            ],
        ),
        (
            vec![("ssl.truststore.location", &empty), ("ssl.keystore.location", &empty)],
            vec![
                "ssl.truststore.location: expected certificates in PEM",
                "ssl.keystore.location: expected certificates in PEM",
                "ssl.keystore.location: expected a private key in PEM",
            ],
        ),
        (
            vec![chain, ("ssl.keystore.key", &two.key)],
            vec!["ssl.keystore.certificate.chain: the key does not belong to the first"],
        ),
        (vec![chain, ("ssl.keystore.key", &damaged)], vec!["ssl.keystore.key: a PRIVATE KEY that is damaged"]),
        (vec![chain, ("ssl.keystore.key", &two.chain)], vec!["ssl.keystore.key: expected a private key in PEM"]),
        (vec![("ssl.keystore.location", &good), ("ssl.truststore.location", &good)], vec![]),
        (
            vec![("ssl.truststore.certificates", "-----BEGIN CERTIFICATE-----MAA=-----END CERTIFICATE-----")],
            vec!["ssl.truststore.certificates: certificate 1 cannot be read"],
        ),
        (
            vec![("ssl.enabled.protocols", "TLSv1.3"), ("ssl.cipher.suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")],
            vec!["ssl.cipher.suites: none of them is for a version in ssl.enabled.protocols"],
        ),
    ] {
        let trusted = properties.iter().any(|(name, _)| name.starts_with("ssl.truststore"));
        let trust = if trusted { vec![] } else { vec![("ssl.truststore.certificates", ca.pem.as_str())] };
        let found = violations(&[properties, trust].concat());
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (violation, expected) in found.iter().zip(expected) {
            assert!(violation.starts_with(expected), "{expected}: {violation}");
        }
    }
}

#[test]
fn without_a_truststore_the_systems_roots_are_trusted_or_their_absence_is_told() {
    match open(&[]) {
        Ok(_) => {}
        Err(violations) => assert!(violations[0].contains("install ca-certificates"), "{violations:?}"),
    }
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let ca = Ca::new("Shop CA");
    let base =
        [("ssl.truststore.certificates", ca.pem.as_str()), ("ssl.keystore.certificate.chain", encrypted::CERTIFICATE)];
    let with =
        |key, password| violations(&[&base[..], &[("ssl.keystore.key", key), ("ssl.key.password", password)]].concat());
    assert_eq!(with(encrypted::AES, "hunter2"), [""; 0]);
    assert_eq!(
        with(encrypted::AES, ""),
        ["ssl.key.password: expected the password of the key in ssl.keystore.key, got nothing"]
    );
    assert_eq!(
        with(encrypted::AES, "hunter3"),
        ["ssl.key.password: it is not the password of the key in ssl.keystore.key"]
    );
    let [old] = &with(encrypted::PBES1, "hunter2")[..] else { panic!("one violation") };
    assert!(old.contains("convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc"), "{old}");
    for violation in [with(encrypted::AES, "hunter3"), with(encrypted::PBES1, "hunter2")].concat() {
        assert!(!violation.contains("hunter"), "{violation}");
    }
}

//! What a handshake shows, also one that fails.

use tokio::{net::TcpStream, time::timeout};

use super::{
    HANG,
    pki::{Ca, Wanted},
    server::{ONLY_12, ONLY_13, Setup, echo},
};
use crate::{
    admin::{Admin, AdminError},
    tls::{TlsHandshake, examine},
};

async fn shown(trusted: &Ca, host: &str, port: u16) -> TlsHandshake {
    let settings = super::config(&[("ssl.truststore.certificates", &trusted.pem)]).tls.unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    timeout(HANG, examine(&settings, socket, host)).await.expect("the handshake hangs").unwrap()
}

#[tokio::test]
async fn version_suite_and_the_whole_chain_are_shown_each_time() {
    let ca = Ca::new("Shop CA");
    for (versions, version) in [(ONLY_12, "TLSv1.2"), (ONLY_13, "TLSv1.3")] {
        let issued = ca.issue_by_intermediate(&Wanted::default());
        let (port, _seen) = echo(&Setup { versions, ..Setup::new(issued) });
        for _ in 0..2 {
            let shown = shown(&ca, "localhost", port).await;
            let (agreed, suite) = shown.outcome.unwrap();
            assert!(agreed == version && suite.starts_with("TLS_"), "{agreed} {suite}");
            assert_eq!(shown.certificates.len(), 2, "a resumed session would show none");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_shown_with_the_reason() {
    let (ca, other) = (Ca::new("Shop CA"), Ca::new("Other CA"));
    let (port, _seen) = echo(&Setup::new(ca.issue(&Wanted::default())));
    for (trusted, host, why) in [(&other, "localhost", "which is not trusted"), (&ca, "kafka-1", "expected kafka-1")] {
        let shown = shown(trusted, host, port).await;
        assert!(shown.outcome.as_ref().unwrap_err().contains(why), "{shown:?}");
        assert_eq!(shown.certificates.len(), 1);
    }
}

#[tokio::test]
async fn an_admin_client_shows_the_handshake_only_where_tls_is_asked_for() {
    let ca = Ca::new("Shop CA");
    let (port, _seen) = echo(&Setup::new(ca.issue(&Wanted::default())));
    let server = format!("localhost:{port}");
    let tls = [
        ("security.protocol", "SSL"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", ca.pem.as_str()),
    ];
    let shown = Admin::tls_handshake(tls, &server).await.unwrap().unwrap();
    assert!(shown.outcome.is_ok() && !shown.certificates.is_empty(), "{shown:?}");
    assert_eq!(Admin::tls_handshake([("security.protocol", "PLAINTEXT")], &server).await, Ok(None));
    let unreadable = [tls[0], ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "/nowhere.pem")];
    assert!(matches!(Admin::tls_handshake(unreadable, &server).await, Err(AdminError::InvalidConfig(_))));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert!(matches!(Admin::tls_handshake(tls, &closed).await, Err(AdminError::Unreachable { .. })));
}

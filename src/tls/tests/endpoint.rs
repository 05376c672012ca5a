//! Tokens over TLS: a provider's certificate is judged as a broker's is.
//!
//! In: a provider of the test's own. Out: its token, or the sentence of what does not fit, which names the token endpoint.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::SystemTime,
};

use rustls::StreamOwned;
use serde_json::json;

use super::{
    pki::{Ca, Wanted},
    server::{ONLY_12, Setup, plain, serve},
};
use crate::{ProducerBuilder, oauth::Tokens, sasl::jwt::unsigned};

/// A provider with a token of alice's, encrypted by what the CA has issued. Returns its port.
fn provider(ca: &Ca) -> u16 {
    serves(&Setup::new(ca.issue(&Wanted::default())))
}

/// The same of any setup.
fn serves(setup: &Setup) -> u16 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = unsigned(json!({"sub": "alice", "exp": now + 60}).as_object().unwrap());
    let body = json!({"access_token": token}).to_string();
    serve(setup, move |session, socket| {
        let (mut stream, mut request) = (StreamOwned::new(session, socket), [0; 4096]);
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush()).unwrap_or_default();
        }
    })
}

async fn token(port: u16, ca: &Ca) -> Result<String, String> {
    token_by(port, ca, &[]).await
}

/// The same, with more settings.
async fn token_by(port: u16, ca: &Ca, more: &[(&str, &str)]) -> Result<String, String> {
    let url = format!("https://localhost:{port}/token");
    let properties = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.endpoint.url", &*url),
        ("sasl.oauthbearer.client.credentials.client.id", "alice"),
        ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", &*ca.pem),
    ];
    let config = ProducerBuilder::new("localhost:9092")
        .properties(properties)
        .properties(more.iter().copied())
        .validate()
        .unwrap();
    let credentials = Tokens::open(&config).await.unwrap().credentials().await.map_err(|why| why.to_string())?;
    Ok(credentials.unwrap().username.to_string())
}

#[tokio::test]
async fn a_token_comes_over_tls_from_a_provider_whose_certificate_is_trusted() {
    let (ca, other) = (Ca::new("Tokens"), Ca::new("Others"));
    let port = provider(&ca);
    assert_eq!(token(port, &ca).await.as_deref(), Ok("alice"));
    let why = token(port, &other).await.unwrap_err();
    assert!(why.starts_with(&format!("https://localhost:{port}/token: ")) && why.contains("is not trusted"), "{why}");
}

#[tokio::test]
async fn what_goes_wrong_between_a_client_and_a_token_endpoint_names_it_and_no_broker() {
    let ca = Ca::new("Tokens");
    let shows = |wanted: &Wanted| serves(&Setup::new(ca.issue(wanted)));
    let asks = Setup { clients: Some(ca.pem.clone()), ..Setup::new(ca.issue(&Wanted::default())) };
    let old = Setup { versions: ONLY_12, ..Setup::new(ca.issue(&Wanted::default())) };
    let none: &[(&str, &str)] = &[];
    let newer = [("ssl.enabled.protocols", "TLSv1.3")];
    let impatient = [("sasl.login.connect.timeout.ms", "200")];
    let read = |mut socket: &TcpStream| drop(socket.read(&mut [0; 1024]));
    let http = plain(move |mut socket| {
        read(&socket);
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_or_default();
    });
    let half = plain(move |mut socket| {
        read(&socket);
        socket.write_all(&[0x16, 3, 3]).unwrap_or_default();
    });
    let silent = plain(|mut socket| while let Ok(1..) = socket.read(&mut [0; 1024]) {});
    let rows = [
        (
            provider(&Ca::new("Others")),
            none,
            "the token endpoint's certificate is issued by \"Others\", which is not trusted",
        ),
        (shows(&Wanted { years: (2000, 2001), ..Wanted::default() }), none, "the token endpoint's certificate expired"),
        (serves(&asks), none, "the token endpoint requires a client certificate: set ssl.keystore.location"),
        (serves(&old), &newer[..], "the token endpoint has no version of TLS in common"),
        (
            plain(move |socket| read(&socket)),
            none,
            "the token endpoint closed the connection without an answer to TLS, as a server of plain HTTP does: check the port in",
        ),
        (http, none, "the token endpoint does not speak TLS: check the port in sasl.oauthbearer.token.endpoint.url"),
        (half, none, "the token endpoint closed the connection in the middle of the TLS handshake"),
        (silent, &impatient[..], "check that the token endpoint speaks it"),
    ];
    for (port, more, says) in rows {
        let why = token_by(port, &ca, more).await.unwrap_err();
        assert!(why.contains(says) && !["broker", "PLAINTEXT"].iter().any(|word| why.contains(word)), "{says}: {why}");
    }
}

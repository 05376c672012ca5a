//! Tokens over TLS: a provider's certificate is judged as a broker's is.
//!
//! In: a provider of the test's own. Out: its token, or the sentence of the certificate that does not fit.

use std::{
    io::{Read, Write},
    time::SystemTime,
};

use rustls::StreamOwned;
use serde_json::json;

use super::{
    pki::{Ca, Wanted},
    server::{Setup, serve},
};
use crate::{ProducerBuilder, oauth::Tokens, sasl::jwt::unsigned};

/// A provider with a token of alice's, encrypted by what the CA has issued. Returns its port.
fn provider(ca: &Ca) -> u16 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = unsigned(json!({"sub": "alice", "exp": now + 60}).as_object().unwrap());
    let body = json!({"access_token": token}).to_string();
    serve(&Setup::new(ca.issue(&Wanted::default())), move |session, socket| {
        let (mut stream, mut request) = (StreamOwned::new(session, socket), [0; 4096]);
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush()).unwrap_or_default();
        }
    })
}

async fn token(port: u16, ca: &Ca) -> Result<String, String> {
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
    let config = ProducerBuilder::new("localhost:9092").properties(properties).validate().unwrap();
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

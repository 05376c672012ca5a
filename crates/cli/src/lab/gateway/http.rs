//! Requests as `curl` makes them.
//!
//! In: a method, an address, a path, perhaps JSON. Out: a status and a body. Does I/O: a connection for each request. Deliberately absent:
//! HTTPS and redirects.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::exit::CliError;

/// Nothing that is asked here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) text: String,
}

impl Reply {
    /// The body, or null if it is no JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Parses `http://host:port` to `host:port`.
pub(super) fn address(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
            Ok(address.to_owned())
        }
        _ => Err(format!("expected a URL as http://localhost:8474, got {text:?}")),
    }
}

/// Asks without a body.
pub(super) async fn get(address: &str, path: &str) -> Result<Reply, CliError> {
    call(Method::GET, address, path, None).await
}

/// Sends JSON, or nothing.
pub(super) async fn post(address: &str, path: &str, json: Option<&Value>) -> Result<Reply, CliError> {
    call(Method::POST, address, path, json).await
}

/// Asks for a removal.
pub(super) async fn delete(address: &str, path: &str) -> Result<Reply, CliError> {
    call(Method::DELETE, address, path, None).await
}

async fn call(method: Method, address: &str, path: &str, json: Option<&Value>) -> Result<Reply, CliError> {
    let told = format!("{method} http://{address}{path}");
    match timeout(PATIENCE, exchange(method, address, path, json)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(CliError::Failed(format!("{told}: {error}"))),
        Err(_) => Err(CliError::Failed(format!("{told}: no answer within {} s", PATIENCE.as_secs()))),
    }
}

async fn exchange(
    method: Method,
    address: &str,
    path: &str,
    json: Option<&Value>,
) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = json.map_or_else(Bytes::new, |json| json.to_string().into());
    let request = Request::builder().method(method).uri(path).header(header::HOST, address);
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Reply { status, location, text: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_host_and_a_port() {
        for text in ["http://localhost:8474", "http://localhost:8474/", "localhost:8474"] {
            assert_eq!(address(text), Ok("localhost:8474".into()), "{text}");
        }
        for text in ["", "localhost", "http://localhost", ":8474", "https://localhost:8474", "http://a:1/b:2"] {
            assert!(address(text).unwrap_err().starts_with("expected a URL"), "{text}");
        }
    }
}

//! A gateway on a port that the system chose, and the plainest client.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use milena::broker::EmbeddedBroker;
use milena_gateway::{Config, Ended, Gateway, Lab, Server, Tokens};
use milena_resilience::store::Store;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Nothing here takes as long; what does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const JSON: &str = "Content-Type: application/json";
pub(crate) const NDJSON: &str = "Content-Type: application/x-ndjson";

/// A gateway that serves.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) async fn broker(topic: &str) -> EmbeddedBroker {
    EmbeddedBroker::builder().topic(topic, 3).start().await.unwrap()
}

/// An address where nothing listens.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

pub(crate) async fn serve(bootstrap: &str, flags: &[(&str, &str)], properties: &[(&str, &str)]) -> Served {
    serve_to(None, bootstrap, flags, properties).await
}

/// The same for those with a token, if there are any.
pub(crate) async fn serve_to(
    tokens: Option<&str>,
    bootstrap: &str,
    flags: &[(&str, &str)],
    properties: &[(&str, &str)],
) -> Served {
    let gateway = gateway(bootstrap, flags, properties).await;
    run(match tokens {
        Some(tokens) => gateway.with_tokens(Tokens::parse(tokens).unwrap()),
        None => gateway,
    })
    .await
}

/// The same with a store.
pub(crate) async fn serve_with(
    store: impl Store + 'static,
    bootstrap: &str,
    flags: &[(&str, &str)],
    properties: &[(&str, &str)],
) -> Served {
    run(gateway(bootstrap, flags, properties).await.with_store(Arc::new(store)).await.unwrap()).await
}

/// The same whose page has a lab.
pub(crate) async fn serve_in_lab(lab: impl Lab + 'static, bootstrap: &str) -> Served {
    run(gateway(bootstrap, &[], &[]).await.with_lab(lab)).await
}

async fn gateway(bootstrap: &str, flags: &[(&str, &str)], properties: &[(&str, &str)]) -> Gateway {
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let flags = [&[("port", "0")], flags].concat();
    Gateway::start(Config::read(&owned(&flags), &owned(properties), &[]).unwrap(), bootstrap).await.unwrap()
}

async fn run(gateway: Gateway) -> Served {
    let server = Server::bind(gateway).await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async move { drop(stopped.await) }));
    Served { address, stop, ended }
}

impl Served {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        self.call("POST", path, headers, body).await
    }

    async fn call(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A body that is refused early is not read to its end.
        let _ = stream.write_all(body).await;
        rest(stream).await
    }

    /// Sends bytes on a connection of their own, which stays open.
    pub(crate) async fn raw(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Asks for the state of a request until it has an outcome.
    pub(crate) async fn outcome(&self, request_id: &str) -> Value {
        self.state_after("PENDING", request_id).await
    }

    /// Asks for the state of a request until it is another than this.
    pub(crate) async fn state_after(&self, before: &str, request_id: &str) -> Value {
        let asked = async {
            loop {
                let state = self.get(&format!("/api/v1/status?requestId={request_id}")).await.json();
                if state["state"] != before {
                    return state;
                }
            }
        };
        soon(asked).await
    }

    /// Tells it to end.
    pub(crate) fn stop(self) -> JoinHandle<Ended> {
        self.stop.send(()).unwrap();
        self.ended
    }
}

/// All that comes until the end of a connection.
pub(crate) async fn rest(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // A connection may be reset behind an answer whose body was not read.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    Reply::parse(&String::from_utf8_lossy(&bytes))
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens soon")
}

//! The floor: a bare hyper server that parses the same request as the gateway and gives the same answer. It sends nothing to Kafka.
//!
//! `PORT` in the environment. It prints its address.

use std::{
    borrow::Cow,
    convert::Infallible,
    env,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;

static NEXT: AtomicU64 = AtomicU64::new(1);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(18080);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request)));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What the gateway reads of a request.
#[derive(Default)]
struct Asked<'a> {
    mode: Cow<'a, str>,
    send_mode: Cow<'a, str>,
    event_id: Cow<'a, str>,
    key: Cow<'a, str>,
    topic: Cow<'a, str>,
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let uri = request.uri();
    if request.method() != Method::POST || uri.path() != "/api/v1/send" {
        // The runner asks for /health until the server is there.
        let status = if uri.path() == "/health" { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return with(status, Bytes::new());
    }
    let mut asked = Asked { topic: "bench".into(), ..Asked::default() };
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        match name {
            "mode" => asked.mode = value,
            "sendMode" => asked.send_mode = value,
            "eventId" => asked.event_id = value,
            "key" => asked.key = value,
            "topic" => asked.topic = value,
            _ => {}
        }
    }
    let Asked { mode, send_mode, event_id, topic, .. } = &asked;
    let number = NEXT.fetch_add(1, Relaxed);
    let id = format!("{number:016x}-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    if send_mode == "async" {
        let body = format!(
            r#"{{"requestId":"{id}","state":"PENDING","eventId":"{event_id}","mode":"{mode}","topic":"{topic}"}}"#
        );
        let mut response = with(StatusCode::ACCEPTED, body.into());
        let location = HeaderValue::from_str(&format!("/api/v1/status?requestId={id}"));
        response.headers_mut().insert(LOCATION, location.expect("it is ASCII"));
        return response;
    }
    let body = format!(
        r#"{{"requestId":"{id}","eventId":"{event_id}","mode":"{mode}","topic":"{topic}","partition":0,"offset":{number},"timestamp":1700000000000,"outcome":"persisted"}}"#
    );
    with(StatusCode::OK, body.into())
}

fn with(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

//! Clients of a gateway, each on a connection of its own, that remember what they were told.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::judge::{Answer, Request, State};

/// Clients that send until they are ended, or their gateway is.
pub(super) struct Clients {
    is_over: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<Request>>>,
}

impl Clients {
    pub(super) fn start(address: &str, clients: usize) -> Self {
        let (is_over, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let begin = |client| {
            let (address, is_over, accepted) = (address.to_owned(), Arc::clone(&is_over), Arc::clone(&accepted));
            thread::spawn(move || send(&address, client, &is_over, &accepted))
        };
        let threads = (0..clients).map(begin).collect();
        Self { is_over, accepted, threads }
    }

    /// Waits until so many requests were accepted.
    pub(super) fn wait_for(&self, accepted: usize) {
        let begun = Instant::now();
        while self.accepted.load(Ordering::SeqCst) < accepted {
            assert!(begun.elapsed() < super::PATIENCE, "{:?} of {accepted} were accepted", self.accepted);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends them, and returns all that they have asked.
    pub(super) fn end(self) -> Vec<Request> {
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Sends one request after the other, every other client those that wait for their record.
fn send(address: &str, client: usize, is_over: &AtomicBool, accepted: &AtomicUsize) -> Vec<Request> {
    let mut requests = Vec::new();
    let Ok(mut stream) = connect(address) else { return requests };
    while !is_over.load(Ordering::SeqCst) {
        let event_id = format!("{}-{client}-{}", address.rsplit(':').next().unwrap_or_default(), requests.len());
        let how = if client.is_multiple_of(2) { "sync" } else { "async" };
        let path = format!("/api/v1/send?mode=idempotent&sendMode={how}&eventId={event_id}&key=k{client}");
        let begun = Instant::now();
        let answer = call(&mut stream, "POST", &path).map_or(Answer::None, |(status, body)| answer_of(status, &body));
        let is_last = answer == Answer::None;
        let is_refused = matches!(answer, Answer::Refused { .. });
        if matches!(answer, Answer::Accepted(_)) {
            accepted.fetch_add(1, Ordering::SeqCst);
        }
        requests.push(Request { event_id, answer, state: None, took: begun.elapsed() });
        if is_last {
            break;
        }
        if is_refused {
            thread::sleep(Duration::from_millis(1));
        }
    }
    requests
}

/// The state of a request.
pub(super) fn ask(address: &str, id: &str) -> State {
    let told = connect(address)
        .ok()
        .and_then(|mut stream| call(&mut stream, "GET", &format!("/api/v1/status?requestId={id}")));
    let Some((status, body)) = told else { return State::Open("no answer".to_owned()) };
    match body["state"].as_str() {
        Some("OK") => State::Ok(place_of(&body)),
        Some("ERROR") => State::Error { is_persisted: body["outcome"] != "not_persisted" },
        Some(open) => State::Open(open.to_owned()),
        None => State::Open(status.to_string()),
    }
}

fn answer_of(status: u16, body: &Value) -> Answer {
    match status {
        200 => Answer::Written(place_of(body).expect("a place")),
        202 => Answer::Accepted(body["requestId"].as_str().expect("an id").to_owned()),
        429 => Answer::TooMany,
        _ => Answer::Refused { is_persisted: body["outcome"] != "not_persisted" },
    }
}

fn place_of(body: &Value) -> Option<(i64, i64)> {
    Some((body["partition"].as_i64()?, body["offset"].as_i64()?))
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request. `None` if there is no whole answer.
fn call(stream: &mut TcpStream, method: &str, path: &str) -> Option<(u16, Value)> {
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&piece[..read]);
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
        let len = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
        if text.len() >= end + 4 + len {
            let status = head.get(9..12)?.parse().ok()?;
            return Some((status, serde_json::from_slice(&text[end + 4..]).ok()?));
        }
    }
}

//! Records as a stream: a line of JSON for each record, and a line of JSON for what became of it, in the same order.
//!
//! In: a body as it arrives. Out: a body as outcomes come. Does I/O. Back-pressure: a line is read only when the record before it was
//! accepted, which waits for `buffer.memory`, and when fewer than [`WINDOW`] results are outstanding, which waits for the reader of the answer.
//! The stream ends at a record whose refusal concerns all that follow, such as a topic that is not there; its result is the last one.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{
    BodyExt,
    channel::{Channel, Sender},
};
use milena::SendError;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    answer::Entry,
    gateway::Gateway,
    order::Order,
    outbox::Accepted,
    problem::{Kind, Problem},
    record,
    request::Mode,
    status::Done,
};

/// Most records of a stream without a result.
const WINDOW: usize = 1_000;
/// From how many bytes on results are sent although more are ready.
const PIECE: usize = 16 * 1024;

/// What all records of a stream have in common.
pub(crate) struct Common {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) mode: Mode,
    pub(crate) topic: String,
    pub(crate) trace: Option<Vec<u8>>,
}

type Taken = Result<Accepted, Problem>;

/// Reads records from `body` until it ends, and sends them. Returns the body of the answer.
pub(crate) fn start(common: Common, body: Body) -> Body {
    let (accepted, outcomes) = mpsc::channel(WINDOW);
    let (answers, answer) = Channel::new(1);
    tokio::spawn(read(common, body, accepted));
    tokio::spawn(write(outcomes, answers));
    Body::new(answer)
}

/// Whether this refusal concerns all records that follow.
pub(crate) fn concerns_all(error: &SendError) -> bool {
    use SendError::{InvalidPartition, InvalidRecord, Serialization, TooLarge};
    !matches!(error, TooLarge { .. } | InvalidPartition { .. } | InvalidRecord { .. } | Serialization { .. })
}

async fn read(common: Common, mut body: Body, accepted: mpsc::Sender<Taken>) {
    let mut lines = Lines::new(common.gateway.config().limits.body);
    let drained = common.gateway.drained();
    tokio::pin!(drained);
    loop {
        while let Some(line) = lines.next() {
            if !take(&common, line, &accepted).await {
                return;
            }
        }
        let chunk = tokio::select! {
            biased;
            () = &mut drained => return,
            chunk = next_chunk(&mut body, common.gateway.config().read_timeout) => chunk,
        };
        match chunk {
            Ok(Some(chunk)) => lines.push(&chunk),
            Ok(None) => break,
            Err(problem) => return drop(accepted.send(Err(problem)).await),
        }
    }
    if let Some(line) = lines.rest() {
        take(&common, Ok(line), &accepted).await;
    }
}

/// The next bytes. `None` at the end.
async fn next_chunk(body: &mut Body, limit: Duration) -> Result<Option<Bytes>, Problem> {
    match timeout(limit, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => Err(Problem::new(Kind::BadBody, format!("the body broke off: {error}"))),
        Err(_) => {
            let why = format!("nothing arrived for {} ms; send records, or end the body", limit.as_millis());
            Err(Problem::new(Kind::SlowBody, why))
        }
    }
}

/// Sends the record of a line. Returns whether the stream goes on.
async fn take(common: &Common, line: Result<Bytes, Problem>, accepted: &mpsc::Sender<Taken>) -> bool {
    let (outcome, goes_on) = match line {
        Err(problem) => (Err(problem), false),
        Ok(line) => accept(common, &line).await,
    };
    accepted.send(outcome).await.is_ok() && goes_on
}

async fn accept(common: &Common, line: &[u8]) -> (Taken, bool) {
    let order = str::from_utf8(line)
        .map_err(|error| Problem::new(Kind::BadBody, format!("no UTF-8 from byte {} on", error.valid_up_to())))
        .and_then(|text| record::order(&common.topic, text, &common.gateway.config().limits));
    let mut order: Order<'_> = match order {
        Ok(order) => order,
        Err(problem) => return (Err(problem), true),
    };
    order.trace(common.trace.as_deref());
    match common.gateway.accept_in_turn(common.mode, &order).await {
        Ok(accepted) => (Ok(accepted), true),
        Err(error) => (Err(Problem::from(&error)), !concerns_all(&error)),
    }
}

/// Writes results in order. What is ready is sent together.
async fn write(mut outcomes: mpsc::Receiver<Taken>, mut answers: Sender<Bytes>) {
    let mut piece = Vec::new();
    loop {
        let next = match outcomes.try_recv() {
            Ok(next) if piece.len() < PIECE => Some(next),
            Ok(next) => {
                if !send(&mut answers, &mut piece).await {
                    return;
                }
                Some(next)
            }
            Err(_) => {
                if !send(&mut answers, &mut piece).await {
                    return;
                }
                outcomes.recv().await
            }
        };
        let Some(next) = next else { return };
        let result = match next {
            Ok(accepted) if !accepted.is_done() && !send(&mut answers, &mut piece).await => return,
            Ok(accepted) => accepted.done().await,
            Err(problem) => Err(problem),
        };
        append(&mut piece, &result);
    }
}

fn append(piece: &mut Vec<u8>, result: &Result<Done, Problem>) {
    // Neither the entry nor a vector fails.
    let _ = serde_json::to_writer(&mut *piece, &Entry::from(result));
    piece.push(b'\n');
}

/// Sends what was gathered. Returns whether somebody reads it.
async fn send(answers: &mut Sender<Bytes>, piece: &mut Vec<u8>) -> bool {
    piece.is_empty() || answers.send_data(std::mem::take(piece).into()).await.is_ok()
}

/// Splits bytes into lines, each of a limited length. Blank lines are passed over.
struct Lines {
    bytes: BytesMut,
    /// So many bytes have no line's end in them.
    searched: usize,
    limit: usize,
}

impl Lines {
    fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), searched: 0, limit }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(at) = unsearched.iter().position(|&byte| byte == b'\n').map(|at| self.searched + at) else {
                self.searched = self.bytes.len();
                return (self.searched > self.limit).then(|| Err(self.too_long()));
            };
            let line = self.bytes.split_to(at).freeze();
            self.bytes.advance(1);
            self.searched = 0;
            if line.len() > self.limit {
                return Some(Err(self.too_long()));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Ok(line));
            }
        }
    }

    /// What came after the last line's end.
    fn rest(self) -> Option<Bytes> {
        let rest = self.bytes.freeze();
        (!rest.trim_ascii().is_empty()).then_some(rest)
    }

    fn too_long(&self) -> Problem {
        Problem::new(Kind::TooLarge, format!("expected lines of at most {} bytes, got a longer one", self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> (Vec<String>, Option<String>) {
        let mut lines = Lines::new(8);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next() {
                match line {
                    Ok(line) => found.push(String::from_utf8(line.to_vec()).unwrap()),
                    Err(problem) => return (found, Some(problem.detail().to_owned())),
                }
            }
        }
        found.extend(lines.rest().map(|line| String::from_utf8(line.to_vec()).unwrap()));
        (found, None)
    }

    #[test]
    fn lines_are_found_wherever_the_bytes_are_cut_and_blank_ones_are_passed_over() {
        for chunks in [&["ab\ncd\n"][..], &["a", "b", "\n", "c", "d"], &["\n\r\n", "ab\n \ncd"], &["", "ab\ncd"]] {
            assert_eq!(lines(chunks), (vec!["ab".to_owned(), "cd".to_owned()], None), "{chunks:?}");
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_before_its_end_has_come() {
        for chunks in [&["ab\n123456789"][..], &["ab\n12345", "6789"], &["ab\n123456789\ncd\n"]] {
            let (found, problem) = lines(chunks);
            assert_eq!(found, ["ab"], "{chunks:?}");
            assert_eq!(problem.as_deref(), Some("expected lines of at most 8 bytes, got a longer one"), "{chunks:?}");
        }
        assert_eq!(lines(&["12345678\n"]).0, ["12345678"]);
    }

    #[test]
    fn a_refusal_of_one_record_ends_no_stream() {
        let topic = || Arc::from("t");
        assert!(!concerns_all(&SendError::TooLarge { topic: topic(), size: 2, limit: 1, setting: "max.request.size" }));
        assert!(!concerns_all(&SendError::InvalidPartition { topic: topic(), partition: 3, count: 3 }));
        assert!(concerns_all(&SendError::UnknownTopic { topic: topic(), elapsed: Duration::ZERO }));
        assert!(concerns_all(&SendError::Closed { topic: topic() }));
    }
}

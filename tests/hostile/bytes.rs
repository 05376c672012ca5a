//! False responses that do not depend on a response's content. They replace responses of every API.

use milena::{FailureKind, Persisted};
use milena_test_support::peer::{HTTP_RESPONSE, TLS_ALERT};

use crate::{
    proxy::{Dialect, NEW, OLD, Reply, framed},
    responses::{
        API_VERSIONS, Appended, INIT_PRODUCER_ID, METADATA, PRODUCE, Request, api_versions, appended, init_producer_id,
        metadata, partition, produce, topic_of, unsupported,
    },
    run,
    scenario::{Case, Expect, Times, run_all},
    writing::Writing,
};

/// The start of a TLS handshake.
const TLS_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
const DIALECTS: [(&str, Dialect); 2] = [("new", NEW), ("old", OLD)];
const APIS: [(&str, i16); 4] =
    [("ApiVersions", API_VERSIONS), ("Metadata", METADATA), ("InitProducerId", INIT_PRODUCER_ID), ("Produce", PRODUCE)];

/// The expected result if every response of this API is false; `words` must be in the error.
fn never(api: i16, words: &'static [&'static str]) -> Expect {
    match api {
        PRODUCE => Expect::Fails(FailureKind::Expired, Persisted::Unknown, words),
        INIT_PRODUCER_ID => Expect::Fails(FailureKind::Expired, Persisted::No, words),
        _ => Expect::Unsent(words),
    }
}

/// A correct response for a topic without records, encoded by these tests.
fn correct(request: &Request, dialect: Dialect) -> Writing {
    match request.api {
        METADATA => metadata(request, &topic_of((0..3).map(partition))),
        INIT_PRODUCER_ID => init_producer_id(request, 0, 0, 4_242, 0),
        PRODUCE => produce(request, &appended([Appended::default()])),
        _ if dialect == OLD && request.version > 2 => unsupported(request, dialect),
        _ => api_versions(request, 0, dialect),
    }
}

/// A request of this API in the newest version of the dialect; for ApiVersions in the version that a client sends first.
fn first_request(api: i16, dialect: Dialect) -> Request {
    let newest = dialect.iter().find(|(key, ..)| *key == api).map_or(0, |(.., highest)| *highest);
    let version = if api == API_VERSIONS { 4 } else { newest };
    Request { api, version, correlation: 0, port: 1, topic_id: [0; 16], original: Vec::new() }
}

/// The cases of `case` for each API in each dialect.
fn everywhere(case: impl Fn(String, Dialect, i16) -> Vec<Case>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (dialect_name, dialect) in DIALECTS {
        for (api_name, api) in APIS {
            cases.extend(case(format!("{dialect_name} {api_name}"), dialect, api));
        }
    }
    cases
}

#[test]
fn a_proxy_that_changes_nothing_is_accepted() {
    run(run_all(everywhere(|place, dialect, api| {
        let nothing = Case::new(
            format!("{place}: unchanged"),
            dialect,
            api,
            |_| Reply::Nothing,
            (Times::Never, Expect::Delivered, true),
        );
        // Shows that false responses are not rejected merely because of the encoder of these tests.
        let by_hand = Case::new(
            format!("{place}: correct, encoded by these tests"),
            dialect,
            api,
            move |request| Reply::Frame(correct(request, dialect).bytes),
            (Times::Once, Expect::Delivered, false),
        );
        vec![nothing, by_hand]
    })));
}

#[test]
fn a_response_truncated_anywhere_ends_the_connection_and_the_record_is_written_once() {
    run(run_all(everywhere(|place, dialect, api| {
        let len = correct(&first_request(api, dialect), dialect).bytes.len();
        let mut cases = Vec::new();
        for kept in 0..len {
            let cut = move |request: &Request| request.original[..kept.min(request.original.len() - 1)].to_vec();
            cases.push(Case::new(
                format!("{place}: a frame of its first {kept} bytes"),
                dialect,
                api,
                move |request| Reply::Frame(cut(request)),
                (Times::Once, Expect::Delivered, true),
            ));
        }
        for kept in (0..len + 4).step_by(3) {
            let cut = move |request: &Request| {
                let whole = framed(&request.original);
                whole[..kept.min(whole.len() - 1)].to_vec()
            };
            cases.push(Case::new(
                format!("{place}: {kept} bytes of it, then the end of the connection"),
                dialect,
                api,
                move |request| Reply::Last(cut(request)),
                (Times::Once, Expect::Delivered, true),
            ));
        }
        cases
    })));
}

#[test]
fn an_impossible_count_or_length_ends_the_connection_and_the_record_is_written_once() {
    run(run_all(everywhere(|place, dialect, api| {
        let rows = correct(&first_request(api, dialect), dialect).miscounted();
        let case = |(number, (name, _)): (usize, (String, _))| {
            let reply =
                move |request: &Request| Reply::Frame(correct(request, dialect).miscounted().swap_remove(number).1);
            let outcome = (Times::Once, Expect::Delivered, true);
            Case::new(format!("{place}: {name}"), dialect, api, reply, outcome)
        };
        rows.into_iter().enumerate().map(case).collect()
    })));
}

#[test]
fn bytes_after_a_response_end_the_connection() {
    run(run_all(everywhere(|place, dialect, api| {
        let longer = |request: &Request| Reply::Frame([&request.original[..], &[0]].concat());
        let twice = |request: &Request| Reply::Raw([framed(&request.original), framed(&request.original)].concat());
        let outcome = (Times::Once, Expect::Delivered, true);
        vec![
            Case::new(format!("{place}: one byte too many"), dialect, api, longer, outcome),
            Case::new(format!("{place}: the same response twice"), dialect, api, twice, outcome),
        ]
    })));
}

/// A reply to every request, and words that must be in the error.
struct Row {
    name: &'static str,
    reply: fn(&Request) -> Reply,
    words: &'static [&'static str],
}

fn row(name: &'static str, reply: fn(&Request) -> Reply, words: &'static [&'static str]) -> Row {
    Row { name, reply, words }
}

#[test]
fn a_peer_that_never_sends_a_valid_response_is_named_in_the_error() {
    let table = [
        row(
            "the least length",
            |_| Reply::Raw(i32::MIN.to_be_bytes().into()),
            &["frame length -2147483648 is impossible"],
        ),
        row("length -1", |_| Reply::Raw((-1_i32).to_be_bytes().into()), &["frame length -1 is impossible"]),
        row("length 0", |_| Reply::Raw(vec![0; 4]), &["frame length 0 is impossible"]),
        row("length 3", |_| Reply::Raw(vec![0, 0, 0, 3, 0, 0, 0]), &["frame length 3 is impossible"]),
        row("the most length", |_| Reply::Raw(i32::MAX.to_be_bytes().into()), &["frame of 2147483647 bytes is over"]),
        row("over the bound", |_| Reply::Raw(vec![0x06, 0x40, 0, 1]), &["frame of 104857601 bytes is over the bound"]),
        row("an empty frame", |request| Reply::Frame(request.correlation.to_be_bytes().into()), &["cannot be read"]),
        row("noise", |request| Reply::Frame([&request.original[..4], &[0xa5; 300]].concat()), &["cannot be read"]),
        row("zeros", |request| Reply::Frame([&request.original[..4], &[0; 3]].concat()), &["cannot be read"]),
        row(
            "the next correlation id",
            |request| other_id(request, request.correlation + 1),
            &["where", "was expected"],
        ),
        row("a negative correlation id", |request| other_id(request, -1), &["response -1 where"]),
        row("the most correlation id", |request| other_id(request, i32::MAX), &["response 2147483647 where"]),
        row("a web server", |_| Reply::Last(HTTP_RESPONSE.into()), &["HTTP", "check the port"]),
        row("a TLS alert", |_| Reply::Last(TLS_ALERT.into()), &["TLS", "PLAINTEXT"]),
        row("a TLS handshake", |_| Reply::Last(TLS_HELLO.into()), &["TLS", "PLAINTEXT"]),
        row("a closed connection", |_| Reply::Last(Vec::new()), &["closed the connection"]),
        row(
            "half a response",
            |request| Reply::Last(framed(&request.original)[..9].into()),
            &["closed the connection"],
        ),
        row("silence", |_| Reply::Nothing, &["no response to"]),
        row("one byte at a time", |request| Reply::Slowly(request.original.clone()), &["no response to"]),
    ];
    run(run_all(everywhere(|place, dialect, api| {
        let case = |row: &Row| {
            let outcome = (Times::Always, never(api, row.words), true);
            Case::new(format!("{place}: {}", row.name), dialect, api, row.reply, outcome)
        };
        table.iter().map(case).collect()
    })));
}

/// The original response with another correlation id.
fn other_id(request: &Request, id: i32) -> Reply {
    Reply::Frame([&id.to_be_bytes()[..], &request.original[4..]].concat())
}

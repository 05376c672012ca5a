//! Lies that need no knowledge of a response's meaning. They replace responses of every kind.

use milena::{FailureKind, Persisted};
use milena_test_support::peer::{HTTP_ANSWER, TLS_ALERT};

use crate::{
    liar::{Dialect, NEW, OLD, Told, framed},
    responses::{
        API_VERSIONS, Appended, Asked, INIT_PRODUCER_ID, METADATA, PRODUCE, api_versions, appended, init_producer_id,
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

/// What becomes of a record where every response of that kind is a lie with these words in its error.
fn never(api: i16, words: &'static [&'static str]) -> Expect {
    match api {
        PRODUCE => Expect::Fails(FailureKind::Expired, Persisted::Unknown, words),
        INIT_PRODUCER_ID => Expect::Fails(FailureKind::Expired, Persisted::No, words),
        _ => Expect::Unsent(words),
    }
}

/// The truth, written by hand, about a topic without records.
fn truth(asked: &Asked, dialect: Dialect) -> Writing {
    match asked.api {
        METADATA => metadata(asked, &topic_of((0..3).map(partition))),
        INIT_PRODUCER_ID => init_producer_id(asked, 0, 0, 4_242, 0),
        PRODUCE => produce(asked, &appended([Appended::default()])),
        _ if dialect == OLD && asked.version > 2 => unsupported(asked, dialect),
        _ => api_versions(asked, 0, dialect),
    }
}

/// A request of that kind in the newest version that the dialect has; of ApiVersions the one that a client begins with.
fn first_asked(api: i16, dialect: Dialect) -> Asked {
    let newest = dialect.iter().find(|(key, ..)| *key == api).map_or(0, |(.., highest)| *highest);
    let version = if api == API_VERSIONS { 4 } else { newest };
    Asked { api, version, correlation: 0, port: 1, topic_id: [0; 16], honest: Vec::new() }
}

/// A case for each kind of response in each dialect.
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
fn an_honest_liar_is_believed_at_once() {
    run(run_all(everywhere(|place, dialect, api| {
        let nothing = Case::new(
            format!("{place}: no lie"),
            dialect,
            api,
            |_| Told::Nothing,
            (Times::Never, Expect::Delivered, true),
        );
        // Without this, lies could be seen through because of how they are written.
        let by_hand = Case::new(
            format!("{place}: the truth by hand"),
            dialect,
            api,
            move |asked| Told::Frame(truth(asked, dialect).bytes),
            (Times::Once, Expect::Delivered, false),
        );
        vec![nothing, by_hand]
    })));
}

#[test]
fn an_answer_cut_short_anywhere_ends_the_connection_and_the_record_arrives_once() {
    run(run_all(everywhere(|place, dialect, api| {
        let len = truth(&first_asked(api, dialect), dialect).bytes.len();
        let mut cases = Vec::new();
        for kept in 0..len {
            let cut = move |asked: &Asked| asked.honest[..kept.min(asked.honest.len() - 1)].to_vec();
            cases.push(Case::new(
                format!("{place}: a frame of its first {kept} bytes"),
                dialect,
                api,
                move |asked| Told::Frame(cut(asked)),
                (Times::Once, Expect::Delivered, true),
            ));
        }
        for kept in (0..len + 4).step_by(3) {
            let cut = move |asked: &Asked| {
                let whole = framed(&asked.honest);
                whole[..kept.min(whole.len() - 1)].to_vec()
            };
            cases.push(Case::new(
                format!("{place}: {kept} bytes of it, then the end of the connection"),
                dialect,
                api,
                move |asked| Told::Last(cut(asked)),
                (Times::Once, Expect::Delivered, true),
            ));
        }
        cases
    })));
}

#[test]
fn a_count_or_length_that_cannot_be_ends_the_connection_and_the_record_arrives_once() {
    run(run_all(everywhere(|place, dialect, api| {
        let lies = truth(&first_asked(api, dialect), dialect).miscounted();
        let case = |(number, (name, _)): (usize, (String, _))| {
            let tell = move |asked: &Asked| Told::Frame(truth(asked, dialect).miscounted().swap_remove(number).1);
            let outcome = (Times::Once, Expect::Delivered, true);
            Case::new(format!("{place}: {name}"), dialect, api, tell, outcome)
        };
        lies.into_iter().enumerate().map(case).collect()
    })));
}

#[test]
fn bytes_behind_an_answer_end_the_connection() {
    run(run_all(everywhere(|place, dialect, api| {
        let longer = |asked: &Asked| Told::Frame([&asked.honest[..], &[0]].concat());
        let twice = |asked: &Asked| Told::Raw([framed(&asked.honest), framed(&asked.honest)].concat());
        let outcome = (Times::Once, Expect::Delivered, true);
        vec![
            Case::new(format!("{place}: one byte too many"), dialect, api, longer, outcome),
            Case::new(format!("{place}: the same response twice"), dialect, api, twice, outcome),
        ]
    })));
}

/// What is always said, and the words that must stand in the error.
struct Row {
    name: &'static str,
    tell: fn(&Asked) -> Told,
    words: &'static [&'static str],
}

fn row(name: &'static str, tell: fn(&Asked) -> Told, words: &'static [&'static str]) -> Row {
    Row { name, tell, words }
}

#[test]
fn a_peer_that_never_answers_well_is_named_in_the_error() {
    let table = [
        row(
            "the least length",
            |_| Told::Raw(i32::MIN.to_be_bytes().into()),
            &["frame length -2147483648 is impossible"],
        ),
        row("length -1", |_| Told::Raw((-1_i32).to_be_bytes().into()), &["frame length -1 is impossible"]),
        row("length 0", |_| Told::Raw(vec![0; 4]), &["frame length 0 is impossible"]),
        row("length 3", |_| Told::Raw(vec![0, 0, 0, 3, 0, 0, 0]), &["frame length 3 is impossible"]),
        row("the most length", |_| Told::Raw(i32::MAX.to_be_bytes().into()), &["frame of 2147483647 bytes is over"]),
        row("over the bound", |_| Told::Raw(vec![0x06, 0x40, 0, 1]), &["frame of 104857601 bytes is over the bound"]),
        row("an empty frame", |asked| Told::Frame(asked.correlation.to_be_bytes().into()), &["cannot be read"]),
        row("noise", |asked| Told::Frame([&asked.honest[..4], &[0xa5; 300]].concat()), &["cannot be read"]),
        row("zeros", |asked| Told::Frame([&asked.honest[..4], &[0; 3]].concat()), &["cannot be read"]),
        row("the next correlation id", |asked| other_id(asked, asked.correlation + 1), &["where", "was expected"]),
        row("a negative correlation id", |asked| other_id(asked, -1), &["response -1 where"]),
        row("the most correlation id", |asked| other_id(asked, i32::MAX), &["response 2147483647 where"]),
        row("a web server", |_| Told::Last(HTTP_ANSWER.into()), &["HTTP", "check the port"]),
        row("a TLS alert", |_| Told::Last(TLS_ALERT.into()), &["TLS", "PLAINTEXT"]),
        row("a TLS handshake", |_| Told::Last(TLS_HELLO.into()), &["TLS", "PLAINTEXT"]),
        row("a closed connection", |_| Told::Last(Vec::new()), &["closed the connection"]),
        row("half a response", |asked| Told::Last(framed(&asked.honest)[..9].into()), &["closed the connection"]),
        row("silence", |_| Told::Nothing, &["no response to"]),
        row("one byte at a time", |asked| Told::Slowly(asked.honest.clone()), &["no response to"]),
    ];
    run(run_all(everywhere(|place, dialect, api| {
        let case = |row: &Row| {
            let outcome = (Times::Always, never(api, row.words), true);
            Case::new(format!("{place}: {}", row.name), dialect, api, row.tell, outcome)
        };
        table.iter().map(case).collect()
    })));
}

/// The honest response to another request.
fn other_id(asked: &Asked, id: i32) -> Told {
    Told::Frame([&id.to_be_bytes()[..], &asked.honest[4..]].concat())
}

//! What an operator is told while brokers misbehave.

use std::io;

use tracing::Level;

use super::rig::{Rig, is_pending, offset};
use crate::logs::Logs;

fn expect(logs: &Logs, expected: &[&[&str]]) {
    let lines = logs.take();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        parts.iter().for_each(|part| assert!(line.contains(part), "{line:?} lacks {part:?}"));
    }
}

/// Runs a scenario with everything kept that it logs from `INFO` up.
fn watching(scenario: impl FnOnce(&Logs)) {
    // Other tests log at the same time and nobody listens there; somebody has to, or tracing may take it that nobody ever does.
    let deaf = tracing_subscriber::fmt().with_max_level(Level::INFO).with_writer(io::sink).finish();
    let _ = tracing::subscriber::set_global_default(deaf);
    let logs = Logs::default();
    tracing::subscriber::with_default(logs.listener(Level::INFO), || scenario(&logs));
}

/// What is logged during a scenario.
pub(super) fn heard(scenario: impl FnOnce()) -> Vec<String> {
    let mut heard = Vec::new();
    watching(|lines| {
        scenario();
        heard = lines.take();
    });
    heard
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "the sender lacks a lane"))]
fn what_must_be_there_and_is_not_stops_a_test_and_is_counted_and_told_once_in_a_release() {
    watching(|lines| {
        let mut rig = Rig::ready(&[]);
        lines.take();
        for _ in 0..3 {
            assert_eq!(rig.sender.common.missing::<Option<u8>>("a lane"), None);
        }
        expect(lines, &[&["ERROR", "the sender lacks a lane", "faults=1"]]);
        rig.pass_ms(1_000);
        rig.run();
        lines.take();
        assert!(!rig.sender.common.missing::<bool>("a lane"));
        expect(lines, &[&["ERROR", "the sender lacks a lane", "faults=4", "held_back=2"]]);
    });
}

#[test]
fn a_retry_tells_partition_broker_attempt_error_and_what_happens_next() {
    watching(|lines| {
        let mut rig = Rig::ready(&[]);
        let delivery = rig.send(0, "a");
        lines.take();
        rig.refuse(19);
        expect(
            lines,
            &[&[
                "WARN retry: the same batch is sent again",
                "topic=\"orders\" partition=0 broker=1 attempt=1",
                "error=NOT_ENOUGH_REPLICAS (19)",
                "min.insync.replicas",
            ]],
        );
        rig.pass_ms(200);
        rig.ack(7);
        assert_eq!(offset(&delivery), Some(7));
    });
}

#[test]
fn a_partition_that_fails_again_and_again_has_one_line_a_second() {
    watching(|lines| {
        let mut rig = Rig::ready(&[("retry.backoff.ms", "100"), ("retry.backoff.max.ms", "100")]);
        let delivery = rig.send(0, "a");
        lines.take();
        for _ in 0..5 {
            rig.refuse(19);
            rig.pass_ms(120);
        }
        let first = lines.take();
        assert!(first.len() == 1 && first[0].contains("attempt=1") && !first[0].contains("held_back"), "{first:#?}");
        rig.pass_ms(1_000);
        rig.refuse(19);
        expect(lines, &[&["attempt=6", "held_back=4"]]);
        assert!(is_pending(&delivery));
    });
}

#[test]
fn a_connection_that_is_lost_is_told_with_broker_reason_and_what_was_on_its_way() {
    watching(|lines| {
        let mut rig = Rig::ready(&[("request.timeout.ms", "500")]);
        let delivery = rig.send(0, "a");
        lines.take();
        rig.mute = vec![3, 18];
        rig.pass_ms(500);
        let lost = ["WARN connection lost", "broker=1", "127.0.0.1:9001", "within request.timeout.ms", "unanswered=1"];
        let again = ["WARN retry: the same batch is sent again", "attempt=1", "error=REQUEST_TIMED_OUT (7)"];
        expect(lines, &[&lost, &again]);
        assert!(is_pending(&delivery));
    });
}

#[test]
fn a_broker_that_cannot_be_reached_is_told_after_ever_longer_times_and_its_return_as_information() {
    watching(|lines| {
        let mut rig = Rig::new(&[("reconnect.backoff.ms", "100"), ("reconnect.backoff.max.ms", "100")]);
        rig.accumulator.topics().want(super::rig::TOPIC);
        rig.refuses = vec![9000];
        rig.pass_ms(900);
        expect(lines, &[&["WARN no connection; it is tried again", "127.0.0.1:9000", "why=\"refused\""]]);
        rig.refuses.clear();
        rig.pass_ms(900);
        let lines = lines.take();
        assert!(lines.iter().all(|line| line.starts_with("INFO ")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("INFO connected broker=-1")), "{lines:#?}");
    });
}

#[test]
fn a_producer_id_that_is_refused_is_told() {
    watching(|lines| {
        let mut rig = Rig::new(&[]);
        rig.init_error = 31;
        rig.accumulator.topics().want(super::rig::TOPIC);
        rig.pass_ms(100);
        let refused = lines.take().into_iter().find(|line| line.starts_with("WARN no producer id"));
        let refused = refused.expect("it is told");
        assert!(refused.contains("CLUSTER_AUTHORIZATION_FAILED (31)"), "{refused}");
        assert!(refused.contains("grant IDEMPOTENT_WRITE"), "{refused}");
    });
}

#[test]
fn a_connection_that_ends_with_nothing_on_its_way_is_information() {
    watching(|lines| {
        let mut rig = Rig::ready(&[]);
        rig.push(0, "a");
        rig.ack(0);
        lines.take();
        let (connection, _) = *rig.open.iter().find(|(_, port)| *port == 9001).unwrap();
        rig.cut(connection, None);
        let told = lines.take();
        assert!(told.iter().any(|line| line.starts_with("INFO connection ended broker=1")), "{told:#?}");
        assert!(!told.iter().any(|line| line.starts_with("WARN")), "{told:#?}");
    });
}

#[test]
fn a_producer_that_is_dropped_with_undelivered_records_says_how_many_it_gives_up() {
    let dropped_with = |records: &[&str], close: bool| {
        heard(|| {
            let mut rig = Rig::ready(&[("linger.ms", "5"), ("enable.idempotence", "false")]);
            rig.fill(0, "sent");
            rig.pass_ms(5);
            records.iter().for_each(|value| rig.fill(1, value));
            if close {
                rig.sender.close(rig.now);
            }
            drop(rig);
        })
    };
    let warned = |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("WARN")).collect::<Vec<_>>();
    let lines = warned(dropped_with(&["a", "b"], false));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("dropped without close()"), "{line}");
    assert!(line.contains("records=3") && line.contains("maybe_written=1"), "{line}");
    assert_eq!(warned(dropped_with(&["a", "b"], true)), [""; 0]);
}

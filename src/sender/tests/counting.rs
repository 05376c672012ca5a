//! What is counted, and when.

use super::rig::{Rig, is_pending};

/// What a run has counted: name by name.
fn counted(rig: &Rig, names: &[&str]) -> Vec<f64> {
    let metrics = rig.metrics();
    names.iter().map(|name| metrics.get("producer-metrics", name).unwrap_or_else(|| panic!("no {name}"))).collect()
}

const OUTCOMES: [&str; 4] =
    ["record-acked-total", "record-not-written-total", "record-unknown-total", "record-error-total"];

#[test]
fn an_acknowledged_batch_is_sent_once_and_ends_once() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let _kept: Vec<_> = (0..3).map(|_| rig.append(0, "a")).collect();
    rig.pass_ms(5);
    let before = counted(&rig, &["record-send-total", "request-total", "response-total", "requests-in-flight"]);
    assert_eq!((before[0], before[1] - before[2], before[3]), (3.0, 1.0, 1.0));
    rig.pass_ms(20);
    rig.ack(0);
    assert_eq!(counted(&rig, &OUTCOMES), [3.0, 0.0, 0.0, 0.0]);
    assert_eq!(
        counted(&rig, &["record-retry-total", "requests-in-flight", "records-per-request-avg"]),
        [0.0, 0.0, 3.0]
    );
    let (latency, queued) = (rig.metrics().delivery_latency().max(), rig.metrics().queue_time().max());
    // A timer for linger.ms is set a little early.
    assert!((latency - 0.025).abs() < 0.001 && (queued - 0.0035).abs() < 0.0001, "{latency} {queued}");
}

#[test]
fn a_batch_that_is_sent_again_counts_as_sent_and_as_retried() {
    let mut rig = Rig::ready(&[]);
    let _kept = rig.send(0, "a");
    rig.refuse(19);
    rig.pass_ms(2_000);
    rig.ack(0);
    assert_eq!(counted(&rig, &["record-send-total", "record-retry-total"]), [2.0, 1.0]);
    assert_eq!(counted(&rig, &OUTCOMES), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(rig.metrics().get("producer-error-metrics", "attempt-error-total"), Some(1.0));
}

#[test]
fn failures_are_counted_by_whether_the_records_may_be_written() {
    let mut rig = Rig::ready(&[("delivery.timeout.ms", "5000"), ("request.timeout.ms", "4000"), ("linger.ms", "0")]);
    let _refused = rig.send(0, "a");
    rig.refuse(87);
    assert_eq!(counted(&rig, &OUTCOMES), [0.0, 1.0, 0.0, 1.0]);
    let expired = rig.send(0, "b");
    rig.pass_ms(6_000);
    assert!(!is_pending(&expired));
    assert_eq!(counted(&rig, &OUTCOMES), [0.0, 1.0, 1.0, 2.0]);
    rig.pass_ms(10_000);
    assert_eq!(counted(&rig, &OUTCOMES), [0.0, 1.0, 1.0, 2.0], "once");
}

#[test]
fn records_that_are_never_sent_end_too() {
    let mut rig = Rig::ready(&[("linger.ms", "1000")]);
    let _kept: Vec<_> = (0..4).map(|_| rig.append(1, "a")).collect();
    rig.sender.close(rig.now);
    assert_eq!(counted(&rig, &OUTCOMES), [0.0, 4.0, 0.0, 4.0]);
    assert_eq!(counted(&rig, &["record-send-total"]), [0.0]);
}

#[test]
fn splits_epochs_throttles_and_connections_are_counted_when_they_happen() {
    let mut rig = Rig::ready(&[("linger.ms", "5")]);
    let names = ["batch-split-total", "epoch-bump-total", "connection-close-total", "connection-count"];
    let before = counted(&rig, &names);
    let _kept: Vec<_> = (0..2).map(|_| rig.append(0, "a")).collect();
    rig.pass_ms(5);
    rig.refuse(10);
    assert_eq!(counted(&rig, &names)[0], before[0] + 1.0);
    rig.pass_ms(2_000);
    rig.refuse(45);
    rig.pass_ms(2_000);
    assert_eq!(counted(&rig, &names)[1], before[1] + 1.0);
    let connection = rig.take().connection;
    rig.cut(connection, None);
    let after = counted(&rig, &names);
    assert!(after[2] > before[2] && after[3] <= before[3], "{before:?} {after:?}");
    assert_eq!(counted(&rig, &["produce-throttle-time-max"]), [0.0]);
    rig.throttle(1, 250);
    let throttled = counted(&rig, &["produce-throttle-time-max"])[0];
    assert!((249.0..253.0).contains(&throttled), "{throttled}");
}

#[test]
fn a_batch_says_how_long_it_was_before_it_was_compressed() {
    let mut rig = Rig::ready(&[("compression.type", "lz4"), ("linger.ms", "5")]);
    let _kept: Vec<_> = (0..9).map(|_| rig.append(0, &"a".repeat(100))).collect();
    rig.pass_ms(5);
    rig.compress();
    rig.ack(0);
    let ratio = counted(&rig, &["compression-rate-avg"])[0];
    assert!(ratio > 0.01 && ratio < 0.5, "{ratio}");
}

/// Neither it nor the bootstrap server has anything to do, so they are left without a response that fails.
#[test]
fn a_connection_to_a_broker_that_left_the_cluster_counts_as_ended() {
    let mut rig = Rig::ready(&[]);
    let _kept = (rig.send(0, "a"), rig.send(1, "b"));
    rig.ack(0);
    rig.ack(0);
    assert!(rig.open.iter().any(|(_, port)| *port == 9002), "{:?}", rig.open);
    (rig.brokers, rig.leaders) = (vec![(1, 9001)], vec![(0, 1, 5), (1, 1, 6)]);
    rig.pass_ms(300_000);
    assert_eq!(rig.open.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [9001]);
    let names = ["connection-creation-total", "connection-close-total", "connection-count"];
    assert_eq!(counted(&rig, &names), [3.0, 2.0, 1.0]);
}

#[test]
fn after_close_nothing_is_connected_and_nothing_in_flight() {
    let mut rig = Rig::ready(&[]);
    let _kept = rig.send(0, "a");
    let gauges = ["connection-count", "requests-in-flight"];
    assert!(counted(&rig, &gauges).iter().all(|gauge| *gauge > 0.0));
    rig.sender.close(rig.now);
    assert_eq!(counted(&rig, &gauges), [0.0, 0.0]);
}

//! What goes into one Produce request.

use super::rig::Rig;

/// A rig whose two partitions have the same leader.
fn one_leader(properties: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(properties);
    rig.leaders = vec![(0, 1, 5), (1, 1, 5), (2, 1, 5)];
    rig.accumulator.topics().want(super::rig::TOPIC);
    rig.run();
    rig
}

/// The partitions of each request that was sent.
fn partitions(rig: &Rig) -> Vec<Vec<i32>> {
    let of = |sent: &super::rig::Sent| sent.batches.iter().map(|batch| batch.partition).collect();
    rig.sent.iter().map(of).collect()
}

#[test]
fn a_request_says_what_acks_says() {
    for (setting, acks) in [("all", -1), ("1", 1), ("0", 0)] {
        let mut rig = Rig::ready(&[("enable.idempotence", "false"), ("acks", setting)]);
        rig.push(0, "proves the leader");
        rig.ack(0);
        rig.push(0, "a");
        assert_eq!(rig.take().acks, acks, "acks={setting}");
    }
}

#[test]
fn batches_for_one_broker_share_a_request_up_to_its_largest_size() {
    let mut rig = one_leader(&[]);
    (0..3).for_each(|partition| rig.fill(partition, "some value"));
    rig.run();
    assert_eq!(partitions(&rig), [[0, 1, 2]]);
    let len = rig.sent[0].batches[0].bytes.len();
    for (size, expected) in [(2 * len, vec![vec![0, 1], vec![2]]), (2 * len - 1, vec![vec![0], vec![1], vec![2]])] {
        let mut rig = one_leader(&[("max.request.size", &size.to_string())]);
        (0..3).for_each(|partition| rig.fill(partition, "some value"));
        rig.run();
        assert_eq!(partitions(&rig), expected, "{size} bytes for batches of {len}");
    }
}

#[test]
fn a_batch_larger_than_a_request_goes_alone() {
    let mut rig = one_leader(&[("max.request.size", "10")]);
    (0..2).for_each(|partition| rig.fill(partition, "some value"));
    rig.run();
    assert_eq!(partitions(&rig), [[0], [1]]);
}

#[test]
fn a_broker_has_no_more_requests_in_flight_than_is_allowed() {
    let mut rig = one_leader(&[("max.in.flight.requests.per.connection", "2")]);
    (0..3).for_each(|partition| rig.push(partition, "a"));
    assert_eq!(partitions(&rig), [[0], [1]]);
    rig.ack(0);
    assert_eq!(partitions(&rig), [[1], [2]]);
}

#[test]
fn other_requests_do_not_count_towards_those_in_flight() {
    let properties = [("max.in.flight.requests.per.connection", "1"), ("metadata.max.age.ms", "1000")];
    let mut rig = one_leader(&properties);
    rig.push(0, "a");
    rig.ack(0);
    let bootstrap = rig.open.iter().find(|(_, port)| *port == 9000).unwrap().0;
    rig.cut(bootstrap, None);
    rig.mute = vec![3];
    rig.pass_ms(2_000);
    rig.push(0, "b");
    assert_eq!(partitions(&rig), [[0]]);
}

#[test]
fn a_batch_that_failed_while_its_partition_stood_in_line_for_a_broker_is_waited_for_all_the_same() {
    let mut rig = one_leader(&[("retry.backoff.ms", "5000"), ("retry.backoff.max.ms", "5000")]);
    rig.push(0, "first");
    rig.ack(0);
    rig.push(0, "a");
    rig.throttle(1, 1_000);
    rig.push(0, "stands in line until the broker takes requests again");
    rig.refuse(19);
    rig.pass_ms(3_500);
    assert!(rig.sent.is_empty(), "a is not to go again yet, and nothing goes before it");
    rig.pass_ms(2_000);
    assert_eq!(rig.take().stamps(), [(0, 0, 1)]);
}

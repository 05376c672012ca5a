//! A state comes back from its entries as it was, and bytes that are none change nothing more than they have to.

use super::*;
use crate::broker::{
    EmbeddedBroker,
    groups::Who,
    testing::{BatchOf, NOW, TestCluster},
};

/// A cluster that notes what changes.
fn noting() -> TestCluster {
    let builder =
        EmbeddedBroker::builder().topic_with("orders", 2, [("segment.ms", "1"), ("cleanup.policy", "compact,delete")]);
    let mut cluster = TestCluster::new(builder.topic("gone", 1), 2);
    cluster.state.touched.is_on = true;
    cluster
}

fn empty() -> State {
    TestCluster::new(EmbeddedBroker::builder(), 2).state
}

fn whole(state: &State) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let put = &mut |entry: &[u8]| -> Result<(), ()> {
        entries.push(entry.to_vec());
        Ok(())
    };
    snapshot(state, put).unwrap();
    entries
}

fn changed(cluster: &mut TestCluster) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let put = &mut |entry: &[u8]| -> Result<(), ()> {
        entries.push(entry.to_vec());
        Ok(())
    };
    let touched = cluster.state.touched.take();
    changes(&cluster.state, &touched, put).unwrap();
    entries
}

fn apply_all(state: &mut State, entries: &[Vec<u8>]) {
    entries.iter().for_each(|entry| apply(state, entry.clone().into()).unwrap());
}

fn write(cluster: &mut TestCluster, at: i64, sequence: i32) {
    let records = vec![(Some("key"), "value", 0), (Some("key"), "other", 1)];
    let batch = BatchOf { base_timestamp: NOW + at, records, ..BatchOf::values(&[]) }.by_producer(5, 0, sequence);
    assert_eq!(cluster.produce(batch.encode()).error_code, 0);
}

fn commit(cluster: &mut TestCluster, topic: &str, offset: i64) {
    let committed = Committed { offset, leader_epoch: 3, metadata: "m".into() };
    let commits = vec![Commit { topic: topic.into(), partition: 1, committed }];
    let who = Who { member: String::new(), instance: None };
    cluster.state.groups.commit(NOW, "shop", &who, -1, commits).unwrap();
    cluster.state.touched.group("shop");
}

/// Each does something to the cluster; after each, what is kept of it must be what it is.
const STEPS: &[fn(&mut TestCluster)] = &[
    |cluster| write(cluster, 0, 0),
    |cluster| write(cluster, 1_000, 2),
    |cluster| commit(cluster, "orders", 7),
    |cluster| assert!(cluster.state.take_producer_id() >= 0),
    |cluster| cluster.state.move_leader("orders", 0, 1, true).unwrap(),
    |cluster| write(cluster, 2_000, 4),
    |cluster| assert!(cluster.state.compact("orders", NOW + 3_000).unwrap() > 0),
    |cluster| write(cluster, 3_000, 6),
    |cluster| cluster.state.add_partitions("orders", 3).unwrap(),
    |cluster| cluster.state.add_topic("new", 1).unwrap(),
    |cluster| commit(cluster, "gone", 8),
    |cluster| assert!(cluster.state.remove_topic("gone")),
    |cluster| cluster.state.truncate_log("orders", 0, 7).unwrap(),
    |cluster| write(cluster, 4_000, 6),
    |cluster| assert!(cluster.state.apply_retention("orders", NOW + 700_000_000).unwrap() > 0),
    |cluster| write(cluster, 5_000, 8),
    |cluster| cluster.state.forget_producers(1),
];

#[test]
fn whatever_is_done_the_changes_and_the_whole_lead_to_the_same_state() {
    let mut cluster = noting();
    let mut kept = empty();
    apply_all(&mut kept, &whole(&cluster.state));
    for (number, step) in (0..).zip(STEPS) {
        step(&mut cluster);
        apply_all(&mut kept, &changed(&mut cluster));
        assert_eq!(whole(&kept), whole(&cluster.state), "step {number}");
        let mut again = empty();
        apply_all(&mut again, &whole(&cluster.state));
        assert_eq!(whole(&again), whole(&cluster.state), "step {number}");
        assert_eq!(again.log("orders", 0), cluster.state.log("orders", 0), "step {number}");
    }
    assert!(changed(&mut cluster).is_empty(), "nothing is kept twice");
}

#[test]
fn a_producer_that_is_known_goes_on_and_is_recognised() {
    let mut cluster = noting();
    write(&mut cluster, 0, 0);
    let mut kept = TestCluster { state: empty(), session: crate::broker::session::Session::default(), now_ms: NOW };
    apply_all(&mut kept.state, &whole(&cluster.state));
    write(&mut kept, 0, 0);
    write(&mut kept, 0, 2);
    assert_eq!(kept.state.log("orders", 0).len(), 4, "the first one was a repetition");
}

#[test]
fn nothing_is_noted_unless_it_is_to_be_kept() {
    let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
    write(&mut cluster, 0, 0);
    cluster.state.take_producer_id();
    assert!(changed(&mut cluster).is_empty());
}

#[test]
fn entries_that_are_damaged_anywhere_are_refused_or_read_and_nothing_panics() {
    let mut cluster = noting();
    STEPS[..10].iter().for_each(|step| step(&mut cluster));
    let entries = whole(&cluster.state);
    for entry in &entries {
        for length in 0..entry.len() {
            let mut state = cluster.state.clone();
            assert!(apply(&mut state, Bytes::copy_from_slice(&entry[..length])).is_err(), "{length} of {entry:?}");
        }
        for place in 0..entry.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = entry.clone();
                damaged[place] = byte;
                let mut state = cluster.state.clone();
                let _ = apply(&mut state, damaged.into());
                drop((state.log("orders", 0), whole(&state)));
            }
        }
    }
}

#[test]
fn what_cannot_be_is_told() {
    let mut state = empty();
    let told = |state: &mut State, entry: Vec<u8>| apply(state, entry.into()).unwrap_err();
    assert!(told(&mut state, vec![99]).contains("kind 99"));
    assert!(told(&mut state, vec![]).contains("too short"));
    let mut cluster = noting();
    write(&mut cluster, 0, 0);
    let batch = changed(&mut cluster).pop().unwrap();
    assert!(told(&mut cluster.state, batch).contains("begins at offset 0, its log ends at 2"));
    let mut one = TestCluster::new(EmbeddedBroker::builder(), 1).state;
    let topic = whole(&cluster.state).into_iter().find(|entry| entry[0] == TOPIC).unwrap();
    assert!(told(&mut one, topic).contains("more nodes"));
}

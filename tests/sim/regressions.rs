//! Findings of the judge of availability, each a test named after its cause. `REPORT.md` has their seeds.
//!
//! A plan here is as small as possible, and runs with several seeds of its fault. The seed decides where the fault
//! strikes, how long it lasts, and which variant it is.

use super::{
    plan::{Ending, Fault, Kind, Network, Plan, credentials},
    simulation::Simulation,
};

/// One producer, one partition, one task, and no fault.
fn calm(properties: &[(&'static str, &str)]) -> Plan {
    Plan {
        seed: 1,
        nodes: 1,
        topics: vec![1],
        properties: properties.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        idempotent: true,
        acks_0: false,
        max_message_bytes: 1_048_588,
        session_ms: None,
        token_life_s: None,
        silent_addresses: 0,
        tasks: 1,
        records_per_task: 60,
        largest_record: 200,
        callbacks: false,
        flushes: Vec::new(),
        pause_us: 50_000,
        delay_us: 500,
        network: Network::Exactly([].into()),
        faults: Vec::new(),
        ending: Ending::Heal,
        ends_ms: 0,
    }
}

/// Runs a plan with one fault, with twenty seeds, and expects no finding of either judge.
fn holds(plan: &Plan, kind: Kind, at_ms: u64) {
    for seed in 0..20 {
        let faults = vec![Fault { at_ms, kind, seed }];
        let report = Simulation::judge(&Plan { faults, ..plan.clone() }, false);
        assert_eq!((report.violations, report.neglects), (vec![], vec![]), "{kind:?} of seed {seed}");
    }
}

#[test]
fn a_calm_run_has_no_finding() {
    let report = Simulation::judge(&calm(&[]), false);
    assert_eq!((report.violations, report.neglects, report.records), (vec![], vec![], 60));
}

/// A run on a cluster that wants SASL, with sessions of this length.
fn secured(session_ms: u64) -> Plan {
    let mut plan = Plan { session_ms: Some(session_ms), pause_us: 200_000, ..calm(&[]) };
    plan.properties.extend(credentials());
    plan
}

#[test]
fn sessions_that_end_cost_no_connection() {
    let report = Simulation::judge(&secured(1_200), true);
    assert_eq!((report.violations, report.neglects, report.records), (vec![], vec![], 60));
    let lines = |what: &str| report.trace.iter().filter(|line| line.contains(what)).count();
    assert!(lines("(api 17,") > 5, "the producer authenticates again");
    assert_eq!(lines("is broken"), 0, "no connection ends");
}

#[test]
fn records_that_wait_are_delivered_once_the_brokers_have_the_password_again() {
    for seed in 0..20 {
        let faults = [Kind::KeepOut, Kind::EndSessions].map(|kind| Fault { at_ms: 700, kind, seed }).to_vec();
        let report = Simulation::judge(&Plan { faults, ..secured(0) }, false);
        assert_eq!((report.violations, report.neglects, report.records), (vec![], vec![], 60), "seed {seed}");
    }
}

#[test]
fn a_producer_that_begins_with_the_wrong_password_is_refused_until_it_is_right() {
    let faults = vec![Fault { at_ms: 0, kind: Kind::KeepOut, seed: 1 }];
    // A refused call is followed by the next one after a millisecond, and the password is wrong for three seconds at most.
    let report = Simulation::judge(&Plan { faults, records_per_task: 4_000, pause_us: 300, ..secured(0) }, true);
    assert_eq!((report.violations, report.neglects), (vec![], vec![]));
    assert!(report.trace.iter().any(|line| line.ends_with("is refused: KeptOut")), "at first");
    assert!(report.records > 0, "in the end");
}

#[test]
fn one_false_metadata_response_fails_no_record_of_a_topic_in_use() {
    let plan = calm(&[("metadata.max.age.ms", "500")]);
    holds(&plan, Kind::MetadataError, 300);
    holds(&plan, Kind::Lie, 300);
}

#[test]
fn batches_wait_for_a_topic_that_was_unknown_in_one_metadata_response() {
    let plan = Plan { pause_us: 300, ..calm(&[("linger.ms", "0")]) };
    let recreated = Fault { at_ms: 8, kind: Kind::Recreate, seed: 3 };
    for seed in 0..20 {
        let faults = vec![recreated, Fault { at_ms: 8, kind: Kind::MetadataError, seed }];
        let report = Simulation::judge(&Plan { faults, ..plan.clone() }, false);
        assert_eq!((report.violations, report.neglects), (vec![], vec![]), "seed {seed}");
    }
}

#[test]
fn metadata_is_requested_while_records_wait_for_a_partition_that_a_recreated_topic_lacks() {
    let plan = Plan { topics: vec![3], pause_us: 300, ..calm(&[("linger.ms", "0"), ("request.timeout.ms", "1000")]) };
    for seed in 0..20 {
        let again = |at_ms, seed| Fault { at_ms, kind: Kind::Recreate, seed };
        let faults = vec![again(12, seed), again(5_000, seed + 1)];
        let report = Simulation::judge(&Plan { faults, ..plan.clone() }, false);
        assert_eq!((report.violations, report.neglects), (vec![], vec![]), "seed {seed}");
    }
}

#[test]
fn the_parts_of_a_split_batch_do_not_wait_for_each_other_s_backoff() {
    let properties = [("batch.size", "16384"), ("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")];
    let plan = Plan { max_message_bytes: 350, tasks: 4, pause_us: 1, delay_us: 50, ..calm(&properties) };
    let report = Simulation::judge(&plan, false);
    assert_eq!((report.violations, report.neglects), (vec![], vec![]));
}

#[test]
fn a_quota_longer_than_the_request_timeout_ends_no_connection() {
    holds(&calm(&[("request.timeout.ms", "300")]), Kind::Throttle, 300);
}

#[test]
fn a_process_that_was_stopped_reads_its_sockets_before_it_expires_records() {
    let properties = [("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")];
    holds(&Plan { pause_us: 300, delay_us: 40_000, ..calm(&properties) }, Kind::Stop, 200);
}

#[test]
fn a_name_whose_first_addresses_are_silent_is_connected_to_by_the_one_that_responds() {
    let properties = [("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000"), ("max.block.ms", "2000")];
    for silent_addresses in [1, 2, 5] {
        let report = Simulation::judge(&Plan { silent_addresses, ..calm(&properties) }, false);
        assert_eq!((report.violations, report.neglects, report.records), (vec![], vec![], 60), "{silent_addresses}");
    }
}

#[test]
fn brokers_that_are_all_at_another_address_are_found_at_once() {
    let properties = [
        ("delivery.timeout.ms", "30000"),
        ("request.timeout.ms", "1000"),
        ("metadata.max.age.ms", "200"),
        ("socket.connection.setup.timeout.ms", "300"),
        ("socket.connection.setup.timeout.max.ms", "900"),
    ];
    holds(&calm(&properties), Kind::Move, 900);
}

#[test]
fn a_topic_that_was_waited_for_longer_than_metadata_max_idle_ms_is_requested_again() {
    let properties =
        [("metadata.max.idle.ms", "5000"), ("delivery.timeout.ms", "3000"), ("request.timeout.ms", "2500")];
    // The connection breaks before the first Metadata response. The process is stopped, so the producer does not
    // notice.
    let network = Network::Exactly([(1, Kind::CutWithin)].into());
    holds(&Plan { network, delay_us: 40_000, ..calm(&properties) }, Kind::Stop, 30);
}

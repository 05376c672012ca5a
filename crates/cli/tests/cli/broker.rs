//! The embedded broker as a process.

use crate::support::{Broker, milena};

#[test]
#[cfg(unix)]
fn it_says_where_to_connect_and_ends_well_when_asked_to() {
    for signal in ["INT", "TERM"] {
        let process = Broker::start(&[]).into_process();
        process.signal(signal);
        process.wait().expect(0);
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let broker = Broker::start(&[]);
    let port = broker.bootstrap.rsplit(':').next().unwrap();
    let ran = milena(&["broker", "--port", port]).expect(1);
    let expected = format!("cannot start the broker: 127.0.0.1:{port}: ");
    assert!(ran.stderr.contains(&expected) && ran.stderr.contains("with --port"), "{}", ran.stderr);
}

#[test]
fn topics_have_the_partitions_that_were_asked_for() {
    let broker = Broker::start(&["--topic", "one:1", "--topic", "three:3"]);
    let read = |topic, partition| milena(&["consume", "-b", &broker.bootstrap, "-t", topic, "-p", partition]);
    read("three", "2").expect(0);
    let ran = read("three", "3").expect(2);
    assert!(ran.stderr.contains("three has partitions 0 to 2, got 3"), "{}", ran.stderr);
    read("one", "0").expect(0);
    read("one", "1").expect(2);
}

#[test]
fn several_nodes_are_one_cluster() {
    let broker = Broker::start(&["--nodes", "3", "--topic", "orders:3"]);
    for bootstrap in broker.bootstrap.split(',') {
        milena(&["consume", "-b", bootstrap, "-t", "orders"]).expect(0);
    }
}

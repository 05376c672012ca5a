//! The labs hold what they claim.

use crate::support::{Broker, Ran, milena};

/// The lines of `async-orders` that tell of an acknowledged order.
fn acknowledged(ran: &Ran) -> Vec<&str> {
    ran.lines().into_iter().filter(|line| line.starts_with("order ") && line.contains(" timestamp=")).collect()
}

#[test]
fn twenty_orders_are_acknowledged_and_checked_without_any_set_up() {
    let ran = milena(&["lab", "async-orders"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    let acknowledged = acknowledged(&ran);
    assert_eq!(acknowledged.len(), 20);
    assert!(acknowledged.iter().all(|line| line.contains("topic=orders partition=") && line.contains(" offset=")));
    assert!(ran.lines().contains(&"latch: 20 of 20 callbacks before close"));
}

#[test]
fn it_runs_against_another_cluster_and_in_a_topic_that_is_in_use() {
    let broker = Broker::start(&["--topic", "used:5"]);
    for run in 1..=2 {
        let ran = milena(&["lab", "async-orders", "-b", &broker.bootstrap, "--topic", "used"]).expect(0);
        assert_eq!(acknowledged(&ran).len(), 20);
        assert_eq!(broker.read("used").len(), 20 * run);
    }
}

#[test]
fn a_cluster_that_cannot_be_reached_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let ran = milena(&["lab", "async-orders", "-b", &address]).expect(1);
    assert!(ran.stderr.contains(&address), "{}", ran.stderr);
    assert!(!ran.lines().contains(&"OK"));
}

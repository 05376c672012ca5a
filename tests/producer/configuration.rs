//! Settings that contradict each other. The error lists all violations, and nothing is started.

use std::time::Duration;

use milena::{Acks, Producer};

use crate::run;

#[test]
fn idempotence_refuses_settings_that_would_break_it() {
    run(async {
        for acks in [Acks::None, Acks::Leader] {
            let error = Producer::builder("localhost:9092").idempotence(true).acks(acks).build().await.unwrap_err();
            assert!(error.to_string().contains("acks") && error.to_string().contains("enable.idempotence"), "{error}");
        }
        let builder = Producer::builder("localhost:9092").idempotence(true).max_in_flight(6);
        let error = builder.build().await.unwrap_err().to_string();
        assert!(error.contains("max.in.flight.requests.per.connection"), "{error}");
    });
}

#[test]
fn every_violation_is_reported_at_once() {
    run(async {
        let builder = Producer::builder("localhost")
            .idempotence(true)
            .acks(Acks::Leader)
            .linger(Duration::from_secs(100))
            .request_timeout(Duration::from_secs(100))
            .delivery_timeout(Duration::from_secs(1))
            .property("lingr.ms", "5")
            .property("batch.size", "many");
        let error = builder.build().await.unwrap_err();
        for setting in ["bootstrap.servers", "acks", "delivery.timeout.ms", "lingr.ms", "linger.ms?", "batch.size"] {
            assert!(error.violations().iter().any(|violation| violation.contains(setting)), "{setting}: {error}");
        }
        assert_eq!(error.violations().len(), 5, "{error}");
    });
}

#[test]
fn properties_by_their_java_names_are_checked_as_well() {
    run(async {
        let properties = [("bootstrap.servers", "localhost:9092"), ("acks", "some"), ("retries", "-1")];
        let error = Producer::from_properties(properties).await.unwrap_err();
        assert_eq!(error.violations().len(), 2, "{error}");
    });
}

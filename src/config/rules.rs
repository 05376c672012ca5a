//! The rules between settings.
//!
//! In: a configuration whose values are valid on their own, and the draft. Out: violations, and adjustments of settings that were
//! not given, with a warning. Pure. Source: `ProducerConfig.postProcessParsedConfig` and `KafkaProducer.configureDeliveryTimeout`.
//! Deliberately absent: comparisons of `batch.size` or `max.request.size` with `buffer.memory`. Java does not make them either; a record
//! that does not fit is refused when it is sent.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    draft::Draft,
    kinds::INT,
    table::Config,
    values::{Acks, Compression},
};

/// The levels of zstd without the library in C.
const IN_RUST: RangeInclusive<i32> = -7..=4;
/// How many batches of a producer a broker remembers for each partition, so no more may be in flight (KAFKA-5494).
const MAX_IN_FLIGHT_IDEMPOTENT: usize = 5;

/// Applies every rule to `config`.
pub(super) fn apply(config: &mut Config, draft: &mut Draft<'_>) {
    bootstrap(config, draft);
    idempotence(config, draft);
    delivery_timeout(config, draft);
    compression(config, draft);
    names(config, draft);
    config.batch_size = config.batch_size.max(1);
    config.rebootstrap_after = config.rebootstrap.then_some(config.rebootstrap_trigger);
    cap("retry.backoff.ms", &mut config.retry_backoff, config.retry_backoff_max);
    cap("reconnect.backoff.ms", &mut config.reconnect_backoff, config.reconnect_backoff_max);
    let setup = (&mut config.connection_setup_timeout, config.connection_setup_timeout_max);
    cap("socket.connection.setup.timeout.ms", setup.0, setup.1);
}

fn names(config: &Config, draft: &mut Draft<'_>) {
    if config.canonical_names && !cfg!(feature = "canonical-names") {
        let missing = "this build cannot ask for the name of an address: build milena with the feature `canonical-names`, or leave it out";
        draft.violations.push(format!("client.dns.lookup: {missing}"));
    }
}

fn compression(config: &Config, draft: &mut Draft<'_>) {
    if config.compression != Compression::Zstd {
        return;
    }
    if !cfg!(any(feature = "zstd", feature = "zstd-rust")) {
        let missing = "this build has no zstd: build milena with the feature `zstd-rust` or `zstd`, or choose gzip, snappy or lz4";
        draft.violations.push(format!("compression.type: {missing}"));
    }
    let level = config.compression_zstd_level;
    if !cfg!(feature = "zstd") && !IN_RUST.contains(&level) {
        let (least, most) = IN_RUST.into_inner();
        draft.violations.push(format!(
            "compression.zstd.level: expected from {least} to {most}, which zstd in Rust has, got {level}: the feature `zstd`, which compiles C, has all"
        ));
    }
}

fn bootstrap(config: &Config, draft: &mut Draft<'_>) {
    if config.bootstrap_servers.is_empty() && draft.readable(&["bootstrap.servers"]) {
        draft.violations.push("bootstrap.servers: expected at least one host:port, got nothing".to_owned());
    }
}

fn idempotence(config: &mut Config, draft: &mut Draft<'_>) {
    let settings = ["enable.idempotence", "acks", "retries", "max.in.flight.requests.per.connection"];
    if !config.idempotence || !draft.readable(&settings) {
        return;
    }
    // If the user did not ask for idempotence, these turn it off.
    let acks = (config.acks != Acks::All).then_some("it needs acks=all");
    let retries = (config.retries == 0).then_some("it needs retries of at least 1");
    for obstacle in acks.into_iter().chain(retries) {
        if draft.is_asked_for("enable.idempotence") {
            draft.violations.push(format!("enable.idempotence: {obstacle}"));
            continue;
        }
        // A preset says that it is without.
        if draft.has("acks") || draft.has("retries") {
            tracing::warn!("enable.idempotence is off: {obstacle}; set it to false to silence this");
        }
        config.idempotence = false;
    }
    if config.idempotence && config.max_in_flight > MAX_IN_FLIGHT_IDEMPOTENT {
        draft.violations.push(format!(
            "max.in.flight.requests.per.connection: expected at most {MAX_IN_FLIGHT_IDEMPOTENT} with idempotence, got {}; \
             lower it or set enable.idempotence=false",
            config.max_in_flight
        ));
    }
}

fn delivery_timeout(config: &mut Config, draft: &mut Draft<'_>) {
    let longest = Duration::from_millis(INT.unsigned_abs());
    let least = config.linger.saturating_add(config.request_timeout).min(longest);
    let readable = draft.readable(&["delivery.timeout.ms", "linger.ms", "request.timeout.ms"]);
    if config.delivery_timeout >= least || !readable {
        return;
    }
    let (given, least_ms) = (config.delivery_timeout.as_millis(), least.as_millis());
    if draft.has("delivery.timeout.ms") {
        draft.violations.push(format!(
            "delivery.timeout.ms: expected at least linger.ms + request.timeout.ms = {least_ms}, got {given}"
        ));
    } else {
        tracing::warn!("delivery.timeout.ms is raised from {given} to linger.ms + request.timeout.ms = {least_ms}");
        config.delivery_timeout = least;
    }
}

/// Lowers a first wait to the longest wait, as Java's `ExponentialBackoff` does.
fn cap(name: &str, min: &mut Duration, max: Duration) {
    if *min > max {
        tracing::warn!("{name} is over its maximum and counts as {} ms", max.as_millis());
        *min = max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigError, ProducerBuilder};

    fn check(properties: &[(&str, &str)]) -> Result<Config, String> {
        let builder = ProducerBuilder::new("localhost:9092").properties(properties.iter().copied());
        builder.validate().map_err(|error: ConfigError| error.violations().join("; "))
    }

    #[test]
    fn bootstrap_servers_may_not_be_left_out() {
        let error = ProducerBuilder::from_properties([("linger.ms", "5")]).validate().unwrap_err();
        assert_eq!(error.violations(), ["bootstrap.servers: expected at least one host:port, got nothing"]);
        assert!(ProducerBuilder::new(" , ").validate().is_err());
    }

    #[test]
    fn idempotence_that_was_asked_for_refuses_what_breaks_it() {
        let asked = ("enable.idempotence", "true");
        assert_eq!(
            check(&[asked, ("acks", "1"), ("retries", "0")]).unwrap_err(),
            "enable.idempotence: it needs acks=all; enable.idempotence: it needs retries of at least 1"
        );
        assert!(check(&[asked, ("acks", "-1"), ("retries", "1")]).unwrap().idempotence);
    }

    #[test]
    fn idempotence_that_was_not_asked_for_gives_way() {
        for (name, value) in [("acks", "0"), ("acks", "1"), ("retries", "0")] {
            assert!(!check(&[(name, value)]).unwrap().idempotence, "{name}={value}");
        }
    }

    #[test]
    fn more_than_five_in_flight_need_idempotence_off() {
        let six = ("max.in.flight.requests.per.connection", "6");
        assert!(check(&[six]).unwrap_err().contains("at most 5 with idempotence, got 6"));
        assert_eq!(check(&[six, ("enable.idempotence", "false")]).unwrap().max_in_flight, 6);
        assert_eq!(check(&[six, ("acks", "1")]).unwrap().max_in_flight, 6);
    }

    #[test]
    fn a_delivery_timeout_covers_linger_and_one_request() {
        let ms = Duration::from_millis;
        let timeouts = |linger, request| [("linger.ms", linger), ("request.timeout.ms", request)];
        assert_eq!(check(&timeouts("1000", "150000")).unwrap().delivery_timeout, ms(151_000));
        let [linger, request] = timeouts("1000", "2000");
        assert!(check(&[linger, request, ("delivery.timeout.ms", "2999")]).unwrap_err().ends_with("= 3000, got 2999"));
        let exact = check(&[linger, request, ("delivery.timeout.ms", "3000")]);
        assert_eq!(exact.unwrap().delivery_timeout, ms(3_000));
    }

    #[test]
    fn an_endless_linger_is_covered_by_the_longest_delivery_timeout() {
        let config = check(&[("linger.ms", "9223372036854775807")]).unwrap();
        assert_eq!(config.delivery_timeout, Duration::from_millis(INT.unsigned_abs()));
    }

    #[test]
    fn rules_are_silent_about_values_that_could_not_be_read() {
        let error = check(&[("request.timeout.ms", "soon"), ("delivery.timeout.ms", "1")]).unwrap_err();
        assert!(error.starts_with("request.timeout.ms") && !error.contains("linger"), "{error}");
        let error = check(&[("acks", "two"), ("max.in.flight.requests.per.connection", "6")]).unwrap_err();
        assert!(!error.contains("at most 5"), "{error}");
    }

    #[test]
    fn a_backoff_over_its_maximum_counts_as_the_maximum() {
        let config = check(&[("retry.backoff.ms", "5000"), ("reconnect.backoff.max.ms", "10")]).unwrap();
        assert_eq!(config.retry_backoff, Duration::from_secs(1));
        assert_eq!(config.reconnect_backoff, Duration::from_millis(10));
    }

    #[test]
    fn a_batch_size_of_zero_means_no_batching() {
        assert_eq!(check(&[("batch.size", "0")]).unwrap().batch_size, 1);
    }

    #[test]
    fn sizes_that_exceed_the_memory_are_left_to_the_moment_of_sending() {
        assert!(check(&[("buffer.memory", "10"), ("batch.size", "20"), ("max.request.size", "30")]).is_ok());
    }

    #[test]
    fn recovery_by_bootstrap_can_be_switched_off() {
        assert_eq!(check(&[]).unwrap().rebootstrap_after, Some(Duration::from_secs(300)));
        assert_eq!(check(&[("metadata.recovery.strategy", "none")]).unwrap().rebootstrap_after, None);
    }
}

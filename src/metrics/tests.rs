//! Numbers that move when they should, and text that Prometheus can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Ended, Gauges, Metrics, Recorder, SentBatch};
use crate::error::{ErrorCode, Persisted};

const GAUGES: Gauges = Gauges { buffer_total: 100, buffer_free: 70, waiting: 1, undelivered: 2 };

fn batch(records: u32, bytes: usize, uncompressed: usize) -> SentBatch {
    SentBatch { records, bytes, uncompressed, queued: Duration::from_millis(4) }
}

fn take(recorder: &Recorder, now: Instant) -> Metrics {
    Metrics::take(recorder, GAUGES, &"shop".into(), now)
}

/// One of everything.
fn used(now: Instant) -> Recorder {
    let (recorder, topic) = (Recorder::new(Duration::from_secs(30)), Arc::from("or\"d\\er\ns"));
    recorder.batch_sent(&topic, batch(3, 50, 100), now);
    recorder.request_sent(80, Some(3), now);
    recorder.answered(40, Duration::from_millis(7), now);
    recorder.throttled(Duration::from_millis(10));
    recorder.retried(&topic, 3, now);
    recorder.split(now);
    recorder.error(ErrorCode(7));
    recorder.ended(&topic, 3, Ended::Acked, Duration::from_millis(20), now);
    recorder.ended(&topic, 2, Ended::Failed(Persisted::No), Duration::from_millis(30), now);
    recorder.ended(&topic, 1, Ended::Failed(Persisted::Unknown), Duration::from_millis(40), now);
    recorder.epoch_bumped();
    recorder.connected(now);
    recorder.learned(now);
    recorder.waited_for_memory(Duration::from_nanos(9), true, now);
    recorder
}

#[test]
fn every_number_has_a_name_of_its_own_and_says_what_it_is() {
    let metrics = take(&used(Instant::now()), Instant::now());
    let mut seen = BTreeSet::new();
    for metric in metrics.iter() {
        assert!(seen.insert((metric.group, metric.name)), "{} twice", metric.name);
        assert!(metric.description.ends_with('.'), "{}: {}", metric.name, metric.description);
        assert_eq!(&*metric.tags[0].1, "shop");
    }
    assert!(seen.len() > 60, "{}", seen.len());
}

#[test]
fn what_happened_stands_under_java_s_names() {
    let now = Instant::now();
    let metrics = take(&used(now), now + Duration::from_secs(2));
    for (name, expected) in [
        ("record-send-total", 3.0),
        ("record-send-rate", 1.5),
        ("record-acked-total", 3.0),
        ("record-not-written-total", 2.0),
        ("record-unknown-total", 1.0),
        ("record-error-total", 3.0),
        ("record-retry-total", 3.0),
        ("batch-split-total", 1.0),
        ("batch-size-avg", 50.0),
        ("compression-rate-avg", 0.5),
        ("records-per-request-avg", 3.0),
        ("record-size-avg", 100.0 / 3.0),
        ("request-total", 1.0),
        ("requests-in-flight", 0.0),
        ("connection-count", 1.0),
        ("epoch-bump-total", 1.0),
        ("metadata-age", 2.0),
        ("buffer-available-bytes", 70.0),
        ("buffer-exhausted-total", 1.0),
        ("buffer-exhausted-rate", 0.5),
        ("bufferpool-wait-time-ns-total", 9.0),
        ("bufferpool-wait-ratio", 4.5e-9),
        ("waiting-threads", 1.0),
    ] {
        let got = metrics.get("producer-metrics", name).unwrap_or_else(|| panic!("no {name}"));
        assert!((got - expected).abs() < 1e-9, "{name}: expected {expected}, got {got}");
    }
    for (name, expected) in
        [("record-queue-time-avg", 4.0), ("request-latency-max", 7.0), ("delivery-latency-max", 40.0)]
    {
        let got = metrics.get("producer-metrics", name).unwrap();
        assert!((got / expected - 1.0).abs() < 0.01, "{name}: expected {expected}, got {got}");
    }
    assert_eq!(metrics.topic("or\"d\\er\ns", "record-acked-total"), Some(3.0));
    assert_eq!(metrics.topic("another", "record-acked-total"), None);
    assert_eq!(metrics.get("producer-error-metrics", "attempt-error-total"), Some(1.0));
}

#[test]
fn distributions_tell_quantiles_within_a_percent() {
    let (recorder, topic, now) = (Recorder::new(Duration::from_secs(30)), Arc::from("orders"), Instant::now());
    for ms in 1..=100 {
        recorder.ended(&topic, 10, Ended::Acked, Duration::from_millis(ms), now);
    }
    let metrics = take(&recorder, now);
    let latency = metrics.delivery_latency();
    assert_eq!(latency.count(), 1_000);
    for (part, expected) in [(0.0, 0.001), (0.5, 0.05), (0.99, 0.099), (1.0, 0.1)] {
        let got = latency.quantile(part);
        assert!((got / expected - 1.0).abs() < 0.011, "{part}: expected {expected}, got {got}");
    }
    assert!((latency.mean() - 0.0505).abs() < 0.0006);
    assert_eq!((latency.count_to(0.0), latency.count_to(1.0)), (0, 1_000));
    let unused = metrics.batch_size();
    assert_eq!(
        (unused.count(), unused.min(), unused.max(), unused.mean(), unused.quantile(0.5)),
        (0, 0.0, 0.0, 0.0, 0.0)
    );
}

#[test]
fn a_rate_covers_its_window_or_twice_as_long() {
    let (recorder, topic, start) = (Recorder::new(Duration::from_secs(30)), Arc::from("orders"), Instant::now());
    let at = |second: u64| start + Duration::from_secs(second);
    let rate = |now| take(&recorder, now).get("producer-metrics", "record-send-rate").unwrap();
    assert_eq!(rate(start), 0.0);
    (0..100).for_each(|second| recorder.batch_sent(&topic, batch(10, 1, 1), at(second)));
    assert!((rate(at(100)) - 10.0).abs() < 0.5, "{}", rate(at(100)));
    (100..200).for_each(|second| recorder.batch_sent(&topic, batch(70, 1, 1), at(second)));
    assert!((rate(at(200)) - 70.0).abs() < 3.0, "{}", rate(at(200)));
    assert!(rate(at(3_000)) < 3.0, "nothing since");
    let short = Recorder::new(Duration::from_secs(1));
    (0..100).for_each(|second| short.split(at(second)));
    (0..1_000).for_each(|_| short.split(at(100)));
    let rate = |now| take(&short, now).get("producer-metrics", "batch-split-rate").unwrap();
    assert!(rate(at(100)) > 400.0, "{}: only the last two seconds count", rate(at(100)));
}

#[test]
fn a_topic_that_is_forgotten_counts_in_the_sums() {
    let (recorder, topic, now) = (Recorder::new(Duration::from_secs(30)), Arc::from("orders"), Instant::now());
    recorder.ended(&topic, 5, Ended::Acked, Duration::ZERO, now);
    recorder.forget("orders");
    recorder.forget("orders");
    let metrics = take(&recorder, now);
    assert_eq!(metrics.topic("orders", "record-acked-total"), None);
    assert_eq!(metrics.get("producer-metrics", "record-acked-total"), Some(5.0));
}

/// Name, labels, value of each line; panics where Prometheus would complain.
fn parsed(text: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    let (mut kinds, mut series, mut lines) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    let mut helped = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is typed twice");
            assert_eq!(name, helped, "what it is stands right before");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let help;
            (helped, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.'), "{rest}");
        } else {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, value) = rest.rsplit_once("} ").unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.filter(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"));
            assert!(kinds.contains_key(family.unwrap_or(name)), "{name} comes before its type");
            assert!(series.insert((name.to_owned(), labels.to_owned())), "{line} twice");
            lines.push((name.to_owned(), unescaped(labels), value.parse().unwrap()));
        }
    }
    lines
}

fn unescaped(labels: &str) -> BTreeMap<String, String> {
    let (mut rest, mut read) = (labels, BTreeMap::new());
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut letters = behind.char_indices();
        let end = loop {
            match letters.next().expect("a label ends") {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        read.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &behind[end + 1..];
    }
    read
}

#[test]
fn prometheus_can_read_the_text() {
    let now = Instant::now();
    let lines = parsed(&take(&used(now), now).to_prometheus());
    let value = |name: &str, label: &str, expected: &str| {
        let found =
            lines.iter().find(|(of, labels, _)| of == name && labels.get(label).is_some_and(|it| it == expected));
        found.unwrap_or_else(|| panic!("no {name} with {label}={expected}")).2
    };
    assert_eq!(value("kafka_producer_acked_records_total", "topic", "or\"d\\er\ns"), 3.0);
    assert_eq!(value("kafka_producer_attempt_errors_total", "error", "REQUEST_TIMED_OUT (7)"), 1.0);
    assert_eq!(value("kafka_producer_buffer_wait_seconds_total", "client_id", "shop"), 9e-9);
    assert_eq!(value("kafka_producer_delivery_seconds_bucket", "le", "0.025"), 3.0);
    assert_eq!(value("kafka_producer_delivery_seconds_bucket", "le", "+Inf"), 6.0);
    assert_eq!(value("kafka_producer_delivery_seconds_count", "client_id", "shop"), 6.0);
    let sum = value("kafka_producer_delivery_seconds_sum", "client_id", "shop");
    assert!((sum - 0.160).abs() < 0.002, "{sum}");
    assert_eq!(value("kafka_producer_throttle_seconds_bucket", "le", "0.01"), 1.0);
}

#[test]
fn the_buckets_of_every_histogram_rise_up_to_its_count() {
    let now = Instant::now();
    let lines = parsed(&take(&used(now), now).to_prometheus());
    let histograms: Vec<_> = lines.iter().filter_map(|(name, ..)| name.strip_suffix("_bucket")).collect();
    let names: BTreeSet<_> = histograms.iter().copied().collect();
    assert_eq!(names.len(), 7, "{names:?}");
    for name in names {
        let of = |end: &str| {
            let name = format!("{name}{end}");
            lines.iter().filter(move |(of, ..)| *of == name)
        };
        let bounds: Vec<f64> = of("_bucket").map(|(_, labels, _)| labels["le"].parse().unwrap()).collect();
        let counts: Vec<f64> = of("_bucket").map(|(.., count)| *count).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
        assert!(counts.is_sorted() && counts.last() > Some(&0.0), "{name}: {counts:?}");
        assert_eq!(counts.last(), of("_count").map(|(.., count)| count).next(), "{name}");
        assert_eq!(of("_sum").count(), 1, "{name}");
    }
}

#[test]
fn a_producer_that_has_done_nothing_has_a_page_too() {
    let page = take(&Recorder::new(Duration::from_secs(30)), Instant::now()).to_prometheus();
    assert!(!parsed(&page).is_empty() && page.contains("kafka_producer_metadata_age_seconds{client_id=\"shop\"} NaN"));
}

#[test]
fn errors_that_a_broker_invents_take_no_more_rows_than_there_are_errors() {
    let recorder = Recorder::new(Duration::from_secs(30));
    (i16::MIN..=i16::MAX).for_each(|code| recorder.error(ErrorCode(code)));
    let metrics = take(&recorder, Instant::now());
    assert!(metrics.iter().filter(|metric| metric.group == "producer-error-metrics").count() <= 201);
    assert_eq!(metrics.get("producer-error-metrics", "attempt-error-total"), Some(65_536.0));
}

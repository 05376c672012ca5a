//! Prints the measurements, as kafka-producer-perf-test does or as JSON.
//!
//! In: measurements. Out: that tool's lines on stdout, of which the total is the last; additional lines, and on a terminal a bar,
//! on stderr. Pure but for printing.

use std::{fmt::Write as _, time::Duration};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use milena::{FlushError, Metric, Metrics, SendError};
use serde_json::{Map, Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    args::{Args, Output},
    meter::{Meter, Sums},
};
use crate::{
    console::{to_stderr, to_stdout},
    pace::bar,
};

const MEBIBYTE: f64 = 1024.0 * 1024.0;
const BAR: &str = "{wide_bar} {percent}% {human_pos} of {human_len} records, {eta} left";

/// Prints progress until it is ended, then the result.
pub(super) struct Report {
    output: Output,
    print_metrics: bool,
    expected: u64,
    meter: &'static Meter,
    stop: oneshot::Sender<()>,
    watching: JoinHandle<()>,
}

impl Report {
    pub(super) fn begin(args: &Args, meter: &'static Meter) -> Self {
        let (stop, stopped) = oneshot::channel();
        let every = Duration::from_millis(args.reporting_interval);
        let watching = tokio::spawn(watch(meter, args.output, every, bar(args.num_records, BAR), stopped));
        if args.output == Output::Text && args.warmup_records > 0 {
            let first = format!("Warmup first {} records.", args.warmup_records);
            to_stdout(&format!("{first} Steady state results will print after the complete test summary."));
        }
        let (output, print_metrics, expected) = (args.output, args.print_metrics, args.num_records);
        Self { output, print_metrics, expected, meter, stop, watching }
    }

    /// Stops the progress lines and prints the result.
    pub(super) async fn end(
        self,
        metrics: &Metrics,
        closed: Option<&FlushError>,
        refused: Option<&SendError>,
        interrupted: bool,
    ) {
        let _ = self.stop.send(());
        let _ = self.watching.await;
        let (all, steady) = (self.meter.all(), self.meter.steady());
        let retries = metrics.get("producer-metrics", "record-retry-total").unwrap_or(0.0);
        let reasons: Vec<_> =
            refused.map(ToString::to_string).into_iter().chain(closed.map(ToString::to_string)).collect();
        match self.output {
            Output::Text => {
                to_stdout(&total(&all, ""));
                steady.iter().for_each(|steady| to_stdout(&total(steady, " steady state")));
                more(steady.as_ref().unwrap_or(&all), retries, self.expected - all.records.min(self.expected))
                    .iter()
                    .for_each(|line| to_stderr(line));
            }
            Output::Json => {
                let mut last = object("total", &all);
                last.insert("retries".into(), json!(retries));
                last.insert("interrupted".into(), json!(interrupted));
                last.insert("failed".into(), json!(all.errors.values().sum::<u64>()));
                last.insert("not_acknowledged".into(), json!(self.expected - all.records.min(self.expected)));
                to_stdout(&Value::Object(last).to_string());
                steady.iter().for_each(|steady| to_stdout(&Value::Object(object("steady", steady)).to_string()));
            }
        }
        reasons.iter().for_each(|reason| to_stderr(&format!("error: {reason}")));
        match (self.print_metrics, self.output) {
            (false, _) => {}
            (true, Output::Text) => to_stdout(&listed(metrics.iter())),
            (true, Output::Json) => {
                let values: Map<_, _> = metrics.iter().map(|metric| (full_name(metric), json!(metric.value))).collect();
                to_stdout(&json!({"type": "metrics", "metrics": values}).to_string());
            }
        }
    }
}

async fn watch(
    meter: &'static Meter,
    output: Output,
    every: Duration,
    bar: ProgressBar,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut ticks = tokio::time::interval(every.min(Duration::from_millis(200)));
    let (mut last, mut done, mut warming) = (tokio::time::Instant::now(), 0, true);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            now = ticks.tick() => {
                if bar.length().is_some() {
                    bar.set_position(meter.records());
                }
                if warming && output == Output::Text && meter.is_steady() {
                    warming = false;
                    bar.suspend(|| to_stdout("In steady state."));
                }
                if now.duration_since(last) < every {
                    continue;
                }
                last = now;
                let sums = meter.window();
                done += sums.records;
                bar.suspend(|| match output {
                    Output::Text => to_stdout(&window(&sums)),
                    Output::Json => {
                        let mut object = object("window", &sums);
                        object.insert("acknowledged".into(), json!(done));
                        to_stdout(&Value::Object(object).to_string());
                    }
                });
            }
        }
    }
    bar.finish_and_clear();
}

/// The line of a window, as the tool prints it.
pub(super) fn window(sums: &Sums) -> String {
    let (rate, megabytes) = rates(sums);
    let (average, max) = (ms(sums.latency.mean()), ms(sums.latency.max() as f64));
    format!(
        "{} records sent, {rate:.1} records/sec ({megabytes:.2} MB/sec), {average:.1} ms avg latency, {max:.1} ms max latency.",
        sums.records
    )
}

/// The last line, as the tool prints it.
pub(super) fn total(sums: &Sums, which: &str) -> String {
    let (rate, megabytes) = rates(sums);
    let (average, max) = (ms(sums.latency.mean()), ms(sums.latency.max() as f64));
    let quantile = |part: f64| sums.latency.value_at_quantile(part) / 1_000;
    format!(
        "{}{which} records sent, {rate:.6} records/sec ({megabytes:.2} MB/sec), {average:.2} ms avg latency, {max:.2} ms max latency, \
         {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
        sums.records,
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        quantile(0.999)
    )
}

/// The lines that the tool does not print. They go to stderr, because scripts take the last line of stdout for the total.
fn more(sums: &Sums, retries: f64, missing: u64) -> Vec<String> {
    let mut lines = vec![format!("latency in microseconds: {}", quantiles(&sums.latency))];
    if !sums.from_due.is_empty() {
        lines.push(format!("latency in microseconds from when each was due: {}", quantiles(&sums.from_due)));
    }
    lines.push(format!("{missing} records not acknowledged, {retries} records sent again"));
    lines.extend(sums.errors.iter().map(|(cause, times)| format!("{times} records failed with {cause}")));
    lines
}

fn quantiles(latency: &Histogram<u64>) -> String {
    let at = |part| latency.value_at_quantile(part);
    format!("p50 {}, p95 {}, p99 {}, p99.9 {}, max {}", at(0.5), at(0.95), at(0.99), at(0.999), latency.max())
}

fn object(kind: &str, sums: &Sums) -> Map<String, Value> {
    let (rate, megabytes) = rates(sums);
    let mut object = Map::new();
    object.insert("type".into(), json!(kind));
    object.insert("records".into(), json!(sums.records));
    object.insert("seconds".into(), json!(sums.seconds()));
    object.insert("records_per_second".into(), json!(rate));
    object.insert("megabytes_per_second".into(), json!(megabytes));
    object.insert("latency_us".into(), latency(&sums.latency));
    if !sums.from_due.is_empty() {
        object.insert("latency_from_due_us".into(), latency(&sums.from_due));
    }
    object.insert("errors".into(), json!(sums.errors));
    object
}

fn latency(of: &Histogram<u64>) -> Value {
    let at = |part| of.value_at_quantile(part);
    json!({"avg": of.mean(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p999": at(0.999), "max": of.max()})
}

/// Records and mebibytes a second.
fn rates(sums: &Sums) -> (f64, f64) {
    let seconds = sums.seconds().max(1e-9);
    (sums.records as f64 / seconds, sums.bytes as f64 / seconds / MEBIBYTE)
}

fn ms(micros: f64) -> f64 {
    micros / 1_000.0
}

/// A metric's group, name and tags, as Kafka's tools write them.
fn full_name(metric: &Metric) -> String {
    let tags = metric.tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
    format!("{}:{}:{{{tags}}}", metric.group, metric.name)
}

/// All metrics, as Kafka's tools list them.
pub(super) fn listed<'a>(metrics: impl Iterator<Item = &'a Metric>) -> String {
    let mut rows: Vec<_> = metrics.map(|metric| (full_name(metric), metric.value)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = format!("\n{:width$}   Value", "Metric Name");
    for (name, value) in rows {
        // Writing to a string does not fail.
        let _ = write!(out, "\n{name:width$} : {value:.3}");
    }
    out
}

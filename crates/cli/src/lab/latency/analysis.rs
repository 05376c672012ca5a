//! Draws conclusions from the measurements.
//!
//! In: the measurements of each variant. Out: a table, and sentences that follow from the numbers alone. Pure.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Values that differ by a smaller ratio than this count as equal.
const SAME: f64 = 0.1;

/// The measurements of a variant.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) settings: String,
    pub(super) linger_ms: f64,
    pub(super) codec: String,
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
    /// Records a second that were passed to the producer.
    pub(super) rate: f64,
    pub(super) requests: f64,
    pub(super) records: f64,
    /// Bytes sent, divided by bytes before compression.
    pub(super) compression: f64,
}

impl Measured {
    /// A quantile of the latency in milliseconds; `part` is from 0 to 1.
    pub(super) fn ms(&self, part: f64) -> f64 {
        self.latency.value_at_quantile(part) as f64 / 1_000.0
    }

    pub(super) fn records_per_request(&self) -> f64 {
        if self.requests > 0.0 { self.records / self.requests } else { 0.0 }
    }
}

/// A column of the table: its name and its value for a variant.
type Column = (&'static str, fn(&Measured) -> String);

pub(super) const COLUMNS: [Column; 8] = [
    ("p50 ms", |of| format!("{:.3}", of.ms(0.5))),
    ("p95 ms", |of| format!("{:.3}", of.ms(0.95))),
    ("p99 ms", |of| format!("{:.3}", of.ms(0.99))),
    ("p99.9 ms", |of| format!("{:.3}", of.ms(0.999))),
    ("max ms", |of| format!("{:.3}", of.ms(1.0))),
    ("records", |of| of.latency.len().to_string()),
    ("records/request", |of| format!("{:.1}", of.records_per_request())),
    ("sent/original", |of| format!("{:.2}", of.compression)),
];

/// A row for each variant.
pub(super) fn table(measured: &[Measured]) -> String {
    let width = measured.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).max(7);
    let mut out = format!("{:width$}", "variant");
    for (name, _) in COLUMNS {
        // Writing to a string does not fail.
        let _ = write!(out, "  {name:>8}");
    }
    for of in measured {
        let _ = write!(out, "\n{:width$}", of.name);
        for (name, value) in COLUMNS {
            let _ = write!(out, "  {:>1$}", value(of), name.len().max(8));
        }
        let _ = write!(out, "  {}", of.settings);
    }
    out + "\n"
}

/// Compares the first variant with each other one. `rate` is the requested rate, in records a second.
pub(super) fn sentences(measured: &[Measured], rate: f64) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some((first, others)) = measured.split_first() else { return sentences };
    for other in others {
        sentences.push(medians(first, other));
        sentences.extend(linger(first, other));
        sentences.extend(requests(first, other));
    }
    sentences.extend(measured.iter().filter(|of| of.codec != "none").map(compression));
    sentences.extend(measured.iter().map(tail));
    sentences.extend(
        measured
            .iter()
            .filter(|of| of.rate < rate * (1.0 - SAME))
            .map(|of| format!("\"{}\" did not keep the pace: {:.0} of {rate:.0} records a second.", of.name, of.rate)),
    );
    sentences
}

fn medians(a: &Measured, b: &Measured) -> String {
    let (ours, theirs) = (a.ms(0.5), b.ms(0.5));
    let (quick, slow) = if ours <= theirs { (a, b) } else { (b, a) };
    let times = slow.ms(0.5) / quick.ms(0.5).max(0.001);
    if times < 1.0 + SAME {
        return format!(
            "Half of the records took about the same with \"{}\" and \"{}\": {ours:.2} and {theirs:.2} ms.",
            a.name, b.name
        );
    }
    format!(
        "Half of the records took at most {:.2} ms with \"{}\" and {:.2} ms with \"{}\", {times:.1} times as long.",
        quick.ms(0.5),
        quick.name,
        slow.ms(0.5),
        slow.name
    )
}

/// A record that is appended to an open batch waits for the rest of its linger: half of it on average.
fn linger(a: &Measured, b: &Measured) -> Option<String> {
    let (less, more) = if a.linger_ms <= b.linger_ms { (a, b) } else { (b, a) };
    let wait = more.linger_ms - less.linger_ms;
    if wait <= 0.0 {
        return None;
    }
    let extra = more.ms(0.5) - less.ms(0.5);
    let part = extra / wait;
    let why = match part {
        part if part < 0.25 => {
            "less than half of that wait, because batches are full before it is over or because the rest is slower"
        }
        part if part <= 0.75 => {
            "about half of that wait, as it must be where records come evenly: linger.ms explains the median"
        }
        part if part <= 1.25 => "about all of that wait: a batch seldom has more than the record that opened it",
        _ => "more than linger.ms can explain: look for what else is slow",
    };
    Some(format!(
        "\"{}\" lets a batch wait {wait:.0} ms longer for more records. Its median is {extra:.2} ms above: {why}.",
        more.name
    ))
}

fn requests(a: &Measured, b: &Measured) -> Option<String> {
    let (few, many) = if a.requests <= b.requests { (a, b) } else { (b, a) };
    let times = many.requests / few.requests.max(1.0);
    (times >= 1.0 + SAME).then(|| {
        format!(
            "\"{}\" needed {times:.1} times fewer requests for the same records: {:.1} records in each against {:.1}.",
            few.name,
            few.records_per_request(),
            many.records_per_request()
        )
    })
}

fn compression(of: &Measured) -> String {
    let times = 1.0 / of.compression.max(0.001);
    if of.compression > 1.0 - SAME {
        return format!(
            "{} hardly made the batches of \"{}\" smaller: small ones give it little to find.",
            of.codec, of.name
        );
    }
    format!("{} made the batches of \"{}\" {times:.1} times smaller.", of.codec, of.name)
}

fn tail(of: &Measured) -> String {
    let (median, late) = (of.ms(0.5), of.ms(0.99));
    let times = late / median.max(0.001);
    let what = if times < 3.0 { "close to the median" } else { "far from the median: something stops it now and then" };
    format!(
        "With \"{}\" one record in a hundred took more than {late:.2} ms, {times:.1} times the median: {what}.",
        of.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records take `ms`, but one in fifty takes `late_ms`.
    fn measured(name: &str, linger_ms: f64, ms: f64, late_ms: f64) -> Measured {
        let mut latency = Histogram::new_with_max(10_000_000_000, 3).unwrap();
        latency.record_n((ms * 1_000.0) as u64, 980).unwrap();
        latency.record_n((late_ms * 1_000.0) as u64, 20).unwrap();
        let (name, settings, codec) = (name.to_owned(), format!("linger.ms={linger_ms}"), "none".to_owned());
        Measured {
            name,
            settings,
            linger_ms,
            codec,
            latency,
            rate: 2_000.0,
            requests: 500.0,
            records: 1_000.0,
            compression: 1.0,
        }
    }

    fn said(measured: &[Measured]) -> String {
        sentences(measured, 2_000.0).join("\n")
    }

    #[test]
    fn sentences_change_when_the_numbers_do() {
        let zero = measured("a", 0.0, 1.0, 2.0);
        for (median, expected) in [
            (1.05, "about the same with \"a\" and \"b\": 1.00 and 1.05 ms"),
            (4.0, "4.00 ms with \"b\", 4.0 times as long"),
            (0.25, "0.25 ms with \"b\" and 1.00 ms with \"a\", 4.0 times as long"),
            (2.0, "less than half of that wait"),
            (11.0, "linger.ms explains the median"),
            (20.0, "about all of that wait"),
            (60.0, "more than linger.ms can explain"),
        ] {
            let said = said(&[zero.clone(), measured("b", 20.0, median, median)]);
            assert!(said.contains(expected), "{median}: {said}");
        }
    }

    #[test]
    fn equal_lingers_are_not_compared() {
        assert!(!said(&[measured("a", 5.0, 1.0, 1.0), measured("b", 5.0, 9.0, 9.0)]).contains("wait"));
    }

    #[test]
    fn the_variant_with_fewer_requests_is_named() {
        let few = Measured { requests: 50.0, ..measured("b", 20.0, 10.0, 10.0) };
        let many = measured("a", 0.0, 1.0, 1.0);
        let expected = "\"b\" needed 10.0 times fewer requests for the same records: 20.0 records in each against 2.0.";
        assert!(said(&[many.clone(), few.clone()]).contains(expected));
        assert!(said(&[few, many.clone()]).contains(expected));
        assert!(!said(&[many.clone(), many]).contains("requests"));
    }

    #[test]
    fn a_codec_is_judged_by_what_it_saved() {
        let with = |compression| Measured { codec: "lz4".into(), compression, ..measured("b", 0.0, 1.0, 1.0) };
        assert!(said(&[with(0.25)]).contains("lz4 made the batches of \"b\" 4.0 times smaller."));
        assert!(said(&[with(0.97)]).contains("hardly"));
    }

    #[test]
    fn a_late_tail_and_a_rate_that_was_not_reached_are_reported() {
        assert!(said(&[measured("a", 0.0, 1.0, 1.5)]).contains("close to the median"));
        assert!(said(&[measured("a", 0.0, 1.0, 30.0)]).contains("30.02 ms, 30.0 times the median: far from"));
        let slow = Measured { rate: 900.0, ..measured("a", 0.0, 1.0, 1.0) };
        assert!(said(&[slow]).contains("did not keep the pace: 900 of 2000"));
    }

    #[test]
    fn the_table_has_a_row_for_each_variant() {
        let table = table(&[measured("at once", 0.0, 1.0, 2.0), measured("b", 20.0, 10.0, 12.0)]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("variant    p50 ms    p95 ms"), "{}", lines[0]);
        assert!(lines[1].starts_with("at once     1.000     1.000     2.000"), "{}", lines[1]);
        assert!(lines[2].ends_with("linger.ms=20"));
    }
}

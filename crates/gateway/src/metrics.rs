//! What is counted, as Prometheus' text.
//!
//! In: each request's route, status and time; the texts of the producers. Out: one text, in which each family of metrics stands once.
//! Pure. Counters are atomics, so a request takes no lock. Deliberately absent: the topic as a label, which callers choose.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a path is, for the label `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Send,
    Status,
    Records,
    Health,
    Livez,
    Readyz,
    Metrics,
    Other,
}

impl Route {
    const ALL: [Self; 8] =
        [Self::Send, Self::Status, Self::Records, Self::Health, Self::Livez, Self::Readyz, Self::Metrics, Self::Other];

    /// The route of a path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/api/v1/send" => Self::Send,
            "/api/v1/status" => Self::Status,
            "/health" => Self::Health,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            path if path.starts_with("/api/v1/topics/") && path.ends_with("/records") => Self::Records,
            _ => Self::Other,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Send => "/api/v1/send",
            Self::Status => "/api/v1/status",
            Self::Records => "/api/v1/topics/{topic}/records",
            Self::Health => "/health",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Other => "other",
        }
    }
}

const LEAST: u16 = 100;
const STATUSES: usize = 500;
/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000, 10_000_000, 120_000_000];

/// Counters of HTTP.
#[derive(Debug)]
pub(crate) struct Http {
    /// By route and status.
    requests: Box<[AtomicU64]>,
    times: [Times; Route::ALL.len()],
}

#[derive(Debug, Default)]
struct Times {
    /// By bound; the last one has no bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Default for Http {
    fn default() -> Self {
        let requests = (0..Route::ALL.len() * STATUSES).map(|_| AtomicU64::new(0)).collect();
        Self { requests, times: Default::default() }
    }
}

impl Http {
    /// Counts a request.
    pub(crate) fn count(&self, route: Route, status: u16, took: Duration) {
        let status = usize::from(status.saturating_sub(LEAST)).min(STATUSES - 1);
        self.requests[route as usize * STATUSES + status].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let times = &self.times[route as usize];
        times.buckets[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Ordering::Relaxed);
        times.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many requests for records were answered with a status of this class, such as 2 for 200 to 299.
    pub(crate) fn of_class(&self, class: usize) -> u64 {
        let first = (class * 100).saturating_sub(usize::from(LEAST));
        let count = |route: Route| {
            let counts = &self.requests[route as usize * STATUSES..][..STATUSES];
            counts.iter().skip(first).take(100).map(|count| count.load(Ordering::Relaxed)).sum::<u64>()
        };
        count(Route::Send) + count(Route::Records)
    }

    /// How long they took: how many lie in the bucket of each bound, and beyond the last one.
    pub(crate) fn buckets(&self) -> (&'static [u64], Vec<u64>) {
        let of = |route: Route, at: usize| self.times[route as usize].buckets[at].load(Ordering::Relaxed);
        (&BOUNDS, (0..=BOUNDS.len()).map(|at| of(Route::Send, at) + of(Route::Records, at)).collect())
    }

    /// The counters as text.
    pub(crate) fn text(&self) -> String {
        let mut out =
            head("milena_gateway_requests_total", "counter", "Requests that were answered, by route and status.");
        for route in Route::ALL {
            let counts = &self.requests[route as usize * STATUSES..][..STATUSES];
            let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
            for (status, count) in (LEAST..).zip(counts).filter(|(_, count)| *count > 0) {
                let (name, route) = ("milena_gateway_requests_total", route.label());
                // Writing to a string cannot fail.
                let _ = writeln!(out, "{name}{{route=\"{route}\",status=\"{status}\"}} {count}");
            }
        }
        out.push_str(&head(
            "milena_gateway_request_seconds",
            "histogram",
            "From a request's head to its answer's head.",
        ));
        Route::ALL.iter().for_each(|route| self.times[*route as usize].write(&mut out, route.label()));
        out
    }
}

impl Times {
    fn write(&self, out: &mut String, route: &str) {
        let name = "milena_gateway_request_seconds";
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|bound| (*bound as f64 / 1e6).to_string()).chain(["+Inf".to_owned()]);
        let mut lines = String::new();
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            sum += bucket.load(Ordering::Relaxed);
            let _ = writeln!(lines, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {sum}");
        }
        if sum == 0 {
            return;
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ =
            write!(out, "{lines}{name}_sum{{route=\"{route}\"}} {seconds}\n{name}_count{{route=\"{route}\"}} {sum}\n");
    }
}

/// A gauge or a counter without labels.
pub(crate) fn single(name: &str, kind: &str, what: &str, value: u64) -> String {
    format!("{}{name} {value}\n", head(name, kind, what))
}

fn head(name: &str, kind: &str, what: &str) -> String {
    format!("# HELP {name} {what}\n# TYPE {name} {kind}\n")
}

/// One text of several, which may have the same families: a family's samples have to stand together, under one head.
pub(crate) fn merge(texts: &[String]) -> String {
    let mut order: Vec<(&str, String)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        let mut at = None;
        for line in text.lines() {
            let help = line.strip_prefix("# HELP ");
            if let Some(name) = help.map(|rest| rest.split(' ').next().unwrap_or(rest)) {
                let known = places.get(name).copied();
                at = Some(known.unwrap_or(order.len()));
                if known.is_none() {
                    places.insert(name, order.len());
                    order.push((name, String::new()));
                }
            }
            let Some((_, family)) = at.and_then(|at| order.get_mut(at)) else { continue };
            if !line.starts_with('#') || !family.contains(line) {
                family.push_str(line);
                family.push('\n');
            }
        }
    }
    order.into_iter().map(|(_, family)| family).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_route_and_what_callers_choose_is_no_label() {
        for (path, route) in [
            ("/api/v1/send", Route::Send),
            ("/api/v1/topics/orders/records", Route::Records),
            ("/api/v1/topics/", Route::Other),
            ("/", Route::Other),
            ("/health", Route::Health),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn requests_are_counted_by_route_and_status_with_their_time() {
        let http = Http::default();
        http.count(Route::Send, 200, Duration::from_micros(250));
        http.count(Route::Send, 200, Duration::from_micros(251));
        http.count(Route::Send, 504, Duration::from_secs(1_000));
        http.count(Route::Other, 999, Duration::ZERO);
        let text = http.text();
        for line in [
            r#"milena_gateway_requests_total{route="/api/v1/send",status="200"} 2"#,
            r#"milena_gateway_requests_total{route="/api/v1/send",status="504"} 1"#,
            r#"milena_gateway_requests_total{route="other",status="599"} 1"#,
            r#"milena_gateway_request_seconds_bucket{route="/api/v1/send",le="0.00025"} 1"#,
            r#"milena_gateway_request_seconds_bucket{route="/api/v1/send",le="120"} 2"#,
            r#"milena_gateway_request_seconds_bucket{route="/api/v1/send",le="+Inf"} 3"#,
            r#"milena_gateway_request_seconds_count{route="/api/v1/send"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("/readyz"), "{text}");
    }

    #[test]
    fn families_of_several_texts_stand_together_under_one_head() {
        let a = "# HELP x X.\n# TYPE x counter\nx{c=\"a\"} 1\n# HELP y Y.\n# TYPE y gauge\ny 2\n".to_owned();
        let b = "# HELP x X.\n# TYPE x counter\nx{c=\"b\"} 3\n".to_owned();
        let merged = "# HELP x X.\n# TYPE x counter\nx{c=\"a\"} 1\nx{c=\"b\"} 3\n# HELP y Y.\n# TYPE y gauge\ny 2\n";
        assert_eq!(merge(&[a, b]), merged);
    }
}

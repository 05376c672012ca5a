//! The workload of a client, from the command line and the environment, and the lines that it prints at the end.
//!
//! `CMD HOST:PORT TOPIC RECORDS SIZE BATCH LINGER CODEC key|null [handle|callback]`, with `TASKS`, `TOPICS`, `RATE` and
//! `TRUST`: see `benches/peers/README.md`.

use std::{
    env,
    time::{Duration, Instant},
};

/// The number of records after which values and keys repeat.
const DISTINCT: usize = 1024;

/// The workload of a client.
pub struct Work {
    pub bootstrap: String,
    pub topics: Vec<String>,
    pub records: usize,
    pub batch: String,
    pub linger: String,
    pub codec: String,
    pub callbacks: bool,
    pub tasks: usize,
    /// Records a second; 0 is no limit.
    pub rate: f64,
    /// The file with the CA's certificate, in PEM, if the connection is to be encrypted.
    pub trust: Option<String>,
    values: Vec<Vec<u8>>,
    keys: Option<Vec<Vec<u8>>>,
}

impl Work {
    /// # Panics
    /// When the arguments are not those above.
    #[must_use]
    pub fn from_environment() -> Self {
        let args: Vec<String> = env::args().skip(1).collect();
        let number = |i: usize| args[i].parse().expect("a number");
        Self {
            bootstrap: args[0].clone(),
            topics: topics(&args[1], variable("TOPICS", 1)),
            records: number(2),
            batch: args[4].clone(),
            linger: args[5].clone(),
            codec: args[6].clone(),
            callbacks: args.get(8).is_some_and(|mode| mode == "callback"),
            tasks: variable("TASKS", 1),
            rate: variable("RATE", 0) as f64,
            trust: env::var("TRUST").ok(),
            values: values(number(3)),
            keys: (args[7] == "key").then(keys),
        }
    }

    /// The settings of the connection, by Java's names.
    #[must_use]
    pub fn security(&self) -> Vec<(&'static str, &str)> {
        let tls =
            |trust| [("security.protocol", "SSL"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", trust)];
        self.trust.as_deref().map(tls).into_iter().flatten().collect()
    }

    /// The records that one of the tasks sends.
    pub fn share(&self, task: usize) -> impl Iterator<Item = usize> + use<> {
        (task..self.records).step_by(self.tasks)
    }

    /// Topic, key and value of a record.
    #[inline]
    #[must_use]
    pub fn record(&self, i: usize) -> (&str, Option<&[u8]>, &[u8]) {
        // A division for every record would be measurable.
        let (topic, turn) = match &*self.topics {
            [only] => (only, i),
            topics => (&topics[i % topics.len()], i / topics.len()),
        };
        let key = self.keys.as_ref().map(|keys| &*keys[turn % DISTINCT]);
        (topic, key, &self.values[i % DISTINCT])
    }

    /// Sleeps until record `i` is due, for a run that began at `start`.
    pub fn pace(&self, start: Instant, i: usize) {
        let due = start + Duration::from_secs_f64(i as f64 / self.rate);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
    }

    /// Prints the line that the harness reads; `held` is bytes of handles that the client kept.
    pub fn report(&self, name: &str, ok: u64, wall: Duration, held: usize) {
        let (failed, wall) = (self.records as u64 - ok, wall.as_secs_f64());
        println!("{name} ok={ok} err={failed} wall={wall:.3} rate={:.0}/s held={held}", self.records as f64 / wall);
    }
}

/// Prints percentiles.
pub fn report_latencies(name: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let Some(last) = latencies.len().checked_sub(1) else { return };
    let at = |p: f64| latencies[(p * last as f64) as usize].as_secs_f64() * 1e3;
    let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(at);
    println!("  {name} latency ms p50={p50:.2} p95={p95:.2} p99={p99:.2} p999={p999:.2}");
}

fn topics(name: &str, count: usize) -> Vec<String> {
    if count == 1 { vec![name.to_owned()] } else { (0..count).map(|i| format!("{name}-{i}")).collect() }
}

fn variable(name: &str, otherwise: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Half-random values, the same for every client.
#[must_use]
pub fn values(size: usize) -> Vec<Vec<u8>> {
    let mut x: u64 = 88_172_645_463_325_252;
    let mut letter = |i: usize| {
        if i.is_multiple_of(2) {
            return b'a' + (i % 26) as u8;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b'a' + (x % 26) as u8
    };
    (0..DISTINCT).map(|_| (0..size).map(&mut letter).collect()).collect()
}

/// Keys, the same for every client.
#[must_use]
pub fn keys() -> Vec<Vec<u8>> {
    (0..DISTINCT).map(|i| format!("key-{i:04}").into_bytes()).collect()
}

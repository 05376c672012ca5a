//! What is asked for on the command line and in the environment, and the records that it means.

use std::env;

use milena::Record;

/// Values and keys repeat after so many records.
const DISTINCT: usize = 1024;

pub(crate) struct Work {
    pub(crate) bootstrap: String,
    pub(crate) topics: Vec<String>,
    pub(crate) records: usize,
    pub(crate) batch: String,
    pub(crate) linger: String,
    pub(crate) codec: String,
    pub(crate) callbacks: bool,
    pub(crate) tasks: usize,
    /// Records a second; 0 is as many as will go.
    pub(crate) rate: f64,
    values: Vec<Vec<u8>>,
    keys: Option<Vec<String>>,
}

impl Work {
    pub(crate) fn from_environment() -> Self {
        let args: Vec<String> = env::args().skip(1).collect();
        let number = |i: usize| args[i].parse().expect("a number");
        let keys = || (0..DISTINCT).map(|i| format!("key-{i:04}")).collect();
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
            values: values(number(3)),
            keys: (args[7] == "key").then(keys),
        }
    }

    /// The records that one of the tasks sends.
    pub(crate) fn share(&self, task: usize) -> impl Iterator<Item = usize> + use<> {
        (task..self.records).step_by(self.tasks)
    }

    pub(crate) fn record(&self, i: usize) -> Record<'_> {
        // A division for every record would be seen.
        let (topic, turn) = match &*self.topics {
            [only] => (only, i),
            topics => (&topics[i % topics.len()], i / topics.len()),
        };
        let record = Record::to(topic).value(&self.values[i % DISTINCT]);
        match &self.keys {
            Some(keys) => record.key(&keys[turn % DISTINCT]),
            None => record,
        }
    }
}

fn topics(name: &str, count: usize) -> Vec<String> {
    if count == 1 { vec![name.to_owned()] } else { (0..count).map(|i| format!("{name}-{i}")).collect() }
}

fn variable(name: &str, otherwise: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Half-random values, the same as the other clients send.
fn values(size: usize) -> Vec<Vec<u8>> {
    let mut x: u64 = 88_172_645_463_325_252;
    let mut letter = |i: usize| {
        if i.is_multiple_of(2) {
            return b'a' + u8::try_from(i % 26).expect("below 26");
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b'a' + u8::try_from(x % 26).expect("below 26")
    };
    (0..DISTINCT).map(|_| (0..size).map(&mut letter).collect()).collect()
}

//! The events: 100 bytes of payload, one of 10,000 keys. The same for all.

use milena::Record;

pub const TOPIC: &str = "orders";
const KEYS: usize = 10_000;

/// Keys and payloads, which repeat.
pub struct Events {
    keys: Vec<String>,
    values: Vec<Vec<u8>>,
}

impl Events {
    pub fn new() -> Self {
        Self { keys: (0..KEYS).map(|key| format!("user-{key}")).collect(), values: bench_work::values(100) }
    }

    pub fn key(&self, number: usize) -> &[u8] {
        self.keys[number % KEYS].as_bytes()
    }

    pub fn value(&self, number: usize) -> &[u8] {
        &self.values[number % self.values.len()]
    }

    /// Event `number`, under the key `of`.
    pub fn record(&self, number: usize, of: usize) -> Record<'_> {
        Record::to(TOPIC).key(self.key(of)).value(self.value(number))
    }
}

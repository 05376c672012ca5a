//! What is logged while a test runs.
//!
//! In: a level. Out: lines, `LEVEL message field=value …`. Unit tests and integration tests mount this file.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{Level, Subscriber};

/// Keeps every line that is logged where it listens.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// What passes every line from this level up to `self`.
    pub(crate) fn listener(&self, level: Level) -> impl Subscriber + Send + Sync + use<> {
        let kept = self.clone();
        let writer = move || Writer(kept.clone());
        let plain = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        plain.with_max_level(level).with_writer(writer).finish()
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no test panics while it logs"));
        String::from_utf8(bytes).expect("text is logged").lines().map(|line| line.trim_start().to_owned()).collect()
    }
}

struct Writer(Logs);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().expect("no test panics while it logs").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

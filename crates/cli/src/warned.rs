//! Counts the producer's warnings of retries.
//!
//! In: the library's log events. Out: a count. Pure but for the counter, which the log and the lab share. With it a lab checks that
//! retries were logged.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Counts warnings of retries. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warned(Arc<AtomicU64>);

impl Warned {
    /// The number of warnings so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S: Subscriber> Layer<S> for Warned {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() == Level::WARN && metadata.target().starts_with("milena::") {
            let mut is_retry = IsRetry(false);
            event.record(&mut is_retry);
            self.0.fetch_add(u64::from(is_retry.0), Ordering::Relaxed);
        }
    }
}

/// Whether an event's message begins with `retry: `.
struct IsRetry(bool);

impl Visit for IsRetry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}").starts_with("retry: ");
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn only_the_librarys_warnings_of_retries_count() {
        let warned = Warned::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(warned.clone()), || {
            tracing::warn!(target: "milena::sender::warnings", attempt = 1, "retry: the same batch is sent again");
            tracing::warn!(target: "milena::sender::warnings", "connection lost");
            tracing::warn!(target: "elsewhere", "retry: the same batch is sent again");
            tracing::debug!(target: "milena::sender::warnings", "retry: the same batch is sent again");
        });
        assert_eq!(warned.count(), 1);
    }
}

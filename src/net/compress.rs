//! The threads that compress batches, at most one for each processor. They are the runtime's threads for blocking work.
//!
//! In: a signal that a batch waits for compression. Out: nothing; the accumulator has the batches before and after.
//! Each thread compresses until no batch is left, and returns its compressor for the next one.

use std::{num::NonZero, sync::Arc, thread};

use tokio::task::JoinSet;

use crate::{
    accumulator::Accumulator,
    wire::compression::{Compressor, Method},
};

/// The threads that compress.
pub(super) struct Compressors {
    method: Method,
    idle: Vec<Compressor>,
    working: JoinSet<Compressor>,
    /// How many threads may run at a time; 0 without compression.
    most: usize,
}

impl Compressors {
    pub(super) fn new(method: Method) -> Self {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        let most = if method == Method::NONE { 0 } else { processors() };
        Self { method, idle: Vec::new(), working: JoinSet::new(), most }
    }

    /// Whether one more thread may start.
    pub(super) fn is_free(&self) -> bool {
        self.working.len() < self.most
    }

    /// Starts one more thread.
    pub(super) fn begin(&mut self, accumulator: &Arc<Accumulator>) {
        let mut compressor = self.idle.pop().unwrap_or_else(|| Compressor::new(self.method));
        let accumulator = Arc::clone(accumulator);
        self.working.spawn_blocking(move || {
            while accumulator.compress_one(&mut compressor) {}
            compressor
        });
    }

    /// Waits for the next thread that finds no batch left, and keeps its compressor for another. One that was lost in a
    /// panic is replaced. `None` if no thread runs.
    ///
    /// Cancel safe.
    pub(super) async fn done(&mut self) -> Option<()> {
        let compressor = self.working.join_next().await?;
        self.idle.extend(compressor.ok());
        Some(())
    }
}

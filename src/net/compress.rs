//! The threads that compress batches: as many as there are processors at most, of the runtime's own for work that blocks.
//!
//! In: word that there is something to compress. Out: nothing; the accumulator has the batches, before and after. Each thread
//! works until nothing is left, and hands back what it worked with for the next one.

use std::{num::NonZero, sync::Arc, thread};

use tokio::task::{JoinError, JoinSet};

use crate::{
    accumulator::Accumulator,
    wire::compression::{Compressor, Method},
};

/// Who compresses.
pub(super) struct Compressors {
    method: Method,
    idle: Vec<Compressor>,
    working: JoinSet<Compressor>,
    /// How many may work at a time: nobody where nothing is compressed.
    most: usize,
}

impl Compressors {
    pub(super) fn new(method: Method) -> Self {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        let most = if method == Method::NONE { 0 } else { processors() };
        Self { method, idle: Vec::new(), working: JoinSet::new(), most }
    }

    /// Whether one more could begin.
    pub(super) fn is_free(&self) -> bool {
        self.working.len() < self.most
    }

    /// Begins one more.
    pub(super) fn begin(&mut self, accumulator: &Arc<Accumulator>) {
        let mut compressor = self.idle.pop().unwrap_or_else(|| Compressor::new(self.method));
        let accumulator = Arc::clone(accumulator);
        self.working.spawn_blocking(move || {
            while accumulator.compress_one(&mut compressor) {}
            compressor
        });
    }

    /// The next one that has nothing left to do; `None` if none works.
    ///
    /// Cancel safe.
    pub(super) async fn done(&mut self) -> Option<Result<Compressor, JoinError>> {
        self.working.join_next().await
    }

    /// Keeps what one worked with. What was lost with a thread is made anew.
    pub(super) fn keep(&mut self, compressor: Result<Compressor, JoinError>) {
        self.idle.extend(compressor.ok());
    }
}

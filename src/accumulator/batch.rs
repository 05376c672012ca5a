//! One batch, open or sealed.
//!
//! In: records. Out: a [`SealedBatch`], to which no record can be added. The sender keeps it until it completes. Pure.

use std::{sync::Arc, time::Instant};

use super::{memory::Charge, outstanding::Token};
use crate::{
    delivery::{Completer, Listener, Notices, Receipt},
    wire::record_batch::writer::{Payload, Writer},
};

/// An open batch, to which records can be added.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    writer: Writer,
    /// What the batch is charged for: its buffer and its callbacks.
    charge: Charge,
    /// The buffer's size in bytes.
    buffer: usize,
    /// Bytes that the callbacks take.
    callback_bytes: usize,
    token: Token,
    completer: Completer,
    /// When it was opened.
    pub(super) created: Instant,
    /// Numbers the batches of a partition.
    pub(super) serial: u64,
    /// Whether the sender may take it before it is full.
    pub(super) due: bool,
}

/// A batch to which no record can be added.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    /// The encoded batch, without producer id, epoch, sequence and checksum.
    pub(crate) bytes: Vec<u8>,
    /// Its length before compression.
    pub(crate) uncompressed: usize,
    pub(crate) records: u32,
    /// When it was opened. `delivery.timeout.ms` starts here.
    pub(crate) created: Instant,
    pub(crate) completer: Completer,
    pub(crate) held: Held,
}

/// What a batch holds until its last callback has run: its share of `buffer.memory`, and its token, which `flush` waits
/// for. The parts of a split batch share the token. A batch that expired in flight keeps only its memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) charge: Charge,
    pub(crate) token: Option<Arc<Token>>,
}

impl OpenBatch {
    /// An empty batch with a buffer of `buffer` bytes, which `charge` covers.
    pub(super) fn new(
        charge: Charge,
        buffer: usize,
        token: Token,
        completer: Completer,
        created: Instant,
        serial: u64,
    ) -> Self {
        let writer = Writer::new(charge.memory().buffer(buffer));
        Self { writer, charge, buffer, callback_bytes: 0, token, completer, created, serial, due: false }
    }

    /// The batch's length in bytes.
    pub(super) fn len(&self) -> usize {
        self.writer.len()
    }

    /// The callbacks of its records.
    pub(super) fn notices(&self) -> &Notices {
        self.completer.notices()
    }

    /// Makes room for a record of `needed` bytes and for `callback_bytes` of its callback. The buffer grows in steps up
    /// to `limit`. Returns false if the record does not fit or no memory is free.
    #[inline]
    pub(super) fn make_room(&mut self, needed: usize, callback_bytes: usize, limit: usize) -> bool {
        let (len, all_callbacks) = (self.writer.len() + needed, self.callback_bytes + callback_bytes);
        let charged = callback_bytes == 0 || self.buffer + all_callbacks <= self.charge.bytes();
        (len <= self.buffer && charged) || self.make_more_room(len, all_callbacks, limit)
    }

    /// Whether the batch can hold a record with this timestamp: its distance to the first one is limited.
    #[inline]
    pub(super) fn reaches(&self, timestamp: i64) -> bool {
        self.completer.cell().reaches(timestamp)
    }

    fn make_more_room(&mut self, len: usize, all_callbacks: usize, limit: usize) -> bool {
        let buffer = if len <= self.buffer { self.buffer } else { (2 * self.buffer).max(len).min(limit) };
        if len > buffer {
            return false;
        }
        let more = (buffer + all_callbacks).saturating_sub(self.charge.bytes());
        if more > 0 {
            let Some(charge) = self.charge.memory().try_charge(more) else { return false };
            self.charge += charge;
        }
        if buffer > self.buffer {
            self.writer.grow(buffer);
            self.buffer = buffer;
        }
        true
    }

    /// Adds a record. There must be room for it.
    #[inline]
    pub(super) fn append<R: Receipt>(
        &mut self,
        timestamp: i64,
        payload: &Payload<'_>,
        callback: Option<&mut dyn Listener>,
        callback_bytes: usize,
    ) -> R {
        let index = self.writer.append(timestamp, payload);
        if let Some(callback) = callback {
            self.callback_bytes += callback_bytes;
            self.completer.notify(index, timestamp, callback);
        }
        R::of(self.completer.cell(), index, timestamp)
    }

    /// Seals the batch. `None` if it has no records.
    pub(super) fn seal(self) -> Option<SealedBatch> {
        let records = self.writer.count();
        let bytes = self.writer.finish()?;
        let held = Held { charge: self.charge, token: Some(Arc::new(self.token)) };
        let uncompressed = bytes.len();
        Some(SealedBatch { bytes, uncompressed, records, created: self.created, completer: self.completer, held })
    }
}

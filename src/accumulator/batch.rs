//! A batch, open and sealed.
//!
//! In: records. Out: a [`SealedBatch`], whose records are fixed: it belongs to the sender until it is resolved. Pure.

use std::{sync::Arc, time::Instant};

use super::{memory::Charge, outstanding::Token};
use crate::{
    delivery::{Accepted, Completer, Listener, Notices},
    wire::record_batch::writer::{Payload, Writer},
};

/// An open batch: records can be appended.
#[derive(Debug)]
pub(crate) struct Batch {
    writer: Writer,
    /// What it was charged for: its buffer, and those who are told of its records.
    charge: Charge,
    /// The buffer's size in bytes.
    buffer: usize,
    /// Bytes of those who are told.
    told: usize,
    token: Token,
    completer: Completer,
    created: Instant,
    /// Tells this batch from the partition's earlier and later ones.
    pub(super) serial: u64,
    /// Whether it may be sent though it is not full.
    pub(super) due: bool,
}

/// A batch whose records are fixed.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    /// Encoded, without a stamp.
    pub(crate) bytes: Vec<u8>,
    /// How long it was before compression.
    pub(crate) uncompressed: usize,
    pub(crate) records: u32,
    /// When it was opened: `delivery.timeout.ms` counts from here.
    pub(crate) created: Instant,
    pub(crate) completer: Completer,
    pub(crate) held: Held,
}

/// What a batch holds until its last callback has run: its share of `buffer.memory`, and its place among those that
/// `flush` waits for. Parts of a split batch share the place; one that was given up in flight has only the memory left.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) charge: Charge,
    pub(crate) token: Option<Arc<Token>>,
}

impl Batch {
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
        Self { writer, charge, buffer, told: 0, token, completer, created, serial, due: false }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.writer.len()
    }

    /// When it was opened.
    pub(super) fn created(&self) -> Instant {
        self.created
    }

    /// Those who are told of its records.
    pub(super) fn notices(&self) -> &Notices {
        self.completer.notices()
    }

    /// Makes room for a record of `needed` bytes, in steps up to `limit`, and for `telling` bytes of whoever is told of it; false
    /// when it does not fit or no memory is free.
    #[inline]
    pub(super) fn make_room(&mut self, needed: usize, telling: usize, limit: usize) -> bool {
        let (len, told) = (self.writer.len() + needed, self.told + telling);
        let charged = telling == 0 || self.buffer + told <= self.charge.bytes();
        (len <= self.buffer && charged) || self.make_more_room(len, told, limit)
    }

    /// Whether a record of this time can be one of its own.
    #[inline]
    pub(super) fn reaches(&self, timestamp: i64) -> bool {
        self.completer.cell().reaches(timestamp)
    }

    fn make_more_room(&mut self, len: usize, told: usize, limit: usize) -> bool {
        let buffer = if len <= self.buffer { self.buffer } else { (2 * self.buffer).max(len).min(limit) };
        if len > buffer {
            return false;
        }
        let more = (buffer + told).saturating_sub(self.charge.bytes());
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

    /// Appends a record for which there is room.
    #[inline]
    pub(super) fn append(
        &mut self,
        timestamp: i64,
        payload: &Payload<'_>,
        callback: Option<&mut dyn Listener>,
        telling: usize,
    ) -> Accepted {
        let index = self.writer.append(timestamp, payload);
        if let Some(callback) = callback {
            self.told += telling;
            self.completer.notify(index, timestamp, callback);
        }
        Accepted::new(Arc::clone(self.completer.cell()), index, timestamp)
    }

    /// Fixes its records. `None` if it has none.
    pub(super) fn seal(self) -> Option<SealedBatch> {
        let records = self.writer.count();
        let bytes = self.writer.finish()?;
        let held = Held { charge: self.charge, token: Some(Arc::new(self.token)) };
        let uncompressed = bytes.len();
        Some(SealedBatch { bytes, uncompressed, records, created: self.created, completer: self.completer, held })
    }
}

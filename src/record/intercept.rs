//! Interceptors: user code that sees every record on its way in and every outcome on its way out.
//!
//! In: a record, or an outcome. Out: the record to send in its place. Pure. KIP-42.

use super::Record;
use crate::{Ack, DeliveryError};

/// User code around every record.
///
/// Panics are caught and logged; the record goes on as it was.
pub trait Interceptor: Send + Sync + 'static {
    /// Called on the sending task before the partition is chosen; returns the record to send.
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        record
    }

    /// Called for every accepted record when its outcome is known, before its callback, on the callback thread.
    fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
        let _ = outcome;
    }
}

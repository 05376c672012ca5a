//! What has come is read before anything is judged overdue.
//!
//! In: when something became due. Out: whether it may be judged, or which connections are to be read first. Pure. A process that
//! was stopped, or had no processor for long, finds its clock ahead of what it has read: the responses wait in its sockets, and what
//! looks overdue has its response. Deliberately absent: reading.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{ConnectionId, links::Links};

/// How long reading is waited for. It takes milliseconds, unless the process is stopped again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has been read, as far as judgements are concerned.
#[derive(Debug)]
pub(super) struct Reading {
    /// All that had come at this moment has been read.
    done_at: Instant,
    /// Connections that are being read, since a moment.
    under_way: Option<(Instant, BTreeSet<ConnectionId>)>,
}

impl Reading {
    pub(super) fn new(now: Instant) -> Self {
        Self { done_at: now, under_way: None }
    }

    /// Until when judgements wait at the latest, if they do.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|(since, _)| *since + PATIENCE)
    }

    /// A connection has been read.
    pub(super) fn read(&mut self, connection: ConnectionId) {
        if let Some((_, connections)) = &mut self.under_way {
            connections.remove(&connection);
        }
    }

    /// Whether what became due at `due` may be judged now: if all that had come by then has been read. Else it is read first.
    pub(super) fn may_judge(&mut self, due: Instant, now: Instant, links: &mut Links) -> bool {
        if self.done_at < due && self.under_way.is_none() {
            self.under_way = Some((now, links.read_all()));
            self.end(now, links);
        }
        self.done_at >= due
    }

    /// Takes note of connections that need not be read any more, and of the end.
    pub(super) fn end(&mut self, now: Instant, links: &Links) {
        let Some((since, left)) = &mut self.under_way else { return };
        left.retain(|connection| links.connections.contains_key(connection));
        if left.is_empty() || *since + PATIENCE <= now {
            *self = Self::new(now);
        }
    }
}

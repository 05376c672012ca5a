//! Who is asked for metadata and for a producer id.
//!
//! In: what is due. Out: requests beside Produce, and connections that are begun. Pure. Metadata that do not come soon are asked of a
//! second broker. Deliberately absent: which broker is asked ([`super::links`]).

use std::{sync::Arc, time::Instant};

use super::{Sender, links::node::PATIENCE, request::Purpose};
use crate::wire::apis::{Caller, init_producer_id, metadata};

impl Sender {
    /// When a broker is to be asked for something, or tried.
    pub(super) fn next_to_ask(&self) -> Option<Instant> {
        let now = self.common.now;
        let due = [self.metadata.due(), self.metadata.again_due(PATIENCE), self.lanes.producer_id.due()];
        let later = due.into_iter().flatten().filter(|at| *at > now).min();
        if due.into_iter().flatten().all(|at| at > now) {
            return later;
        }
        // Due, but nobody could be asked.
        self.links.next_change(now).into_iter().chain(later).min()
    }

    /// Asks for metadata and for a producer id, if they are due and somebody can be asked.
    pub(super) fn ask_around(&mut self) {
        let now = self.common.now;
        self.start_over();
        self.miss_leaders();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.metadata.due())
            && let Some(id) = self.somebody(true)
        {
            if self.metadata.asks_for_all(now) {
                self.forget_idle();
            }
            let topics = self.metadata.ask(now);
            self.ask_metadata(id, &topics);
        }
        if due(self.metadata.again_due(PATIENCE))
            && let Some(id) = self.somebody(true)
        {
            let topics = self.metadata.ask_again(now);
            self.ask_metadata(id, &topics);
        }
        if due(self.lanes.producer_id.due())
            && let Some(id) = self.somebody(false)
        {
            self.lanes.producer_id.ask();
            self.links.ask(id, Purpose::InitProducerId, init_producer_id::encode, &mut self.common);
        }
    }

    /// A broker that can be asked, if it must be `silent` for metadata; else a connection is begun to one.
    fn somebody(&mut self, silent: bool) -> Option<i32> {
        self.links.somebody(silent, |broker| self.lanes.waits_for(broker), &mut self.common)
    }

    fn ask_metadata(&mut self, id: i32, topics: &[Arc<str>]) {
        let purpose = Purpose::Metadata(self.metadata.question());
        let encode =
            |caller: Caller<'_>, version| metadata::encode(caller, version, topics.iter().map(|topic| &**topic), true);
        self.links.ask(id, purpose, encode, &mut self.common);
    }

    /// Where lanes wait for a leader that cannot be reached, the others may know of a new one before it is back.
    fn miss_leaders(&mut self) {
        let now = self.common.now;
        if self.links.is_any_missed(now, |broker| self.lanes.waits_for(broker)) {
            self.metadata.refresh(now);
        }
    }
}

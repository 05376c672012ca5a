//! The sender: a state machine that turns sealed batches into requests and responses into outcomes.
//!
//! In: [`Event`]s and time. Out: [`Action`]s, and the outcome of every batch. Pure: no socket, no task, no clock, no chance
//! but the seed it is given. It owns its state, nothing of which is shared; the accumulator is where it takes batches from.
//!
//! Its methods are of two kinds. Inputs: [`Sender::handle_event`], [`Sender::handle_timeout`], [`Sender::close`]. Outputs:
//! [`Sender::poll_action`], which is to be called until it returns `None` after every input, and then
//! [`Sender::poll_timeout`], which says when `handle_timeout` is to be called. Calls without need do nothing.
//!
//! Two parts own its state and know nothing of each other: [`links`] (brokers, connections, requests in flight) and [`lanes`] (batches,
//! timers, the producer id). The sender is the only one that knows both, and beside them [`metadata`]. What it does itself:
//! [`requests`] (what is requested, from metadata to Produce), [`responses`] (from links to lanes), [`learning`] (metadata taken over),
//! [`expiry`] (what takes too long), [`late`] (what is read before that). Both parts use [`common`]: [`backoff`], [`login`] (who the producer
//! says it is), and [`warnings`] (what is logged for an operator). [`events`] is what comes in and goes out, [`request`] what goes from lanes to links
//! and back.

mod backoff;
mod cause;
mod common;
mod events;
mod expiry;
mod lanes;
mod late;
mod learning;
mod links;
mod login;
mod metadata;
mod request;
mod requests;
mod responses;
#[cfg(test)]
mod tests;
mod warnings;

use std::{sync::Arc, time::Instant};

#[cfg(feature = "bench-internals")]
pub(crate) use self::lanes::verdict::{Facts, Verdict, verdict};
pub(crate) use self::{
    backoff::{Backoff, Chance},
    cause::Cause,
    common::Common,
    events::{Action, ConnectionId, Event},
    request::{Purpose, Seen, SentBatches, SentPart},
};
use self::{
    lanes::Lanes,
    late::Reading,
    links::Links,
    login::Login,
    metadata::{Metadata, Policy, TopicChange},
    warnings::Warnings,
};
use crate::{accumulator::Accumulator, config::Config, error::FailureKind};

/// The sender.
#[derive(Debug)]
pub(crate) struct Sender {
    common: Common,
    links: Links,
    lanes: Lanes,
    metadata: Metadata,
    reading: Reading,
    /// Whether an input came since [`advance`](Self::advance) last ran.
    is_behind: bool,
}

impl Sender {
    /// A sender that takes batches from `accumulator`. All that is left to chance follows from `seed`.
    pub(crate) fn new(config: Arc<Config>, accumulator: Arc<Accumulator>, now: Instant, seed: u64) -> Self {
        let retry = Backoff { initial: config.retry_backoff, max: config.retry_backoff_max };
        let policy = Policy { max_age: config.metadata_max_age, max_idle: config.metadata_max_idle, backoff: retry };
        let (warnings, login) = (Warnings::default(), Login::new(&config));
        let common = Common { config, accumulator, chance: Chance::new(seed), warnings, login, retry, now };
        Self {
            links: Links::new(&common),
            lanes: Lanes::new(&common),
            metadata: Metadata::new(policy, now),
            reading: Reading::new(now),
            is_behind: true,
            common,
        }
    }

    /// Takes note of something that happened.
    pub(crate) fn handle_event(&mut self, now: Instant, event: Event) {
        self.handle_timeout(now);
        match event {
            Event::Connected { connection } => self.links.connected(connection, &mut self.common),
            Event::Disconnected { connection, why, written, is_refused } => {
                self.disconnected(connection, &why, written, is_refused);
            }
            Event::Frame { connection, frame } => self.frame(connection, &frame),
            Event::Written { connection, correlation } => self.written(connection, correlation),
            Event::Read { connection } => self.reading.read(connection),
            Event::Token(token) => self.token(token),
            Event::Woken => {}
        }
        self.lanes.strike_moved();
        self.refresh_wanted();
    }

    /// Takes note of the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        (self.common.now, self.is_behind) = (now, true);
    }

    /// What to do next; `None` when there is nothing until the next input.
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if std::mem::take(&mut self.is_behind) {
            self.common.now = now;
            self.advance();
        }
        self.links.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (linger, timer) = (self.common.accumulator.next_due(), self.lanes.next_timer());
        [linger, timer, self.next_request(), self.next_judgement()].into_iter().flatten().min()
    }

    /// Fails all that is undelivered.
    pub(crate) fn close(&mut self, now: Instant) {
        self.common.now = now;
        let _ = self.lanes.fail_all(FailureKind::Closed, &mut self.common);
        self.links.count_ends(&self.common);
    }

    /// The most batches that any topic-partition has in flight.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn widest_window(&self) -> usize {
        self.lanes.widest_window()
    }

    /// Does all that can be done now. Each step finds the metadata refreshed that the one before it wanted refreshed.
    fn advance(&mut self) {
        let steps: [fn(&mut Self); 11] = [
            |sender| sender.reading.end(sender.common.now, &sender.links),
            Self::take_wanted,
            Self::list_supplied,
            |sender| sender.lanes.list_timed(&mut sender.common),
            Self::expire,
            Self::end_overdue,
            Self::start_over,
            |sender| sender.links.renew_sessions(|broker| sender.lanes.waits_for(broker), &mut sender.common),
            Self::request_due,
            Self::drain,
            |sender| sender.links.connect_wanted(|broker| sender.lanes.waits_for(broker), &mut sender.common),
        ];
        for step in steps {
            step(self);
            self.refresh_wanted();
        }
    }

    /// Makes metadata due if lanes found them wrong or incomplete.
    fn refresh_wanted(&mut self) {
        if std::mem::take(&mut self.lanes.wants_refresh) {
            self.metadata.refresh(self.common.now);
        }
    }

    /// Takes note of topics that callers want.
    fn take_wanted(&mut self) {
        let now = self.common.now;
        let mut published = false;
        for topic in self.common.accumulator.topics().take_wanted() {
            self.metadata.want(&topic, now);
            let cluster = Arc::clone(&self.metadata.cluster);
            if let Some(known) = cluster.topics.get(&topic) {
                // A caller who wants a topic that is known lacks one of its partitions.
                self.metadata.refresh(now);
                let change = TopicChange { topic, ..TopicChange::default() };
                self.lanes.publish(&change, &known.partitions, &mut self.common);
                published = true;
            } else {
                self.common.accumulator.topics().expect(&topic);
            }
        }
        if published {
            self.lanes.strike_moved();
            self.common.accumulator.topics().announce();
        }
    }

    /// Lists lanes that the accumulator has a batch for.
    fn list_supplied(&mut self) {
        let mut slots = Vec::new();
        self.common.accumulator.take_ready(self.common.now, &mut slots);
        for slot in slots {
            if let Some(topic) = self.lanes.supplied(slot, &mut self.common) {
                self.metadata.touch(&topic, self.common.now);
            }
        }
    }
}

impl Drop for Sender {
    /// Whatever ended the task that owned it, every record has its outcome.
    fn drop(&mut self) {
        let given_up = self.lanes.fail_all(FailureKind::Abandoned, &mut self.common);
        warnings::given_up(given_up.records, given_up.maybe_written);
    }
}

//! What is requested: metadata, a producer id, and with Produce that batches are written.
//!
//! In: what is due, and the batches that lanes have for a broker. Out: requests, and connections that are begun. Pure. Metadata that do
//! not come soon are requested from a second broker. Deliberately absent: the choice of a broker ([`super::links`]).

use std::time::Instant;

use super::{Purpose, Sender, lanes::Drained};
use crate::{
    config::Acks,
    wire::apis::{
        Caller, init_producer_id, metadata,
        produce::{self, Head, TOPIC_IDS_FROM},
    },
};

impl Sender {
    /// When metadata or a producer id are to be requested, or a connection for that is to be tried.
    pub(super) fn next_request(&self) -> Option<Instant> {
        let now = self.common.now;
        let due = [self.metadata.due(), self.lanes.producer_id.due()];
        let later = due.into_iter().flatten().filter(|at| *at > now).min();
        if due.into_iter().flatten().all(|at| at > now) {
            return later;
        }
        // One is due, and no broker can take the request.
        self.links.next_change(now).into_iter().chain(later).min()
    }

    /// Requests metadata and a producer id, if they are due and a broker can take the request.
    pub(super) fn request_due(&mut self) {
        let now = self.common.now;
        // Where lanes wait for a leader that cannot be reached, the others may know of a new one before it is back.
        if self.links.is_any_missed(now, |broker| self.lanes.waits_for(broker)) {
            self.metadata.refresh(now);
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.metadata.due())
            && let Some(id) = self.choose_broker(true)
        {
            if self.metadata.is_full_due(now) {
                self.forget_idle();
            }
            let topics = self.metadata.take_due(now);
            let names = topics.iter().map(|topic| &**topic);
            let purpose = Purpose::Metadata(self.metadata.request);
            let encode = |caller: Caller<'_>, version| metadata::encode(caller, version, names, true);
            self.links.request(id, purpose, encode, &mut self.common);
        }
        if is_due(self.lanes.producer_id.due())
            && let Some(id) = self.choose_broker(false)
        {
            self.lanes.producer_id.requested = true;
            self.links.request(id, Purpose::InitProducerId, init_producer_id::encode, &mut self.common);
        }
    }

    /// A broker that can take a request now; for `metadata` one that has no request for them yet. Else a connection is begun to one.
    fn choose_broker(&mut self, metadata: bool) -> Option<i32> {
        self.links.choose_broker(metadata, |broker| self.lanes.waits_for(broker), &mut self.common)
    }

    /// Sends the batches that can be sent.
    pub(super) fn drain(&mut self) {
        for id in self.lanes.waited_for() {
            while self.drain_one(id).is_some() {}
        }
    }

    /// Sends one Produce request to a broker. `None` if the broker can take none, or no batch can be sent to it.
    fn drain_one(&mut self, id: i32) -> Option<()> {
        let version = self.links.may_produce(id, self.common.config.max_in_flight, self.common.now)?;
        let topics = &self.metadata.cluster.topics;
        let topic_id = |topic: &str| topics.get(topic).map_or_else(Default::default, |topic| topic.id);
        let Drained { sent, mut parts, proven } = self.lanes.collect(id, topic_id, &mut self.common)?;
        let config = &self.common.config;
        // With acks=0, too, a leader is proven before a second request is under way to it: the first requests a response.
        let (acks, responds) = match config.acks {
            Acks::None if proven => (0, false),
            Acks::None | Acks::Leader => (1, true),
            Acks::All => (-1, true),
        };
        // A topic without a known id can only be named.
        let by_id = parts.iter().all(|part| !part.topic_id.is_nil());
        let version = if by_id { version } else { version.min(TOPIC_IDS_FROM - 1) };
        parts.sort_by(|a, b| a.topic.cmp(&b.topic));
        let timeout_ms = i32::try_from(config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let encode = |Caller { correlation, client_id }: Caller<'_>| {
            produce::encode(&Head { version, correlation, client_id, acks, timeout_ms }, &parts)
        };
        self.links.send(id, version, Purpose::Produce(sent), responds, encode, &mut self.common);
        Some(())
    }
}

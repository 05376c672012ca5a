//! From lanes to links: Produce requests.
//!
//! In: batches that lanes have for a broker. Out: requests to it, as many as it may have in flight. Pure.

use std::sync::Arc;

use super::{Sender, lanes::Drained, request::Purpose};
use crate::{
    config::Acks,
    wire::apis::produce::{self, Head, TOPIC_IDS_FROM},
};

impl Sender {
    /// Sends what can be sent.
    pub(super) fn drain(&mut self) {
        for id in self.lanes.waited_for() {
            while self.drain_one(id) {}
        }
    }

    /// Sends one request to a broker, if it can take one and there is something for it. Says whether it did.
    fn drain_one(&mut self, id: i32) -> bool {
        let Some(version) = self.links.may_produce(id, self.common.config.max_in_flight, self.common.now) else {
            return false;
        };
        let topics = &self.metadata.cluster().topics;
        let topic_id = |topic: &str| topics.get(topic).map_or_else(Default::default, |topic| topic.id);
        let Some(drained) = self.lanes.collect(id, topic_id, &mut self.common) else { return false };
        self.send_produce(id, version, drained);
        true
    }

    fn send_produce(&mut self, id: i32, version: i16, drained: Drained) {
        let Drained { sent, mut parts, proven } = drained;
        let config = Arc::clone(&self.common.config);
        // With acks=0, too, a leader is proven before a second request is under way to it: the first is to be answered.
        let answered = config.acks != Acks::None || !proven;
        let acks = match config.acks {
            Acks::None => i16::from(answered),
            Acks::Leader => 1,
            Acks::All => -1,
        };
        // A topic without a known id can only be named.
        let by_id = parts.iter().all(|part| !part.topic_id.is_nil());
        let version = if by_id { version } else { version.min(TOPIC_IDS_FROM - 1) };
        parts.sort_by(|a, b| a.topic.cmp(&b.topic));
        let timeout_ms = i32::try_from(config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let encode = |correlation| {
            let head = Head { version, correlation, client_id: &config.client_id, acks, timeout_ms };
            produce::encode(&head, &parts)
        };
        self.links.send(id, version, Purpose::Produce(sent), answered, encode, &mut self.common);
    }
}

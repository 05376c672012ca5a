//! What goes out over a link, and what comes back.
//!
//! In: requests, frames, and what a broker says of itself. Out: [`Action`]s, and requests that have their response. Pure. Deliberately
//! absent: what a response means to lanes or metadata.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Links, NODE,
    node::{InFlight, Link},
};
use crate::{
    config::Compression,
    sender::{Action, Common, Purpose},
    wire::{
        apis::{
            Api, Caller,
            api_versions::{self, Versions},
            produce::ZSTD_FROM,
        },
        opening::{self, Step},
    },
};

/// The most that is believed of how long a broker leaves requests unread. Quotas lead to minutes where requests are large and what is
/// allowed is little (KIP-219 knows no limit).
const LONGEST_THROTTLE: Duration = Duration::from_secs(3_600);

impl Links {
    /// Sends a request to a broker that can take one now, in the highest version that both sides support.
    pub(crate) fn request(
        &mut self,
        id: i32,
        purpose: Purpose,
        encode: impl FnOnce(Caller<'_>, i16) -> Bytes,
        common: &mut Common,
    ) {
        let up = self.nodes.get(&id).and_then(|node| node.up(common.now));
        let Some(version) = up.and_then(|versions| versions.pick(purpose.api())) else {
            return common.missing("a version of a request to a broker that speaks all that is needed");
        };
        self.send(id, version, purpose, true, |caller| vec![encode(caller, version)], common);
    }

    /// Requests the versions that a broker supports.
    pub(super) fn request_versions(&mut self, id: i32, version: i16, common: &mut Common) {
        let encode = |caller: Caller<'_>| vec![api_versions::encode(caller, version)];
        self.send(id, version, Purpose::ApiVersions, true, encode, common);
    }

    /// Sends a request, to which the broker `responds` or not.
    pub(crate) fn send(
        &mut self,
        id: i32,
        version: i16,
        purpose: Purpose,
        responds: bool,
        encode: impl FnOnce(Caller<'_>) -> Vec<Bytes>,
        common: &mut Common,
    ) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing("the broker that a request is for") };
        let Some(connection) = node.connection() else { return common.missing("the connection for a request") };
        let correlation = node.correlation();
        let segments = encode(Caller { correlation, client_id: &common.config.client_id });
        common.recorder().request_sent(segments.iter().map(Bytes::len).sum(), purpose.records(), common.now);
        let request = InFlight { correlation, version, sent_at: common.now, responds, went: false, purpose };
        node.sent(request, common.now);
        self.actions.push_back(Action::Send { connection, correlation, segments, answered: responds });
    }

    /// A frame of so many bytes came. Returns the request to which it must be the response, if there is one.
    pub(crate) fn take_request(&mut self, id: i32, bytes: usize, common: &mut Common) -> Option<InFlight> {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        let request = node.take_request(common.now)?;
        let latency = common.now.saturating_duration_since(request.sent_at);
        common.recorder().answered(bytes, latency, common.now);
        Some(request)
    }

    /// A request without a response went out whole (`acks=0`). Returns it.
    pub(crate) fn take_written(&mut self, id: i32, correlation: i32, common: &mut Common) -> Option<InFlight> {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        // The number of no request that is in flight says nothing.
        let request = node.take_written(correlation)?;
        common.recorder().unanswered(1);
        Some(request)
    }

    /// The response to ApiVersions. Returns why the broker is of no use, if it is not.
    pub(crate) fn negotiated(
        &mut self,
        id: i32,
        version: i16,
        frame: &Bytes,
        common: &mut Common,
    ) -> Result<(), String> {
        match opening::step(frame, version).map_err(|error| error.to_string())? {
            Step::Ask(lower) => self.request_versions(id, lower, common),
            Step::Ready(versions) => match lack(&versions, common.config.idempotence, common.config.compression) {
                Some(why) => return Err(why),
                None => self.up(id, versions, common),
            },
        }
        Ok(())
    }

    fn up(&mut self, id: i32, versions: Versions, common: &mut Common) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        let Link::Opening { id, .. } = node.link else { return common.missing("a connection that is being opened") };
        node.first_version = versions.pick(Api::ApiVersions).unwrap_or(opening::OLDEST);
        node.link = Link::Up { id, versions };
        (node.failures, node.ends, node.why_lost, node.last_used) = (0, 0, None, common.now);
        common.warnings.connected(node.id, &node.host, node.port);
    }

    /// Mutes a broker that throttles, no longer than a record may wait. What is on its way to it may take as much longer.
    pub(crate) fn throttle(&mut self, id: i32, throttle_ms: i32, common: &mut Common) {
        let throttle = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0));
        common.recorder().throttled(throttle);
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        if !throttle.is_zero() {
            let until = common.now + throttle.min(LONGEST_THROTTLE);
            node.throttled_until = node.throttled_until.max(Some(until));
            node.muted_until = node.muted_until.max(Some(until.min(common.now + common.config.delivery_timeout)));
        }
    }
}

/// What a broker has not that this producer needs.
fn lack(versions: &Versions, idempotent: bool, compression: Compression) -> Option<String> {
    let needed = [Some(Api::Metadata), Some(Api::Produce), idempotent.then_some(Api::InitProducerId)];
    if let Some(api) = needed.into_iter().flatten().find(|api| versions.pick(*api).is_none()) {
        return Some(format!(
            "broker speaks no version of {api} that milena speaks, expected Apache Kafka 2.1 or newer"
        ));
    }
    let produce = versions.pick(Api::Produce)?;
    let too_old = compression == Compression::Zstd && produce < ZSTD_FROM;
    too_old.then(|| {
        format!(
            "broker speaks Produce up to version {produce} and does not know zstd, expected version {ZSTD_FROM} (Apache \
             Kafka 2.1 or newer); choose another compression.type"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_does_not_know_zstd_is_no_broker_for_a_producer_that_uses_it() {
        for (produce, compression, is_lacking) in [
            (6, Compression::Zstd, true),
            (7, Compression::Zstd, false),
            (13, Compression::Zstd, false),
            (3, Compression::Lz4, false),
            (3, Compression::None, false),
        ] {
            let versions = Versions::new([(0, 0, produce), (3, 0, 9)]);
            let lack = lack(&versions, false, compression);
            assert_eq!(lack.is_some(), is_lacking, "Produce {produce} with {compression:?}");
        }
    }
}

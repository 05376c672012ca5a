//! One broker: its connection, and the requests that are in flight to it.
//!
//! In: what became of connections. Out: whether a broker can be sent to, and when to try again. Pure. Deliberately absent:
//! sockets; a connection is a number here.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::session::Session;
use crate::{
    error::ErrorCode,
    metrics::Recorder,
    sender::{Backoff, Cause, Chance, ConnectionId, Purpose, backoff::PATIENCE},
    wire::{
        apis::{Api, api_versions::Versions},
        authentication::Authentication,
        opening,
    },
};

/// A request whose response has not come.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) correlation: i32,
    pub(crate) version: i16,
    pub(crate) sent_at: Instant,
    /// Whether the broker responds.
    pub(crate) responds: bool,
    /// Whether a later request is known to have gone out whole, and so this one.
    pub(crate) went: bool,
    pub(crate) purpose: Purpose,
}

/// The state of a node's connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// There is none; not to be tried before this moment.
    Down { until: Instant },
    /// It is being made, since this moment; after the other one it is given up.
    Connecting { id: ConnectionId, since: Instant, until: Instant },
    /// It is made; the first requests of a connection are on their way ([`opening`]).
    Opening { id: ConnectionId, since: Instant },
    /// The broker is to learn who the client is.
    Authenticating { id: ConnectionId, since: Instant, versions: Versions, authentication: Authentication },
    /// Requests can be sent.
    Up { id: ConnectionId, versions: Versions, session: Session },
}

/// One broker. Before any is known, those of `bootstrap.servers` stand under negative ids.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) link: Link,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Failed attempts to connect in a row: each lets the next one take longer.
    pub(crate) failures: u32,
    /// Connections in a row that were lost or not made: each lets the next one begin later.
    pub(crate) ends: u32,
    /// Not to be sent to before this moment: the broker throttles.
    pub(crate) muted_until: Option<Instant>,
    /// Until when the broker reads nothing of this client (KIP-219).
    pub(crate) throttled_until: Option<Instant>,
    pub(crate) last_used: Instant,
    /// Why the last connection ended.
    pub(crate) why_lost: Option<Cause>,
    /// Whether the broker has responded to anything but ApiVersions over the connection of now.
    pub(crate) has_served: bool,
    /// The version of the first ApiVersions request.
    pub(crate) first_version: i16,
    next_correlation: i32,
    unconfirmed: Unconfirmed,
}

/// Records that went out in requests without a response (`acks=0`) over the connection of now. A broker that refuses such a
/// request ends the connection, so the response to a later request on it shows that all before it were taken.
#[derive(Clone, Copy, Debug, Default)]
struct Unconfirmed {
    /// Before the last request with a response.
    before: u64,
    /// After it.
    after: u64,
}

impl Node {
    pub(crate) fn new(id: i32, host: Arc<str>, port: u16, now: Instant) -> Self {
        Self {
            id,
            host,
            port,
            link: Link::Down { until: now },
            in_flight: VecDeque::new(),
            failures: 0,
            ends: 0,
            muted_until: None,
            throttled_until: None,
            last_used: now,
            why_lost: None,
            has_served: false,
            first_version: opening::FIRST,
            next_correlation: 0,
            unconfirmed: Unconfirmed::default(),
        }
    }

    /// A request goes out.
    pub(crate) fn sent(&mut self, request: InFlight, now: Instant) {
        let Unconfirmed { before, after } = self.unconfirmed;
        if request.responds {
            self.unconfirmed = Unconfirmed { before: before + after, after: 0 };
        } else {
            self.unconfirmed.after += request.purpose.records().unwrap_or(0);
        }
        self.in_flight.push_back(request);
        self.last_used = now;
    }

    /// A response came: takes the request that it must belong to, the oldest one that the broker responds to.
    pub(crate) fn take_request(&mut self, now: Instant) -> Option<InFlight> {
        let place = self.in_flight.iter().position(|request| request.responds)?;
        let request = self.in_flight.remove(place)?;
        self.has_served |= !matches!(request.purpose, Purpose::ApiVersions);
        // Where more responses are missing, which of the records went out before this one's request is not known.
        if !self.in_flight.iter().any(|request| request.responds) {
            self.unconfirmed.before = 0;
        }
        self.last_used = now;
        Some(request)
    }

    /// How many records went out over the connection without a response that would show that they were taken. They are counted
    /// once.
    pub(crate) fn take_unconfirmed(&mut self) -> u64 {
        let Unconfirmed { before, after } = std::mem::take(&mut self.unconfirmed);
        before + after
    }

    /// The connection, if there is or may soon be one.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Down { .. } => None,
            Link::Connecting { id, .. }
            | Link::Opening { id, .. }
            | Link::Authenticating { id, .. }
            | Link::Up { id, .. } => Some(id),
        }
    }

    /// Whether there is a connection, and not only an attempt to make one.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.link, Link::Opening { .. } | Link::Authenticating { .. } | Link::Up { .. })
    }

    /// Whether there is a connection, also while nothing may be sent over it.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// What it speaks, if requests can be sent now.
    pub(crate) fn up(&self, now: Instant) -> Option<&Versions> {
        match &self.link {
            Link::Up { versions, session, .. } if session.authentication.is_none() && !self.is_session_over(now) => {
                Some(versions).filter(|_| self.muted_until.is_none_or(|until| until <= now))
            }
            _ => None,
        }
    }

    /// The authentication that is under way, and what the broker speaks.
    pub(crate) fn authentication(&mut self) -> Option<(&mut Authentication, &Versions)> {
        match &mut self.link {
            Link::Authenticating { authentication, versions, .. } => Some((authentication, versions)),
            Link::Up { session: Session { authentication: Some(authentication), .. }, versions, .. } => {
                Some((authentication, versions))
            }
            _ => None,
        }
    }

    /// Whether anything was sent or received since the client authenticated.
    pub(crate) fn is_in_use(&self) -> bool {
        let since = if let Link::Up { session, .. } = &self.link { Some(session.since) } else { None };
        !self.in_flight.is_empty() || since.is_some_and(|since| self.last_used > since)
    }

    /// Whether the client has to authenticate again before it sends anything else.
    pub(crate) fn is_session_over(&self, now: Instant) -> bool {
        matches!(&self.link, Link::Up { session, .. } if session.is_over(now))
    }

    /// There is another token. A broker that refused the last one is tried with it at once.
    pub(crate) fn token_came(&mut self, now: Instant) {
        let was_refused = self.why_lost.as_ref().is_some_and(|why| why.code == ErrorCode::SASL_AUTHENTICATION_FAILED);
        match &mut self.link {
            Link::Up { session, .. } => session.token_came(),
            Link::Down { until } if was_refused => *until = (*until).min(now),
            _ => {}
        }
    }

    /// Whether a connection may be tried now.
    pub(crate) fn may_connect(&self, now: Instant) -> bool {
        matches!(self.link, Link::Down { until } if until <= now)
    }

    /// Whether a connection has been asked for lately and is not there yet.
    pub(crate) fn is_connecting(&self, now: Instant) -> bool {
        self.patient_until().is_some_and(|until| until > now)
    }

    /// Until when a connection that is being made is waited for before another is tried beside it.
    pub(crate) fn patient_until(&self) -> Option<Instant> {
        match self.link {
            Link::Connecting { since, .. } | Link::Opening { since, .. } | Link::Authenticating { since, .. } => {
                Some(since + PATIENCE)
            }
            Link::Down { .. } | Link::Up { .. } => None,
        }
    }

    /// Whether it has nothing to say: no connection is being made, and no request waits for its response.
    pub(crate) fn is_idle(&self) -> bool {
        !matches!(self.link, Link::Connecting { .. }) && self.in_flight.is_empty()
    }

    /// Whether it cannot be reached for now: it has no connection after so many `failures`, or one that is not made in time.
    pub(crate) fn is_away(&self, failures: u32, now: Instant) -> bool {
        !self.is_up() && (failures > 0 || self.patient_until().is_some_and(|until| until <= now))
    }

    /// Whether a metadata request to it has no response.
    pub(crate) fn has_metadata_request(&self) -> bool {
        self.in_flight.iter().any(|request| matches!(request.purpose, Purpose::Metadata(_)))
    }

    /// How many Produce requests are in flight.
    pub(crate) fn producing(&self) -> usize {
        self.in_flight.iter().filter(|request| matches!(request.purpose, Purpose::Produce(_))).count()
    }

    /// The correlation id of the next request.
    pub(crate) fn correlation(&mut self) -> i32 {
        let correlation = self.next_correlation;
        self.next_correlation = correlation.checked_add(1).unwrap_or(0);
        correlation
    }

    /// How many of the requests in flight went out whole, if this was the last that did. Correlation ids start again from 0, so
    /// their order counts and not their size. The last one may be here no more: one without a response leaves when it is
    /// written.
    pub(crate) fn written(&self, last: Option<i32>) -> usize {
        let last = last.and_then(|last| self.in_flight.iter().rposition(|request| request.correlation == last));
        let went = self.in_flight.iter().rposition(|request| request.went);
        last.max(went).map_or(0, |place| place + 1)
    }

    /// A request without a response went out whole, and with it all before it. It is in flight no more.
    pub(crate) fn take_written(&mut self, correlation: i32) -> Option<InFlight> {
        let is_it = |request: &InFlight| request.correlation == correlation && !request.responds;
        let place = self.in_flight.iter().position(is_it)?;
        self.in_flight.iter_mut().take(place).for_each(|request| request.went = true);
        self.in_flight.remove(place)
    }

    /// The connection is gone, for this reason; it may be made again after a backoff. Returns what had no response.
    pub(crate) fn down(&mut self, why: Cause, now: Instant, backoff: Backoff, chance: &mut Chance) -> Vec<InFlight> {
        // Some that do not know the version end the connection instead of saying so.
        if matches!(self.link, Link::Opening { .. }) {
            self.first_version = opening::OLDEST;
        }
        // A connection that was lost says nothing of how long it takes to make one.
        self.failures = if matches!(self.link, Link::Up { .. }) { 0 } else { self.failures.saturating_add(1) };
        self.ends = self.ends.saturating_add(1);
        self.has_served = false;
        // A broker throttles a connection.
        self.throttled_until = None;
        self.link = Link::Down { until: now + backoff.delay(self.ends, chance) };
        self.why_lost = Some(why);
        self.in_flight.drain(..).collect()
    }

    /// It can be tried anew as if it never had been.
    pub(crate) fn forgive(&mut self, now: Instant) {
        (self.failures, self.ends, self.why_lost, self.link) = (0, 0, None, Link::Down { until: now });
    }

    /// Counts that the connection ends, if there is one, and what is on its way unanswered.
    pub(crate) fn count_end(&self, recorder: &Recorder, now: Instant) {
        recorder.unanswered(self.in_flight.len());
        if self.is_connected() {
            recorder.disconnected(now);
        }
    }

    /// When something is to happen here, if nothing else does: the connection is overdue; or, if a lane `waits` for the broker, a
    /// backoff, a throttle, a session or our patience ends. While the producer cannot say who it is it may not connect, so what is over
    /// already is nothing to wait for.
    pub(crate) fn deadline(&self, now: Instant, timeouts: Timeouts, waits: bool, may_connect: bool) -> Option<Instant> {
        let backoff = match &self.link {
            Link::Down { until } => Some(*until),
            Link::Up { session, .. } => session.renewal(),
            _ => None,
        };
        let backoff = backoff.filter(|at| may_connect || *at > now);
        let later = [self.muted_until, self.patient_until()].into_iter().flatten().filter(|until| *until > now);
        let waited_for = backoff.into_iter().chain(later).filter(|_| waits);
        self.due(timeouts).map(|(_, due)| due).into_iter().chain(waited_for).min()
    }

    /// Why the connection must be ended now, if it must, and since when.
    pub(crate) fn overdue(&self, now: Instant, timeouts: Timeouts) -> Option<(Overdue, Instant)> {
        self.due(timeouts).filter(|(_, due)| *due <= now)
    }

    /// When the connection is overdue, and for what. While a broker throttles us it reads nothing, so that time does not count for
    /// its response to the oldest request.
    fn due(&self, timeouts: Timeouts) -> Option<(Overdue, Instant)> {
        match (&self.link, self.in_flight.front()) {
            (Link::Connecting { until, .. }, _) => Some((Overdue::Setup, *until)),
            (_, Some(request)) => {
                let read_at = self.throttled_until.map_or(request.sent_at, |until| until.max(request.sent_at));
                Some((Overdue::Response(request.purpose.api()), read_at + timeouts.request))
            }
            (Link::Up { .. }, None) => Some((Overdue::Idle, self.last_used + timeouts.idle)),
            (Link::Down { .. } | Link::Opening { .. } | Link::Authenticating { .. }, None) => None,
        }
    }
}

/// What a connection took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// To be made.
    Setup,
    /// To respond to a request.
    Response(Api),
    /// To be used.
    Idle,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// `request.timeout.ms`.
    pub(crate) request: Duration,
    /// `socket.connection.setup.timeout.ms`, doubled with each failure, 20 % more or less, up to
    /// `socket.connection.setup.timeout.max.ms` (KIP-601).
    pub(crate) setup: Backoff,
    /// `connections.max.idle.ms`. The client closes first, or the broker does while a request is on its way.
    pub(crate) idle: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(node: &mut Node, now: Instant) -> i32 {
        let (correlation, purpose) = (node.correlation(), Purpose::InitProducerId);
        let request = InFlight { correlation, version: 5, sent_at: now, responds: true, went: false, purpose };
        node.in_flight.push_back(request);
        correlation
    }

    #[test]
    fn what_went_out_whole_is_told_also_where_correlation_ids_start_again() {
        let now = Instant::now();
        let mut node = Node::new(1, "localhost".into(), 9092, now);
        node.next_correlation = i32::MAX;
        let sent = [0; 3].map(|_| in_flight(&mut node, now));
        assert_eq!(sent, [i32::MAX, 0, 1]);
        let written = [None, Some(i32::MAX), Some(0), Some(1), Some(7)].map(|last| node.written(last));
        assert_eq!(written, [0, 1, 2, 3, 0]);
    }

    /// Found by the simulation: a request with a response with acks=0, and one behind it without, that was written. When
    /// the connection broke, the second one was known no more, and the first failed as certainly not written.
    #[test]
    fn what_went_out_before_a_request_without_a_response_went_out_whole() {
        let now = Instant::now();
        let mut node = Node::new(1, "localhost".into(), 9092, now);
        let [_, unanswered, _] = [0; 3].map(|_| in_flight(&mut node, now));
        node.in_flight[1].responds = false;
        assert!(node.take_written(unanswered).is_some() && node.take_written(unanswered).is_none());
        assert_eq!((node.in_flight.len(), node.written(Some(unanswered)), node.written(Some(2))), (2, 1, 2));
    }
}

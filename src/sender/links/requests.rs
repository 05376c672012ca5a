//! What goes out over a link, and what comes back.
//!
//! In: requests, frames, and what a broker says of itself. Out: [`Action`]s, and requests that have their response. Pure. Deliberately
//! absent: what a response means to lanes or metadata.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Links, NODE,
    node::{InFlight, Link, Node},
    session::{Session, Token},
};
use crate::{
    sasl::Credentials,
    sender::{Action, Cause, Common, Purpose},
    wire::{
        apis::{
            Api, Caller,
            api_versions::{self, Versions},
            sasl_authenticate::{self, AuthenticateResult},
            sasl_handshake::{self, HandshakeResult},
        },
        authentication::{self, Ask, Authentication, Refusal, Step},
        opening,
    },
};

/// The most that is believed of how long a broker leaves requests unread. Quotas lead to minutes where requests are large and what is
/// allowed is little (KIP-219 knows no limit).
const LONGEST_THROTTLE: Duration = Duration::from_secs(3_600);

/// The first version of SaslAuthenticate with which a client can authenticate again (KIP-368).
const RENEWS_FROM: i16 = 1;

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
    ) -> Result<(), Cause> {
        match opening::step(frame, version).map_err(|error| Cause::network(error.to_string()))? {
            opening::Step::Ask(lower) => self.request_versions(id, lower, common),
            opening::Step::Ready(versions) => {
                if let Some(why) = opening::lack(&versions, common.config.idempotence, common.config.compression) {
                    return Err(Cause::network(why));
                }
                if !common.login.is_wanted() {
                    self.up(id, versions, Session::endless(common.now), common);
                    return Ok(());
                }
                authentication::versions(&versions)?;
                let authentication = authentication(common).ok_or_else(|| lacks_token(common))?;
                self.authenticate(id, versions, authentication, common);
            }
        }
        Ok(())
    }

    /// Begins to authenticate over a connection that is being opened.
    fn authenticate(&mut self, id: i32, versions: Versions, authentication: Authentication, common: &mut Common) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        let Link::Opening { id: connection, since } = node.link else {
            return common.missing("a connection that is being opened");
        };
        let ask = authentication.first();
        node.link = Link::Authenticating { id: connection, since, versions, authentication };
        self.ask(id, ask, common);
    }

    /// Authenticates again where a session is nearly over. A connection that was not used since the last time is left alone, unless `wanted` says
    /// that something waits for the broker.
    pub(crate) fn renew_sessions(&mut self, wanted: impl Fn(i32) -> bool, common: &mut Common) {
        if !common.login.is_wanted() || !common.login.may_connect(common.now) {
            return;
        }
        let is_wanted = |node: &&mut Node| node.is_in_use() || wanted(node.id);
        let now = common.now;
        let over = self.nodes.values_mut().filter(|node| node.is_session_over(now)).filter(is_wanted);
        let mut asks = Vec::new();
        for node in over {
            let Some(authentication) = authentication(common) else { continue };
            asks.push((node.id, authentication.first()));
            if let Link::Up { session, .. } = &mut node.link {
                session.authentication = Some(authentication);
            }
        }
        asks.into_iter().for_each(|(id, ask)| self.ask(id, ask, common));
    }

    /// Sends what the authentication of a broker's connection wants sent.
    fn ask(&mut self, id: i32, ask: Ask, common: &mut Common) {
        let speaks = self.nodes.get_mut(&id).and_then(Node::authentication);
        let versions = speaks.and_then(|(_, versions)| authentication::versions(versions).ok());
        let Some((handshake, authenticate)) = versions else { return common.missing("an authentication under way") };
        match ask {
            Ask::Handshake(mechanism) => {
                let encode = |caller: Caller<'_>| vec![sasl_handshake::encode(caller, handshake, mechanism)];
                self.send(id, handshake, Purpose::SaslHandshake, true, encode, common);
            }
            Ask::Authenticate(message) => {
                let encode = |caller: Caller<'_>| vec![sasl_authenticate::encode(caller, authenticate, message)];
                self.send(id, authenticate, Purpose::SaslAuthenticate, true, encode, common);
            }
        }
    }

    /// The response to SaslHandshake.
    pub(crate) fn agreed(&mut self, id: i32, response: &HandshakeResult, common: &mut Common) -> Result<(), Cause> {
        self.go_on(id, |authentication| authentication.agreed(response), common)
    }

    /// The response to SaslAuthenticate.
    pub(crate) fn answered(
        &mut self,
        id: i32,
        response: &AuthenticateResult,
        common: &mut Common,
    ) -> Result<(), Cause> {
        self.go_on(id, |authentication| authentication.answered(response), common)
    }

    fn go_on(
        &mut self,
        id: i32,
        step: impl FnOnce(&mut Authentication) -> Result<Step, Refusal>,
        common: &mut Common,
    ) -> Result<(), Cause> {
        let Some((authentication, versions)) = self.nodes.get_mut(&id).and_then(Node::authentication) else {
            common.missing::<()>("an authentication under way");
            return Ok(());
        };
        // Brokers before KIP-368 do not let a client authenticate again.
        let can_renew = authentication::versions(versions).is_ok_and(|(_, authenticate)| authenticate >= RENEWS_FROM);
        let used = Arc::clone(authentication.credentials());
        match step(authentication).map_err(|refusal| refused(refusal, &used, common))? {
            Step::Ask(ask) => self.ask(id, ask, common),
            Step::Done(lifetime) => {
                let token = Token::of(&used, common).filter(|_| can_renew);
                let session = Session::new(lifetime, token, common.now, &mut common.chance);
                self.let_in(id, session, common);
            }
        }
        Ok(())
    }

    /// The broker knows who the client is.
    fn let_in(&mut self, id: i32, new: Session, common: &mut Common) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        if let Link::Up { session, .. } = &mut node.link {
            *session = new;
        } else if let Link::Authenticating { versions, .. } = &node.link {
            let versions = versions.clone();
            self.up(id, versions, new, common);
        }
    }

    fn up(&mut self, id: i32, versions: Versions, session: Session, common: &mut Common) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        let Some(id) = node.connection() else { return common.missing("a connection that is being opened") };
        node.first_version = versions.pick(Api::ApiVersions).unwrap_or(opening::OLDEST);
        node.link = Link::Up { id, versions, session };
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

/// An authentication that begins now, if there is something to authenticate with.
fn authentication(common: &mut Common) -> Option<Authentication> {
    let credentials = common.login.credentials(common.now).cloned()?;
    Some(Authentication::new(credentials, common.chance.next()))
}

/// A broker refused. Of a token that has ended meanwhile, or was replaced, nothing follows for the next one.
fn refused(refusal: Refusal, used: &Arc<Credentials>, common: &Common) -> Cause {
    let cause = Cause::from(refusal);
    if common.login.is_current(used, common.now) { cause } else { Cause::network(cause.why) }
}

/// The token ended while the connection was made.
fn lacks_token(common: &Common) -> Cause {
    common.login.lack(common.now).unwrap_or_else(|| Cause::network("there is no valid token"))
}

//! Links: the brokers that are known, the connections to them, and the requests that are in flight.
//!
//! In: brokers, what became of connections, requests to send. Out: [`Action`]s; and what was in flight comes back as a value, with its
//! response or without. Pure. Deliberately absent: lanes, what metadata say of topics, producer ids. The brokers that lanes wait for are
//! an argument. Parts: [`node`] (one broker), [`session`] (for how long it knows the client), [`requests`] (what goes out, and what comes back), [`asking`] (which broker is next).

mod asking;
pub(super) mod node;
mod requests;
mod session;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use self::node::{InFlight, Link, Node, Overdue, Timeouts};
use super::{Action, Backoff, Cause, Common, ConnectionId, Seen};
use crate::{
    cluster::{Broker, Cluster},
    config::Config,
};

const NODE: &str = "the broker of a connection";

/// Brokers and connections.
#[derive(Debug)]
pub(super) struct Links {
    /// The brokers that are known, by id.
    pub(super) nodes: BTreeMap<i32, Node>,
    /// The brokers of the connections that have not ended.
    pub(super) connections: HashMap<ConnectionId, i32>,
    /// What is to be done outside, the first thing first.
    pub(super) actions: VecDeque<Action>,
    next_connection: ConnectionId,
    timeouts: Timeouts,
    reconnect: Backoff,
}

/// A connection that is gone, and what went with it.
#[derive(Debug)]
#[must_use]
pub(super) struct Lost {
    pub(super) broker: i32,
    pub(super) address: String,
    pub(super) why: Cause,
    /// Whether one side does not accept the other.
    pub(super) is_refused: bool,
    /// The requests that were in flight, the oldest first, and what the broker can have seen of them.
    pub(super) unanswered: Vec<(InFlight, Seen)>,
    /// Records that went out without a response that would show that they were taken (`acks=0`).
    pub(super) unconfirmed: u64,
}

impl Links {
    /// Those of `bootstrap.servers`.
    pub(super) fn new(common: &Common) -> Self {
        let config = &common.config;
        let setup = Backoff {
            initial: config.connection_setup_timeout,
            max: config.connection_setup_timeout_max.max(config.connection_setup_timeout),
        };
        let mut links = Self {
            nodes: BTreeMap::new(),
            connections: HashMap::new(),
            actions: VecDeque::new(),
            next_connection: 0,
            timeouts: Timeouts { request: config.request_timeout, setup, idle: config.connections_max_idle },
            reconnect: Backoff { initial: config.reconnect_backoff, max: config.reconnect_backoff_max },
        };
        links.bootstrap(common);
        links
    }

    /// Whether brokers of the cluster are known, and none is connected.
    pub(super) fn are_all_lost(&self) -> bool {
        self.nodes.keys().any(|id| *id >= 0) && !self.nodes.values().any(Node::is_up)
    }

    /// Whether any broker can be sent to.
    pub(super) fn is_any_up(&self) -> bool {
        self.nodes.values().any(Node::is_up)
    }

    /// Whether any broker knows who the producer is.
    pub(super) fn is_any_session(&self, now: Instant) -> bool {
        self.nodes.values().any(|node| node.is_up() && !node.is_session_over(now))
    }

    /// There is a token that the sessions do not have which began before.
    pub(super) fn token_came(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|node| node.token_came(now));
    }

    /// Adds those of `bootstrap.servers`.
    pub(super) fn bootstrap(&mut self, common: &Common) {
        for (id, (host, port)) in (1..).zip(&common.config.bootstrap_servers) {
            self.nodes.insert(-id, Node::new(-id, Arc::from(host.as_str()), *port, common.now));
        }
    }

    /// Takes note of a broker. Where it was known at another address, the connection to that one ends.
    pub(super) fn add(&mut self, broker: &Broker, common: &mut Common) -> Option<Lost> {
        let Broker { id, host, port, .. } = broker;
        let node = self.nodes.entry(*id).or_insert_with(|| Node::new(*id, Arc::clone(host), *port, common.now));
        if node.host == *host && node.port == *port {
            return None;
        }
        let lost = self.disconnect(*id, Cause::network("the broker has a new address"), common);
        self.nodes.entry(*id).and_modify(|node| {
            (node.host, node.port) = (Arc::clone(host), *port);
            node.forgive(common.now);
        });
        lost
    }

    /// Brokers that are none of the cluster's and to which nothing is on its way.
    pub(super) fn gone(&self, cluster: &Cluster) -> Vec<i32> {
        let is_gone = |node: &&Node| !cluster.brokers.contains_key(&node.id) && node.in_flight.is_empty();
        self.nodes.values().filter(is_gone).map(|node| node.id).collect()
    }

    /// Forgets a broker.
    pub(super) fn remove(&mut self, id: i32, common: &mut Common) {
        let Some(node) = self.nodes.remove(&id) else { return common.missing("the broker to be forgotten") };
        if let Some(connection) = node.connection() {
            self.end(connection);
        }
        node.count_end(common.recorder(), common.now);
    }

    /// Begins a connection.
    pub(super) fn connect(&mut self, id: i32, common: &mut Common) {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing("the broker to connect to") };
        self.next_connection += 1;
        let connection = self.next_connection;
        let within = self.timeouts.setup.delay(node.failures.saturating_add(1), &mut common.chance);
        node.link = Link::Connecting { id: connection, since: common.now, until: common.now + within };
        self.connections.insert(connection, id);
        let (host, port, failures) = (Arc::clone(&node.host), node.port, node.failures);
        self.actions.push_back(Action::Connect { connection, host, port, failures, within });
    }

    /// A connection was made: the versions that the broker supports are requested.
    pub(super) fn connected(&mut self, connection: ConnectionId, common: &mut Common) {
        // A connection that was ended before it was made.
        let Some(&id) = self.connections.get(&connection) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        node.link = Link::Opening { id: connection, since: common.now };
        common.recorder().connected(common.now);
        let version = node.first_version;
        self.request_versions(id, version, common);
    }

    /// A connection ended. `written` is the last request that went out whole.
    pub(super) fn disconnected(
        &mut self,
        connection: ConnectionId,
        why: &Arc<str>,
        written: Option<i32>,
        common: &mut Common,
    ) -> Option<Lost> {
        // One that was ended from this side ends here as well.
        let id = self.connections.remove(&connection)?;
        let whole = self.nodes.get(&id).map_or(0, |node| node.written(written));
        self.lost(
            id,
            Cause::network(Arc::clone(why)),
            |place| if place < whole { Seen::Whole } else { Seen::InPart },
            common,
        )
    }

    /// Ends a connection from this side, if there is one.
    pub(super) fn disconnect(&mut self, id: i32, why: Cause, common: &mut Common) -> Option<Lost> {
        let connection = self.nodes.get(&id).and_then(Node::connection)?;
        self.end(connection);
        // What the socket still holds may go out all the same, so every request counts as seen by the broker.
        self.lost(id, why, |_| Seen::Perhaps, common)
    }

    /// Ends a connection that is not needed. Nothing is wrong with it.
    pub(super) fn end_idle(&mut self, id: i32, common: &mut Common) -> Option<Lost> {
        // A broker that refused what went out would have ended it long ago.
        self.nodes.get_mut(&id).map(Node::take_unconfirmed);
        let lost = self.disconnect(id, Cause::network("not used for connections.max.idle.ms"), common);
        self.nodes.entry(id).and_modify(|node| node.forgive(common.now));
        lost
    }

    fn end(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.actions.push_back(Action::Disconnect { connection });
    }

    /// A connection is gone: what was in flight has no response. `seen` is called for each request with its place in the row.
    fn lost(&mut self, id: i32, why: Cause, seen: impl Fn(usize) -> Seen, common: &mut Common) -> Option<Lost> {
        let Some(node) = self.nodes.get_mut(&id) else { return common.missing(NODE) };
        let why = Cause { why: explained(node, &common.config, &why.why), ..why };
        let address = format!("{}:{}", node.host, node.port);
        let was_up = node.is_up();
        node.count_end(common.recorder(), common.now);
        let unconfirmed = node.take_unconfirmed();
        let unanswered = node.down(why.clone(), common.now, self.reconnect, &mut common.chance);
        let requests = was_up.then_some(unanswered.len());
        common.warnings.connection_ended(id, &address, &why.why, requests, common.now);
        let unanswered = unanswered.into_iter().enumerate().map(|(place, request)| (request, seen(place))).collect();
        Some(Lost { broker: id, address, why, is_refused: false, unanswered, unconfirmed })
    }

    /// Connections that take too long, for what, and since when.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(i32, Overdue, Instant)> {
        let overdue = |node: &Node| node.overdue(now, self.timeouts).map(|(what, due)| (node.id, what, due));
        self.nodes.values().filter_map(overdue).collect()
    }

    /// When something is overdue or may be tried again; `waits` says whether a lane waits for a broker.
    pub(super) fn deadline(&self, common: &Common, waits: impl Fn(i32) -> bool) -> Option<Instant> {
        let may_connect = common.login.may_connect(common.now);
        let deadline = |node: &Node| node.deadline(common.now, self.timeouts, waits(node.id), may_connect);
        self.nodes.values().filter_map(deadline).min()
    }

    /// Has every connection read that may have something to say.
    pub(super) fn read_all(&mut self) -> BTreeSet<ConnectionId> {
        let waits = self.nodes.values().filter(|node| !node.is_idle()).filter_map(Node::connection);
        let connections: BTreeSet<_> = waits.collect();
        self.actions.extend(connections.iter().map(|&connection| Action::Read { connection }));
        connections
    }

    /// Counts that all connections end.
    pub(super) fn count_ends(&self, common: &Common) {
        self.nodes.values().for_each(|node| node.count_end(common.recorder(), common.now));
    }
}

/// Why a connection ended, with a word about what looks like the cause. A broker that was found from afar and advertises `localhost` sends every
/// client to its own machine. A listener that wants to know who a client is tells its versions and ends the connection at the next request.
fn explained(node: &Node, config: &Config, why: &Arc<str>) -> Arc<str> {
    let from_afar = !config.bootstrap_servers.iter().any(|(host, _)| is_local(host));
    if node.id >= 0 && from_afar && is_local(&node.host) {
        let hint = "which is this machine: check its advertised.listeners";
        return format!("{why} (the broker advertises {}, {hint})", node.host).into();
    }
    if node.is_up() && !node.has_served && !node.in_flight.is_empty() && !config.has_login() {
        let hint = "a listener that wants SASL does so: check the port, and security.protocol";
        return format!("{why} before it served anything ({hint})").into();
    }
    Arc::clone(why)
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_found_from_afar_that_advertises_this_machine_is_explained() {
        let now = Instant::now();
        let hint = |id, host: &str, bootstrap: &str| {
            let node = Node::new(id, host.into(), 9092, now);
            let config = crate::ProducerBuilder::new(&format!("{bootstrap}:9092")).validate().unwrap();
            explained(&node, &config, &"refused".into()).contains("advertised.listeners")
        };
        let cases = [
            (0, "localhost", "kafka.example", true),
            (3, "127.0.0.1", "kafka.example", true),
            (0, "::1", "kafka.example", true),
            (0, "localhost", "localhost", false),
            (0, "10.0.0.7", "kafka.example", false),
            // No broker advertised a bootstrap server's address.
            (-1, "localhost", "kafka.example", false),
        ];
        for (id, host, bootstrap, expected) in cases {
            assert_eq!(hint(id, host, bootstrap), expected, "broker {id} at {host}, found at {bootstrap}");
        }
    }
}

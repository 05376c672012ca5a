//! Settings of an [`EmbeddedBroker`], and its start.
//!
//! In: settings, under Apache Kafka's names where it has them. Out: a broker whose ports are open, or an error. Pure; the listener
//! does the I/O.

use std::{fmt, io, time::Duration};

use kafka_protocol::protocol::StrBytes;

#[cfg(feature = "broker-tls")]
use super::tls::{Certificates, Tls};
use super::{
    EmbeddedBroker,
    acls::{Acl, Acls},
    config::TopicConfig,
    faults::millis,
    groups::GroupSettings,
    listener::{self, Shared},
    security::Security,
    state::{Settings, State, partition_count},
};
use crate::config::SaslMechanism;

/// The address that all nodes listen on.
const HOST: &str = "127.0.0.1";
/// The most nodes that one process may have.
const MAX_NODES: usize = 100;

/// Settings of an [`EmbeddedBroker`].
#[derive(Clone)]
#[must_use]
pub struct Builder {
    nodes: usize,
    port: u16,
    cluster_id: String,
    racks: Vec<String>,
    auto_create: bool,
    default_partitions: usize,
    replication_factor: Option<i16>,
    defaults: Vec<(String, String)>,
    topics: Vec<NewTopic>,
    mechanisms: Option<Vec<SaslMechanism>>,
    users: Vec<(String, String)>,
    #[cfg(feature = "oauth")]
    tokens: Vec<(String, String)>,
    session_lifetime: Duration,
    authorizes: bool,
    super_users: Vec<String>,
    allows_unruled: bool,
    acls: Vec<Acl>,
    groups: GroupSettings,
    #[cfg(feature = "broker-tls")]
    tls: Option<Tls>,
}

impl fmt::Debug for Builder {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder")
            .field("nodes", &self.nodes)
            .field("port", &self.port)
            .field("topics", &self.topics)
            .field("mechanisms", &self.mechanisms)
            .field("users", &users)
            .field("acls", &self.acls)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct NewTopic {
    name: String,
    partitions: usize,
    settings: Vec<(String, String)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: 1,
            port: 0,
            cluster_id: "milena-embedded-broker".to_owned(),
            racks: Vec::new(),
            auto_create: true,
            default_partitions: 1,
            replication_factor: None,
            defaults: Vec::new(),
            topics: Vec::new(),
            mechanisms: None,
            users: Vec::new(),
            #[cfg(feature = "oauth")]
            tokens: Vec::new(),
            session_lifetime: Duration::ZERO,
            authorizes: false,
            super_users: Vec::new(),
            allows_unruled: false,
            acls: Vec::new(),
            groups: GroupSettings::default(),
            #[cfg(feature = "broker-tls")]
            tls: None,
        }
    }
}

impl EmbeddedBroker {
    /// A builder with one node and no topics. Topics are created when a client first asks for them.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The number of nodes, 1 to 100. Their ids are 1, 2, 3, … Defaults to 1.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The racks of the nodes, `broker.rack`, in turn. Defaults to none.
    pub fn racks<R: Into<String>>(mut self, racks: impl IntoIterator<Item = R>) -> Self {
        self.racks = racks.into_iter().map(Into::into).collect();
        self
    }

    /// The port of node 1. The other nodes get the ports that follow. With 0 the system chooses each port. Defaults to 0.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The cluster's id. Defaults to `milena-embedded-broker`.
    pub fn cluster_id(mut self, id: impl Into<String>) -> Self {
        self.cluster_id = id.into();
        self
    }

    /// `auto.create.topics.enable`: whether a topic that a client asks for is created. Defaults to true.
    pub fn auto_create(mut self, enable: bool) -> Self {
        self.auto_create = enable;
        self
    }

    /// `num.partitions`: how many partitions such a topic has. Defaults to 1.
    pub fn default_partitions(mut self, partitions: usize) -> Self {
        self.default_partitions = partitions;
        self
    }

    /// `default.replication.factor`. Defaults to the number of nodes, but at most 3.
    pub fn replication_factor(mut self, factor: i16) -> Self {
        self.replication_factor = Some(factor);
        self
    }

    /// A setting that every new topic has unless its creator says otherwise, such as `min.insync.replicas`.
    pub fn topic_default(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.push((name.into(), value.into()));
        self
    }

    /// A topic that exists from the start. Its partition `p` is led by node `p % nodes + 1`.
    pub fn topic(self, name: impl Into<String>, partitions: usize) -> Self {
        self.topic_with(name, partitions, [])
    }

    /// A topic that exists from the start, with settings such as `("max.message.bytes", "1000")`.
    pub fn topic_with<'a>(
        mut self,
        name: impl Into<String>,
        partitions: usize,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.topics.push(NewTopic { name: name.into(), partitions, settings });
        self
    }

    /// A user. With at least one, every listener is `SASL_PLAINTEXT` (`SASL_SSL` with TLS), and clients have to authenticate.
    /// [`EmbeddedBroker::set_user`] changes users later.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// A token that is accepted as this user's, whatever it is. With at least one, OAUTHBEARER is enabled, and clients have to authenticate.
    /// Besides, as with Apache Kafka's default, every JWT without a signature is accepted (`"alg":"none"`) until it expires, as that of its `sub`.
    #[cfg(feature = "oauth")]
    pub fn token(mut self, name: impl Into<String>, token: impl Into<String>) -> Self {
        self.tokens.push((name.into(), token.into()));
        self
    }

    /// `sasl.enabled.mechanisms`: how clients may authenticate. They have to, also while there is no user. Defaults to `PLAIN` and, with
    /// feature `scram`, `SCRAM-SHA-256` and `SCRAM-SHA-512` if there is a [`user`](Self::user), to `OAUTHBEARER` if there is a token, and to
    /// none otherwise.
    pub fn sasl(mut self, mechanisms: impl IntoIterator<Item = SaslMechanism>) -> Self {
        self.mechanisms = Some(mechanisms.into_iter().collect());
        self
    }

    /// `connections.max.reauth.ms`: after this time, in milliseconds, the broker ends a connection that goes on without having
    /// authenticated again (KIP-368). Zero, the default, is never. As with Apache Kafka, a client may not authenticate more than once a
    /// second, so a session should last for 1.2 s or longer: clients authenticate when 85 % of it have passed.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = lifetime;
        self
    }

    /// Every listener speaks TLS: `SSL`, or `SASL_SSL` with users. Needs the feature `broker-tls`. What is wrong with certificates or settings is an
    /// error of [`start`](Self::start).
    #[cfg(feature = "broker-tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// `authorizer.class.name`: a client may do only what a rule allows, as with Apache Kafka's `StandardAuthorizer`. Off by default, so that
    /// everybody may do everything.
    pub fn authorize(mut self) -> Self {
        self.authorizes = true;
        self
    }

    /// A rule of what users may do. With at least one, the broker [authorizes](Self::authorize). [`EmbeddedBroker::add_acl`] and
    /// [`EmbeddedBroker::remove_acl`] change rules later.
    pub fn acl(mut self, rule: Acl) -> Self {
        self.acls.push(rule);
        self.authorize()
    }

    /// `super.users`: a principal, such as `User:admin`, that may do everything.
    pub fn super_user(mut self, principal: impl Into<String>) -> Self {
        self.super_users.push(principal.into());
        self
    }

    /// `allow.everyone.if.no.acl.found`: whether everybody may use what no rule is about. Defaults to false.
    pub fn allow_everyone_if_no_acl_found(mut self, allow: bool) -> Self {
        self.allows_unruled = allow;
        self
    }

    /// `group.initial.rebalance.delay.ms`: for how long an empty consumer group waits for more members after the first. Defaults to zero, where Apache
    /// Kafka waits for three seconds.
    pub fn group_initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.groups.initial_rebalance_delay_ms = millis(delay);
        self
    }

    /// `group.min.session.timeout.ms`: the shortest `session.timeout.ms` that members of consumer groups may have. Defaults to six seconds. A shorter one is for
    /// tests that wait until a member counts as dead.
    pub fn group_min_session_timeout(mut self, timeout: Duration) -> Self {
        self.groups.min_session_timeout_ms = millis(timeout);
        self
    }

    /// Opens the ports and serves them on the current tokio runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for settings that are invalid; the system's error for a port that cannot be opened.
    ///
    /// # Cancel safety
    /// If the future is dropped, no port stays open.
    pub async fn start(self) -> io::Result<EmbeddedBroker> {
        if !(1..=MAX_NODES).contains(&self.nodes) {
            return Err(invalid(format!("number of nodes is {}, expected 1 to {MAX_NODES}", self.nodes)));
        }
        #[cfg(feature = "broker-tls")]
        let certificates = self.tls.clone().map(Certificates::open).transpose().map_err(invalid)?;
        let listeners = listener::bind(HOST, &self.ports()?).await?;
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().map(|a| a.port())).collect::<io::Result<_>>()?;
        let state = self.state(&ports).map_err(invalid)?;
        #[cfg_attr(not(feature = "broker-tls"), expect(unused_mut, reason = "certificates are for TLS"))]
        let mut shared = Shared::new(state);
        #[cfg(feature = "broker-tls")]
        {
            shared.certificates = certificates;
        }
        Ok(EmbeddedBroker::start(shared, listeners))
    }

    /// The port of each node. For 0 the system chooses.
    fn ports(&self) -> io::Result<Vec<u16>> {
        let behind = |node| u16::try_from(node).ok().and_then(|node| self.port.checked_add(node));
        let port = |node| if self.port == 0 { Some(0) } else { behind(node) };
        let ports: Option<_> = (0..self.nodes).map(port).collect();
        ports.ok_or_else(|| invalid(format!("port {} leaves no ports for all nodes", self.port)))
    }

    /// The cluster's state at its start.
    pub(crate) fn state(self, ports: &[u16]) -> Result<State, String> {
        let mut topic_defaults = TopicConfig::default();
        configure(&mut topic_defaults, &self.defaults)?;
        let most = i16::try_from(ports.len().min(3)).unwrap_or(3);
        let settings = Settings {
            cluster_id: self.cluster_id,
            racks: self.racks.into_iter().map(StrBytes::from_string).collect(),
            auto_create: self.auto_create,
            default_partitions: partition_count(self.default_partitions),
            default_replication_factor: self.replication_factor.unwrap_or(most),
            topic_defaults,
            groups: self.groups,
        };
        let security = Security::new(self.mechanisms.as_deref(), &self.users, self.session_lifetime)?;
        let acls = Acls::new(self.authorizes, &self.super_users, self.allows_unruled, &self.acls)?;
        #[cfg(feature = "oauth")]
        let security = security.with_tokens(&self.tokens, self.mechanisms.is_none());
        let mut state = State::new(settings, security, acls, ports.iter().map(|port| (HOST.to_owned(), *port)));
        state.place(-1, -1).map_err(|refusal| refusal.message)?;
        for topic in self.topics {
            let mut config = state.settings.topic_defaults.clone();
            configure(&mut config, &topic.settings)?;
            state
                .create_topic(&topic.name, partition_count(topic.partitions), -1, config)
                .map_err(|refusal| refusal.message)?;
        }
        Ok(state)
    }
}

fn configure(config: &mut TopicConfig, settings: &[(String, String)]) -> Result<(), String> {
    settings.iter().try_for_each(|(name, value)| config.set(name, value))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

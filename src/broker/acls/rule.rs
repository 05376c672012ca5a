//! One rule of what a user may do, and the words in which it is written.
//!
//! In: a principal, an operation, a resource, a host; or a line that says the same. Out: an [`Acl`]. Pure. The words are Apache Kafka's
//! (`AclOperation`, `ResourceType`, `PatternType`, `AclPermissionType`).

use std::{fmt, net::IpAddr, str::FromStr};

/// What a rule is about: `AclOperation` of Apache Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Every operation.
    All,
    /// To read a topic, or to be in a group.
    Read,
    /// To write to a topic.
    Write,
    /// To create a topic. On the cluster, any topic.
    Create,
    /// To delete a topic.
    Delete,
    /// To change a topic.
    Alter,
    /// To see a topic. Whoever may READ, WRITE, DELETE or ALTER it may see it.
    Describe,
    /// To do what brokers do among each other.
    ClusterAction,
    /// To see settings. Whoever may change them may see them.
    DescribeConfigs,
    /// To change settings.
    AlterConfigs,
    /// To get a producer id, on the cluster. Whoever may WRITE to any topic may get one (KIP-679, Apache Kafka 2.8).
    IdempotentWrite,
}

impl Operation {
    const EACH: [Self; 11] = [
        Self::All,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::IdempotentWrite,
    ];

    /// The name that Apache Kafka's `AclOperation` has for it, such as `IDEMPOTENT_WRITE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Alter => "ALTER",
            Self::Describe => "DESCRIBE",
            Self::ClusterAction => "CLUSTER_ACTION",
            Self::DescribeConfigs => "DESCRIBE_CONFIGS",
            Self::AlterConfigs => "ALTER_CONFIGS",
            Self::IdempotentWrite => "IDEMPOTENT_WRITE",
        }
    }

    /// The number that Apache Kafka's `AclOperation` has for it.
    pub(in crate::broker) fn code(self) -> u32 {
        match self {
            Self::All => 2,
            Self::Read => 3,
            Self::Write => 4,
            Self::Create => 5,
            Self::Delete => 6,
            Self::Alter => 7,
            Self::Describe => 8,
            Self::ClusterAction => 9,
            Self::DescribeConfigs => 10,
            Self::AlterConfigs => 11,
            Self::IdempotentWrite => 12,
        }
    }

    fn named(word: &str) -> Option<Self> {
        // `kafka-acls.sh` has no underscores: `IdempotentWrite`.
        let bare = |name: &str| name.replace('_', "").to_ascii_uppercase();
        Self::EACH.into_iter().find(|operation| bare(operation.name()) == bare(word))
    }
}

/// What kind of thing a rule is about: `ResourceType` of Apache Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Kind {
    Topic,
    Group,
    Cluster,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::Cluster => "cluster",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Topic, Self::Group, Self::Cluster].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(word))
    }
}

/// The name of the one resource of kind cluster.
pub(in crate::broker) const CLUSTER: &str = "kafka-cluster";
/// The name that stands for all, of resources, users and hosts.
pub(super) const ANY: &str = "*";
/// What stands before a host.
const HOST: &str = "host=";

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Whether the name is the beginning of names: `PREFIXED`.
    pub(super) is_prefix: bool,
}

impl Resource {
    /// One topic, or with the name `*` all topics.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { kind: Kind::Topic, name: name.into(), is_prefix: false }
    }

    /// All topics whose names begin like this (pattern type `PREFIXED`, KIP-290).
    pub fn topics_from(prefix: impl Into<String>) -> Self {
        Self { is_prefix: true, ..Self::topic(prefix) }
    }

    /// One consumer group, or with the name `*` all groups.
    pub fn group(name: impl Into<String>) -> Self {
        Self { kind: Kind::Group, name: name.into(), is_prefix: false }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster() -> Self {
        Self { kind: Kind::Cluster, name: CLUSTER.to_owned(), is_prefix: false }
    }
}

/// A rule of what a user may do, or may not.
///
/// Written as text, it is the principal, the operation, the resource and, if it is no cluster, its name. `PREFIXED`, `host=ADDRESS` and `DENY` may
/// follow.
///
/// ```
/// use milena::broker::{Acl, Operation, Resource};
///
/// assert_eq!("User:alice WRITE topic orders".parse(), Ok(Acl::allow("User:alice", Operation::Write, Resource::topic("orders"))));
/// assert_eq!("User:bob ALL topic audit- PREFIXED DENY".parse(), Ok(Acl::deny("User:bob", Operation::All, Resource::topics_from("audit-"))));
/// assert_eq!("User:* IDEMPOTENT_WRITE cluster".parse(), Ok(Acl::allow("User:*", Operation::IdempotentWrite, Resource::cluster())));
/// let orders = Resource::topic("orders");
/// let host = [127, 0, 0, 1].into();
/// assert_eq!("User:alice READ topic orders host=127.0.0.1".parse(), Ok(Acl::allow("User:alice", Operation::Read, orders).from_host(host)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub(super) principal: String,
    pub(super) operation: Operation,
    pub(super) resource: Resource,
    /// The address of the clients that it is about; `None` is the host `*`.
    pub(super) host: Option<IpAddr>,
    pub(super) is_denial: bool,
}

impl Acl {
    /// This principal may do this. A principal is `User:` and the user's name; `User:*` is everybody, `User:ANONYMOUS` who has not
    /// authenticated.
    pub fn allow(principal: impl Into<String>, operation: Operation, resource: Resource) -> Self {
        Self { principal: principal.into(), operation, resource, host: None, is_denial: false }
    }

    /// This principal may not do this, whatever else allows it.
    pub fn deny(principal: impl Into<String>, operation: Operation, resource: Resource) -> Self {
        Self { is_denial: true, ..Self::allow(principal, operation, resource) }
    }

    /// The rule is only about clients that connect from this address (`host`). Without, it holds from everywhere.
    #[must_use]
    pub fn from_host(self, host: IpAddr) -> Self {
        Self { host: Some(host), ..self }
    }
}

#[cfg(all(test, feature = "kafka-tests"))]
impl Acl {
    /// What a CreateAcls request says of it, but for the principal.
    pub(in crate::broker) fn parts(&self) -> (Kind, &str, bool, Operation, String, bool) {
        let Resource { kind, name, is_prefix } = &self.resource;
        let host = self.host.map_or_else(|| ANY.to_owned(), |host| host.to_string());
        (*kind, name, *is_prefix, self.operation, host, self.is_denial)
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resource { kind, name, is_prefix } = &self.resource;
        write!(f, "{} {} {}", self.principal, self.operation.name(), kind.name())?;
        if *kind != Kind::Cluster {
            write!(f, " {name}")?;
        }
        f.write_str(if *is_prefix { " PREFIXED" } else { "" })?;
        if let Some(host) = self.host {
            write!(f, " {HOST}{host}")?;
        }
        f.write_str(if self.is_denial { " DENY" } else { "" })
    }
}

/// Why a text is no [`Acl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no rule: {why}; expected one like \"User:alice WRITE topic orders\"")]
pub struct AclError {
    text: String,
    why: String,
}

impl FromStr for Acl {
    type Err = AclError;

    fn from_str(text: &str) -> Result<Self, AclError> {
        read(text).map_err(|why| AclError { text: text.to_owned(), why })
    }
}

/// Reads a rule. The principal ends before the operation, since the subject of a certificate may hold spaces.
fn read(text: &str) -> Result<Acl, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let place = words.windows(2).enumerate().skip(1).find_map(|(at, pair)| {
        let [operation, kind] = pair else { return None };
        Some((at, Operation::named(operation)?, Kind::named(kind)?))
    });
    let (at, operation, kind) = place.ok_or_else(|| {
        let operations = Operation::EACH.map(Operation::name).join(", ");
        format!("no operation ({operations}) before a resource (topic, group, cluster)")
    })?;
    let (principal, rest) = (words.iter().take(at).copied().collect::<Vec<_>>().join(" "), words.iter().skip(at + 2));
    check_principal(&principal)?;
    let mut rest = rest.copied();
    let name = match kind {
        Kind::Cluster => CLUSTER,
        _ => rest.next().ok_or_else(|| format!("the {} has no name", kind.name()))?,
    };
    let resource = Resource { kind, name: name.to_owned(), is_prefix: false };
    rest.try_fold(Acl::allow(principal, operation, resource), also)
}

/// What may follow a resource.
fn also(rule: Acl, word: &str) -> Result<Acl, String> {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("LITERAL") || is("ALLOW") || (rule.resource.kind == Kind::Cluster && word == CLUSTER) {
        return Ok(rule);
    }
    if is("DENY") {
        return Ok(Acl { is_denial: true, ..rule });
    }
    if is("PREFIXED") && rule.resource.kind != Kind::Cluster {
        return Ok(Acl { resource: Resource { is_prefix: true, ..rule.resource }, ..rule });
    }
    if let Some((name, host)) = word.split_at_checked(HOST.len())
        && name.eq_ignore_ascii_case(HOST)
    {
        return Ok(Acl { host: address(host)?, ..rule });
    }
    Err(format!("{word:?} may not follow the resource, only LITERAL, PREFIXED, {HOST}ADDRESS, ALLOW or DENY"))
}

/// The address of a host; `None` stands for all. A name would never hold, because brokers compare addresses and resolve nothing.
fn address(host: &str) -> Result<Option<IpAddr>, String> {
    if host == ANY {
        return Ok(None);
    }
    let address = host.parse().map_err(|_| format!("host {host:?} is no IP address, and no name is resolved"))?;
    Ok(Some(address))
}

/// A principal without a type is nobody's (`SecurityUtils.parseKafkaPrincipal`).
pub(super) fn check_principal(principal: &str) -> Result<(), String> {
    match principal.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(()),
        _ => Err(format!("principal {principal:?} has no type, expected one like User:alice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for text in [
            "User:alice WRITE topic orders",
            "User:* ALL topic *",
            "User:alice DESCRIBE_CONFIGS topic audit- PREFIXED",
            "User:alice CREATE cluster DENY",
            "User:CN=Kafka client,O=Shop READ group g PREFIXED DENY",
            "User:alice WRITE topic WRITE",
            "User:alice WRITE topic orders host=10.0.0.7",
            "User:alice WRITE topic host=10.0.0.7 PREFIXED host=::1 DENY",
        ] {
            assert_eq!(text.parse::<Acl>().unwrap().to_string(), text);
        }
        let same = "User:alice write TOPIC orders literal Host=* allow".parse::<Acl>().unwrap();
        assert_eq!(same.to_string(), "User:alice WRITE topic orders");
        let cluster = "User:alice IdempotentWrite cluster kafka-cluster".parse::<Acl>().unwrap();
        assert_eq!(cluster.to_string(), "User:alice IDEMPOTENT_WRITE cluster");
    }

    #[test]
    fn what_is_no_rule_is_refused_by_what_is_wrong_with_it() {
        for (text, why) in [
            ("", "no operation (ALL, READ,"),
            ("User:alice WRITE", "before a resource"),
            ("User:alice EAT topic orders", "no operation"),
            ("WRITE topic orders", "no operation"),
            ("alice WRITE topic orders", "has no type"),
            (":alice WRITE topic orders", "has no type"),
            ("User: WRITE topic orders", "has no type"),
            ("User:alice WRITE topic", "the topic has no name"),
            ("User:alice WRITE topic orders too", "\"too\" may not follow"),
            ("User:alice CREATE cluster PREFIXED", "\"PREFIXED\" may not follow"),
            ("User:alice WRITE topic orders host=kafka-1", "host \"kafka-1\" is no IP address"),
            ("User:alice WRITE topic orders host=", "host \"\" is no IP address"),
            ("User:alice WRITE topic orders 10.0.0.7", "\"10.0.0.7\" may not follow"),
        ] {
            let error = text.parse::<Acl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.ends_with("\"User:alice WRITE topic orders\""), "{error}");
        }
    }
}

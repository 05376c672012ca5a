//! A member of a group, what it asks for, and what it is answered.
//!
//! In: what a client says of itself. Out: values. Pure. Source: `ClassicGroupMember` of Apache Kafka 4.2. What a member keeps is copied out of
//! its request, so that no frame is kept for the sake of a few bytes of it.

use bytes::Bytes;

use crate::error::ErrorCode;

/// A request that may have to wait for its answer, by a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct Ticket(pub(in crate::broker) u64);

/// A way to share partitions out that a member knows, with what it says of itself for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Protocol {
    pub(in crate::broker) name: String,
    pub(in crate::broker) metadata: Bytes,
}

/// A client that wants to be in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct JoinGroup {
    pub(in crate::broker) group: String,
    /// Empty for a client that has none yet.
    pub(in crate::broker) member: String,
    /// `group.instance.id`
    pub(in crate::broker) instance: Option<String>,
    pub(in crate::broker) client_id: String,
    pub(in crate::broker) client_host: String,
    pub(in crate::broker) session_timeout_ms: i32,
    pub(in crate::broker) rebalance_timeout_ms: i32,
    pub(in crate::broker) protocol_type: String,
    pub(in crate::broker) protocols: Vec<Protocol>,
    /// Whether a new member has to join again with its id (KIP-394).
    pub(in crate::broker) needs_id: bool,
    /// Whether a leader can be told not to share out anew (KIP-814).
    pub(in crate::broker) may_skip: bool,
}

/// A member that asks for its part; the leader brings everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct SyncGroup {
    pub(in crate::broker) group: String,
    pub(in crate::broker) who: Who,
    pub(in crate::broker) generation: i32,
    pub(in crate::broker) protocol_type: Option<String>,
    pub(in crate::broker) protocol_name: Option<String>,
    pub(in crate::broker) assignments: Vec<(String, Bytes)>,
}

/// Which member a request is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Who {
    pub(in crate::broker) member: String,
    /// `group.instance.id`
    pub(in crate::broker) instance: Option<String>,
}

/// The answer to a [`JoinGroup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Joined {
    pub(in crate::broker) code: ErrorCode,
    pub(in crate::broker) member: String,
    pub(in crate::broker) generation: i32,
    pub(in crate::broker) protocol_type: Option<String>,
    pub(in crate::broker) protocol_name: Option<String>,
    pub(in crate::broker) leader: String,
    pub(in crate::broker) skips_assignment: bool,
    /// All members, for the leader; none for the others.
    pub(in crate::broker) members: Vec<(Who, Bytes)>,
}

impl Joined {
    pub(in crate::broker) fn refused(code: ErrorCode, member: impl Into<String>) -> Self {
        Self {
            code,
            member: member.into(),
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skips_assignment: false,
            members: Vec::new(),
        }
    }
}

/// The answer to a [`SyncGroup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Synced {
    pub(in crate::broker) code: ErrorCode,
    pub(in crate::broker) protocol_type: Option<String>,
    pub(in crate::broker) protocol_name: Option<String>,
    pub(in crate::broker) assignment: Bytes,
}

impl Synced {
    pub(in crate::broker) fn refused(code: ErrorCode) -> Self {
        Self { code, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// The answer to a request that may have had to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) enum GroupAnswer {
    Joined(Joined),
    Synced(Synced),
}

/// A member.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Member {
    pub(in crate::broker) instance: Option<String>,
    pub(in crate::broker) client_id: String,
    pub(in crate::broker) client_host: String,
    pub(super) session_timeout_ms: i64,
    pub(super) rebalance_timeout_ms: i64,
    pub(super) protocols: Vec<Protocol>,
    pub(in crate::broker) assignment: Bytes,
    /// The request by which it joins, while that waits.
    pub(super) joining: Option<Ticket>,
    /// The request by which it asks for its part, while that waits.
    pub(super) syncing: Option<Ticket>,
    /// Whether it has not asked for its part in this generation.
    pub(super) owes_sync: bool,
    /// Whether its first join has no answer yet. So it cannot know its id, and sends no heartbeats.
    pub(super) is_new: bool,
    /// When it is removed unless it is heard of.
    pub(super) expires_ms: Option<i64>,
}

impl Member {
    pub(super) fn new(join: &JoinGroup) -> Self {
        let mut member = Self {
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            owes_sync: false,
            is_new: true,
            expires_ms: None,
        };
        member.update(join);
        member
    }

    /// Takes over what a member says of itself when it joins.
    pub(super) fn update(&mut self, join: &JoinGroup) {
        self.session_timeout_ms = join.session_timeout_ms.into();
        self.rebalance_timeout_ms = join.rebalance_timeout_ms.max(0).into();
        self.protocols.clone_from(&join.protocols);
    }

    /// It was heard of.
    pub(super) fn renew(&mut self, now_ms: i64) {
        self.expires_ms = Some(now_ms.saturating_add(self.session_timeout_ms));
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == protocol)
    }

    /// What it said of itself for this protocol.
    pub(in crate::broker) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let known = self.protocols.iter().find(|known| Some(&*known.name) == protocol);
        known.map_or_else(Bytes::new, |known| known.metadata.clone())
    }

    /// Whether nothing has to be heard of it, because it waits for the group.
    pub(super) fn waits(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.assignment.len())
            .saturating_add(self.client_id.len())
            .saturating_add(self.instance.as_ref().map_or(0, String::len))
            .saturating_add(bytes_of(&self.protocols))
    }
}

/// How much memory protocols take, about.
pub(super) fn bytes_of(protocols: &[Protocol]) -> usize {
    let each = |protocol: &Protocol| {
        size_of::<Protocol>().saturating_add(protocol.name.len()).saturating_add(protocol.metadata.len())
    };
    protocols.iter().map(each).fold(0, usize::saturating_add)
}

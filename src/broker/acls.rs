//! What users may do: rules, and whether they allow something.
//!
//! In: rules, and who wants to do what. Out: yes or no. Pure. Source: `StandardAuthorizerData` of Apache Kafka 4.2, and
//! `Authorizer.authorizeByResourceType` (KIP-679). Off unless a builder says otherwise; then everybody may do everything.

mod rule;

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use self::rule::{ANY, check_principal};
pub use self::rule::{Acl, AclError, Operation, Resource};
pub(super) use self::rule::{CLUSTER, Kind};

/// Everybody, as a principal.
const EVERYBODY: &str = "User:*";

/// Who wants to do something, and from where (`AuthorizableRequestContext`).
#[derive(Clone, Debug)]
pub(super) struct Requester {
    pub(super) principal: Cow<'static, str>,
    pub(super) address: IpAddr,
}

/// What users may do.
#[derive(Clone, Debug, Default)]
pub(super) struct Acls {
    /// Whether anything is forbidden at all: `authorizer.class.name`.
    is_on: bool,
    /// `super.users`: they may do everything.
    super_users: BTreeSet<String>,
    /// `allow.everyone.if.no.acl.found`.
    allows_unruled: bool,
    rules: Vec<Acl>,
}

impl Acls {
    /// Rules, or none. An error names a principal that cannot be.
    pub(super) fn new(
        is_on: bool,
        super_users: &[String],
        allows_unruled: bool,
        rules: &[Acl],
    ) -> Result<Self, String> {
        super_users
            .iter()
            .chain(rules.iter().map(|rule| &rule.principal))
            .try_for_each(|name| check_principal(name))?;
        let super_users = super_users.iter().cloned().collect();
        Ok(Self { is_on, super_users, allows_unruled, rules: rules.to_vec() })
    }

    /// Whether anything is forbidden at all.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Adds a rule. One that is there already changes nothing.
    pub(super) fn add(&mut self, rule: Acl) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// Removes a rule. Returns whether it was there.
    pub(super) fn remove(&mut self, rule: &Acl) -> bool {
        let before = self.rules.len();
        self.rules.retain(|other| other != rule);
        self.rules.len() < before
    }

    /// Whether somebody may do this with one resource. A denial counts whatever else there is. Where there are only other rules for the
    /// resource, nothing is allowed (`StandardAuthorizerData.findAclRule`).
    pub(super) fn allows(&self, who: &Requester, operation: Operation, kind: Kind, name: &str) -> bool {
        if !self.is_on || self.super_users.contains(&*who.principal) {
            return true;
        }
        let (mut is_ruled, mut is_allowed) = (false, false);
        for rule in self.rules.iter().filter(|rule| covers(&rule.resource, kind, name)) {
            is_ruled = true;
            if !concerns(rule, who) || !matches(rule, operation) {
                continue;
            }
            if rule.is_denial {
                return false;
            }
            is_allowed = true;
        }
        is_allowed || (!is_ruled && self.allows_unruled)
    }

    /// Whether somebody may do this with any resource of this kind (`Authorizer.authorizeByResourceType`).
    pub(super) fn allows_any(&self, who: &Requester, operation: Operation, kind: Kind) -> bool {
        // As there: a name that nobody has tells whether everything is allowed.
        if self.allows(who, operation, kind, "hardcode") {
            return true;
        }
        let names_it = |rule: &&Acl| [operation, Operation::All].contains(&rule.operation);
        let concerned = self.rules.iter().filter(|rule| rule.resource.kind == kind && concerns(rule, who));
        let (denied, allowed): (Vec<_>, Vec<_>) = concerned.filter(names_it).partition(|rule| rule.is_denial);
        let is_any = |resource: &Resource| !resource.is_prefix && resource.name == ANY;
        if denied.iter().any(|rule| is_any(&rule.resource)) {
            return false;
        }
        let is_denied = |resource: &Resource| denied.iter().any(|denial| dominates(&denial.resource, resource));
        allowed.iter().any(|rule| is_any(&rule.resource) || !is_denied(&rule.resource))
    }

    /// What somebody may do with a resource, as bits by number of the operation (KIP-430).
    pub(super) fn operations(&self, who: &Requester, kind: Kind, name: &str) -> i32 {
        let allowed = supported(kind).iter().filter(|operation| self.allows(who, **operation, kind, name));
        allowed.fold(0, |bits, operation| bits | (1 << operation.code()))
    }
}

/// What can be done with a kind of resource at all (`AclEntry.supportedOperations`).
fn supported(kind: Kind) -> &'static [Operation] {
    use Operation::{
        Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write,
    };
    match kind {
        Kind::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
        Kind::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
        Kind::Cluster => &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe],
    }
}

fn covers(resource: &Resource, kind: Kind, name: &str) -> bool {
    let is_named = if resource.is_prefix {
        name.starts_with(&resource.name)
    } else {
        resource.name == name || resource.name == ANY
    };
    resource.kind == kind && is_named
}

fn concerns(rule: &Acl, who: &Requester) -> bool {
    let is_from = rule.host.is_none_or(|host| host == who.address);
    is_from && (rule.principal == who.principal || rule.principal == EVERYBODY)
}

/// Whether a rule is about an operation. What allows to use or to change something allows to see it; a denial denies only what it names.
fn matches(rule: &Acl, wanted: Operation) -> bool {
    use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    match (rule.operation, wanted) {
        (All, _) => true,
        (Read | Write | Delete | Alter, Describe) | (AlterConfigs, DescribeConfigs) => !rule.is_denial,
        (named, wanted) => named == wanted,
    }
}

/// Whether a denial takes all that a permission gives.
fn dominates(denial: &Resource, permission: &Resource) -> bool {
    if denial.is_prefix {
        return permission.name.starts_with(&denial.name);
    }
    !permission.is_prefix && denial.name == permission.name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acls(rules: &[&str]) -> Acls {
        let rules: Vec<Acl> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Acls::new(true, &["User:admin".to_owned()], false, &rules).unwrap()
    }

    /// A principal, whose client is at 10.0.0.7.
    fn who(principal: &str) -> Requester {
        Requester { principal: principal.to_owned().into(), address: [10, 0, 0, 7].into() }
    }

    const ORDERS: (Kind, &str) = (Kind::Topic, "orders");
    /// Rules, who wants to do what with which resource, and whether it is allowed.
    type Row<'a> = (&'a [&'a str], &'a str, Operation, (Kind, &'a str), bool);

    #[test]
    fn what_is_allowed_follows_from_the_rules_as_apache_kafka_follows_them() {
        use Operation as O;
        let table: &[Row<'_>] = &[
            // Nothing is allowed without a rule, except to super users.
            (&[], "User:alice", O::Write, ORDERS, false),
            (&[], "User:admin", O::Write, ORDERS, true),
            (&["User:admin ALL topic * DENY"], "User:admin", O::Write, ORDERS, true),
            // The principal, the operation, the kind and the name all have to fit.
            (&["User:alice WRITE topic orders"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic orders"], "User:bob", O::Write, ORDERS, false),
            (&["User:alice WRITE topic orders"], "User:alice", O::Read, ORDERS, false),
            (&["User:alice WRITE topic orders"], "User:alice", O::Write, (Kind::Topic, "orders2"), false),
            (&["User:alice WRITE group orders"], "User:alice", O::Write, ORDERS, false),
            (&["User:alice CREATE cluster"], "User:alice", O::Create, (Kind::Cluster, CLUSTER), true),
            (&["User:alice CREATE cluster"], "User:alice", O::Create, ORDERS, false),
            // Everybody, every operation, every topic, and topics that begin so.
            (&["User:* WRITE topic orders"], "User:ANONYMOUS", O::Write, ORDERS, true),
            (&["User:alice ALL topic orders"], "User:alice", O::DescribeConfigs, ORDERS, true),
            (&["User:alice WRITE topic *"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic ord PREFIXED"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic orders PREFIXED"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic * PREFIXED"], "User:alice", O::Write, ORDERS, false),
            (&["User:alice WRITE topic rders PREFIXED"], "User:alice", O::Write, ORDERS, false),
            // To use a topic is to see it; to create it is not.
            (&["User:alice READ topic orders"], "User:alice", O::Describe, ORDERS, true),
            (&["User:alice WRITE topic orders"], "User:alice", O::Describe, ORDERS, true),
            (&["User:alice DELETE topic orders"], "User:alice", O::Describe, ORDERS, true),
            (&["User:alice ALTER topic orders"], "User:alice", O::Describe, ORDERS, true),
            (&["User:alice CREATE topic orders"], "User:alice", O::Describe, ORDERS, false),
            (&["User:alice DESCRIBE topic orders"], "User:alice", O::Write, ORDERS, false),
            (&["User:alice ALTER_CONFIGS topic orders"], "User:alice", O::DescribeConfigs, ORDERS, true),
            (&["User:alice ALTER topic orders"], "User:alice", O::DescribeConfigs, ORDERS, false),
            // A denial wins, however it is named, and denies no more than it names.
            (
                &["User:alice WRITE topic orders", "User:alice WRITE topic orders DENY"],
                "User:alice",
                O::Write,
                ORDERS,
                false,
            ),
            (&["User:alice WRITE topic orders", "User:* ALL topic * DENY"], "User:alice", O::Write, ORDERS, false),
            (
                &["User:alice ALL topic *", "User:alice WRITE topic ord PREFIXED DENY"],
                "User:alice",
                O::Write,
                ORDERS,
                false,
            ),
            (
                &["User:alice ALL topic *", "User:alice WRITE topic ord PREFIXED DENY"],
                "User:alice",
                O::Read,
                ORDERS,
                true,
            ),
            (&["User:alice ALL topic *", "User:alice READ topic orders DENY"], "User:alice", O::Describe, ORDERS, true),
            (&["User:alice ALL topic *", "User:alice ALL topic orders DENY"], "User:alice", O::Describe, ORDERS, false),
            (&["User:alice ALL topic *", "User:bob ALL topic * DENY"], "User:alice", O::Write, ORDERS, true),
            // A rule with a host is about clients at that address alone, also if it denies.
            (&["User:alice WRITE topic orders host=10.0.0.7"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic orders host=10.0.0.8"], "User:alice", O::Write, ORDERS, false),
            (&["User:alice WRITE topic orders host=*"], "User:alice", O::Write, ORDERS, true),
            (&["User:alice WRITE topic orders host=::ffff:10.0.0.7"], "User:alice", O::Write, ORDERS, false),
            (&["User:* ALL topic * host=10.0.0.7"], "User:bob", O::Read, ORDERS, true),
            (&["User:bob WRITE topic orders host=10.0.0.7"], "User:alice", O::Write, ORDERS, false),
            (&["User:admin ALL topic * host=10.0.0.7 DENY"], "User:admin", O::Write, ORDERS, true),
            (
                &["User:alice ALL topic *", "User:alice ALL topic * host=10.0.0.7 DENY"],
                "User:alice",
                O::Write,
                ORDERS,
                false,
            ),
            (
                &["User:alice ALL topic *", "User:alice ALL topic * host=10.0.0.8 DENY"],
                "User:alice",
                O::Write,
                ORDERS,
                true,
            ),
            (
                &["User:alice ALL topic * host=10.0.0.7", "User:* ALL topic * DENY"],
                "User:alice",
                O::Write,
                ORDERS,
                false,
            ),
        ];
        for (rules, principal, operation, (kind, name), expected) in table {
            let allowed = acls(rules).allows(&who(principal), *operation, *kind, name);
            assert_eq!(allowed, *expected, "{rules:?}: {principal} {operation:?} {name}");
        }
    }

    #[test]
    fn without_a_rule_for_a_resource_everybody_may_use_it_only_if_the_broker_says_so() {
        let rules =
            ["User:bob READ topic orders", "User:* READ topic far host=10.0.0.8"].map(|rule| rule.parse().unwrap());
        let open = Acls::new(true, &[], true, &rules).unwrap();
        for (name, expected) in [("other", true), ("orders", false), ("far", false)] {
            assert_eq!(open.allows(&who("User:alice"), Operation::Write, Kind::Topic, name), expected, "{name}");
        }
        let off = Acls::new(false, &[], false, &rules).unwrap();
        assert!(off.allows(&who("User:alice"), Operation::Write, Kind::Topic, "orders"));
    }

    #[test]
    fn who_may_write_to_any_topic_is_found_as_apache_kafka_finds_it() {
        let table: &[(&[&str], bool)] = &[
            (&[], false),
            (&["User:alice WRITE topic orders"], true),
            (&["User:alice ALL topic orders"], true),
            (&["User:* WRITE topic orders"], true),
            (&["User:alice WRITE topic ord PREFIXED"], true),
            (&["User:alice READ topic orders"], false),
            (&["User:bob WRITE topic orders"], false),
            (&["User:alice WRITE group orders"], false),
            (&["User:alice WRITE topic *", "User:alice WRITE topic orders DENY"], true),
            (&["User:alice WRITE topic orders", "User:alice WRITE topic * DENY"], false),
            (&["User:alice WRITE topic orders", "User:alice ALL topic orders DENY"], false),
            (&["User:alice WRITE topic orders", "User:alice WRITE topic ord PREFIXED DENY"], false),
            (&["User:alice WRITE topic orders", "User:alice WRITE topic orders- PREFIXED DENY"], true),
            (&["User:alice WRITE topic orders PREFIXED", "User:alice WRITE topic orders DENY"], true),
            (&["User:alice WRITE topic orders PREFIXED", "User:alice WRITE topic ord PREFIXED DENY"], false),
            (&["User:alice WRITE topic a", "User:alice WRITE topic b", "User:alice WRITE topic a DENY"], true),
            (&["User:alice WRITE topic orders host=10.0.0.7"], true),
            (&["User:alice WRITE topic orders host=10.0.0.8"], false),
            (&["User:alice WRITE topic orders", "User:alice WRITE topic orders host=10.0.0.7 DENY"], false),
            (&["User:alice WRITE topic orders", "User:* ALL topic * host=10.0.0.8 DENY"], true),
        ];
        for (rules, expected) in table {
            assert_eq!(
                acls(rules).allows_any(&who("User:alice"), Operation::Write, Kind::Topic),
                *expected,
                "{rules:?}"
            );
        }
        assert!(acls(&["User:* WRITE topic * DENY"]).allows_any(&who("User:admin"), Operation::Write, Kind::Topic));
    }

    #[test]
    fn rights_are_told_as_bits() {
        let rights = |rules: &[&str]| acls(rules).operations(&who("User:alice"), Kind::Topic, "orders");
        assert_eq!(rights(&[]), 0);
        assert_eq!(rights(&["User:alice WRITE topic orders"]), (1 << 4) | (1 << 8));
        let all = [3, 4, 5, 6, 7, 8, 10, 11].into_iter().fold(0, |bits, code| bits | (1 << code));
        assert_eq!(Acls::default().operations(&who("User:alice"), Kind::Topic, "orders"), all);
    }

    #[test]
    fn rules_can_be_added_and_removed_and_are_there_once() {
        let mut acls = acls(&[]);
        let rule: Acl = "User:alice WRITE topic orders".parse().unwrap();
        (0..2).for_each(|_| acls.add(rule.clone()));
        assert!(acls.allows(&who("User:alice"), Operation::Write, Kind::Topic, "orders"));
        assert_eq!([acls.remove(&rule), acls.remove(&rule)], [true, false]);
        assert!(!acls.allows(&who("User:alice"), Operation::Write, Kind::Topic, "orders"));
    }

    #[test]
    fn a_principal_without_a_type_is_refused() {
        let rule = Acl::allow("alice", Operation::Write, Resource::topic("orders"));
        for (super_users, rules) in [(vec!["alice".to_owned()], vec![]), (vec![], vec![rule])] {
            let refused = Acls::new(true, &super_users, false, &rules).unwrap_err();
            assert!(refused.contains("\"alice\" has no type"), "{refused}");
        }
    }
}

//! How settings are changed, for AlterConfigs and IncrementalAlterConfigs (`ConfigAdminManager`, `ConfigurationControlManager`).
//!
//! In: what a request wants of each resource. Out: for each whether it was done, in the same order. Pure.
//!
//! Checked for each resource on its own, in Apache Kafka's order:
//! * a resource that is named twice, a setting that is named twice, a value that is missing: `INVALID_REQUEST`
//! * a broker (4): another one than this, or any setting, since none of this broker's can be changed while it runs: `INVALID_REQUEST`. So are
//!   the levels of its log (8).
//! * a client that may not ALTER_CONFIGS of the topic, the group or, for anything else, of the cluster: `TOPIC_AUTHORIZATION_FAILED`,
//!   `GROUP_AUTHORIZATION_FAILED`, `CLUSTER_AUTHORIZATION_FAILED`
//! * groups (32) and metrics of clients (16), which have no settings here: `INVALID_REQUEST`
//! * a setting that does not exist, a value out of range, values that contradict each other: `INVALID_CONFIG`
//! * `INVALID_TOPIC_EXCEPTION`, `UNKNOWN_TOPIC_OR_PARTITION`

use std::collections::BTreeSet;

use super::handler::Call;
use crate::{
    broker::{
        acls::Operation,
        config::{Change, changed},
        faults::Target,
        state::State,
        validate::Refusal,
    },
    error::ErrorCode,
    record::topic::check_topic_name,
};

/// `ConfigResource.Type`
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// What is wanted of one resource.
pub(super) struct Wanted {
    pub(super) kind: i8,
    pub(super) name: String,
    /// Settings with what is to become of them, or `None` where a value is missing or the operation is unknown.
    pub(super) changes: Vec<(String, Option<Change>)>,
    /// Whether settings that are not named go back to their defaults.
    pub(super) replaces: bool,
}

/// The topics among them.
pub(super) fn targets(wanted: &[Wanted]) -> Vec<Target> {
    let topics = wanted.iter().filter(|one| one.kind == TOPIC);
    topics.map(|one| Target { topic: one.name.clone(), partition: None }).collect()
}

/// Changes settings.
pub(super) fn alter(
    state: &mut State,
    call: &Call<'_>,
    wanted: &[Wanted],
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for one in wanted {
        if !seen.insert((one.kind, &*one.name)) {
            twice.insert((one.kind, &*one.name));
        }
    }
    let altered = wanted.iter().map(|one| {
        if twice.contains(&(one.kind, &*one.name)) {
            return Err(invalid_request("the request names this resource twice"));
        }
        alter_one(state, call, one, validate_only)
    });
    altered.collect()
}

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUEST, message)
}

fn alter_one(state: &mut State, call: &Call<'_>, wanted: &Wanted, validate_only: bool) -> Result<(), Refusal> {
    if let Some(code) = call.plan.refusal(&wanted.name, None) {
        return Err(Refusal::new(code, "injected fault"));
    }
    let changes = check(call, wanted)?;
    authorize(state, call, wanted)?;
    match wanted.kind {
        TOPIC => alter_topic(state, wanted, changes, validate_only)?,
        // Nothing is to be changed, or it would have been refused.
        BROKER => {}
        other => {
            return Err(invalid_request(format!("resource type {other} has no settings that can be changed here")));
        }
    }
    let denial = call.plan.denial(&wanted.name, None);
    denial.map_or(Ok(()), |code| Err(Refusal::new(code, "injected fault, after the settings were changed")))
}

/// What can be told from the request alone.
fn check<'a>(call: &Call<'_>, wanted: &'a Wanted) -> Result<Vec<(&'a str, Change)>, Refusal> {
    let mut names = BTreeSet::new();
    if let Some((name, _)) = wanted.changes.iter().find(|(name, _)| !names.insert(name)) {
        return Err(invalid_request(format!("{name} is named twice")));
    }
    let known = |(name, change): &'a (String, Option<Change>)| {
        let missing = || invalid_request(format!("{name} has no value, or its operation is not known"));
        Ok((&**name, change.clone().ok_or_else(missing)?))
    };
    let changes: Vec<_> = wanted.changes.iter().map(known).collect::<Result<_, Refusal>>()?;
    match wanted.kind {
        TOPIC | CLIENT_METRICS | GROUP => Ok(changes),
        BROKER if !wanted.name.is_empty() && wanted.name != call.node.to_string() => {
            Err(invalid_request(format!("this is broker {}, not {:?}", call.node, wanted.name)))
        }
        BROKER if changes.is_empty() => Ok(changes),
        BROKER => Err(invalid_request("no setting of this broker can be changed while it runs")),
        other => Err(invalid_request(format!("resource type {other} has no settings that can be changed here"))),
    }
}

fn authorize(state: &State, call: &Call<'_>, wanted: &Wanted) -> Result<(), Refusal> {
    let operation = Operation::AlterConfigs;
    let (may, code) = match wanted.kind {
        TOPIC => (call.may(state, operation, &wanted.name), ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        GROUP => (call.may_with_group(state, operation, &wanted.name), ErrorCode::GROUP_AUTHORIZATION_FAILED),
        _ => (call.may_with_cluster(state, operation), ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
    };
    if may { Ok(()) } else { Err(Refusal::new(code, "authorization failed")) }
}

fn alter_topic(
    state: &mut State,
    wanted: &Wanted,
    changes: Vec<(&str, Change)>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let name = &*wanted.name;
    let invalid = |message| Refusal::new(ErrorCode::INVALID_CONFIG, message);
    let before = state.topics.get(name).filter(|_| !wanted.replaces).map(|topic| topic.config.own().clone());
    let own = changed(&before.unwrap_or_default(), changes).map_err(invalid)?;
    if name.is_empty() {
        return Err(invalid_request("the topic has no name"));
    }
    check_topic_name(name).map_err(|rule| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, rule))?;
    let own = own.iter().map(|(name, value)| (&**name, &**value));
    let config = state.settings.topic_defaults.for_topic_with(own).map_err(invalid)?;
    let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("no topic is called {name}"));
    let topic = state.topics.get_mut(name).ok_or_else(unknown)?;
    if !validate_only {
        topic.config = config;
        state.touched.topic(name);
    }
    Ok(())
}

//! A topic and its partitions, as the lines of `kafka-topics.sh --describe`.
//!
//! In: a topic, its settings, and which partitions are wanted. Out: lines. Pure.

use std::collections::BTreeSet;

use milena::admin::{ConfigSource, PartitionLayout, TopicLayout, TopicSetting};

/// Which topics and partitions are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    /// Topics that have settings that are no defaults, without partitions.
    Overridden,
    /// Partitions with fewer replicas in sync than there are.
    UnderReplicated,
    /// Partitions without a leader that is there.
    Unavailable,
    /// Partitions with fewer replicas in sync than `min.insync.replicas`.
    UnderMinIsr,
    /// Partitions with no more.
    AtMinIsr,
}

/// The lines of one topic. `live` are the brokers that are there.
pub(super) fn lines(topic: &TopicLayout, settings: &[TopicSetting], shown: Shown, live: &BTreeSet<i32>) -> Vec<String> {
    let own: Vec<_> = settings.iter().filter(|setting| setting.source != ConfigSource::Default).collect();
    let mut lines = Vec::new();
    if shown == Shown::All || (shown == Shown::Overridden && !own.is_empty()) {
        lines.push(head(topic, &own));
    }
    if shown == Shown::Overridden {
        return lines;
    }
    let least = settings.iter().find(|setting| setting.name == "min.insync.replicas");
    let least = least.and_then(|setting| setting.value.as_ref()?.parse().ok()).unwrap_or(1);
    let wanted = topic.partitions.iter().filter(|partition| is_shown(partition, shown, least, live));
    lines.extend(wanted.map(|partition| line(&topic.name, partition)));
    lines
}

fn is_shown(partition: &PartitionLayout, shown: Shown, least: usize, live: &BTreeSet<i32>) -> bool {
    let in_sync = partition.in_sync.len();
    match shown {
        Shown::All => true,
        Shown::Overridden => false,
        Shown::UnderReplicated => in_sync < partition.replicas.len(),
        Shown::Unavailable => partition.leader.is_none_or(|leader| !live.contains(&leader)),
        Shown::UnderMinIsr => partition.leader.is_none() || in_sync < least,
        Shown::AtMinIsr => in_sync == least,
    }
}

fn head(topic: &TopicLayout, own: &[&TopicSetting]) -> String {
    let id = topic.id.as_ref().map(|id| format!("\tTopicId: {id}")).unwrap_or_default();
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    let value = |setting: &TopicSetting| setting.value.clone().unwrap_or_else(|| "null".to_owned());
    let own: Vec<_> = own.iter().map(|setting| format!("{}={}", setting.name, value(setting))).collect();
    let (name, count) = (&topic.name, topic.partitions.len());
    format!("Topic: {name}{id}\tPartitionCount: {count}\tReplicationFactor: {replicas}\tConfigs: {}", own.join(","))
}

fn line(topic: &str, partition: &PartitionLayout) -> String {
    let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
    let told = |ids: &Option<Vec<i32>>| ids.as_deref().map_or_else(|| "N/A".to_owned(), ids_of);
    format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: {}\tLastKnownElr: {}",
        partition.partition,
        ids_of(&partition.replicas),
        ids_of(&partition.in_sync),
        told(&partition.eligible_leaders),
        told(&partition.last_known_eligible_leaders),
    )
}

fn ids_of(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

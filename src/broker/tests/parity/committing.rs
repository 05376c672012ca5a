//! Offsets that groups commit, and what is told of groups. The order of partitions in an answer is not compared: clients find them by number.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
    join_group_request::JoinGroupRequestProtocol,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};

use super::{
    grouping::{group, join, subscription, sync, text},
    same, *,
};

/// Offsets of partitions of one topic, by member and generation.
pub(super) fn commit(
    group: &str,
    member: &str,
    generation: i32,
    topic: &str,
    offsets: &[(i32, i64)],
) -> OffsetCommitRequest {
    let partition = |(partition, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default().with_partition_index(*partition).with_committed_offset(*offset)
    };
    let partitions = offsets.iter().map(partition).collect();
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(partitions);
    OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![topic])
}

fn with_metadata(mut commit: OffsetCommitRequest, metadata: &str) -> OffsetCommitRequest {
    commit.topics[0].partitions[0].committed_metadata = Some(text(metadata));
    commit.topics[0].partitions[0].committed_leader_epoch = 5;
    commit
}

impl Client {
    pub(super) fn commits(&mut self, version: i16, request: &OffsetCommitRequest) -> String {
        let topics = self.ask(version, request).topics;
        let codes = topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|one| (one.partition_index, ErrorCode(one.error_code)));
        format!("committed {:?}", codes.collect::<BTreeMap<_, _>>())
    }

    /// What a group has committed: for all, or for some partitions of a topic.
    pub(super) fn committed(&mut self, version: i16, group: &str, wanted: Option<(&str, &[i32])>) -> String {
        let request = OffsetFetchRequest::default();
        if version < 8 {
            let topic = |(topic, partitions): (&str, &[i32])| {
                OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(partitions.to_vec())
            };
            let topics = wanted.map(|wanted| vec![topic(wanted)]);
            let told = self.ask(version, &request.with_group_id(text(group).into()).with_topics(topics));
            let told_of = told.topics.iter().flat_map(|topic| &topic.partitions);
            let told_of = told_of.map(|one| {
                (
                    one.partition_index,
                    one.committed_offset,
                    one.committed_leader_epoch,
                    one.metadata.clone(),
                    one.error_code,
                )
            });
            return format!("{} {:?}", ErrorCode(told.error_code), told_of.collect::<Vec<_>>());
        }
        let topic = |(topic, partitions): (&str, &[i32])| {
            OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(partitions.to_vec())
        };
        let topics = wanted.map(|wanted| vec![topic(wanted)]);
        let asked = |group: &str| OffsetFetchRequestGroup::default().with_group_id(text(group).into());
        let groups = vec![asked(group).with_topics(topics), asked("no-such-group").with_topics(None)];
        let told = self.ask(version, &request.with_groups(groups)).groups;
        let told = told.iter().map(|group| {
            let told_of = group.topics.iter().flat_map(|topic| &topic.partitions);
            let told_of = told_of.map(|one| {
                (
                    one.partition_index,
                    one.committed_offset,
                    one.committed_leader_epoch,
                    one.metadata.clone(),
                    one.error_code,
                )
            });
            format!("{} {:?}", ErrorCode(group.error_code), told_of.collect::<Vec<_>>())
        });
        told.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn deletes(&mut self, groups: &[&str]) -> String {
        let request = DeleteGroupsRequest::default();
        let request = request.with_groups_names(groups.iter().map(|group| text(group).into()).collect());
        let results = self.ask(2, &request).results;
        let codes: BTreeSet<_> =
            results.iter().map(|one| format!("{:?} {}", one.group_id, ErrorCode(one.error_code))).collect();
        let own = |code: String| {
            groups.iter().enumerate().fold(code, |code, (i, group)| {
                if group.is_empty() { code } else { code.replace(group, &i.to_string()) }
            })
        };
        format!("deleted {:?}", codes.into_iter().map(own).collect::<Vec<_>>())
    }

    pub(super) fn describes(&mut self, version: i16, group: &str) -> String {
        let request = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
        let request = if version < 3 { request } else { request.with_include_authorized_operations(true) };
        let told = self.ask(version, &request).groups.remove(0);
        let members = told.members.iter().map(|one| {
            let (client, host) = (&one.client_id, &one.client_host);
            format!("{client} {host} {:?} {:?} {:?}", one.group_instance_id, one.member_metadata, one.member_assignment)
        });
        format!(
            "{} {} {:?} {:?} {:?} {}",
            ErrorCode(told.error_code),
            told.group_state,
            told.protocol_type,
            told.protocol_data,
            members.collect::<Vec<_>>(),
            told.authorized_operations
        )
    }

    pub(super) fn deletes_offsets(&mut self, group: &str, topic: &str, partitions: &[i32]) -> String {
        let partition = |partition: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*partition);
        let topic = OffsetDeleteRequestTopic::default().with_name(name(topic));
        let topic = topic.with_partitions(partitions.iter().map(partition).collect());
        let request = OffsetDeleteRequest::default().with_group_id(text(group).into()).with_topics(vec![topic]);
        let told = self.ask(0, &request);
        let codes = told
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|one| (one.partition_index, ErrorCode(one.error_code)));
        format!("offsets deleted {} {:?}", ErrorCode(told.error_code), codes.collect::<BTreeMap<_, _>>())
    }

    /// A member of a group whose consumers read this topic.
    fn reader(&mut self, group: &str, topic: &str) -> (String, i32) {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription(topic));
        let request = join(group, "").with_protocols(vec![protocol]);
        let told = self.ask(9, &request);
        let joined = self.ask(9, &request.with_member_id(told.member_id));
        let (id, generation) = (joined.member_id.to_string(), joined.generation_id);
        let synced = self.ask::<SyncGroupRequest>(5, &sync(group, &id, generation, Some("all")));
        assert_eq!(synced.error_code, 0);
        (id, generation)
    }
}

#[test]
fn commits_of_a_consumer_without_group() {
    same(|client| {
        let (group, topic) = (group(client), client.topic(&[]));
        let mut seen = vec![client.committed(9, &group, None), client.committed(1, &group, Some((&topic, &[0, 7])))];
        for version in 2..=9 {
            seen.push(client.commits(version, &commit(&group, "", -1, &topic, &[(0, i64::from(version)), (7, 1)])));
            seen.push(client.committed(version.min(9), &group, Some((&topic, &[0, 1]))));
        }
        for version in 1..=9 {
            seen.push(client.committed(version, &group, Some((&topic, &[0]))));
            seen.extend((version >= 2).then(|| client.committed(version, &group, None)));
        }
        for text in ["", "some text", &"x".repeat(4096), &"x".repeat(4097), &"ß".repeat(4096), &"😀".repeat(2049)] {
            seen.push(client.commits(9, &with_metadata(commit(&group, "", -1, &topic, &[(0, 7)]), text)));
            seen.push(client.committed(9, &group, Some((&topic, &[0]))));
        }
        for offset in [-1, -2, i64::MAX] {
            seen.push(client.commits(9, &commit(&group, "", -1, &topic, &[(0, offset)])));
            seen.push(client.committed(9, &group, None));
        }
        seen.push(client.commits(9, &commit(&group, "", -1, "no-such-topic", &[(0, 1)])));
        seen.push(client.committed(9, &group, Some(("no-such-topic", &[0]))));
        seen.push(client.commits(9, &commit("", "", -1, &topic, &[(0, 1)])));
        seen.push(client.committed(7, "", Some((&topic, &[0]))));
        seen.push(client.deletes(&[""]));
        seen
    });
}

#[test]
fn commits_of_members() {
    same(|client| {
        let (unknown, group, topic) = (group(client), group(client), client.topic(&[]));
        let (id, generation) = client.reader(&group, &topic);
        let whose = [
            (&*id, generation),
            (&id, generation + 1),
            (&id, -1),
            ("stranger", generation),
            ("", -1),
            ("", 1),
            ("stranger", -1),
        ];
        let mut seen = Seen::new();
        for version in [2, 8, 9] {
            for (member, generation) in whose {
                seen.push(client.commits(version, &commit(&group, member, generation, &topic, &[(0, 5)])));
                seen.push(client.commits(version, &commit(&unknown, member, generation.max(0), &topic, &[(0, 5)])));
            }
        }
        // Nothing of this is there, so nobody is asked who commits it.
        seen.push(client.commits(9, &commit(&group, "stranger", 9, "no-such-topic", &[(0, 5)])));
        seen.push(
            client.commits(9, &with_metadata(commit(&group, "stranger", 9, &topic, &[(0, 5)]), &"x".repeat(4097))),
        );
        seen.push(client.deletes_offsets(&group, &topic, &[0, 7]));
        let other = client.topic(&[]);
        seen.push(client.commits(9, &commit(&group, &id, generation, &other, &[(0, 5)])));
        seen.push(client.deletes_offsets(&group, &other, &[0, 7]));
        seen.push(client.committed(9, &group, None));
        seen.push(client.deletes_offsets("no-such-group", &topic, &[0]));
        seen.push(client.deletes_offsets("", &topic, &[0]));
        seen.push(client.deletes_offsets(&group, "no-such-topic", &[0]));
        seen
    });
}

#[test]
fn what_is_told_of_groups() {
    same(|client| {
        let (simple, group, topic) = (group(client), group(client), client.topic(&[]));
        let mut seen: Seen = (0..=6).map(|version| client.describes(version, "no-such-group")).collect();
        seen.push(client.commits(9, &commit(&simple, "", -1, &topic, &[(0, 5)])));
        seen.push(client.describes(5, &simple));
        let (told, listed) =
            (client.ask(9, &join(&group, "")), |client: &mut Client, version, states: &[&str], types: &[&str]| {
                let all = |names: &[&str]| names.iter().map(|name| text(name)).collect();
                let request =
                    ListGroupsRequest::default().with_states_filter(all(states)).with_types_filter(all(types));
                let listed = client.ask::<ListGroupsRequest>(version, &request);
                let own = listed.groups.iter().filter(|one| [&simple, &group].contains(&&one.group_id.to_string()));
                let own: BTreeSet<_> = own
                    .map(|one| {
                        let number = i32::from(one.group_id.as_str() == group);
                        format!("{number} {:?} {:?} {:?}", one.protocol_type, one.group_state, one.group_type)
                    })
                    .collect();
                format!("{} {own:?}", ErrorCode(listed.error_code))
            });
        // Apache Kafka answers the first JoinGroup before it has written that there is such a group.
        let described = (0..1000).find_map(|_| {
            let described = client.describes(5, &group);
            let exists = !described.contains("Dead");
            if !exists {
                thread::sleep(Duration::from_millis(10));
            }
            exists.then_some(described)
        });
        seen.push(described.expect("a group"));
        let joined = client.ask(9, &join(&group, &told.member_id));
        seen.push(client.describes(5, &group));
        client.ask::<SyncGroupRequest>(5, &sync(&group, &joined.member_id, 1, Some("all")));
        seen.extend((0..=6).map(|version| client.describes(version, &group)));
        for version in 0..=5 {
            seen.push(listed(client, version, &[], &[]));
        }
        for states in [&["stable"][..], &["Empty"], &[" EMPTY ", "Stable"], &["PreparingRebalance", "no such state"]] {
            seen.push(listed(client, 5, states, &[]));
        }
        for types in [&["classic"][..], &["Classic", "consumer"], &["consumer"], &["share"]] {
            seen.push(listed(client, 5, &[], types));
        }
        seen.push(client.deletes(&[&group, &simple, "no-such-group", &simple]));
        seen.push(client.describes(6, &simple));
        seen.push(client.committed(9, &simple, None));
        seen
    });
}

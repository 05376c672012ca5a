//! OffsetCommit (8), v2–9. Pure.
//!
//! Behaviour:
//! * Keeps offsets for a group: for its members in the current generation, and for a client without generation if the group has no members. Such a
//!   client makes a group that does not exist.
//! * Checked in this order: READ for the group; for each topic READ, whether it exists, whether its partitions do. If nothing is left then, the group is not
//!   looked at. `NOT_COORDINATOR`; what the group says; `OFFSET_METADATA_TOO_LARGE` for a text of more than 4,096 characters.
//!
//! Version notes:
//! * v2–4: retention, disregarded; v6: leader epoch; v7: static members; v8: flexible; v9: `GROUP_ID_NOT_FOUND` instead of `ILLEGAL_GENERATION`

use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        faults::Target,
        groups::{Commit, Committed, Who},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

/// `offset.metadata.max.bytes`, which counts characters as Java does.
const MOST_METADATA: usize = 4096;

impl Handler for OffsetCommitRequest {
    const API: Api = Api::OffsetCommit;
    const SERVED: (i16, i16) = (2, 9);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let partitions = |topic: &OffsetCommitRequestTopic| {
            let name = topic.name.to_string();
            let target = move |one: &OffsetCommitRequestPartition| Target {
                topic: name.clone(),
                partition: Some(one.partition_index),
            };
            topic.partitions.iter().map(target).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<OffsetCommitResponse> {
        let may = call.may_with_group(state, Operation::Read, &self.group_id);
        // What each partition gets before its group is asked.
        let mut codes: Vec<Vec<Result<(), ErrorCode>>> = Vec::new();
        let mut commits = Vec::new();
        let mut asks = false;
        for topic in &self.topics {
            let check = |one: &OffsetCommitRequestPartition| {
                if may { check(state, call, topic, one) } else { Err(ErrorCode::GROUP_AUTHORIZATION_FAILED) }
            };
            let checked: Vec<_> = topic.partitions.iter().map(check).collect();
            for (one, code) in topic.partitions.iter().zip(&checked) {
                asks |= [Ok(()), Err(ErrorCode::OFFSET_METADATA_TOO_LARGE)].contains(code);
                commits.extend(code.is_ok().then(|| commit(&topic.name, one)));
            }
            codes.push(checked);
        }
        let taken = if asks { take(self, state, call, commits) } else { Ok(()) };
        let topics = self.topics.iter().zip(codes).map(|(topic, codes)| {
            let partitions =
                topic.partitions.iter().zip(codes).map(|(one, code)| respond(call, topic, one, code, taken));
            OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        let response = OffsetCommitResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(response.with_topics(topics.collect()))
    }
}

fn check(
    state: &State,
    call: &Call<'_>,
    topic: &OffsetCommitRequestTopic,
    one: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    if let Some(code) = call.plan.refusal(&topic.name, Some(one.partition_index)) {
        return Err(code);
    }
    call.check_offset(state, &topic.name, one.partition_index)?;
    let length = one.committed_metadata.as_ref().map_or(0, |text| text.encode_utf16().count());
    if length > MOST_METADATA { Err(ErrorCode::OFFSET_METADATA_TOO_LARGE) } else { Ok(()) }
}

fn commit(topic: &str, one: &OffsetCommitRequestPartition) -> Commit {
    let committed = Committed {
        offset: one.committed_offset,
        leader_epoch: one.committed_leader_epoch,
        metadata: one.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    Commit { topic: topic.to_owned(), partition: one.partition_index, committed }
}

/// The group takes offsets, or says why it does not.
fn take(
    request: &OffsetCommitRequest,
    state: &mut State,
    call: &Call<'_>,
    commits: Vec<Commit>,
) -> Result<(), ErrorCode> {
    call.check_coordinator(state, &request.group_id)?;
    let who = Who {
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_ref().map(ToString::to_string),
    };
    let unknown = if call.version >= 9 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION };
    let generation = request.generation_id_or_member_epoch;
    state.touched.group(&request.group_id);
    state.groups.commit(call.now_ms, &request.group_id, &who, generation, commits).map_err(|code| match code {
        ErrorCode::GROUP_ID_NOT_FOUND => unknown,
        code => code,
    })
}

fn respond(
    call: &Call<'_>,
    topic: &OffsetCommitRequestTopic,
    one: &OffsetCommitRequestPartition,
    code: Result<(), ErrorCode>,
    taken: Result<(), ErrorCode>,
) -> OffsetCommitResponsePartition {
    let code = match code {
        Err(ErrorCode::OFFSET_METADATA_TOO_LARGE) => taken.and(code),
        code => code.and(taken),
    };
    let denied = call.plan.denial(&topic.name, Some(one.partition_index));
    let code = denied.or_else(|| code.err()).unwrap_or(ErrorCode::NONE);
    OffsetCommitResponsePartition::default().with_partition_index(one.partition_index).with_error_code(code.0)
}

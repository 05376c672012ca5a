//! OffsetDelete (47), v0. Pure.
//!
//! Behaviour:
//! * Deletes what a group has committed for topics that it does not read now.
//! * Checked in this order: DELETE for the group; for each topic READ, whether it exists, whether its partitions do; `INVALID_GROUP_ID`, `NOT_COORDINATOR`;
//!   `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP` for a group with members that are no consumers; `GROUP_SUBSCRIBED_TO_TOPIC`.

use kafka_protocol::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse,
    offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for OffsetDeleteRequest {
    const API: Api = Api::OffsetDelete;
    const SERVED: (i16, i16) = (0, 0);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<OffsetDeleteResponse> {
        let response = OffsetDeleteResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        let checked = call.check_group(state, Operation::Delete, &self.group_id);
        if let Err(code) = checked.and_then(|()| state.groups.check_offset_delete(call.now_ms, &self.group_id)) {
            return Response::Reply(response.with_error_code(code.0));
        }
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|one| {
                let partition = one.partition_index;
                let deleted = delete(state, call, &self.group_id, &topic.name, partition);
                let code = deleted.err().unwrap_or(ErrorCode::NONE);
                OffsetDeleteResponsePartition::default().with_partition_index(partition).with_error_code(code.0)
            });
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        Response::Reply(response.with_topics(topics.collect()))
    }
}

fn delete(state: &mut State, call: &Call<'_>, group: &str, topic: &str, partition: i32) -> Result<(), ErrorCode> {
    call.check_offset(state, topic, partition)?;
    state.touched.group(group);
    state.groups.delete_offset(group, topic, partition)
}

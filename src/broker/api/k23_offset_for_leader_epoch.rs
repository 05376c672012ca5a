//! OffsetForLeaderEpoch (23), v2–4. Pure.
//!
//! Behaviour, for each partition (KIP-101, KIP-320):
//! * The newest epoch that is not newer than the one that was asked for, and the offset behind its last record; for the current one that is the
//!   log's end. An epoch that is older than all that are known ends where these begin. -1 for both, if the epoch is newer than all, or negative.
//! * A client that may neither DESCRIBE the topic nor do a CLUSTER_ACTION: `TOPIC_AUTHORIZATION_FAILED`.
//! * `UNKNOWN_TOPIC_OR_PARTITION`, `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`, `NOT_LEADER_OR_FOLLOWER`.
//!
//! Version notes:
//! * v3: who asks, disregarded; v4: flexible

use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, epochs::EpochEnd, faults::Target, kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for OffsetForLeaderEpochRequest {
    const API: Api = Api::OffsetForLeaderEpoch;
    const SERVED: (i16, i16) = (2, 4);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let partitions = |topic: &OffsetForLeaderTopic| {
            let name = topic.topic.to_string();
            let target =
                move |p: &OffsetForLeaderPartition| Target { topic: name.clone(), partition: Some(p.partition) };
            topic.partitions.iter().map(target).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<OffsetForLeaderEpochResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| respond(state, call, &topic.topic, wanted));
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
        });
        let response = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn respond(state: &State, call: &Call<'_>, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let response = EpochEndOffset::default().with_partition(wanted.partition).with_leader_epoch(-1).with_end_offset(-1);
    match look_up(state, call, topic, wanted) {
        Err(code) => response.with_error_code(code.0),
        Ok(None) => response,
        Ok(Some(end)) => response.with_leader_epoch(end.epoch).with_end_offset(end.offset),
    }
}

fn look_up(
    state: &State,
    call: &Call<'_>,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    if let Some(code) = call.plan.refusal(topic, Some(wanted.partition)) {
        return Err(code);
    }
    if !call.may_with_cluster(state, Operation::ClusterAction) && !call.may(state, Operation::Describe, topic) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let topic = state.topics.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(wanted.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, wanted.current_leader_epoch)?;
    Ok(partition.epochs.end_of(wanted.leader_epoch, partition.log.end_offset()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{BatchOf, TestCluster, name},
    };

    fn orders() -> Builder {
        EmbeddedBroker::builder().topic("orders", 2)
    }

    /// `orders-0` with two records in epoch 0, none in epoch 1, and one in epoch 2.
    fn cluster(builder: Builder) -> TestCluster {
        let mut cluster = TestCluster::new(builder, 2);
        assert_eq!(cluster.produce(BatchOf::values(&["a", "b"]).encode()).error_code, 0);
        (0..2).for_each(|_| cluster.state.move_leader("orders", 0, 1, true).unwrap());
        assert_eq!(cluster.produce(BatchOf::values(&["c"]).encode()).base_offset, 2);
        cluster
    }

    fn request(partition: i32, epoch: i32, current: i32) -> OffsetForLeaderEpochRequest {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_leader_epoch(epoch)
            .with_current_leader_epoch(current);
        let topic = OffsetForLeaderTopic::default().with_topic(name("orders")).with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
    }

    /// Code, epoch and offset.
    fn ask(cluster: &mut TestCluster, version: i16, request: &OffsetForLeaderEpochRequest) -> (ErrorCode, i32, i64) {
        let end = cluster.ask(1, version, request).topics.remove(0).partitions.remove(0);
        (ErrorCode(end.error_code), end.leader_epoch, end.end_offset)
    }

    #[test]
    fn every_version_tells_where_the_records_of_an_epoch_end() {
        for version in 2..=4 {
            let mut cluster = cluster(orders());
            for (epoch, told, end) in [(0, 0, 2), (1, 0, 2), (2, 2, 3), (3, -1, -1), (-1, -1, -1)] {
                let got = ask(&mut cluster, version, &request(0, epoch, -1));
                assert_eq!(got, (ErrorCode::NONE, told, end), "{epoch}");
            }
        }
    }

    #[test]
    fn an_epoch_whose_records_are_deleted_ends_where_the_log_begins() {
        let mut cluster = cluster(orders());
        cluster.state.partition_mut("orders", 0).unwrap().start_at(3);
        assert_eq!(ask(&mut cluster, 4, &request(0, 0, -1)), (ErrorCode::NONE, 0, 3));
        cluster.state.truncate_log("orders", 0, 0).unwrap();
        assert_eq!(ask(&mut cluster, 4, &request(0, 2, -1)), (ErrorCode::NONE, 2, 0));
    }

    #[test]
    fn errors_stand_at_their_partition() {
        let mut cluster = cluster(orders());
        for (partition, current, code) in [
            (0, 2, ErrorCode::NONE),
            (0, 1, ErrorCode::FENCED_LEADER_EPOCH),
            (0, 3, ErrorCode::UNKNOWN_LEADER_EPOCH),
            (1, -1, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (2, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            assert_eq!(ask(&mut cluster, 4, &request(partition, 0, current)).0, code, "{partition} {current}");
        }
        cluster.state.inject(Fault::error(ErrorCode::LEADER_NOT_AVAILABLE).at("orders", 0));
        let refused = (ErrorCode::LEADER_NOT_AVAILABLE, -1, -1);
        assert_eq!(ask(&mut cluster, 4, &request(0, 0, -1)), refused);
    }

    #[test]
    fn who_may_neither_see_the_topic_nor_act_for_the_cluster_is_refused() {
        for (rule, code) in [
            ("WRITE topic orders", ErrorCode::NONE),
            ("CREATE topic orders", ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            ("CLUSTER_ACTION cluster", ErrorCode::NONE),
        ] {
            let rule = format!("User:ANONYMOUS {rule}").parse().unwrap();
            let mut cluster = TestCluster::new(orders().acl(rule), 2);
            assert_eq!(ask(&mut cluster, 4, &request(0, 0, -1)).0, code);
        }
    }
}

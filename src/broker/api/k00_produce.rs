//! Produce (0), v3–13. Pure.
//!
//! Behaviour, for each partition on its own and in Apache Kafka's order:
//! * the client may not WRITE: `TOPIC_AUTHORIZATION_FAILED`
//! * `UNKNOWN_TOPIC_OR_PARTITION` (by name) or `UNKNOWN_TOPIC_ID`
//! * not exactly one batch, or not format v2: `INVALID_RECORD`
//! * acks other than -1, 0 and 1: `INVALID_REQUIRED_ACKS`
//! * another node leads: `NOT_LEADER_OR_FOLLOWER`, with the leader and its address from v10 on (KIP-951), unless the
//!   leader was moved silently
//! * acks=-1 and fewer replicas in sync than `min.insync.replicas`: `NOT_ENOUGH_REPLICAS`
//! * then the batch itself ([`crate::broker::validate`]) and its sequence number ([`crate::broker::producers`])
//!
//! With acks=0 there is no response, and an error closes the connection. `timeout_ms` is ignored, because replicas never lag. Null
//! records are refused as if there were no batch; Apache Kafka 4.2 closes the connection. Transactional batches fail with
//! `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`. zstd is accepted in every version; Apache Kafka requires version 7.
//!
//! Version notes:
//! * v5: log start offset in the response
//! * v8: error message and the records that caused it (KIP-467)
//! * v9: flexible
//! * v10: leader hints
//! * v13: topic ids instead of names (KIP-516)

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        ProduceRequest, ProduceResponse, TopicName,
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::{
            BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
        },
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        config::TopicConfig,
        faults::Target,
        kind::Api,
        state::State,
        topic::{AppendedBatch, PartitionLog, TopicLog},
        validate::{self, Refusal},
    },
    error::ErrorCode,
    wire::record_batch::reader::Batch,
};

/// The first version whose response names the current leader.
const HINTS_SINCE: i16 = 10;

impl Handler for ProduceRequest {
    const API: Api = Api::Produce;
    const SERVED: (i16, i16) = (3, 13);

    fn targets(&self, state: &State) -> Vec<Target> {
        let partitions = |topic: &TopicProduceData| {
            let name = name_of(state, topic).unwrap_or_default();
            let target = move |data: &PartitionProduceData| Target { topic: name.clone(), partition: Some(data.index) };
            topic.partition_data.iter().map(target).collect::<Vec<_>>()
        };
        self.topic_data.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<ProduceResponse> {
        let topics: Vec<_> = self.topic_data.iter().map(|topic| answer_topic(self, state, call, topic)).collect();
        let failed = topics.iter().flat_map(|topic| &topic.partition_responses).any(|p| p.error_code != 0);
        match self.acks {
            0 if failed => Response::Close,
            0 => Response::Silent,
            _ => Response::Reply(
                ProduceResponse::default()
                    .with_node_endpoints(endpoints(state, &topics))
                    .with_responses(topics)
                    .with_throttle_time_ms(call.plan.throttle_ms()),
            ),
        }
    }
}

/// The topic's name. From v13 on requests have its id instead.
fn name_of(state: &State, topic: &TopicProduceData) -> Option<String> {
    if topic.topic_id.is_nil() {
        return Some(topic.name.to_string());
    }
    state.topic_by_id(topic.topic_id).map(|(name, _)| name.clone())
}

fn answer_topic(
    request: &ProduceRequest,
    state: &mut State,
    call: &Call<'_>,
    topic: &TopicProduceData,
) -> TopicProduceResponse {
    let by_id = call.version >= 13;
    let name =
        if by_id { state.topic_by_id(topic.topic_id).map(|(name, _)| name.clone()) } else { name_of(state, topic) };
    let response = |data| match &name {
        Some(name) => answer_partition(request, state, call, name, data),
        None => failure(data.index, &Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, "no topic has this id")),
    };
    let partitions = topic.partition_data.iter().map(response).collect();
    let response = TopicProduceResponse::default().with_partition_responses(partitions);
    if by_id { response.with_topic_id(topic.topic_id) } else { response.with_name(TopicName(topic.name.0.clone())) }
}

fn answer_partition(
    request: &ProduceRequest,
    state: &mut State,
    call: &Call<'_>,
    topic: &str,
    data: &PartitionProduceData,
) -> PartitionProduceResponse {
    if let Some(code) = call.plan.refusal(topic, Some(data.index)) {
        return failure(data.index, &Refusal::new(code, "injected fault"));
    }
    if !call.may(state, Operation::Write, topic) {
        return failure(data.index, &Refusal::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, ""));
    }
    let denial = call.plan.denial(topic, Some(data.index));
    let State { nodes, topics, .. } = state;
    let is_up = |node: i32| nodes.get(&node).is_some_and(|node| node.up);
    let (config, partition, batch) = match admit(request, topics, topic, data) {
        Ok(admitted) => admitted,
        Err(refusal) => return failure(data.index, &refusal),
    };
    if let Err(code) = partition.check_leader(call.node, -1) {
        return hint(
            failure(data.index, &Refusal::new(code, "this node does not lead the partition")),
            partition,
            call,
        );
    }
    let enough = if request.acks == -1 { partition.check_in_sync(config, is_up) } else { Ok(()) };
    match (enough.and_then(|()| partition.append(&batch, config, call.now_ms)), denial) {
        (Ok(_), Some(code)) => failure(data.index, &Refusal::new(code, "injected fault, after the append")),
        (appended, _) => response_of(data.index, appended, partition.log.start_offset()),
    }
}

/// Checks that Apache Kafka makes before it looks for the partition's leader.
fn admit<'a>(
    request: &ProduceRequest,
    topics: &'a mut BTreeMap<String, TopicLog>,
    topic: &str,
    data: &PartitionProduceData,
) -> Result<(&'a TopicConfig, &'a mut PartitionLog, Batch), Refusal> {
    let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "no such topic or partition");
    let topic = topics.get_mut(topic).ok_or_else(unknown)?;
    let index = usize::try_from(data.index).map_err(|_| unknown())?;
    let partition = topic.partitions.get_mut(index).ok_or_else(unknown)?;
    let batch = validate::one_batch(data.records.as_ref())?;
    if request.transactional_id.is_some() || batch.header().is_transactional() {
        let message = "this broker has no transactions";
        return Err(Refusal::new(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message));
    }
    if !matches!(request.acks, -1..=1) {
        let message = format!("acks is {}, expected -1, 0 or 1", request.acks);
        return Err(Refusal::new(ErrorCode::INVALID_REQUIRED_ACKS, message));
    }
    Ok((&topic.config, partition, batch))
}

fn response_of(index: i32, appended: Result<AppendedBatch, Refusal>, log_start: i64) -> PartitionProduceResponse {
    match appended {
        Ok(appended) => success(index, appended).with_log_start_offset(log_start),
        Err(refusal) if untold(refusal.code) => failure(index, &refusal),
        Err(refusal) => failure(index, &refusal).with_log_start_offset(log_start),
    }
}

/// The errors of a log for which Apache Kafka's response has no log start offset.
fn untold(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::CORRUPT_MESSAGE | ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE)
}

fn success(index: i32, appended: AppendedBatch) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.log_append_time_ms)
}

fn failure(index: i32, refusal: &Refusal) -> PartitionProduceResponse {
    let text = |text: &str| Some(StrBytes::from_string(text.to_owned()));
    let blame = |(index, message): &(i32, String)| {
        BatchIndexAndErrorMessage::default().with_batch_index(*index).with_batch_index_error_message(text(message))
    };
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(refusal.code.0)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_record_errors(refusal.records.iter().map(blame).collect())
        .with_error_message(text(&refusal.message).filter(|message| !message.is_empty()))
}

fn hint(response: PartitionProduceResponse, partition: &PartitionLog, call: &Call<'_>) -> PartitionProduceResponse {
    let Some(leader) = partition.leader else { return response };
    if call.version < HINTS_SINCE || !partition.hints || response.error_code != ErrorCode::NOT_LEADER_OR_FOLLOWER.0 {
        return response;
    }
    let epoch = partition.leader_epoch;
    response.with_current_leader(LeaderIdAndEpoch::default().with_leader_id(leader.into()).with_leader_epoch(epoch))
}

/// The addresses of every leader that a hint names.
fn endpoints(state: &State, topics: &[TopicProduceResponse]) -> Vec<NodeEndpoint> {
    let partitions = topics.iter().flat_map(|topic| &topic.partition_responses);
    let named = partitions.map(|partition| partition.current_leader.leader_id.0);
    let nodes: BTreeMap<_, _> = named.filter_map(|id| Some((id, state.nodes.get(&id)?))).collect();
    let endpoint = |(id, node): (i32, &crate::broker::state::BrokerNode)| {
        let host = StrBytes::from_string(node.host.clone());
        NodeEndpoint::default()
            .with_node_id(id.into())
            .with_host(host)
            .with_port(node.port.into())
            .with_rack(state.settings.rack(id))
    };
    nodes.into_iter().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{BatchOf, NOW, TestCluster, produce},
    };

    fn cluster(builder: Builder) -> TestCluster {
        TestCluster::new(builder.topic("orders", 2), 3)
    }

    fn default_cluster() -> TestCluster {
        cluster(EmbeddedBroker::builder())
    }

    fn batch() -> Bytes {
        BatchOf::values(&["a", "b"]).encode()
    }

    /// Asks node 1, which leads `orders-0` and not `orders-1`.
    fn ask(cluster: &mut TestCluster, version: i16, request: &ProduceRequest) -> PartitionProduceResponse {
        cluster.ask(1, version, request).responses.remove(0).partition_responses.remove(0)
    }

    fn code(cluster: &mut TestCluster, version: i16, request: &ProduceRequest) -> ErrorCode {
        ErrorCode(ask(cluster, version, request).error_code)
    }

    #[test]
    fn every_version_appends_and_tells_the_offset() {
        let mut cluster = default_cluster();
        let id = cluster.state.topics["orders"].id;
        for (version, base_offset) in (3..=13).zip((0..).step_by(2)) {
            let mut request = produce("orders", 0, batch());
            if version == 13 {
                request.topic_data[0] = request.topic_data[0].clone().with_topic_id(id).with_name(TopicName::default());
            }
            let response = ask(&mut cluster, version, &request);
            assert_eq!((response.error_code, response.base_offset, response.log_append_time_ms), (0, base_offset, -1));
        }
        assert_eq!(cluster.state.log("orders", 0).len(), 22);
    }

    #[test]
    fn a_repeated_batch_gets_the_offset_it_got_the_first_time() {
        let mut cluster = default_cluster();
        let batch = |sequence| BatchOf::values(&["a", "b"]).by_producer(5, 0, sequence).encode();
        let offsets = [0, 2, 0, 4, 2].map(|sequence| cluster.produce(batch(sequence)).base_offset);
        assert_eq!(offsets, [0, 2, 0, 4, 2]);
        let gap = cluster.produce(batch(8));
        assert_eq!(ErrorCode(gap.error_code), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        assert_eq!((gap.base_offset, gap.log_start_offset), (-1, 0));
        assert_eq!(cluster.state.log("orders", 0).len(), 6);
    }

    #[test]
    fn topics_partitions_and_ids_that_do_not_exist_are_told_apart() {
        let mut cluster = default_cluster();
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(code(&mut cluster, 12, &produce("nothing", 0, batch())), unknown);
        assert_eq!(code(&mut cluster, 12, &produce("orders", 2, batch())), unknown);
        assert_eq!(code(&mut cluster, 12, &produce("orders", -1, batch())), unknown);
        let id = crate::cluster::TopicId::from_u128(1);
        let mut request = produce("", 0, batch());
        request.topic_data[0].topic_id = id;
        let response = cluster.ask(1, 13, &request);
        assert_eq!(response.responses[0].topic_id, id);
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID.0);
    }

    #[test]
    fn a_node_that_does_not_lead_says_who_does_from_version_10_on() {
        let mut cluster = default_cluster();
        let response = cluster.ask(1, 10, &produce("orders", 1, batch()));
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(ErrorCode(partition.error_code), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!((partition.current_leader.leader_id.0, partition.current_leader.leader_epoch), (2, 0));
        let [node] = &response.node_endpoints[..] else { panic!("{response:?}") };
        assert_eq!((node.node_id.0, node.host.as_str(), node.port), (2, "127.0.0.1", 9002));
        let response = ask(&mut cluster, 9, &produce("orders", 1, batch()));
        assert_eq!(response.current_leader, LeaderIdAndEpoch::default());
    }

    #[test]
    fn a_leader_that_was_moved_silently_is_not_named() {
        let mut cluster = default_cluster();
        cluster.state.move_leader("orders", 0, 3, false).unwrap();
        let response = cluster.ask(1, 12, &produce("orders", 0, batch()));
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER.0);
        assert!(response.node_endpoints.is_empty());
        cluster.state.move_leader("orders", 0, 2, true).unwrap();
        let response = cluster.ask(1, 12, &produce("orders", 0, batch()));
        assert_eq!(response.responses[0].partition_responses[0].current_leader.leader_epoch, 2);
        assert_eq!(response.node_endpoints.len(), 1);
    }

    #[test]
    fn the_new_leader_goes_on_with_log_and_producers_in_its_own_epoch() {
        let mut cluster = default_cluster();
        let batch = |sequence| BatchOf::values(&["a"]).by_producer(5, 0, sequence).encode();
        cluster.produce(batch(0));
        cluster.state.move_leader("orders", 0, 2, true).unwrap();
        let offsets = [0, 1].map(|sequence| {
            cluster.ask(2, 12, &produce("orders", 0, batch(sequence))).responses[0].partition_responses[0].base_offset
        });
        assert_eq!(offsets, [0, 1]);
        let epochs: Vec<_> = cluster.state.log("orders", 0).iter().map(|record| record.leader_epoch).collect();
        assert_eq!(epochs, [0, 1]);
    }

    #[test]
    fn acks_all_needs_enough_replicas_in_sync_and_other_acks_do_not() {
        let mut cluster = cluster(EmbeddedBroker::builder().topic_default("min.insync.replicas", "2"));
        cluster.state.limit_in_sync("orders", 0, 1).unwrap();
        let response = cluster.produce(batch());
        assert_eq!((ErrorCode(response.error_code), response.log_start_offset), (ErrorCode::NOT_ENOUGH_REPLICAS, 0));
        assert_eq!(code(&mut cluster, 12, &produce("orders", 0, batch()).with_acks(1)), ErrorCode::NONE);
        cluster.state.limit_in_sync("orders", 0, 2).unwrap();
        assert_eq!(cluster.produce(batch()).error_code, 0);
        cluster.state.stop(2);
        assert_eq!(cluster.produce(batch()).error_code, 0);
        cluster.state.stop(3);
        assert_eq!(ErrorCode(cluster.produce(batch()).error_code), ErrorCode::NOT_ENOUGH_REPLICAS);
    }

    #[test]
    fn more_replicas_in_sync_than_there_are_is_never_asked_for() {
        let builder = EmbeddedBroker::builder().topic_default("min.insync.replicas", "3").replication_factor(1);
        assert_eq!(cluster(builder).produce(batch()).error_code, 0);
    }

    #[test]
    fn acks_other_than_all_one_and_none_are_refused() {
        for acks in [-2, 2, i16::MAX] {
            let request = produce("orders", 0, batch()).with_acks(acks);
            assert_eq!(code(&mut default_cluster(), 12, &request), ErrorCode::INVALID_REQUIRED_ACKS);
        }
    }

    #[test]
    fn without_acks_there_is_no_answer_and_a_failure_closes_the_connection() {
        let mut cluster = default_cluster();
        let reply = cluster.reply(1, 12, &produce("orders", 0, batch()).with_acks(0));
        assert!(reply.bytes.is_empty() && !reply.close);
        assert_eq!(cluster.state.log("orders", 0).len(), 2);
        let reply = cluster.reply(1, 12, &produce("orders", 1, batch()).with_acks(0));
        assert!(reply.bytes.is_empty() && reply.close);
    }

    #[test]
    fn transactions_are_refused() {
        let refused = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        let transactional = BatchOf { attributes: 0b1_0000, ..BatchOf::values(&["a"]).by_producer(1, 0, 0) };
        assert_eq!(ErrorCode(default_cluster().produce(transactional.encode()).error_code), refused);
        let request = produce("orders", 0, batch()).with_transactional_id(Some(StrBytes::from_static_str("t").into()));
        assert_eq!(code(&mut default_cluster(), 12, &request), refused);
    }

    #[test]
    fn records_to_blame_are_named_from_version_8_on() {
        let mut cluster = cluster(EmbeddedBroker::builder().topic_default("cleanup.policy", "compact"));
        let response = cluster.produce(batch());
        let blamed: Vec<_> = response.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!((ErrorCode(response.error_code), blamed), (ErrorCode::INVALID_RECORD, vec![0, 1]));
        assert!(response.error_message.is_some());
        assert!(ask(&mut cluster, 7, &produce("orders", 0, batch())).record_errors.is_empty());
    }

    #[test]
    fn with_log_append_time_the_broker_sets_the_time_and_tells_it() {
        let mut cluster = cluster(EmbeddedBroker::builder().topic_default("message.timestamp.type", "LogAppendTime"));
        let old = BatchOf { base_timestamp: 5, ..BatchOf::values(&["a"]).by_producer(1, 0, 0) }.encode();
        assert_eq!(cluster.produce(old.clone()).log_append_time_ms, NOW);
        cluster.now_ms += 1000;
        assert_eq!(cluster.produce(old).log_append_time_ms, NOW, "a repetition has the time of the first one");
        assert_eq!(cluster.state.log("orders", 0)[0].timestamp, NOW);
    }

    #[test]
    fn partitions_of_one_request_fail_on_their_own() {
        let mut cluster = default_cluster();
        let mut request = produce("orders", 0, batch());
        let bad = PartitionProduceData::default().with_index(0).with_records(Some(batch().slice(..70)));
        request.topic_data[0].partition_data.insert(0, bad);
        let response = cluster.ask(1, 12, &request);
        let codes: Vec<_> = response.responses[0].partition_responses.iter().map(|p| ErrorCode(p.error_code)).collect();
        assert_eq!(codes, [ErrorCode::INVALID_RECORD, ErrorCode::NONE]);
    }

    #[test]
    fn an_injected_error_appends_nothing_unless_it_is_to_come_after_the_append() {
        let mut cluster = default_cluster();
        let mut code_of = |fault: Fault| {
            cluster.state.inject(fault.on(Api::Produce).at("orders", 0));
            let code = ErrorCode(cluster.produce(batch()).error_code);
            (code, cluster.state.log("orders", 0).len())
        };
        let timed_out = ErrorCode::REQUEST_TIMED_OUT;
        assert_eq!(code_of(Fault::error(timed_out)), (timed_out, 0));
        assert_eq!(code_of(Fault::error_after_append(timed_out)), (timed_out, 2));
        assert_eq!(code_of(Fault::error(timed_out).times(0)), (ErrorCode::NONE, 4));
    }
}

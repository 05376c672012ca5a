//! Produce (0), v3–13 [P]
//!
//! Behaviour, for each partition on its own and in Apache Kafka's order:
//! * `UNKNOWN_TOPIC_OR_PARTITION` (by name) or `UNKNOWN_TOPIC_ID`
//! * not exactly one batch, or not format v2: `INVALID_RECORD`
//! * acks other than -1, 0 and 1: `INVALID_REQUIRED_ACKS`
//! * another node leads: `NOT_LEADER_OR_FOLLOWER`, with the leader and its address from v10 on (KIP-951), unless the
//!   leader was moved silently
//! * acks=-1 and fewer replicas in sync than `min.insync.replicas`: `NOT_ENOUGH_REPLICAS`
//! * then the batch itself ([`crate::broker::validate`]) and its sequence number ([`crate::broker::producers`])
//!
//! With acks=0 nothing is answered; if anything failed, the connection is closed. `timeout_ms` is disregarded, because
//! replicas never lag. Transactional batches fail with `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, zstd or not:
//! compressed batches with `UNSUPPORTED_COMPRESSION_TYPE`.
//!
//! Version notes:
//! * v5: log start offset in the response
//! * v8: error message and the records to blame (KIP-467)
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

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{
        codes,
        faults::Target,
        state::State,
        topic::{Appended, Partition},
        validate::{self, Refusal},
    },
    error::ErrorCode,
};

/// The first version that tells who leads instead.
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

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<ProduceResponse> {
        let topics: Vec<_> = self.topic_data.iter().map(|topic| answer_topic(self, state, call, topic)).collect();
        let failed = topics.iter().flat_map(|topic| &topic.partition_responses).any(|p| p.error_code != 0);
        match self.acks {
            0 if failed => Answer::Close,
            0 => Answer::Silent,
            _ => Answer::Reply(
                ProduceResponse::default()
                    .with_node_endpoints(endpoints(state, &topics))
                    .with_responses(topics)
                    .with_throttle_time_ms(call.plan.throttle_ms()),
            ),
        }
    }
}

/// The topic's name; from v13 on requests name its id.
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
    let answer = |data| match &name {
        Some(name) => answer_partition(request, state, call, name, data),
        None => failure(data.index, &Refusal::new(codes::UNKNOWN_TOPIC_ID, "no topic has this id")),
    };
    let partitions = topic.partition_data.iter().map(answer).collect();
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
    let appended = append(request, state, call, topic, data);
    if let (Ok(_), Some(code)) = (&appended, call.plan.denial(topic, Some(data.index))) {
        return failure(data.index, &Refusal::new(code, "injected fault, after the append"));
    }
    let partition = state.partition_mut(topic, data.index);
    let log_start = partition.as_ref().map_or(-1, |partition| partition.log.start_offset());
    match (appended, partition) {
        (Ok(appended), _) => success(data.index, appended).with_log_start_offset(log_start),
        (Err(refusal), Some(partition)) => hint(failure(data.index, &refusal), partition, call)
            .with_log_start_offset(if tells_log_start(refusal.code) { log_start } else { -1 }),
        (Err(refusal), None) => failure(data.index, &refusal),
    }
}

fn append(
    request: &ProduceRequest,
    state: &mut State,
    call: &Call<'_>,
    topic: &str,
    data: &PartitionProduceData,
) -> Result<Appended, Refusal> {
    let State { nodes, topics, .. } = state;
    let is_up = |node: i32| nodes.get(&node).is_some_and(|node| node.up);
    let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "no such topic or partition");
    let topic = topics.get_mut(topic).ok_or_else(unknown)?;
    let config = &topic.config;
    let index = usize::try_from(data.index).map_err(|_| unknown())?;
    let partition = topic.partitions.get_mut(index).ok_or_else(unknown)?;
    let batch = validate::one_batch(data.records.as_ref())?;
    if request.transactional_id.is_some() || batch.header().is_transactional() {
        let message = "this broker has no transactions";
        return Err(Refusal::new(codes::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message));
    }
    if !matches!(request.acks, -1..=1) {
        let message = format!("acks is {}, expected -1, 0 or 1", request.acks);
        return Err(Refusal::new(codes::INVALID_REQUIRED_ACKS, message));
    }
    partition
        .check_leader(call.node, -1)
        .map_err(|code| Refusal::new(code, "this node does not lead the partition"))?;
    if request.acks == -1 {
        partition.check_in_sync(config, is_up)?;
    }
    partition.append(&batch, config, call.now_ms)
}

fn success(index: i32, appended: Appended) -> PartitionProduceResponse {
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
        .with_error_message(text(&refusal.message))
}

/// Apache Kafka leaves the log start offset out where the log was not looked at.
fn tells_log_start(code: ErrorCode) -> bool {
    let untold = [
        ErrorCode::CORRUPT_MESSAGE,
        ErrorCode::MESSAGE_TOO_LARGE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        codes::INVALID_REQUIRED_ACKS,
    ];
    !untold.contains(&code)
}

fn hint(response: PartitionProduceResponse, partition: &Partition, call: &Call<'_>) -> PartitionProduceResponse {
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
    let endpoint = |(id, node): (i32, &crate::broker::state::Node)| {
        let host = StrBytes::from_string(node.host.clone());
        NodeEndpoint::default().with_node_id(id.into()).with_host(host).with_port(node.port.into())
    };
    nodes.into_iter().map(endpoint).collect()
}

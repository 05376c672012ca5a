//! Whether answers and records are what a step claims.
//!
//! In: answers as JSON, and records. Out: a verdict for each claim. Pure.

use std::collections::BTreeMap;

use milena::admin::ConsumedRecord;
use serde_json::Value;

use super::http::Reply;
use crate::lab::{
    checks::{Verdict, claim},
    orders::header,
};

const EVENT_ID: &str = "eventId";

/// Partition and offset of an answer, if it is one to a request that waited for its record.
pub(super) fn place(reply: &Reply) -> Option<(i32, i64)> {
    let json = reply.json();
    let partition = i32::try_from(json["partition"].as_i64()?).ok()?;
    Some((partition, json["offset"].as_i64()?)).filter(|_| reply.status == 200)
}

/// The id by which the state of a request can be asked for, if the answer is one to a request that did not wait.
pub(super) fn accepted(reply: &Reply) -> Option<String> {
    let id = reply.json()["requestId"].as_str()?.to_owned();
    let location = format!("/api/v1/status?requestId={id}");
    Some(id).filter(|_| reply.status == 202 && reply.location.as_deref() == Some(&location))
}

/// The record with this event id stands where the answer says.
pub(super) fn stands(records: &[ConsumedRecord], event: &str, place: Option<(i32, i64)>) -> Verdict {
    let found: Vec<_> = places(records, event).collect();
    let told = format!("{found:?}, as partition and offset");
    claim(
        "the record is in the topic once, where the answer says",
        found.len() == 1 && found.first().copied() == place,
        told,
    )
}

/// Partition and offset of each record with this event id.
pub(super) fn places(records: &[ConsumedRecord], event: &str) -> impl Iterator<Item = (i32, i64)> {
    let of_event = records.iter().filter(move |record| header(record, EVENT_ID) == Some(event));
    of_event.map(|record| (record.partition, record.offset))
}

/// How often each of these events was written.
pub(super) fn copies<'a>(records: &[ConsumedRecord], events: &'a [String]) -> BTreeMap<&'a str, usize> {
    events.iter().map(|event| (event.as_str(), places(records, event).count())).collect()
}

/// A failed request says what failed, whether it may be tried again, and what became of its record.
pub(super) fn told_as_error(state: &Value) -> Verdict {
    let is_told = state["error"].is_string() && state["retriable"].is_boolean() && state["outcome"].is_string();
    claim("its state is ERROR, with the error, retriable, and outcome", state["state"] == "ERROR" && is_told, state)
}

/// How many records of this client were sent again, by Prometheus' text.
pub(super) fn retried(metrics: &str, client: &str) -> f64 {
    let label = format!("client_id=\"{client}\"");
    let of_client = |line: &&str| line.starts_with("kafka_producer_retried_records_total{") && line.contains(&label);
    let values = metrics.lines().filter(of_client).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use milena::admin::TimestampType;
    use serde_json::json;

    use super::*;

    fn record(partition: i32, offset: i64, event: &str) -> ConsumedRecord {
        ConsumedRecord {
            partition,
            offset,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers: vec![(EVENT_ID.into(), Some(Bytes::copy_from_slice(event.as_bytes())))],
        }
    }

    fn reply(status: u16, json: &Value, location: Option<&str>) -> Reply {
        Reply { status, location: location.map(str::to_owned), text: json.to_string() }
    }

    #[test]
    fn only_an_answer_that_waited_has_a_place_and_only_one_that_did_not_has_a_state() {
        let sent = json!({"partition": 2, "offset": 7, "requestId": "a"});
        assert_eq!(place(&reply(200, &sent, None)), Some((2, 7)));
        assert_eq!(place(&reply(202, &sent, None)), None);
        assert_eq!(place(&reply(200, &json!({"partition": 2}), None)), None);
        let location = Some("/api/v1/status?requestId=a");
        assert_eq!(accepted(&reply(202, &sent, location)), Some("a".into()));
        assert_eq!(accepted(&reply(200, &sent, location)), None);
        assert_eq!(accepted(&reply(202, &sent, None)), None);
    }

    #[test]
    fn a_record_stands_where_it_was_answered_only_if_it_stands_there_once() {
        let records = [record(0, 1, "a"), record(1, 1, "b"), record(2, 9, "b")];
        for (event, place, holds) in [
            ("a", Some((0, 1)), true),
            ("a", Some((0, 2)), false),
            ("a", None, false),
            ("b", Some((1, 1)), false),
            ("c", None, false),
        ] {
            assert_eq!(stands(&records, event, place).result.is_ok(), holds, "{event} {place:?}");
        }
        let events = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(copies(&records, &events), [("a", 1), ("b", 2), ("c", 0)].into());
    }

    #[test]
    fn an_error_without_what_became_of_the_record_is_not_told() {
        let told = json!({"state": "ERROR", "error": "x", "retriable": true, "outcome": "unknown"});
        assert!(told_as_error(&told).result.is_ok());
        for missing in ["state", "error", "retriable", "outcome"] {
            let mut state = told.clone();
            state[missing] = Value::Null;
            assert!(told_as_error(&state).result.is_err(), "{missing}");
        }
    }

    #[test]
    fn retries_are_counted_for_one_client_over_its_topics() {
        let line = |client: &str, topic: &str, value| {
            format!("kafka_producer_retried_records_total{{client_id=\"{client}\",topic=\"{topic}\"}} {value}\n")
        };
        let text = line("a", "t", 3) + &line("a", "u", 2) + &line("ab", "t", 100) + "other{client_id=\"a\"} 7\n";
        assert_eq!((retried(&text, "a"), retried(&text, "c")), (5.0, 0.0));
    }
}

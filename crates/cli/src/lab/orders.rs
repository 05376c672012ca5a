//! The orders that the labs send, and their topic.
//!
//! In: a cluster and a topic's name. Out: an existing topic, orders to send, and the records read back. Does I/O through the admin
//! client. Deliberately absent: sending, which each lab does itself.

use std::{
    ops::ControlFlow,
    time::{SystemTime, UNIX_EPOCH},
};

use milena::{
    Header, Record,
    admin::{Admin, AdminError, ConsumedRecord, OffsetSpec},
};

use super::{
    checks::{Found, Sent},
    to_stdout,
};
use crate::exit::CliError;

pub(super) const ORDERS: usize = 20;
pub(super) const PARTITIONS: i32 = 3;
const USERS: usize = 5;
/// Headers that identify the records of a run in a topic with other records.
const RUN: &str = "milena-lab-run";
const NUMBER: &str = "milena-lab-number";
const EVENT_ID: &str = "eventId";
const ITEMS: [(&str, u32); 4] = [("espresso", 250), ("flat white", 410), ("croissant", 320), ("lemonade", 380)];

/// A run of a lab. Its unique id identifies its records.
#[derive(Clone, Debug)]
pub(super) struct Run {
    id: String,
    /// The number of each record, as the value of its header.
    numbers: Vec<String>,
}

impl Run {
    /// A run of at most `records` records.
    pub(super) fn new(records: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:x}-{:x}", now.as_nanos(), std::process::id());
        Self { id, numbers: (0..records).map(|number| number.to_string()).collect() }
    }

    /// Adds the headers of this run: its id, the record's number and an event id.
    pub(super) fn tag<'a>(&'a self, record: Record<'a>, number: usize) -> Record<'a> {
        let event = Header::owned(EVENT_ID, format!("{}-{number}", self.id));
        let number = self.numbers.get(number).map_or("", String::as_str);
        record.header(RUN, &self.id).header(NUMBER, number).with_header(event)
    }

    /// The number of a record; `None` if it is not of this run.
    pub(super) fn number(&self, record: &ConsumedRecord) -> Option<usize> {
        let number = header(record, NUMBER).and_then(|text| text.parse().ok());
        number.filter(|_| header(record, RUN) == Some(&self.id))
    }

    /// Converts a record to what the checks compare.
    pub(super) fn found(&self, record: ConsumedRecord) -> Found {
        Found {
            partition: record.partition,
            offset: record.offset,
            number: self.number(&record),
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
        }
    }
}

/// The last header with this name, if it is UTF-8.
pub(super) fn header<'a>(record: &'a ConsumedRecord, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().rfind(|(key, _)| key == name);
    found.and_then(|(_, value)| str::from_utf8(value.as_ref()?).ok())
}

/// Twenty orders of five users, in turn.
pub(super) fn orders() -> Vec<Sent> {
    let order = |number: usize| {
        let (item, cents) = ITEMS[number % ITEMS.len()];
        let (user, quantity) = (format!("user-{}", number % USERS + 1), number as u32 % 3 + 1);
        let value = serde_json::json!({
            "order": number + 1, "user": user, "item": item, "quantity": quantity, "cents": cents * quantity,
        });
        Sent { key: user, value: value.to_string() }
    };
    (0..ORDERS).map(order).collect()
}

/// Creates the topic with three partitions, unless it exists. Returns the end offset of each partition, where a run's records
/// begin. A replication factor of -1 is the cluster's default.
pub(super) async fn prepare(
    admin: &mut Admin,
    topic: &str,
    replication: i16,
    configs: &[(&str, &str)],
) -> Result<Vec<i64>, CliError> {
    match admin.create_topic(topic, PARTITIONS, replication, configs).await {
        Ok(()) => to_stdout(&format!("topic {topic} created with {PARTITIONS} partitions")),
        Err(AdminError::TopicExists { .. }) => to_stdout(&format!("topic {topic} exists already; its records stay")),
        Err(error) => return Err(error.into()),
    }
    ends(admin, topic).await
}

/// The end offset of each partition.
pub(super) async fn ends(admin: &mut Admin, topic: &str) -> Result<Vec<i64>, CliError> {
    let mut ends = Vec::new();
    for partition in 0..admin.partitions(topic).await? {
        ends.push(admin.offsets(topic, partition, OffsetSpec::Latest).await?);
    }
    Ok(ends)
}

/// All records appended to the topic since `ends`, also by other producers.
pub(super) async fn read_back(admin: &mut Admin, topic: &str, ends: &[i64]) -> Result<Vec<ConsumedRecord>, CliError> {
    let mut records = Vec::new();
    for (partition, &start) in (0..).zip(ends) {
        let end = admin.offsets(topic, partition, OffsetSpec::Latest).await?;
        let take = |record| {
            records.push(record);
            ControlFlow::Continue(())
        };
        admin.read_range(topic, partition, start..end, take).await?;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use milena::admin::TimestampType;

    use super::*;

    #[test]
    fn twenty_orders_cycle_through_five_users_and_are_json() {
        let orders = orders();
        assert_eq!(orders.len(), 20);
        for (number, order) in orders.iter().enumerate() {
            let value: serde_json::Value = serde_json::from_str(&order.value).unwrap();
            assert_eq!(order.key, format!("user-{}", number % 5 + 1));
            assert_eq!((&value["order"], &value["user"]), (&(number + 1).into(), &order.key.clone().into()));
        }
    }

    fn record(headers: &[(&str, Option<&str>)]) -> ConsumedRecord {
        ConsumedRecord {
            partition: 2,
            offset: 7,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: headers
                .iter()
                .map(|&(k, v)| (k.to_owned(), v.map(|v| Bytes::copy_from_slice(v.as_bytes()))))
                .collect(),
        }
    }

    #[test]
    fn only_records_with_the_header_of_this_run_are_of_this_run() {
        let run = Run::new(20);
        let number = |headers: &[(&str, Option<&str>)]| run.number(&record(headers));
        assert_eq!(number(&[(RUN, Some(&run.id)), (NUMBER, Some("12"))]), Some(12));
        assert_eq!(number(&[(RUN, Some("other")), (NUMBER, Some("12"))]), None);
        assert_eq!(number(&[(NUMBER, Some("12"))]), None);
        assert_eq!(number(&[(RUN, None), (NUMBER, None)]), None);
        assert_eq!(number(&[(RUN, Some(&run.id)), (NUMBER, Some("-1"))]), None);
    }

    #[test]
    fn a_record_is_identified_by_its_tag() {
        let run = Run::new(20);
        let tagged = run.tag(Record::to("orders"), 7);
        let headers: Vec<_> = tagged
            .headers()
            .iter()
            .map(|header| (&*header.key, header.value.as_deref().map(|value| str::from_utf8(value).unwrap())))
            .collect();
        assert_eq!(run.number(&record(&headers)), Some(7));
        assert_eq!(Run::new(20).number(&record(&headers)), None, "a record of another run");
    }

    #[test]
    fn a_found_record_keeps_partition_offset_key_and_value() {
        let expected = Found { partition: 2, offset: 7, number: None, key: Some(b"k".to_vec()), value: None };
        assert_eq!(Run::new(1).found(record(&[])), expected);
    }
}

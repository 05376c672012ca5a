//! Step 02.5: of a compacted topic the last value of a key remains.
//!
//! In: the site. Out: verdicts. Does I/O. Kafka compacts all but the active segment, and only when its cleaner comes by. So a record that is later
//! than `segment.ms` begins another segment; then a cluster is waited for, and the embedded broker of the lab is told.

use std::{
    ops::ControlFlow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use milena::admin::{AdminError, ConsumedRecord};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{http, judge::place, site::Site};
use crate::{
    exit::CliError,
    lab::{
        checks::{Verdict, claim},
        orders::header,
        to_stdout,
    },
};

const TOPIC: &str = "bhf-compact-demo";
/// The course's settings.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "1000"),
];
const KEY: &str = "customer-42";
/// Later than `segment.ms`, so that it begins a segment.
const LATER_MS: u128 = 2_000;
/// A cleaner that has nothing to do looks again after 15 s (`log.cleaner.backoff.ms`).
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn run(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    match site.admin.create_topic(TOPIC, 3, 1, &SETTINGS).await {
        Ok(()) | Err(AdminError::TopicExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let begins = site.ends(TOPIC).await?;
    let mut events = Vec::new();
    let mut partitions = Vec::new();
    for version in 1..=3 {
        let event = site.event(&format!("V{version}"));
        let query = format!("mode=plain&sendMode=sync&topic={TOPIC}&eventId={event}&key={KEY}");
        partitions.extend(place(&site.second.send(&query).await?).map(|(partition, _)| partition));
        events.push(event);
    }
    let (Some(&partition), 3) = (partitions.first(), partitions.len()) else {
        return Ok(vec![claim("three values of one key are written", false, format!("{} of them", partitions.len()))]);
    };
    let begin = usize::try_from(partition).ok().and_then(|at| begins.get(at).copied()).unwrap_or_default();
    let before = events_of_key(site, partition, begin).await?;
    begin_segment(site, partition).await?;
    let after = compacted(site, partition, begin).await?;
    to_stdout(&format!("compacted: of key {KEY} there remain {}", after.join(", ")));
    Ok(vec![
        claim("three values of one key are written, to one partition", before == events, before.join(", ")),
        claim("after compaction only the last one remains", after == events[2..], after.join(", ")),
    ])
}

/// Sends a record with another key, later than the topic's `segment.ms`.
async fn begin_segment(site: &Site<'_>, partition: i32) -> Result<(), CliError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let record = json!({
        "key": {"text": "the next segment"}, "value": {"text": "x"}, "partition": partition,
        "timestamp": u64::try_from(now + LATER_MS).unwrap_or_default(),
    });
    let reply = http::post(&site.second.address, &format!("/api/v1/topics/{TOPIC}/records"), Some(&record)).await?;
    to_stdout(&format!("a record of another key begins the next segment\n  {} {}", reply.status, reply.text));
    Ok(())
}

/// The events of the key once no more than one is there, or those that are there when patience ends.
async fn compacted(site: &mut Site<'_>, partition: i32, begin: i64) -> Result<Vec<String>, CliError> {
    if let Some(broker) = site.cluster.embedded() {
        broker.compact(TOPIC).map_err(|error| CliError::Failed(error.to_string()))?;
    } else {
        to_stdout("waiting for the cleaner, which comes by every 15 s (log.cleaner.backoff.ms)");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let events = events_of_key(site, partition, begin).await?;
        if events.len() < 2 || site.cluster.embedded().is_some() || Instant::now() > deadline {
            return Ok(events);
        }
        sleep(PAUSE).await;
    }
}

/// The event ids of the key's records from an offset on.
async fn events_of_key(site: &mut Site<'_>, partition: i32, begin: i64) -> Result<Vec<String>, CliError> {
    let end = site.ends(TOPIC).await?.get(usize::try_from(partition).unwrap_or_default()).copied().unwrap_or(begin);
    let mut events = Vec::new();
    let take = |record: ConsumedRecord| {
        if record.key.as_deref() == Some(KEY.as_bytes()) {
            events.extend(header(&record, "eventId").map(str::to_owned));
        }
        ControlFlow::Continue(())
    };
    site.admin.read_range(TOPIC, partition, begin..end, take).await?;
    Ok(events)
}

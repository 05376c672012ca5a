//! The state as entries of a file, and back: topics with their settings, logs, producers, committed offsets.
//!
//! In: what has changed, or the bytes of one entry. Out: entries, or a changed state. Pure; the file is [`super::listener`]'s. An entry says how something
//! is now, so of two that speak of the same thing the later one counts: a topic, a partition's whole log, a group's offsets; only batches are added to what
//! is there. Users and rules are not kept: they are given at each start. Whatever the bytes are, nothing panics, and no more memory is taken than they have.
//!
//! An entry is a byte that names its kind, then its fields: whole numbers in network order, texts and bytes behind their length in 32 bits, lists behind
//! their count in 32 bits.

mod fields;

use bytes::{BufMut, Bytes};

use self::fields::{Damaged, Fields, put_bytes, put_list, put_text};
use super::{
    epochs::Epochs,
    groups::{Commit, Committed},
    log::Log,
    producers::{KnownBatch, Producers},
    state::State,
    topic::{PartitionLog, TopicLog},
    touched::Touched,
};
use crate::{cluster::TopicId, wire::record_batch::reader::Batch};

const COUNTERS: u8 = 1;
const TOPIC: u8 = 2;
const GONE: u8 = 3;
const LOG: u8 = 4;
const BATCH: u8 = 5;
const GROUP: u8 = 6;

/// The whole state. `put` gets one entry after the other.
pub(super) fn snapshot<E>(state: &State, put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    put(&counters(state))?;
    for (name, topic) in &state.topics {
        put(&topic_entry(name, topic))?;
        for (partition, log) in (0..).zip(&topic.partitions) {
            put(&log_entry(topic.id, partition, log))?;
        }
    }
    let has_offsets = |id: &String| state.groups.offsets(id).is_some_and(|offsets| offsets.topics().next().is_some());
    let groups = state.groups.all().map(|(id, _)| id).filter(|id| has_offsets(id));
    groups.into_iter().try_for_each(|id| put(&group_entry(state, id)))
}

/// How many bytes the batches of all logs have.
pub(super) fn log_bytes(state: &State) -> u64 {
    let logs = state.topics.values().flat_map(|topic| &topic.partitions);
    logs.flat_map(|partition| partition.log.batches()).map(|batch| batch.bytes().len() as u64).sum()
}

/// What has changed.
pub(super) fn changes<E>(
    state: &State,
    touched: &Touched,
    put: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if touched.counters {
        put(&counters(state))?;
    }
    for name in &touched.topics {
        match state.topics.get(name) {
            Some(topic) => put(&topic_entry(name, topic))?,
            None => put(&gone_entry(name))?,
        }
    }
    let mut whole = Vec::new();
    for (name, partition) in &touched.logs {
        let Some(topic) = state.topics.get(name) else { continue };
        if let Some(log) = topic.partition(*partition) {
            put(&log_entry(topic.id, *partition, log))?;
            whole.push((topic.id, *partition));
        }
    }
    // The batches of a log that was written whole are in it.
    for (topic, partition, batch) in touched.batches.iter().filter(|(id, at, _)| !whole.contains(&(*id, *at))) {
        put(&batch_entry(*topic, *partition, batch))?;
    }
    touched.groups.iter().try_for_each(|id| put(&group_entry(state, id)))
}

fn counters(state: &State) -> Vec<u8> {
    let (next_producer_id, topics_created) = state.counters();
    let mut out = vec![COUNTERS];
    out.put_i64(next_producer_id);
    out.put_u128(topics_created);
    out
}

fn topic_entry(name: &str, topic: &TopicLog) -> Vec<u8> {
    let mut out = vec![TOPIC];
    put_text(&mut out, name);
    out.put_u128(topic.id.as_u128());
    put_list(&mut out, topic.config.own(), |out, (name, value)| {
        put_text(out, name);
        put_text(out, value);
    });
    put_list(&mut out, &topic.partitions, |out, partition| {
        put_list(out, &partition.replicas, |out, node| out.put_i32(*node));
    });
    out
}

fn gone_entry(name: &str) -> Vec<u8> {
    let mut out = vec![GONE];
    put_text(&mut out, name);
    out
}

fn log_entry(topic: TopicId, partition: i32, log: &PartitionLog) -> Vec<u8> {
    let mut out = vec![LOG];
    out.put_u128(topic.as_u128());
    out.put_i32(partition);
    out.put_i32(log.leader_epoch);
    put_list(&mut out, log.epochs.all(), |out, (epoch, offset)| {
        out.put_i32(epoch);
        out.put_i64(offset);
    });
    out.put_i64(log.log.start_offset());
    out.put_i64(log.log.end_offset());
    put_list(&mut out, log.log.segments(), |out, base| out.put_i64(*base));
    let producers: Vec<_> = log.producers.all().collect();
    put_list(&mut out, &producers, |out, (id, epoch, batches)| {
        out.put_i64(*id);
        out.put_i16(*epoch);
        put_list(out, *batches, put_known_batch);
    });
    put_list(&mut out, log.log.batches(), |out, batch| put_bytes(out, batch.bytes()));
    out
}

fn batch_entry(topic: TopicId, partition: i32, batch: &Bytes) -> Vec<u8> {
    let mut out = vec![BATCH];
    out.put_u128(topic.as_u128());
    out.put_i32(partition);
    put_bytes(&mut out, batch);
    out
}

fn put_known_batch(out: &mut Vec<u8>, batch: &KnownBatch) {
    out.put_i32(batch.first_sequence);
    out.put_i32(batch.last_sequence);
    out.put_i64(batch.base_offset);
    out.put_i64(batch.timestamp);
}

fn known_batch(fields: &mut Fields) -> Result<KnownBatch, Damaged> {
    let (first_sequence, last_sequence) = (fields.i32()?, fields.i32()?);
    Ok(KnownBatch { first_sequence, last_sequence, base_offset: fields.i64()?, timestamp: fields.i64()? })
}

/// A group without offsets stands for none.
fn group_entry(state: &State, id: &str) -> Vec<u8> {
    let mut out = vec![GROUP];
    put_text(&mut out, id);
    let offsets: Vec<_> = state.groups.offsets(id).into_iter().flat_map(|offsets| offsets.topics()).collect();
    put_list(&mut out, &offsets, |out, (topic, partitions)| {
        put_text(out, topic);
        put_list(out, *partitions, |out, (partition, committed)| {
            out.put_i32(*partition);
            out.put_i64(committed.offset);
            out.put_i32(committed.leader_epoch);
            put_text(out, &committed.metadata);
        });
    });
    out
}

/// Makes the state as an entry says. An error names what cannot be.
pub(super) fn apply(state: &mut State, entry: Bytes) -> Result<(), String> {
    let mut fields = Fields::new(entry);
    let kind = fields.u8().map_err(|Damaged(what)| what)?;
    let applied = match kind {
        COUNTERS => apply_counters(state, &mut fields),
        TOPIC => apply_topic(state, &mut fields),
        GONE => apply_gone(state, &mut fields),
        LOG => apply_log(state, &mut fields),
        BATCH => apply_batch(state, &mut fields),
        GROUP => apply_group(state, &mut fields),
        other => Err(Damaged(format!("kind {other} is not known: it may be of a newer version"))),
    };
    applied.and_then(|()| fields.end()).map_err(|Damaged(what)| what)
}

fn apply_counters(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let (next_producer_id, topics_created) = (fields.i64()?, fields.u128()?);
    state.set_counters(next_producer_id, topics_created);
    Ok(())
}

fn apply_topic(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let (name, id) = (fields.text()?, TopicId::from_u128(fields.u128()?));
    let settings = fields.list(|fields| Ok((fields.text()?, fields.text()?)))?;
    let replicas = fields.list(|fields| fields.list(Fields::i32))?;
    let own = settings.iter().map(|(name, value)| (&**name, &**value));
    let config =
        state.settings.topic_defaults.for_topic_with(own).map_err(|why| Damaged(format!("topic {name}: {why}")))?;
    let known = state.topics.get(&name).filter(|known| known.id == id).map_or(0, |known| known.partitions.len());
    if known == 0 {
        state.check_replicas_of(&name, &replicas).map_err(Damaged)?;
        state.topics.insert(name.clone(), TopicLog { id, config, partitions: Vec::new() });
    } else if let Some(topic) = state.topics.get_mut(&name) {
        topic.config = config;
    }
    state.extend_topic(&name, replicas.into_iter().skip(known).collect());
    Ok(())
}

fn apply_gone(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let name = fields.text()?;
    state.remove_topic(&name);
    Ok(())
}

fn apply_log(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let (topic, partition, leader_epoch) = (TopicId::from_u128(fields.u128()?), fields.i32()?, fields.i32()?);
    let epochs = fields.list(|fields| Ok((fields.i32()?, fields.i64()?)))?;
    let (start, end) = (fields.i64()?, fields.i64()?);
    let segments = fields.list(Fields::i64)?;
    let producers = fields.list(|fields| {
        let (id, epoch) = (fields.i64()?, fields.i16()?);
        Ok((id, epoch, fields.list(known_batch)?))
    })?;
    let batches = fields.list(|fields| batch_of(fields.bytes()?))?;
    // A topic that is gone again.
    let Some(known) = partition_of(state, topic, partition) else { return Ok(()) };
    let log =
        Log::restored((start, end), segments, batches).ok_or_else(|| Damaged("a log contradicts itself".to_owned()))?;
    (known.log, known.leader_epoch) = (log, leader_epoch);
    known.epochs = Epochs::restored(epochs);
    known.producers = Producers::restored(producers);
    Ok(())
}

fn apply_batch(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let (topic, partition) = (TopicId::from_u128(fields.u128()?), fields.i32()?);
    let batch = batch_of(fields.bytes()?)?;
    let Some(known) = state.topics.values_mut().find(|known| known.id == topic) else { return Ok(()) };
    let config = known.config.clone();
    let Some(known) = known.partition_mut(partition) else { return Ok(()) };
    let (base, end) = (batch.header().base_offset, known.log.end_offset());
    if base != end {
        return Err(Damaged(format!("a batch begins at offset {base}, its log ends at {end}")));
    }
    known.keep(batch, &config);
    Ok(())
}

fn apply_group(state: &mut State, fields: &mut Fields) -> Result<(), Damaged> {
    let id = fields.text()?;
    let topics = fields.list(|fields| {
        let topic = fields.text()?;
        let partitions = fields.list(|fields| {
            let (partition, offset, leader_epoch) = (fields.i32()?, fields.i64()?, fields.i32()?);
            Ok((partition, Committed { offset, leader_epoch, metadata: fields.text()? }))
        })?;
        Ok((topic, partitions))
    })?;
    let commits = topics.into_iter().flat_map(|(topic, partitions)| {
        let commit = move |(partition, committed)| Commit { topic: topic.clone(), partition, committed };
        partitions.into_iter().map(commit).collect::<Vec<_>>()
    });
    state.groups.restore(&id, commits.collect());
    Ok(())
}

fn batch_of(bytes: Bytes) -> Result<Batch, Damaged> {
    let batch = Batch::parse(bytes).map_err(|error| Damaged(error.to_string()))?;
    batch.check_crc().map_err(|error| Damaged(error.to_string()))?;
    Ok(batch)
}

fn partition_of(state: &mut State, topic: TopicId, partition: i32) -> Option<&mut PartitionLog> {
    state.topics.values_mut().find(|known| known.id == topic)?.partition_mut(partition)
}

#[cfg(test)]
mod tests;

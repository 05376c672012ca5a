//! `--dry-run`: reads all input and tells what would be sent.
//!
//! In: an input, and how records are made of it. Out: a line for each record or error, and totals. Does I/O: it reads, prints, and asks a
//! broker how many partitions a topic has, so that it can tell where keys go. Nothing is sent.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use milena::{Produce, Record, admin::Admin, mock::MockProducer};
use tokio::io::AsyncRead;

use super::{
    lines::{Input, Lines},
    parser::Parser,
    partitioner::Rule,
    session::{too_long, whole},
};
use crate::{
    console::{Stdout, to_stderr},
    exit::Exit,
    output::{self, Failure, Format, count},
};

/// A run that sends nothing.
pub(super) struct DryRun {
    parser: Parser,
    rule: Rule,
    format: Option<Format>,
    settings: Vec<(String, String)>,
    out: BufWriter<Stdout>,
    /// What stands for each topic, with its number of partitions. `None` if that could not be found out.
    topics: BTreeMap<String, Option<MockProducer>>,
    totals: Totals,
}

/// What would be sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Records and their bytes, by topic and partition.
    records: BTreeMap<(String, Option<i32>), (u64, u64)>,
    failed: u64,
}

impl DryRun {
    pub(super) fn new(parser: Parser, rule: Rule, format: Option<Format>, settings: Vec<(String, String)>) -> Self {
        let (out, topics, totals) = (BufWriter::new(Stdout), BTreeMap::new(), Totals::default());
        Self { parser, rule, format, settings, out, topics, totals }
    }

    /// Reads files, or else lines, of which `before` stand before the first record.
    pub(super) async fn run(
        mut self,
        files: &[PathBuf],
        mut lines: Lines<impl AsyncRead + Unpin>,
        before: u64,
    ) -> Exit {
        let parser = self.parser.clone();
        let mut number = before;
        for path in files {
            number += 1;
            match whole(path, lines.max_len()) {
                Ok(bytes) => self.tell(&parser, number, &bytes).await,
                Err(why) => self.failed(number, &format!("{}: {why}", path.display())),
            }
        }
        loop {
            match lines.next().await {
                Ok(None) => break,
                Ok(Some(Input::Line(line))) => {
                    let content = lines.ends().content(&line);
                    if !parser.skips(content) {
                        self.tell(&parser, number + 1, content).await;
                    }
                    number += parser.lines(&line);
                }
                Ok(Some(Input::LongLine)) => {
                    number += 1;
                    self.failed(number, &too_long(lines.max_len()).message);
                }
                Ok(Some(Input::Piece { .. })) => {}
                Err(error) => {
                    self.failed(number, &format!("cannot read the input: {error}"));
                    break;
                }
            }
        }
        // What stdout did not take fails the command at its end.
        let _ = self.out.flush();
        to_stderr(self.totals.text().trim_end());
        if self.totals.failed == 0 { Exit::Good } else { Exit::Failed }
    }

    async fn tell(&mut self, parser: &Parser, number: u64, content: &[u8]) {
        let record = match parser.record(content) {
            Ok(record) => record,
            Err(wrong) => return self.failed(number, &wrong.to_string()),
        };
        let partition = match record.explicit_partition() {
            None if self.rule.decides(record.key_bytes()) => self.partition(&record).await,
            explicit => explicit,
        };
        self.totals.add(&record, partition);
        if let Some(format) = self.format {
            let mut line = output::unsent(format, number, &record, partition);
            line.push(b'\n');
            let _ = self.out.write_all(&line);
        }
    }

    fn failed(&mut self, number: u64, why: &str) {
        self.totals.failed += 1;
        to_stderr(&output::printable(output::failure(number, &Failure::refused(why.to_owned())).as_bytes()));
    }

    /// The partition of a record whose key decides it. `None` if the number of partitions is not known.
    async fn partition(&mut self, record: &Record<'_>) -> Option<i32> {
        let topic = match self.topics.entry(record.topic().to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let counted = partitions(&self.settings, unknown.key()).await;
                if let Err(why) = &counted {
                    let why = output::printable(why.as_bytes());
                    to_stderr(&format!("warning: partitions of {} are not known: {why}", unknown.key()));
                }
                unknown.insert(counted.ok().map(|count| stand_in(count, self.rule)))
            }
        };
        let mock = topic.as_ref()?;
        mock.clear();
        drop(mock.try_send(Record::to(record.topic()).key(record.key_bytes().unwrap_or_default())).ok()?);
        mock.history().first().map(|sent| sent.partition)
    }
}

/// What chooses partitions as the producer would.
fn stand_in(partitions: usize, rule: Rule) -> MockProducer {
    let mock = MockProducer::new().with_partitions(partitions);
    rule.partitioner().into_iter().fold(mock, MockProducer::with_partitioner)
}

/// How many partitions a topic has.
async fn partitions(settings: &[(String, String)], topic: &str) -> Result<usize, String> {
    let settings = settings.iter().map(|(name, value)| (name, value));
    let mut admin = Admin::from_properties(settings).await.map_err(|error| error.to_string())?;
    let count = admin.partitions(topic).await.map_err(|error| error.to_string())?;
    usize::try_from(count).map_err(|error| error.to_string())
}

impl Totals {
    fn add(&mut self, record: &Record<'_>, partition: Option<i32>) {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
        let total = self.records.entry((record.topic().to_owned(), partition)).or_default();
        total.0 += 1;
        total.1 += len(record.key_bytes()) + len(record.value_bytes());
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for ((topic, partition), (records, bytes)) in &self.records {
            let partition =
                partition.map_or_else(|| "any partition".to_owned(), |number| format!("partition {number}"));
            text += &format!("{topic}, {partition}: {} with {}\n", count(*records, "record"), count(*bytes, "byte"));
        }
        let records: u64 = self.records.values().map(|(records, _)| records).sum();
        let Self { failed, .. } = self;
        text + &format!(
            "{}: {records} would be sent, {failed} failed; nothing was sent\n",
            count(records + failed, "line")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_by_topic_and_partition() {
        let mut totals = Totals { failed: 1, ..Totals::default() };
        totals.add(&Record::to("b").key("k").value("v"), Some(2));
        totals.add(&Record::to("b").key("kk").value("vv"), Some(2));
        totals.add(&Record::to("a").value("v"), None);
        let expected = "a, any partition: 1 record with 1 byte\nb, partition 2: 2 records with 6 bytes\n\
            4 lines: 3 would be sent, 1 failed; nothing was sent\n";
        assert_eq!(totals.text(), expected);
    }

    #[test]
    fn what_stands_in_for_the_producer_chooses_as_its_rule_says() {
        let partition = |rule| {
            let mock = stand_in(1_000, rule);
            drop(mock.try_send(Record::to("t").key("123456789")).unwrap());
            mock.history()[0].partition
        };
        assert_eq!(partition(Rule::Consistent), (0xcbf4_3926_u32 % 1_000) as i32);
        assert_ne!(partition(Rule::Default), partition(Rule::Consistent));
    }
}

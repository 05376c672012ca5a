//! Sends letters to their original topics, one after the other.
//!
//! In: letters. Out: a line for each, and a report with the position where it stopped. Does I/O. The position moves past a letter once
//! its record is written, or once it was listed as refused or as one that can never be written.

use std::{pin::pin, time::Duration};

use milena::{
    Ack, Persisted, Producer,
    admin::{AdminError, ConsumedRecord},
};
use milena_resilience::{Failure, Publish};

use super::{
    args::ReplayArgs,
    judge::{Replay, Rules, judge, matches},
    letter::Letter,
    print::{self, Fate},
    reading::Reading,
    report::{self, Counts, End, Stop},
};
use crate::{
    console::{to_stderr, to_stdout},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::printable_lines,
    rate::Pacer,
};

/// Runs the command.
pub(super) async fn run(args: ReplayArgs, interrupt: &mut Interrupt) -> Result<Exit, CliError> {
    let mut run = tokio::select! {
        biased;
        () = interrupt.next() => return Ok(Exit::Interrupted),
        run = Run::start(&args) => run?,
    };
    let stop = run.all(interrupt).await;
    run.close().await;
    let end = End {
        topic: &args.letters.topic,
        dry_run: args.dry_run,
        counts: run.counts,
        next_may_be_written: run.next_may_be_written,
        goes_on: run.reading.goes_on(),
        stop,
    };
    to_stderr(&printable_lines(&report::text(&end)));
    Ok(report::exit(&end.stop, run.counts))
}

/// A run of the command.
struct Run<'a> {
    args: &'a ReplayArgs,
    reading: Reading,
    /// None in a dry run.
    producer: Option<Producer>,
    pacer: Pacer,
    counts: Counts,
    next_may_be_written: bool,
}

impl<'a> Run<'a> {
    async fn start(args: &'a ReplayArgs) -> Result<Self, CliError> {
        let producer = match args.dry_run {
            true => None,
            false => Some(Producer::from_properties(settings(args)?).await?),
        };
        let reading = Reading::start(&args.letters).await?;
        let (pacer, counts) = (Pacer::new(args.rate), Counts::default());
        Ok(Self { args, reading, producer, pacer, counts, next_may_be_written: false })
    }

    /// Replays letters until there is a reason to stop.
    async fn all(&mut self, interrupt: &mut Interrupt) -> Stop {
        loop {
            let batch = tokio::select! {
                biased;
                () = interrupt.next() => return Stop::Interrupted,
                batch = self.reading.batch() => batch,
            };
            let batch = match batch {
                Ok(Some(batch)) => batch,
                Ok(None) => return Stop::End,
                Err(error) => return Stop::GivenUp(error.to_string()),
            };
            for record in &batch {
                if let Some(stop) = self.one(record, interrupt).await {
                    return stop;
                }
                if self.args.letters.limit == Some(self.counts.total()) {
                    return Stop::Limit;
                }
            }
        }
    }

    async fn one(&mut self, record: &ConsumedRecord, interrupt: &mut Interrupt) -> Option<Stop> {
        let letter = Letter::of(record);
        if !matches(&letter, &self.args.letters.errors) {
            self.counts.others += 1;
            self.reading.handled(record);
            return None;
        }
        let allowed = tokio::select! {
            biased;
            () = interrupt.next() => return Some(Stop::Interrupted),
            allowed = self.allowed(&letter) => allowed,
        };
        let fate = match allowed {
            Err(error) => return Some(Stop::GivenUp(error.to_string())),
            Ok(Err(reason)) => Fate::Refused(reason),
            Ok(Ok(replay)) if self.args.dry_run => {
                Fate::Would { possible_duplicate: replay.possible_duplicate, replays: replay.replays }
            }
            Ok(Ok(replay)) => return self.send(&letter, replay, interrupt).await,
        };
        self.tell(&letter, &fate);
        self.reading.handled(record);
        None
    }

    /// The record of a letter, when it may be sent.
    async fn allowed<'l>(&mut self, letter: &Letter<'l>) -> Result<Result<Replay<'l>, String>, AdminError> {
        let ReplayArgs { max_replays, possible_duplicates: all_possible_duplicates, .. } = *self.args;
        let rules = Rules { topic: &self.args.letters.topic, max_replays, all_possible_duplicates };
        let replay = match judge(letter, rules) {
            Ok(replay) => replay,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = self.reading.has(replay.record.topic()).await? {
            return Ok(Err(reason));
        }
        if !self.args.dry_run {
            self.pacer.allow(1).await;
        }
        Ok(Ok(replay))
    }

    /// Sends a record and waits for its outcome. The first interrupt stops the run afterwards, the second one ends the wait.
    async fn send(&mut self, letter: &Letter<'_>, replay: Replay<'_>, interrupt: &mut Interrupt) -> Option<Stop> {
        let Replay { record, possible_duplicate, replays } = replay;
        let mut interrupts = 0;
        let outcome = {
            let mut sending = pin!(publish(self.producer.as_ref()?, record));
            loop {
                tokio::select! {
                    biased;
                    () = interrupt.next() => interrupts += 1,
                    outcome = &mut sending => break Some(outcome),
                }
                if interrupts == 2 {
                    break None;
                }
                to_stderr("interrupted; waiting for the record under way, Ctrl-C again stops that");
            }
        };
        let (fate, is_over) = match outcome {
            Some(Ok(ack)) => (Fate::Replayed { ack, possible_duplicate, replays }, true),
            Some(Err(failure)) => (failed(&failure), failure.is_fatal()),
            None => {
                (Fate::Failed { message: "no answer when the waiting was ended".into(), maybe_written: true }, false)
            }
        };
        self.tell(letter, &fate);
        if is_over {
            self.reading.handled(letter.record);
        }
        self.next_may_be_written = !is_over && matches!(fate, Fate::Failed { maybe_written: true, .. });
        match fate {
            _ if interrupts > 0 => Some(Stop::Interrupted),
            Fate::Failed { message, .. } if !is_over => Some(Stop::GivenUp(message)),
            _ => None,
        }
    }

    fn tell(&mut self, letter: &Letter<'_>, fate: &Fate) {
        self.counts.add(fate);
        to_stdout(&print::replayed(&self.args.letters.topic, letter, fate, self.args.letters.json));
    }

    /// Closes the producer. Nothing is under way but a record that nobody waits for any more.
    async fn close(&self) {
        let Some(producer) = &self.producer else { return };
        if let Err(error) = producer.close_timeout(Duration::ZERO).await {
            tracing::debug!(%error, "closing the producer");
        }
    }
}

async fn publish(producer: &Producer, record: milena::Record<'_>) -> Result<Ack, Failure> {
    producer.publish(record).await
}

fn failed(failure: &Failure) -> Fate {
    Fate::Failed { message: failure.to_string(), maybe_written: failure.persisted() == Persisted::Unknown }
}

/// All settings of the producer; a later one overrides an earlier one. Records are sent one by one, so none waits for others.
///
/// # Errors
/// A file that cannot be read, or acknowledgements that say nothing: without them nobody knows where it stopped.
fn settings(args: &ReplayArgs) -> Result<Vec<(String, String)>, CliError> {
    let mut settings = vec![("linger.ms".to_owned(), "0".to_owned())];
    settings.extend(args.letters.connection.settings()?);
    let acks = settings.iter().rfind(|(name, _)| name == "acks").map(|(_, value)| value.trim());
    if acks == Some("0") {
        let text = "acks: a replay has to know which records are written; expected all or 1, got 0; nothing was sent";
        return Err(CliError::Usage(text.to_owned()));
    }
    Ok(settings)
}

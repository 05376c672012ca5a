//! `milena console-consumer`: what `kafka-console-consumer.sh` does, with its options.
//!
//! In: topics and a place to begin. Out: records, as Apache's formatters print them. Does I/O. [`args`] has the options, [`formatter`]
//! and [`deserializer`] make text of records. Following partitions is that of `milena consume`. Deliberately absent: groups,
//! and committed offsets.

mod args;
mod deserializer;
mod formatter;

use std::{
    io::{BufWriter, Write},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use milena::admin::{Admin, AdminError, ConsumedRecord, OffsetSpec};

pub(crate) use self::args::Args;
use self::{
    args::{Place, Start},
    formatter::Formatter,
};
use crate::{
    console::{Stdout, to_stderr, to_stdout},
    consume::{Added, Followed, Position, Sink, follow},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output,
};

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    args.warn();
    let (settings, start) = args.settings()?;
    let topics = args.topics()?;
    let mut printer = Printer::new(&args, args.formatter()?);
    let mut interrupt = Interrupt::listen()?;
    let done = tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = read(settings, topics, args.partition, start, &mut printer) => done.map(|()| Exit::Good),
    };
    if matches!(done, Err(CliError::Usage(_))) {
        return done;
    }
    printer.flush();
    to_stderr(&format!("Processed a total of {} messages", printer.count));
    if args.enable_systest_events {
        to_stdout("shutdown_complete");
    }
    printer.failed.map_or(done, |why| Err(CliError::Failed(why)))
}

async fn read(
    settings: Vec<(String, String)>,
    topics: Added,
    partition: Option<i32>,
    start: Start,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let mut admin = Admin::from_properties(settings).await?;
    admin.read_committed(start.committed);
    printer.last = Instant::now();
    let mut positions = Vec::new();
    for topic in topics.topics(&mut admin).await? {
        let partitions = match (partition, admin.partitions(&topic).await) {
            (Some(partition), Ok(_)) => partition..partition + 1,
            (None, Ok(count)) => 0..count,
            (None, Err(AdminError::UnknownTopic { .. })) => {
                report(&format!("warning: topic {topic} does not exist yet, waiting for it"));
                0..0
            }
            (_, Err(error)) => return Err(error.into()),
        };
        for partition in partitions {
            positions.push(position(&mut admin, &topic, partition, start).await?);
        }
    }
    let added = if partition.is_some() { Added::None } else { topics };
    follow(&mut admin, Followed { positions, added }, printer, report).await
}

async fn position(admin: &mut Admin, topic: &str, partition: i32, start: Start) -> Result<Position, CliError> {
    let earliest = admin.offsets(topic, partition, OffsetSpec::Earliest).await?;
    let latest = admin.offsets(topic, partition, OffsetSpec::Latest).await?;
    Ok(Position { topic: topic.into(), partition, next: place(start, earliest, latest), end: latest })
}

/// The offset to begin with, in a log that begins and ends there.
fn place(start: Start, earliest: i64, latest: i64) -> i64 {
    match (start.place, start.reset) {
        (Place::Offset(offset), _) if (earliest..=latest).contains(&offset) => offset,
        (Place::Earliest, _) | (Place::Offset(_), Place::Earliest) => earliest,
        (Place::Latest | Place::Offset(_), _) => latest,
    }
}

fn report(message: &str) {
    to_stderr(&output::printable_lines(message));
}

/// Prints records until the limit is reached, none comes for a while, or one cannot be printed.
struct Printer {
    formatter: Formatter,
    skips: bool,
    /// How many records may still be printed; `None` is no limit.
    left: Option<u64>,
    timeout: Option<Duration>,
    /// When the last record was printed.
    last: Instant,
    count: u64,
    /// Why a record could not be formatted.
    failed: Option<String>,
    out: BufWriter<Stdout>,
}

impl Printer {
    fn new(args: &Args, formatter: Formatter) -> Self {
        Self {
            formatter,
            skips: args.skip_message_on_error,
            left: args.limit(),
            timeout: args.timeout().map(Duration::from_millis),
            last: Instant::now(),
            count: 0,
            failed: None,
            out: BufWriter::new(Stdout),
        }
    }
}

impl Sink for Printer {
    fn take(&mut self, topic: &str, record: &ConsumedRecord) -> ControlFlow<()> {
        if self.left == Some(0) || self.failed.is_some() {
            return ControlFlow::Break(());
        }
        let mut bytes = Vec::new();
        let put = self.formatter.put(&mut bytes, record).map_err(|why| {
            format!(
                "cannot format {topic}-{}@{}: {why}; --skip-message-on-error skips it",
                record.partition, record.offset
            )
        });
        self.count += 1;
        self.last = Instant::now();
        self.left = self.left.map(|left| left - 1);
        match put {
            Err(why) if self.skips => report(&format!("error: {why}")),
            Err(why) => self.failed = Some(why),
            Ok(()) => {}
        }
        if self.out.write_all(&bytes).is_err() {
            self.left = Some(0);
        }
        if self.left == Some(0) || self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_over(&self) -> bool {
        let idle = self.timeout.is_some_and(|timeout| self.last.elapsed() > timeout);
        idle || self.left == Some(0) || self.failed.is_some()
    }

    fn flush(&mut self) {
        if self.out.flush().is_err() {
            self.left = Some(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_that_the_log_does_not_hold_is_replaced() {
        use Place::{Earliest, Latest, Offset};
        for (place, reset, expected) in [
            (Earliest, Latest, 5),
            (Latest, Earliest, 9),
            (Offset(5), Latest, 5),
            (Offset(9), Earliest, 9),
            (Offset(4), Latest, 9),
            (Offset(10), Earliest, 5),
        ] {
            assert_eq!(super::place(Start { place, reset, committed: false }, 5, 9), expected, "{place:?} {reset:?}");
        }
    }
}

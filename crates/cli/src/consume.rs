//! `milena consume`: reads partitions, without a consumer group.
//!
//! In: a topic and a start position. Out: a line for each record. Does I/O. Deliberately absent: groups, committed offsets,
//! and any state that outlives the command.

mod follow;
mod outage;
mod pattern;
mod position;
mod printer;

use std::{
    io::{self, IsTerminal},
    str::FromStr,
};

use clap::ValueEnum;
use milena::admin::{Admin, OffsetSpec};

pub(crate) use self::{
    follow::{Added, Followed, Sink, follow},
    position::Position,
};
use self::{
    pattern::Pattern,
    printer::{Printer, Style},
};
use crate::{
    connection::Connection,
    console,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::{self, Format},
};

/// Read the records of a topic's partitions
///
/// Reads each partition from the start position to the end offset that it has when the command starts, one partition after the
/// other. No consumer group is involved: nothing is committed, and other consumers are not affected. If a broker becomes
/// unavailable, the command retries for about six seconds. With --follow it retries until the broker is back, and prints a warning
/// on stderr. Unless partitions are named, --follow looks every three seconds for added partitions, and reads them from their
/// beginning.
///
/// Text has, tab after tab: topic-partition@offset, timestamp, key, value, headers as name=value; null is (null). On a
/// terminal, control characters are shown as escapes; elsewhere bytes come out as they are. JSON has one object for each
/// record; a key or value that is not UTF-8 comes as base64 under key_base64 or value_base64. `milena produce --format json` takes it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  All records:
    milena consume --topic orders
  The next ten records of partition 2 that arrive, as JSON:
    milena consume --topic orders --partition 2 --from end --max-messages 10 --output json
  All records of a cluster that speaks TLS, with the settings of its producers:
    milena consume --topic orders --config producer.properties
  One record by its offset:
    milena consume --topic orders --partition 0 --from 42 --max-messages 1
  Keys and sizes in kcat's verbs, or keys as hexadecimal in rpk's:
    milena consume --topic orders -f '%T %p@%o %k: %S bytes\\n'
    milena consume --topic orders -f '%k{hex} %v\\n'

Verbs of --format-string, as in kcat: %t topic, %p partition, %o offset, %k key, %K its length (-1 for null), %s value, \
%S its length, %R its length as 4 bytes, %h headers as name=value,name=value, %T timestamp in milliseconds, %% a percent \
sign. As in rpk: %v value, %V its length, %H number of headers, %d timestamp, %i number of records before, %{ and %} braces, \
and modifiers behind a verb: %k{hex}, %v{base64}, %v{json}, %T{date}. Of rpk's verbs these mean something else here: %T (kcat's), \
%K and %S (-1 for null), %h. Escapes are \\n, \\r, \\t, \\0, \\xNN and \\\\; nothing ends a record by itself.

Exit codes: 0 read to the end or to --max-messages, 1 a broker could not do it, 2 arguments are wrong (also: there is no \
such partition or offset), 130 interrupted.")]
pub(crate) struct Args {
    /// Topic to read
    #[arg(long, short)]
    topic: String,

    #[command(flatten)]
    connection: Connection,

    /// Partition to read; may be repeated [default: all]
    #[arg(long = "partition", short, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,

    /// Where to begin: beginning, end (which implies --follow) or an offset
    #[arg(long, value_name = "PLACE", default_value = "beginning")]
    from: From,

    /// Stop after this number of records [default: at the end of the log]
    #[arg(long, short = 'n', value_name = "NUMBER")]
    max_messages: Option<u64>,

    /// Wait for more records at the end of the log, also while brokers are unavailable, and read added partitions
    #[arg(long)]
    follow: bool,

    /// How to print records
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,

    /// How to print records, in the verbs of kcat and rpk; see below
    #[arg(long, short, value_name = "STRING", allow_hyphen_values = true, value_parser = Pattern::parse, conflicts_with = "output")]
    format_string: Option<Pattern>,

    /// Print NULL for null with --format-string
    #[arg(short = 'Z', requires = "format_string", conflicts_with = "null_marker")]
    null: bool,

    /// Text for null with --format-string [default: nothing]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, requires = "format_string")]
    null_marker: Option<String>,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for a person
    Text,
    /// An object for each line
    Json,
    /// Nothing
    None,
}

impl Args {
    fn style(&self) -> Style {
        let null = self.null_marker.as_deref().unwrap_or(if self.null { "NULL" } else { "" });
        match (&self.format_string, self.output) {
            (Some(pattern), _) => Style::Pattern(pattern.clone().with(null, io::stdout().is_terminal())),
            (None, Output::Text) => Style::Lines(Format::Text),
            (None, Output::Json) => Style::Lines(Format::Json),
            (None, Output::None) => Style::Silent,
        }
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Beginning,
    End,
    Offset(i64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "end" => Ok(Self::End),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => Err("expected beginning, end or an offset from 0".into()),
            },
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = read(args) => done.map(|()| Exit::Good),
    }
}

async fn read(args: Args) -> Result<(), CliError> {
    let mut admin = Admin::from_properties(args.connection.settings()?).await?;
    let positions = positions(&mut admin, &args).await?;
    let mut printer = Printer::new(args.style(), args.max_messages);
    if args.follow || args.from == From::End {
        let report = |message: &str| console::to_stderr(&output::printable_lines(message));
        let added = if args.partitions.is_empty() { Added::Of(args.topic) } else { Added::None };
        let followed = Followed { positions, added };
        return follow(&mut admin, followed, &mut printer, report).await;
    }
    for Position { topic, partition, next, end } in positions {
        if !printer.is_over() {
            admin.read_range(&topic, partition, next..end, |record| printer.take(&topic, &record)).await?;
        }
    }
    printer.flush();
    Ok(())
}

async fn positions(admin: &mut Admin, args: &Args) -> Result<Vec<Position>, CliError> {
    let count = admin.partitions(&args.topic).await?;
    let mut wanted = if args.partitions.is_empty() { (0..count).collect() } else { args.partitions.clone() };
    wanted.sort_unstable();
    wanted.dedup();
    let mut positions = Vec::new();
    for partition in wanted {
        let start = admin.offsets(&args.topic, partition, OffsetSpec::Earliest).await?;
        let end = admin.offsets(&args.topic, partition, OffsetSpec::Latest).await?;
        let next = place(args.from, start, end)
            .map_err(|reason| CliError::Usage(format!("{}-{partition} {reason}", args.topic)))?;
        positions.push(Position { topic: args.topic.as_str().into(), partition, next, end });
    }
    Ok(positions)
}

fn place(from: From, start: i64, end: i64) -> Result<i64, String> {
    match from {
        From::Beginning => Ok(start),
        From::End => Ok(end),
        From::Offset(offset) if (start..=end).contains(&offset) => Ok(offset),
        From::Offset(offset) => Err(format!("holds offsets {start} to {end} (its end), got {offset}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use milena::broker::EmbeddedBroker;

    use super::*;

    #[derive(Parser)]
    struct Consume {
        #[command(flatten)]
        args: Args,
    }

    #[tokio::test]
    async fn without_follow_a_broker_that_went_away_ends_the_command_with_an_error() {
        let broker = EmbeddedBroker::builder().nodes(2).replication_factor(1).topic("orders", 2).start().await.unwrap();
        broker.stop_node(2).await;
        let bootstrap = broker.bootstrap_servers();
        let Consume { args } = Consume::parse_from(["consume", "-b", &bootstrap, "-t", "orders"]);
        let error = read(args).await.unwrap_err();
        assert!(matches!(&error, CliError::Failed(why) if why.contains("orders-1 has no leader")), "{error}");
    }

    #[test]
    fn a_place_to_begin_is_one_of_two_words_or_an_offset() {
        for (text, expected) in [
            ("beginning", Ok(From::Beginning)),
            ("end", Ok(From::End)),
            ("0", Ok(From::Offset(0))),
            ("9223372036854775807", Ok(From::Offset(i64::MAX))),
            ("-1", Err(())),
            ("9223372036854775808", Err(())),
            ("latest", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(text.parse::<From>().map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn an_offset_must_be_in_the_log_or_at_its_end() {
        assert_eq!(place(From::Beginning, 5, 9), Ok(5));
        assert_eq!(place(From::End, 5, 9), Ok(9));
        for offset in 5..=9 {
            assert_eq!(place(From::Offset(offset), 5, 9), Ok(offset));
        }
        for offset in [4, 10] {
            let expected = format!("holds offsets 5 to 9 (its end), got {offset}");
            assert_eq!(place(From::Offset(offset), 5, 9), Err(expected));
        }
    }
}

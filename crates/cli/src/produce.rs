//! `milena produce`: sends a record for each line.
//!
//! In: lines. Out: the offset or the error of each, and a file with the lines that failed. Does I/O. Every line that was read ends
//! in the log, in that file, or in both if its record may have been written.

mod failed;
mod ledger;
mod lines;
mod outcomes;
mod report;
mod session;
mod template;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::ValueEnum;
use milena::Producer;
use tokio::io::AsyncRead;

use crate::{
    connection::merged,
    console::to_stderr,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::Format,
    settings,
};
use failed::FailedLines;
use ledger::Ledger;
pub(crate) use lines::{Input, Lines};
use report::End;
pub(crate) use session::{LAST_CALLBACKS, close};
use session::{Session, Stop};
use template::Template;

/// Send each line of a file or of stdin as a record
///
/// A line is bytes; they need not be UTF-8. It ends with \n or \r\n, which is no part of the record; any other \r is. An empty line
/// is a record with an empty value. Lines that fail are kept, byte for byte, in a file that is named at the end, so that they can
/// be sent again with --file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Type some records, end with Ctrl-D:
    milena produce --topic orders
  Send a file with keys, one `key:value` per line:
    milena produce --topic orders --file orders.txt --parse-key --key-separator :
  Larger batches, and nothing printed but the counts:
    milena produce --topic orders -X linger.ms=50 -X batch.size=262144 --output none < big.txt

If a setting is given more than once, --acks, --compression-type and --bootstrap-server override --property, and \
--property overrides --config.

Exit codes: 0 all delivered, 1 a line failed, 2 arguments or configuration are wrong, 130 interrupted. Ctrl-C \
stops reading, waits for records in flight and reports; a second Ctrl-C stops waiting.")]
pub(crate) struct Args {
    /// Topic to send to
    #[arg(long, short)]
    topic: String,

    /// Brokers to connect to first, as host:port,host:port [default: localhost:9092]
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// File to read instead of stdin
    #[arg(long, short, value_name = "PATH")]
    file: Option<PathBuf>,

    /// Split each line into key and value; a line without the separator fails
    #[arg(long)]
    parse_key: bool,

    /// Separator between key and value; \t is a tab
    #[arg(long, value_name = "TEXT", default_value = "\\t", value_parser = template::separator, requires = "parse_key")]
    key_separator: Separator,

    /// Header for every record; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    headers: Vec<(String, String)>,

    /// Partition for every record, instead of one chosen by key
    #[arg(long, short, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// Producer setting by its Java name, as in linger.ms=50; may be repeated
    #[arg(long = "property", short = 'X', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    properties: Vec<(String, String)>,

    /// File of producer settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Compression of batches: none, gzip, snappy, lz4 or zstd (if it is built in) [default: none]
    #[arg(long, value_name = "TYPE", value_parser = settings::compression)]
    compression_type: Option<String>,

    /// Replicas that must have a record before it is acknowledged: 0, 1 or all [default: all]
    #[arg(long, value_name = "ACKS", value_parser = settings::acks, allow_negative_numbers = true)]
    acks: Option<String>,

    /// What to print on stdout about each line
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,

    /// File for lines that failed [default: milena-failed-TOPIC-TIME-PID.txt in the working directory]
    #[arg(long, value_name = "PATH")]
    failed_file: Option<PathBuf>,

    /// Longest line in bytes, its end included; a longer one fails and is kept
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    max_line_bytes: u32,
}

type Separator = Vec<u8>;

/// The output on stdout for each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Partition and offset, as text
    Text,
    /// Partition and offset, or the error, as a JSON object
    Json,
    /// Nothing
    None,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let started = Instant::now();
    let properties = settings(&args)?;
    let failed = FailedLines::at(failed_path(&args)?);
    let mut interrupt = Interrupt::listen()?;
    let typed = args.file.is_none() && io::stdin().is_terminal();
    let progress = shows_progress(typed, args.output, io::stdout().is_terminal());
    let input = open(args.file.as_deref()).await?;
    let ledger = Ledger::new(format(args.output), failed, progress);
    // Unsent lines of stdin would be lost; those of a file are still in the file.
    let keep_rest = args.file.is_none();
    let template = Template {
        topic: args.topic,
        partition: args.partition,
        headers: args.headers,
        separator: args.parse_key.then_some(args.key_separator),
    };
    let session = Session::new(Producer::from_properties(properties).await?, template, ledger);
    let mut lines = Lines::new(input, args.max_line_bytes as usize);
    let mut number = 0;
    let stop = session.pump(&mut lines, &mut number, &mut interrupt).await;
    if keep_rest {
        let rest = lines.into_rest().await;
        session.ledger().keep_unsent(&rest);
    }
    if matches!(stop, Stop::Interrupted) {
        to_stderr("interrupted; waiting for what was sent, Ctrl-C again stops that");
    }
    session.close(&mut interrupt).await;
    let mut ledger = session.ledger();
    ledger.write_unsent();
    ledger.finish();
    let end = End { stop: &stop, lines: number, file: args.file.as_deref(), took: started.elapsed() };
    to_stderr(report::text(&end, &ledger).trim_end());
    Ok(report::exit(&stop, ledger.counts()))
}

/// Whether to show a progress line. It would disturb a user who types, and would be redrawn below each line that is printed to the
/// same terminal.
fn shows_progress(typed: bool, output: Output, on_screen: bool) -> bool {
    !typed && (output == Output::None || !on_screen)
}

fn format(output: Output) -> Option<Format> {
    match output {
        Output::Text => Some(Format::Text),
        Output::Json => Some(Format::Json),
        Output::None => None,
    }
}

/// All settings; a later one overrides an earlier one.
fn settings(args: &Args) -> Result<Vec<(String, String)>, CliError> {
    let flags = [
        ("bootstrap.servers", &args.bootstrap_server),
        ("compression.type", &args.compression_type),
        ("acks", &args.acks),
    ];
    merged(args.config.as_deref(), &args.properties, &flags)
}

fn failed_path(args: &Args) -> Result<PathBuf, CliError> {
    let Some(path) = args.failed_file.clone() else {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        // Drops characters that could leave the directory: an invalid topic name is refused only by the first send.
        let topic: String = args.topic.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
        return Ok(format!("milena-failed-{topic:.100}-{time}-{}.txt", std::process::id()).into());
    };
    let same = |input: &PathBuf| input.canonicalize().ok().is_some_and(|input| path.canonicalize().ok() == Some(input));
    if args.file.as_ref().is_some_and(same) {
        return Err(CliError::Usage(format!("--failed-file and --file are both {}; name another", path.display())));
    }
    Ok(path)
}

async fn open(file: Option<&Path>) -> Result<Box<dyn AsyncRead + Unpin>, CliError> {
    match file {
        Some(path) => match tokio::fs::File::open(path).await {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(CliError::Usage(format!("cannot read {}: {error}", path.display()))),
        },
        None => {
            if io::stdin().is_terminal() {
                to_stderr("one record per line; end with Ctrl-D");
            }
            Ok(Box::new(tokio::io::stdin()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_only_if_it_disturbs_neither_input_nor_output() {
        for (typed, output, on_screen, expected) in [
            (false, Output::None, true, true),
            (false, Output::Text, false, true),
            (false, Output::Text, true, false),
            (false, Output::Json, true, false),
            (true, Output::None, true, false),
            (true, Output::Text, false, false),
        ] {
            assert_eq!(shows_progress(typed, output, on_screen), expected, "{typed} {output:?} {on_screen}");
        }
    }
}

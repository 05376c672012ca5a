//! The arguments of `milena dlq`.
//!
//! In: arguments. Out: one value for each command. Pure.

use super::start::Start;
use crate::connection::Connection;

/// List the letters of a dead-letter topic, and replay them to the topics that they were for
///
/// A dead letter is a record that could not be delivered, with headers that say why. These commands read the headers that
/// milena-resilience writes, and letters that tell all in a JSON value. No consumer group is involved: nothing is committed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    List(ListArgs),
    Replay(ReplayArgs),
}

/// Which letters.
#[derive(Debug, clap::Args)]
pub(super) struct Letters {
    /// Dead-letter topic to read, as in orders.dlq
    #[arg(long, short)]
    pub(super) topic: String,

    #[command(flatten)]
    pub(super) connection: Connection,

    /// Partition to read; may be repeated [default: all]
    #[arg(long = "partition", short, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partitions: Vec<i32>,

    /// Where to begin: an offset of the one partition, or partition:offset for each, as in 0:42,1:7 [default: the beginning]
    #[arg(long, value_name = "OFFSETS")]
    pub(super) from_offset: Option<Start>,

    /// Only letters with this error code (MESSAGE_TOO_LARGE) or error type (SendError::TooLarge); may be repeated
    #[arg(long = "match", value_name = "ERROR")]
    pub(super) errors: Vec<String>,

    /// Stop after so many letters [default: at the end that the topic has when the command starts]
    #[arg(long, short = 'n', value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,

    /// Print JSON, one object on a line
    #[arg(long)]
    pub(super) json: bool,
}

/// List letters with the reasons why they are there
///
/// A line has, tab after tab: topic-partition@offset, timestamp, original topic, key, error code, error type, attempts, whether the
/// record may be in its topic as well (no or unknown), how often it was replayed, error. What a letter does not say is -. The whole
/// record is shown by milena consume.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  All letters:
    milena dlq list --topic orders.dlq
  The first ten that were too large, as JSON:
    milena dlq list --topic orders.dlq --match MESSAGE_TOO_LARGE --limit 10 --json

The last line on stderr says how to go on where it stopped.

Exit codes: 0 listed, 1 a broker could not do it, 2 arguments are wrong (also: there is no such partition or offset), 130 interrupted.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) letters: Letters,
}

/// Send letters to the topics that they were for
///
/// Each record has its original key, value and headers, without those of the letter, and the header dlqReplays, which counts. It
/// gets a new timestamp, and its key determines its partition. One record is sent after the other, so the letters of a partition keep
/// their order. The header possibleDuplicate marks a record that may be in its topic already (persisted is unknown).
///
/// Nothing is deleted: Kafka cannot delete single records, so the letters stay until the topic's retention ends. The report says
/// where it stopped, as a --from-offset for the next time.
///
/// A letter is refused, and listed, if it was replayed --max-replays times; if its original topic is a dead-letter topic itself, or
/// does not exist; if it is no dead letter; or if a JSON body does not tell what the value was. A record that can never be written
/// (too large, not authorized) fails, and the next one is sent. Any other failure stops the command.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  What would be sent?
    milena dlq replay --topic orders.dlq --dry-run
  A hundred a second, those that failed for lack of a permission:
    milena dlq replay --topic orders.dlq --match TOPIC_AUTHORIZATION_FAILED --rate 100
  On from where the last run stopped:
    milena dlq replay --topic orders.dlq --from-offset 0:1200,1:998

Ctrl-C stops after the record under way; a second Ctrl-C does not wait for it.

Exit codes: 0 all replayed, 1 a letter was refused or failed, or a broker could not do it, 2 arguments are wrong (also: there is no \
such partition or offset), 130 interrupted.")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) letters: Letters,

    /// Send nothing; say what would become of each letter
    #[arg(long)]
    pub(super) dry_run: bool,

    /// The most records a second [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,

    /// How often a record may be replayed before its letter is refused
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub(super) max_replays: u32,

    /// Mark every record as a possible duplicate, as after a run that ended without knowing the outcome of a record
    #[arg(long)]
    pub(super) possible_duplicates: bool,
}

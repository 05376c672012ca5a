//! The arguments of `milena outbox`.
//!
//! In: arguments. Out: one value for each command. Pure.

use super::find::{FilterArgs, Which};

/// Look into the store of a publisher, and have its events tried again or removed
///
/// A publisher keeps events in a store while Kafka is away. The relay in the same process sends them later. These commands open the
/// same store beside it: a SQLite file on the same machine, or a PostgreSQL database. They create nothing, and send nothing to Kafka
/// themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    List(ListArgs),
    Show(ShowArgs),
    Replay(ReplayArgs),
    Purge(PurgeArgs),
    Stats(StatsArgs),
}

/// What all of them take.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Store to open: a path, sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "ADDRESS")]
    pub(super) store: String,

    /// Print JSON, one object on a line
    #[arg(long)]
    pub(super) json: bool,
}

/// List events, in the order in which they were stored
///
/// A line has, tab after tab: seq, status, topic, key, failed attempts, when it was stored, event id, last error. An event that is
/// settled (RESOLVED, DLQ) is listed only if the store has a retention; otherwise it is gone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  What waits for an operator:
    milena outbox list --store outbox.db --status DLQ_FAILED
  What has been waiting for more than an hour, of one topic, as JSON:
    milena outbox list --store outbox.db --status PENDING --status RETRYING --older-than 1h --topic orders --json

If there are more, the last line on stderr says how to go on.

Exit codes: 0 listed, 1 the store failed, 2 arguments are wrong, or there is no store, 130 interrupted.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) common: Common,

    #[command(flatten)]
    pub(super) filter: FilterArgs,

    /// Only events behind this one, by its seq
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(super) after: i64,

    /// The most events to list
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: u64,
}

/// Show one event with its errors, headers and payload
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  The event with the seq 42, as listed:
    milena outbox show 42 --store outbox.db
  By its event id; if it was stored twice, both are shown:
    milena outbox show 0193a5b0-7c1e-7000-8000-000000000001 --store outbox.db

JSON has the payload as value, or as value_base64 if it is not UTF-8; headers likewise.

Exit codes: 0 shown, 1 there is no such event, or the store failed, 2 arguments are wrong, or there is no store, 130 interrupted.")]
pub(super) struct ShowArgs {
    /// The event's seq, or its event id
    #[arg(value_name = "SEQ|EVENT_ID")]
    pub(super) which: Which,

    #[command(flatten)]
    pub(super) common: Common,

    /// Print key, payload and header values in base 16. Otherwise only what is not UTF-8 is
    #[arg(long, conflicts_with = "json")]
    pub(super) hex: bool,
}

/// Have events tried again from the start
///
/// They become PENDING, with no failed attempts, and keep their place in the order. The relay of the publisher sends them; it looks
/// for them each minute. Without --status, it is those that wait for an operator (DLQ_FAILED). RETRYING events need not wait for
/// their next attempt then. DLQ events (which only a store with a retention keeps) are sent although their dead letters stay.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  What would be tried again?
    milena outbox replay --store outbox.db --topic orders --dry-run
  All that wait for an operator, fifty a second, without a question:
    milena outbox replay --store outbox.db --rate 50 --yes

Ctrl-C stops after the step under way. What was replayed stays so; the same command goes on with the rest.

Exit codes: 0 replayed, or nothing to replay, 1 the store failed, 2 arguments are wrong, or there is no store, 130 interrupted, or \
the answer was no.")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) common: Common,

    #[command(flatten)]
    pub(super) filter: FilterArgs,

    #[command(flatten)]
    pub(super) change: ChangeArgs,

    /// The most events a second [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
}

/// Remove events for good
///
/// At least one filter, or --all, says which. Events that were not published are lost: the count says how many. Before PENDING or
/// RETRYING events are removed, the publisher should be stopped. A running one may still send those that it has read, and it stores
/// newer events of the same keys before they are published, until it is started again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  What would be removed?
    milena outbox purge --store outbox.db --status DLQ_FAILED --older-than 30d --dry-run
  The same, with a question:
    milena outbox purge --store outbox.db --status DLQ_FAILED --older-than 30d

Ctrl-C stops after the step under way. What was removed stays so.

Exit codes: 0 removed, or nothing to remove, 1 the store failed, 2 arguments are wrong, or there is no store, 130 interrupted, or \
the answer was no.")]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    pub(super) common: Common,

    #[command(flatten)]
    pub(super) filter: FilterArgs,

    #[command(flatten)]
    pub(super) change: ChangeArgs,

    /// Remove everything
    #[arg(long)]
    pub(super) all: bool,
}

/// How a change is made.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// The most events to change, the oldest first [default: no limit]
    #[arg(long, short = 'n', value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,

    /// Change nothing; list the events that would be changed, and count them
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Do not ask
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(super) yes: bool,
}

/// Count the events of a store
///
/// PENDING, RETRYING and DLQ_FAILED count what is in the store; resolved, dlq and purged count since the store was created. bytes is
/// what counts against the quota; oldest is the age of the first event that is PENDING or RETRYING. The counts are kept, so this is
/// quick however many events there are.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  For a person:
    milena outbox stats --store outbox.db
  For a script; oldest_ms is null if nothing waits:
    milena outbox stats --store outbox.db --json

Exit codes: 0 counted, 1 the store failed, 2 arguments are wrong, or there is no store, 130 interrupted.")]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

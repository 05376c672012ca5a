//! Judges a history for availability: which records failed, or were late, although they could have been delivered.
//!
//! In: the fate of each record with its time, and the times of outages and disturbances. Out: neglects. A pure
//! function. The other judge, `checker`, asks whether the reported outcomes are true. This one asks whether more
//! records could have been delivered.
//!
//! # What excuses a producer
//! Two things excuse a producer. The simulation records both while it runs.
//! - An **outage** of a partition lasts for a time in which no producer could have written to it: its topic does not
//!   exist, it has no leader, its leader is down, stopped or throttles, too few replicas are in sync, a connection that
//!   is needed is slow, or the producer's own process is stopped.
//! - A **disturbance** is a moment in which something failed for all partitions: a connection broke, a response was an
//!   error, garbage or false, a leader moved, a node stopped or started, a late request reached a broker after its
//!   connection had ended, a record was rejected, all faults ended. A producer may need a while to recover from it. A
//!   disturbance never excuses a failure by itself.
//!
//! Between them it is **calm**. In a calm stretch from `s` to `t` a record that was accepted at `a` can be delivered by
//!
//! ```text
//! max(a, s + settle) + turn × (records that were sent before it, or went with it)
//! ```
//!
//! If that is before `t` and before the record's outcome, the outcome was too late, or was a failure without a reason.
//! So a record that fails had no calm stretch of that length in its lifetime. After all faults ended, the first
//! acknowledgement and every other one has a bound. The start of a run counts as a disturbance with a shorter `settle`,
//! `start`.
//!
//! # The bounds
//! See [`Allowance::of`]. An address that no longer exists takes another `settle`: every known broker has to be tried
//! before `bootstrap.servers` is used again.
//!
//! # What else is judged
//! - `send` refuses a record only after `max.block.ms` without a calm stretch, or if a broker sends an error for its
//!   topic that only the topic's owner can mend (not authorised, illegal name). One response with any other error is no
//!   reason.
//! - `send` blames the password only while it is wrong, and for `settle` after that.
//! - A rejected record has its own reason: a broker sent an error for its partition, or the record would be too large in
//!   a batch without others. It is no reason that other records of its batch were rejected, or that its batch was split.
//! - A connection on which a broker throttles, and has said so, is not closed.
//! - A record does not expire while its response is unread in the socket.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::checker::{Id, Place};
use crate::{
    config::{Compression, Config},
    error::ErrorCode,
};

/// The end of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was acknowledged.
    Acked,
    /// It expired.
    Expired,
    /// A broker refused it, with this error.
    Rejected(ErrorCode),
    /// `send` refused it: no metadata within `max.block.ms`.
    Blocked,
    /// `send` refused it: no memory within `max.block.ms`. Any partition in an outage may hold the memory.
    Full,
    /// `send` refused it because a broker sent this error for its topic.
    Refused(ErrorCode),
    /// `send` refused it because the brokers did not let the producer in.
    KeptOut,
}

/// One record, from the call of `send` to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) id: Id,
    pub(crate) place: Place,
    /// When it was accepted, or, if `send` refused it, when `send` was called.
    pub(crate) since: Duration,
    pub(crate) until: Duration,
    pub(crate) end: End,
    /// Its size in a batch without other records, uncompressed, in bytes.
    pub(crate) alone: usize,
    /// How many records were without an outcome when it was accepted, itself included, and how many were added while it
    /// waited.
    pub(crate) incomplete: usize,
}

/// A failure of availability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Neglect {
    /// A record could have been delivered by this time, and was not.
    Neglected { id: Id, end: End, could_by: Duration, until: Duration },
    /// `send` refused a record although its topic existed and no broker sent a lasting error.
    RefusedForNothing { id: Id, code: ErrorCode },
    /// `send` refused a record for the producer's password, long after the brokers had it again.
    KeptOutForNothing { id: Id },
    /// A record was rejected although no broker sent an error for it.
    RejectedForOthers { id: Id, code: ErrorCode },
    /// A connection was closed although its broker had announced how long it would throttle.
    GaveUpThrottled { connection: u64 },
    /// A record expired while its response was unread in the socket.
    ExpiredUnread(Id),
}

impl fmt::Display for Neglect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How long a producer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// From its start, if nothing disturbs it.
    pub(crate) start: Duration,
    /// After a disturbance.
    pub(crate) settle: Duration,
    /// For each record.
    pub(crate) turn: Duration,
}

impl Allowance {
    /// The bounds of a configuration. A message takes at most `way` on the network, and there are `nodes` brokers.
    /// Addresses may swallow connections, brokers may accept less than `batch.size`, and names may have `silent`
    /// addresses.
    ///
    /// - `trip` = 2 ways, and 6 ms where batches are compressed.
    /// - `turn` = 3 trips: a batch, its retry, and one that was too large. A broker's limit below `batch.size` takes 3
    ///   more.
    /// - `dial` = 250 ms for each silent address that a name has before the one that responds.
    /// - `start` = `linger.ms` + 2 × `dial` (a bootstrap server, the leader) + 8 trips: connecting, versions, metadata,
    ///   producer id, the batch, and room for what they wait for.
    /// - `reach` = `dial` + `reconnect.backoff.max.ms` + `socket.connection.setup.timeout.max.ms` if connections may be
    ///   swallowed, also by a silent address of a name whose other addresses refuse.
    /// - `settle` = `start` + 2 × `request.timeout.ms` (a request in flight gets no response, nor does one behind it) +
    ///   (1 + nodes) × `reach` + 1 s of patience for each node + 6 × `retry.backoff.max.ms` (metadata twice, producer
    ///   id twice, the batch itself, the one before it).
    pub(crate) fn of(
        config: &Config,
        way: Duration,
        nodes: usize,
        swallows: bool,
        splits: bool,
        silent: usize,
    ) -> Self {
        let nodes = nodes as u32;
        let dial = Duration::from_millis(250) * silent as u32;
        let compressed = config.compression != Compression::None;
        let trip = way * 2 + if compressed { Duration::from_millis(6) } else { Duration::ZERO };
        let start = config.linger + dial * 2 + trip * 8;
        let setup = if swallows || silent > 0 { config.connection_setup_timeout_max } else { Duration::ZERO };
        let reach = dial + config.reconnect_backoff_max + setup;
        let patience = Duration::from_secs(1) * nodes;
        let retries = config.retry_backoff_max * 6;
        let settle = start + config.request_timeout * 2 + reach * (1 + nodes) + patience + retries;
        Self { start, settle, turn: trip * if splits { 6 } else { 3 } }
    }
}

impl Allowance {
    /// Where brokers want SASL, a new connection takes 2 trips more, and so does every renewal of a session, for which all records wait.
    /// So `start` has 6 more (a bootstrap server, the leader, a renewal), and `turn` one.
    pub(crate) fn with_sasl(self, way: Duration) -> Self {
        let trip = way * 2;
        Self { start: self.start + trip * 6, settle: self.settle + trip * 6, turn: self.turn + trip }
    }
}

impl Allowance {
    /// Where tokens say who the producer is, the source takes a trip, and a source that fails is asked again within a second: see
    /// `src/oauth/schedule.rs`. A broker that refuses a token is asked again after `reconnect.backoff.max.ms`, which is in `settle`.
    pub(crate) fn with_tokens(self, way: Duration) -> Self {
        let trip = way * 2;
        Self { start: self.start + trip, settle: self.settle + trip * 2 + Duration::from_millis(1_500), ..self }
    }
}

/// A stretch of time with an outage. A disturbance is a stretch without length.
pub(crate) type Stretch = (Duration, Duration);

/// All outages and disturbances.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interruptions {
    /// Disturbances, and outages of all partitions at once.
    pub(crate) everywhere: Vec<Stretch>,
    pub(crate) outages: BTreeMap<Place, Vec<Stretch>>,
}

impl Interruptions {
    /// The outages and disturbances of a partition, or of all, in order, with overlaps joined.
    fn of(&self, place: Option<Place>) -> Vec<Stretch> {
        let here = self.outages.iter().filter(|(out, _)| place.is_none_or(|place| place == **out));
        let outages = here.flat_map(|(_, outages)| outages);
        let mut all: Vec<Stretch> = self.everywhere.iter().chain(outages).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<Stretch> = Vec::new();
        for (from, to) in all {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }
}

/// The calm stretches between these, and whether each is the first.
fn calm(stretches: &[Stretch]) -> impl Iterator<Item = (Stretch, bool)> {
    let starts = [Duration::ZERO].into_iter().chain(stretches.iter().map(|(_, to)| *to));
    let ends = stretches.iter().map(|(from, _)| *from).chain([Duration::MAX]);
    starts.zip(ends).zip((0..).map(|number| number == 0))
}

/// The time by which a record could have been completed, if that was before its end.
fn could_by(fate: &Fate, stretches: &[Stretch], allowance: Allowance) -> Option<Duration> {
    let turns = allowance.turn * fate.incomplete as u32;
    let by = |((from, to), first): (Stretch, bool)| {
        let settled = from + if first { allowance.start } else { allowance.settle };
        let by = settled.max(fate.since + allowance.start) + turns;
        (by < to && by < fate.until).then_some(by)
    };
    calm(stretches).find_map(by)
}

/// The errors that brokers sent for partitions and topics, and their limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objections {
    /// Errors in Produce responses that the run injected.
    pub(crate) produce: BTreeMap<Place, Vec<(Duration, ErrorCode)>>,
    /// `max.message.bytes`.
    pub(crate) max_message_bytes: usize,
    /// When the brokers had another password for the producer.
    pub(crate) kept_out: Vec<Stretch>,
}

/// Whether an error of a topic lasts until its owner changes something.
fn lasts(code: ErrorCode) -> bool {
    code == ErrorCode::TOPIC_AUTHORIZATION_FAILED || code == ErrorCode::INVALID_TOPIC_EXCEPTION
}

/// All neglects of a history.
pub(crate) fn judge(
    fates: &[Fate],
    interruptions: &Interruptions,
    objections: &Objections,
    allowance: Allowance,
) -> Vec<Neglect> {
    let mut stretches: BTreeMap<Option<Place>, Vec<Stretch>> = BTreeMap::new();
    let verdict = |fate: &Fate| {
        let place = Some(fate.place).filter(|_| fate.end != End::Full);
        let stretches = stretches.entry(place).or_insert_with(|| interruptions.of(place));
        let neglected = |by| Neglect::Neglected { id: fate.id, end: fate.end, could_by: by, until: fate.until };
        match fate.end {
            End::Acked | End::Expired | End::Blocked | End::Full => could_by(fate, stretches, allowance).map(neglected),
            End::Refused(code) => (!lasts(code)).then_some(Neglect::RefusedForNothing { id: fate.id, code }),
            End::KeptOut => kept_out(fate, objections, allowance),
            End::Rejected(code) => rejected(fate, code, stretches, objections),
        }
    };
    fates.iter().filter_map(verdict).collect()
}

/// A neglect, if the brokers would have let the producer in for long enough.
fn kept_out(fate: &Fate, objections: &Objections, allowance: Allowance) -> Option<Neglect> {
    let explains = |(from, to): &Stretch| *from <= fate.until && fate.since <= *to + allowance.settle;
    (!objections.kept_out.iter().any(explains)).then_some(Neglect::KeptOutForNothing { id: fate.id })
}

/// A neglect, if a rejected record had no reason.
fn rejected(fate: &Fate, code: ErrorCode, stretches: &[Stretch], objections: &Objections) -> Option<Neglect> {
    let said = objections.produce.get(&fate.place).into_iter().flatten();
    let named = said.into_iter().any(|(at, said)| *said == code && *at <= fate.until);
    let too_large = fate.alone > objections.max_message_bytes;
    // A broker that rejects a sequence number has lost records, or received a batch twice.
    let disturbed = stretches.iter().any(|(from, _)| *from <= fate.until);
    let excused = match code {
        ErrorCode::MESSAGE_TOO_LARGE => named || too_large,
        _ => named || disturbed,
    };
    (!excused).then_some(Neglect::RejectedForOthers { id: fate.id, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { topic: 0, partition: 0 };
    const ID: Id = Id { task: 1, number: 7 };
    const ALLOWANCE: Allowance =
        Allowance { start: Duration::from_secs(1), settle: Duration::from_secs(10), turn: Duration::from_millis(100) };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fate(since: u64, until: u64, end: End) -> Fate {
        Fate { id: ID, place: HERE, since: s(since), until: s(until), end, alone: 300, incomplete: 10 }
    }

    fn interruptions(disturbances: &[u64], outages: &[(u64, u64)]) -> Interruptions {
        let outages = outages.iter().map(|(from, to)| (s(*from), s(*to))).collect();
        let everywhere = disturbances.iter().map(|at| (s(*at), s(*at))).collect();
        Interruptions { everywhere, outages: [(HERE, outages)].into() }
    }

    fn found(fate: Fate, disturbances: &[u64], outages: &[(u64, u64)]) -> Option<Duration> {
        let objections = Objections { max_message_bytes: 1_000, ..Objections::default() };
        match judge(&[fate], &interruptions(disturbances, outages), &objections, ALLOWANCE).first() {
            Some(Neglect::Neglected { could_by, .. }) => Some(*could_by),
            Some(other) => panic!("{other}"),
            None => None,
        }
    }

    /// Description, record, disturbances, outages, and the time by which the record could have been delivered.
    type Case = (&'static str, Fate, &'static [u64], &'static [(u64, u64)], Option<Duration>);

    #[test]
    fn a_record_fails_or_is_late_only_if_there_was_no_calm_in_which_it_could_be_delivered() {
        let table: [Case; 10] = [
            ("calm from the start", fate(0, 120, End::Expired), &[], &[], Some(s(2))),
            ("calm, and in time", fate(0, 2, End::Acked), &[], &[], None),
            ("the start of a long life", fate(50, 170, End::Expired), &[], &[], Some(s(52))),
            ("a disturbance excuses only a while", fate(50, 170, End::Expired), &[60], &[], Some(s(52))),
            ("the disturbances are too dense", fate(50, 80, End::Expired), &[45, 51, 60, 71], &[], None),
            ("time to recover from a disturbance", fate(50, 170, End::Expired), &[51], &[], Some(s(62))),
            ("an outage all the time", fate(50, 170, End::Expired), &[], &[(49, 170)], None),
            ("an outage half of the time", fate(50, 170, End::Expired), &[], &[(49, 100)], Some(s(111))),
            (
                "two outages and a disturbance without a calm stretch between them",
                fate(50, 80, End::Blocked),
                &[55],
                &[(49, 60), (58, 78)],
                None,
            ),
            ("late after the outage", fate(50, 99, End::Acked), &[], &[(0, 60)], Some(s(71))),
        ];
        for (case, fate, disturbances, outages, expected) in table {
            assert_eq!(found(fate, disturbances, outages), expected, "{case}");
        }
    }

    #[test]
    fn another_partition_s_outage_is_no_excuse() {
        let elsewhere = Place { topic: 0, partition: 1 };
        let interruptions =
            Interruptions { outages: [(elsewhere, vec![(s(0), s(500))])].into(), ..Interruptions::default() };
        let neglects = judge(&[fate(0, 120, End::Expired)], &interruptions, &Objections::default(), ALLOWANCE);
        assert!(matches!(neglects[..], [Neglect::Neglected { id: ID, .. }]), "{neglects:?}");
    }

    #[test]
    fn send_blames_the_password_only_while_it_is_wrong_or_was_a_moment_ago() {
        let objections = Objections { kept_out: vec![(s(20), s(30))], ..Objections::default() };
        for (since, is_excused) in [(19, false), (20, true), (30, true), (40, true), (41, false)] {
            let fate = fate(since, since, End::KeptOut);
            let neglects = judge(&[fate], &Interruptions::default(), &objections, ALLOWANCE);
            assert_eq!(neglects.is_empty(), is_excused, "at {since} s: {neglects:?}");
        }
    }

    #[test]
    fn a_rejected_record_has_a_reason_of_its_own() {
        const LARGE: ErrorCode = ErrorCode::MESSAGE_TOO_LARGE;
        const INVALID: ErrorCode = ErrorCode::INVALID_RECORD;
        let said = |code| Objections {
            produce: [(HERE, vec![(s(1), code)])].into(),
            max_message_bytes: 1_000,
            ..Objections::default()
        };
        let rejected = |code, alone| Fate { alone, ..fate(0, 5, End::Rejected(code)) };
        let table = [
            (rejected(LARGE, 1_000), said(INVALID), true),
            (rejected(LARGE, 1_001), said(INVALID), false),
            (rejected(LARGE, 1_000), said(LARGE), false),
            (rejected(INVALID, 100), said(INVALID), false),
            (rejected(INVALID, 100), said(LARGE), true),
        ];
        for (fate, objections, expected) in table {
            let neglects = judge(&[fate], &Interruptions::default(), &objections, ALLOWANCE);
            assert_eq!(!neglects.is_empty(), expected, "{fate:?}: {neglects:?}");
        }
    }

    #[test]
    fn send_refuses_a_topic_only_for_a_lasting_error() {
        let refuses = |code| {
            let refused = fate(0, 0, End::Refused(code));
            judge(&[refused], &interruptions(&[0], &[]), &Objections::default(), ALLOWANCE)
        };
        for code in [-1, 3, 38, 72, 999].map(ErrorCode) {
            assert_eq!(refuses(code), [Neglect::RefusedForNothing { id: ID, code }]);
        }
        assert_eq!(refuses(ErrorCode::TOPIC_AUTHORIZATION_FAILED), []);
    }
}

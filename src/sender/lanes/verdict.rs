//! What a response means for its batch: one pure function over one table.
//!
//! In: a broker's error code and the facts of the batch. Out: a [`Verdict`]. Pure. Deliberately absent: carrying it out,
//! which is the lane's work.

use crate::{
    error::{ErrorCode, Persisted},
    wire::errors::{Class, Written},
};

/// What the verdict on a batch depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Whether the producer is idempotent.
    pub(crate) idempotent: bool,
    /// How many records the batch has.
    pub(crate) records: u32,
    /// Whether the batch has no outcome yet.
    pub(crate) waited_for: bool,
    /// Whether `retries` allows another attempt.
    pub(crate) may_retry: bool,
    /// Whether it is the first batch of its partition without a response.
    pub(crate) first: bool,
    /// Whether an earlier attempt may have written it.
    pub(crate) maybe_written: bool,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the log, at the offset in the response.
    Acked,
    /// It is in the log, at an offset that the response does not have.
    Duplicate,
    /// Send the same bytes again; `refresh` the metadata before.
    Retry { refresh: bool },
    /// Send the same bytes again as soon as the batches before it have gone. It came too soon, and was not judged itself.
    Again,
    /// Send its records again in smaller batches.
    Split,
    /// Complete it as failed.
    Fail { persisted: Persisted },
    /// Once nothing of the partition is in flight, go on with the next epoch from sequence 0.
    BumpEpoch,
    /// Once nothing of the partition is in flight, go on with a new producer id.
    NewProducerId,
    /// Complete it as failed; and nothing of this producer will succeed any more.
    Fatal { persisted: Persisted },
}

/// Judges a response.
pub(crate) fn verdict(error: ErrorCode, facts: Facts) -> Verdict {
    let row = error.row();
    let unknown = facts.maybe_written || row.written == Written::Unknown;
    let persisted = if unknown { Persisted::Unknown } else { Persisted::No };
    let fail = Verdict::Fail { persisted };
    match row.class {
        Class::None => Verdict::Acked,
        Class::Duplicate => Verdict::Duplicate,
        Class::Fatal => Verdict::Fatal { persisted },
        Class::Permanent => fail,
        _ if !facts.waited_for => fail,
        // `retries` does not count what is not a repetition: as in Java, where a batch is split whatever it says.
        Class::TooLarge if facts.records > 1 => Verdict::Split,
        Class::TooLarge => fail,
        Class::Transient if facts.may_retry => Verdict::Retry { refresh: row.refresh },
        Class::Transient => fail,
        Class::Sequence if facts.idempotent => sequence(error, facts, fail),
        Class::Sequence => fail,
    }
}

/// Judges a disagreement about sequence numbers. The broker refused this attempt; this finds out why.
fn sequence(error: ErrorCode, facts: Facts, fail: Verdict) -> Verdict {
    // An earlier batch has no response yet, so this one came too soon: it goes again behind that one.
    if !facts.first {
        return Verdict::Again;
    }
    if !facts.may_retry {
        return fail;
    }
    // An earlier attempt may have written it, or may yet do so: it may still be on its way. Under a new number it could end up
    // in the log twice, so nothing more is done with it.
    if facts.maybe_written {
        return fail;
    }
    match error {
        // The broker has a newer epoch of this producer id, or no longer knows the id.
        ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::INVALID_PRODUCER_ID_MAPPING => Verdict::NewProducerId,
        // The broker lost what it knew of this producer, or batches that it had acknowledged.
        _ => Verdict::BumpEpoch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Facts =
        Facts { idempotent: true, records: 3, waited_for: true, may_retry: true, first: true, maybe_written: false };
    const NO: Verdict = Verdict::Fail { persisted: Persisted::No };
    const UNKNOWN: Verdict = Verdict::Fail { persisted: Persisted::Unknown };
    const STAY: Verdict = Verdict::Retry { refresh: false };
    const MOVE: Verdict = Verdict::Retry { refresh: true };

    #[test]
    fn every_kind_of_answer_has_its_verdict() {
        use ErrorCode as E;
        let one = Facts { records: 1, ..PLAIN };
        let last = Facts { may_retry: false, ..PLAIN };
        let tried = Facts { maybe_written: true, ..PLAIN };
        let later = Facts { first: false, ..PLAIN };
        let nobody = Facts { waited_for: false, ..PLAIN };
        let plain = Facts { idempotent: false, ..PLAIN };
        let table = [
            (E::NONE, PLAIN, Verdict::Acked),
            (E::NONE, last, Verdict::Acked),
            (E::DUPLICATE_SEQUENCE_NUMBER, PLAIN, Verdict::Duplicate),
            (E::NOT_LEADER_OR_FOLLOWER, PLAIN, MOVE),
            (E::NOT_LEADER_OR_FOLLOWER, last, UNKNOWN),
            (E::NOT_ENOUGH_REPLICAS, last, NO),
            (E::NOT_ENOUGH_REPLICAS, Facts { maybe_written: true, ..last }, UNKNOWN),
            (E::CORRUPT_MESSAGE, PLAIN, STAY),
            (E::REQUEST_TIMED_OUT, PLAIN, STAY),
            (E::REQUEST_TIMED_OUT, last, UNKNOWN),
            (E::MESSAGE_TOO_LARGE, PLAIN, Verdict::Split),
            (E::MESSAGE_TOO_LARGE, one, NO),
            (E::MESSAGE_TOO_LARGE, last, Verdict::Split),
            (E::MESSAGE_TOO_LARGE, nobody, NO),
            (E::NOT_ENOUGH_REPLICAS, nobody, NO),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, Facts { first: false, ..nobody }, NO),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, Facts { may_retry: false, ..later }, Verdict::Again),
            (E::INVALID_RECORD, PLAIN, NO),
            (E::INVALID_RECORD, tried, UNKNOWN),
            (E::PRODUCER_FENCED, PLAIN, Verdict::Fatal { persisted: Persisted::No }),
            (E::PRODUCER_FENCED, tried, Verdict::Fatal { persisted: Persisted::Unknown }),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, later, Verdict::Again),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, PLAIN, Verdict::BumpEpoch),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, tried, UNKNOWN),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, plain, NO),
            (E::OUT_OF_ORDER_SEQUENCE_NUMBER, last, NO),
            (E::UNKNOWN_PRODUCER_ID, later, Verdict::Again),
            (E::UNKNOWN_PRODUCER_ID, PLAIN, Verdict::BumpEpoch),
            (E::INVALID_PRODUCER_EPOCH, PLAIN, Verdict::NewProducerId),
            (E::INVALID_PRODUCER_EPOCH, tried, UNKNOWN),
            (E::INVALID_PRODUCER_EPOCH, later, Verdict::Again),
            (E::INVALID_PRODUCER_ID_MAPPING, PLAIN, Verdict::NewProducerId),
        ];
        for (error, facts, expected) in table {
            assert_eq!(verdict(error, facts), expected, "{error} with {facts:?}");
        }
    }

    #[test]
    fn no_error_code_whatsoever_is_taken_for_success() {
        for code in (i16::MIN..=i16::MAX).filter(|code| ![0, 46].contains(code)) {
            let verdict = verdict(ErrorCode(code), PLAIN);
            assert!(!matches!(verdict, Verdict::Acked | Verdict::Duplicate), "{code}");
        }
    }

    #[test]
    fn a_batch_that_may_have_been_written_never_fails_as_certainly_not_written() {
        for code in i16::MIN..=i16::MAX {
            for may_retry in [true, false] {
                let facts = Facts { maybe_written: true, may_retry, ..PLAIN };
                let verdict = verdict(ErrorCode(code), facts);
                assert!(!matches!(verdict, NO | Verdict::Fatal { persisted: Persisted::No }), "{code}");
            }
        }
    }
}

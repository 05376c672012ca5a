//! Judges whether a case ended as expected.
//!
//! In: a case, its result, and its records in the topic. Out: a verdict. Pure.

use std::time::Duration;

use milena::{Persisted, admin::ConsumedRecord};
use milena_resilience::retry::{POSSIBLE_DUPLICATE, RetryError, RetryPolicy};

use super::{
    super::{checks::Verdict, orders::header},
    Ended,
    cases::{Case, Expected},
};

/// Judges the result of a case, its backoffs, and its records in the topic.
pub(super) fn judge(case: &Case, ended: &Ended, copies: &[&ConsumedRecord]) -> Verdict {
    let marks: Vec<_> = copies.iter().map(|copy| header(copy, POSSIBLE_DUPLICATE)).collect();
    let persisted = ended.as_ref().err().map(RetryError::persisted);
    let result = as_expected(case.expected, got(ended))
        .and_then(|()| waited(&case.policy, &waits(ended)))
        .and_then(|()| in_log(case.in_log, persisted, &marks));
    Verdict { claim: format!("{}: {}, {}", case.name, what(case.expected), count(case.in_log)), result }
}

fn what(expected: Expected) -> String {
    match expected {
        Expected::Delivered(1) => "delivered at once".into(),
        Expected::Delivered(attempts) => format!("delivered at attempt {attempts}"),
        Expected::GivenUp(1, ..) => "given up at once".into(),
        Expected::GivenUp(attempts, ..) => format!("given up after {attempts} attempts"),
    }
}

fn count(records: usize) -> &'static str {
    match records {
        0 => "not in the topic",
        1 => "once in the topic",
        _ => "twice in the topic, the second one marked",
    }
}

fn got(ended: &Ended) -> Expected {
    let attempts = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    match ended {
        Ok(delivered) => Expected::Delivered(attempts(delivered.tried.len() + 1)),
        Err(error) => Expected::GivenUp(attempts(error.tried().len()), error.gave_up(), error.failure().code()),
    }
}

/// The backoff before each attempt.
fn waits(ended: &Ended) -> Vec<Duration> {
    let tried = match ended {
        Ok(delivered) => &delivered.tried,
        Err(error) => error.tried(),
    };
    let last = ended.as_ref().ok().map(|delivered| delivered.waited);
    tried.iter().map(|attempt| attempt.waited).chain(last).collect()
}

fn as_expected(expected: Expected, got: Expected) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("expected {expected:?}, got {got:?}")) }
}

/// Checks that no backoff was shorter than the policy's. It may be longer, depending on the machine.
fn waited(policy: &RetryPolicy, waits: &[Duration]) -> Result<(), String> {
    for (attempts, wait) in (1..).zip(waits.iter().skip(1)) {
        let least = policy.wait_after(attempts, 0.0);
        if *wait < least {
            return Err(format!("waited {wait:?} after attempt {attempts}, expected at least {least:?}"));
        }
    }
    Ok(())
}

/// Checks that the topic holds the expected number of copies, that this agrees with `persisted`, and that only the second copy
/// is marked.
fn in_log(expected: usize, persisted: Option<Persisted>, marks: &[Option<&str>]) -> Result<(), String> {
    if persisted == Some(Persisted::No) && !marks.is_empty() {
        return Err("reported as not written, but it is in the topic".into());
    }
    if marks.len() != expected {
        return Err(format!("expected {expected} copies in the topic, got {}", marks.len()));
    }
    let wrong = marks.iter().zip([None, Some("1")]).find(|(mark, expected)| *mark != expected);
    wrong.map_or(Ok(()), |(mark, expected)| Err(format!("{POSSIBLE_DUPLICATE}: expected {expected:?}, got {mark:?}")))
}

#[cfg(test)]
mod tests {
    use milena::ErrorCode;
    use milena_resilience::retry::GaveUp;

    use super::*;

    #[test]
    fn another_result_than_expected_is_found() {
        let given_up = |attempts, why| Expected::GivenUp(attempts, why, ErrorCode::REQUEST_TIMED_OUT);
        let expected = given_up(3, GaveUp::AttemptsUsedUp);
        assert_eq!(as_expected(expected, expected), Ok(()));
        for got in [Expected::Delivered(3), given_up(2, GaveUp::AttemptsUsedUp), given_up(3, GaveUp::Fatal)] {
            assert!(as_expected(expected, got).unwrap_err().starts_with("expected GivenUp(3, "), "{got:?}");
        }
    }

    #[test]
    fn a_wait_that_is_too_short_is_found() {
        let ms = |ms: &[u64]| ms.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        let policy = RetryPolicy::new().jitter(0.0);
        assert_eq!(waited(&policy, &ms(&[0, 100, 201, 5_000])), Ok(()));
        assert!(waited(&policy, &ms(&[0, 100, 199])).unwrap_err().contains("after attempt 2, expected at least 200ms"));
        assert_eq!(waited(&policy, &ms(&[0])), Ok(()));
    }

    #[test]
    fn copies_that_are_too_many_too_few_or_wrongly_marked_are_found() {
        assert_eq!(in_log(0, Some(Persisted::No), &[]), Ok(()));
        assert_eq!(in_log(1, Some(Persisted::Unknown), &[None]), Ok(()));
        assert_eq!(in_log(2, None, &[None, Some("1")]), Ok(()));
        for (expected, persisted, marks, reason) in [
            (1, None, &[][..], "expected 1 copies"),
            (1, None, &[None, None], "got 2"),
            (0, Some(Persisted::No), &[None], "reported as not written"),
            (2, None, &[None, None], "got None"),
            (1, None, &[Some("1")], "got Some"),
        ] {
            assert!(in_log(expected, persisted, marks).unwrap_err().contains(reason), "{reason}");
        }
    }
}

//! What became of requests that were answered before their record had an outcome.
//!
//! In: the beginning and the outcome of each, and the time, which is an argument. Out: the state of a request by its id. Pure: it waits for
//! nothing and reads no clock. States are bounded in number and age. An id that was never given is told from one whose state is gone.
//! Deliberately absent: anything that survives the process; what is stored is asked of the store.
//!
//! States lie in a ring, by the numbers of their requests. A place whose request is still pending is not used again, so a request that was
//! accepted keeps its state until it has its outcome, however many others there are.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milena::Ack;
use milena_resilience::store::Position;

use crate::{
    ids::{Ids, RequestId},
    problem::{Outcome, Problem},
};

/// The names of the states that are no outcome.
pub(crate) const PENDING: &str = "PENDING";
pub(crate) const STORED: &str = "STORED";
/// How many places are tried for a request before it counts as one too many.
const TRIES: usize = 32;

/// The state of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Its record has no outcome yet.
    Pending,
    /// Kafka has acknowledged its record.
    Ok(Ack),
    /// Its record is in the store, and will be delivered.
    Stored(Stored),
    /// Its record is in the log, says the store.
    Delivered {
        /// Its topic.
        topic: Arc<str>,
        /// Where in it, if the store knows.
        position: Option<Position>,
    },
    /// Its record failed.
    Error(Arc<Problem>),
}

impl State {
    /// Its name in answers.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pending => PENDING,
            Self::Stored(_) => STORED,
            Self::Ok(_) | Self::Delivered { .. } => "OK",
            Self::Error(_) => "ERROR",
        }
    }

    /// The state as the store tells it, with what this process knows beside it: a row that was written ahead does not say why it is still there.
    pub(crate) fn knowing(mut self, found: &Found) -> Self {
        if let (Self::Stored(Stored { why: why @ None, .. }), Found::State(Self::Stored(known))) = (&mut self, found) {
            why.clone_from(&known.why);
        }
        self
    }
}

/// What became of a record.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// Kafka has acknowledged it.
    Written(Ack),
    /// It is in the store, by this id.
    Stored(RequestId, Stored),
}

impl From<Done> for State {
    fn from(done: Done) -> Self {
        match done {
            Done::Written(ack) => Self::Ok(ack),
            Done::Stored(_, stored) => Self::Stored(stored),
        }
    }
}

/// A record that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// How many attempts failed.
    pub(crate) attempts: u32,
    /// Why it was stored, or why the last attempt failed.
    pub(crate) why: Option<String>,
    /// Whether it may be in the log already.
    pub(crate) outcome: Outcome,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// The request's state.
    State(State),
    /// There was a state, which is too old, or made room for others.
    Expired,
    /// The id was never given by this process.
    Unknown,
}

/// A request that was begun; its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// The states of requests. Shared by all; a place has a lock of its own, which nobody holds for long.
#[derive(Debug)]
pub(crate) struct Statuses {
    places: Box<[Mutex<Place>]>,
    next: AtomicU64,
    ids: Ids,
    max_age: Duration,
}

/// A place of the ring. The number 0 is no request's.
#[derive(Debug, Default)]
struct Place {
    number: u64,
    begun: Duration,
    state: Option<State>,
}

impl Statuses {
    /// Room for the states of `capacity` requests, at least one, each for `max_age` from its beginning on.
    #[must_use]
    pub(crate) fn new(capacity: usize, max_age: Duration) -> Self {
        let places = (0..capacity.max(1)).map(|_| Mutex::default()).collect();
        Self { places, next: AtomicU64::new(1), ids: Ids::default(), max_age }
    }

    /// Begins a request at this time since a fixed moment. `None`: too many are pending.
    pub(crate) fn begin(&self, now: Duration) -> Option<Ticket> {
        (0..TRIES.min(self.places.len())).find_map(|_| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.with(number, |place| {
                let is_free = place.state != Some(State::Pending);
                if is_free {
                    *place = Place { number, begun: now, state: Some(State::Pending) };
                }
                is_free.then_some(Ticket(number))
            })
        })
    }

    /// The id of a request that was begun.
    #[must_use]
    pub(crate) fn id(&self, ticket: Ticket) -> RequestId {
        self.ids.id(ticket.0)
    }

    /// The outcome of a request.
    pub(crate) fn finish(&self, ticket: Ticket, outcome: Result<Ack, Problem>) {
        self.settle(ticket, outcome.map(State::Ok));
    }

    /// What became of a request, if its record may be in the store.
    pub(crate) fn settle(&self, ticket: Ticket, outcome: Result<State, Problem>) {
        let state = outcome.unwrap_or_else(|problem| State::Error(Arc::new(problem.of(self.id(ticket)))));
        self.put(ticket, Some(state));
    }

    /// A request that was not accepted after all, whose id was not given.
    pub(crate) fn withdraw(&self, ticket: Ticket) {
        self.put(ticket, None);
    }

    /// What is known of an id at this time since the same moment.
    #[must_use]
    pub(crate) fn find(&self, id: &str, now: Duration) -> Found {
        let Some(number) = self.ids.number(id) else { return Found::Unknown };
        self.with(number, |place| match &place.state {
            Some(State::Pending) if place.number == number => Found::State(State::Pending),
            Some(state) if place.number == number && now.saturating_sub(place.begun) <= self.max_age => {
                Found::State(state.clone())
            }
            _ => Found::Expired,
        })
    }

    /// The last requests whose state is kept, at most so many, the newest first. It looks at no more places than twice that.
    #[must_use]
    pub(crate) fn latest(&self, most: usize) -> Vec<(RequestId, State)> {
        let next = self.next.load(Ordering::Relaxed);
        let numbers = (1..next).rev().take((2 * most).min(self.places.len()));
        let kept = numbers.filter_map(|number| {
            self.with(number, |place| place.state.clone().filter(|_| place.number == number))
                .map(|state| (self.ids.id(number), state))
        });
        kept.take(most).collect()
    }

    /// How many requests are pending. It looks at every place.
    #[must_use]
    pub(crate) fn pending(&self) -> usize {
        let is_pending = |place: &&Mutex<Place>| lock(place).state == Some(State::Pending);
        self.places.iter().filter(is_pending).count()
    }

    fn put(&self, ticket: Ticket, state: Option<State>) {
        self.with(ticket.0, |place| {
            if place.number == ticket.0 {
                place.state = state;
            }
        });
    }

    fn with<T>(&self, number: u64, f: impl FnOnce(&mut Place) -> T) -> T {
        // The remainder is less than the number of places, which is a usize.
        let at = (number % self.places.len() as u64) as usize;
        f(&mut lock(&self.places[at]))
    }
}

fn lock(place: &Mutex<Place>) -> std::sync::MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    const NOW: Duration = Duration::from_secs(100);

    fn statuses(capacity: usize) -> Statuses {
        Statuses::new(capacity, Duration::from_secs(10))
    }

    fn ack(offset: i64) -> Ack {
        Ack::new("t", 0).with_offset(offset)
    }

    fn begin(statuses: &Statuses) -> (Ticket, String) {
        let ticket = statuses.begin(NOW).unwrap();
        (ticket, statuses.id(ticket).to_string())
    }

    #[test]
    fn a_request_is_pending_and_then_has_its_outcome() {
        let statuses = statuses(10);
        let ((good, good_id), (bad, bad_id)) = (begin(&statuses), begin(&statuses));
        assert_eq!(statuses.find(&good_id, NOW), Found::State(State::Pending));
        statuses.finish(good, Ok(ack(7)));
        statuses.finish(bad, Err(Problem::new(Kind::Unavailable, "away")));
        assert_eq!(statuses.find(&good_id, NOW), Found::State(State::Ok(ack(7))));
        let Found::State(State::Error(problem)) = statuses.find(&bad_id, NOW) else { panic!("an error") };
        assert_eq!(serde_json::to_value(&*problem).unwrap()["requestId"], bad_id.as_str());
    }

    #[test]
    fn an_id_that_was_never_given_is_told_from_one_whose_state_is_gone() {
        let statuses = statuses(1);
        let (first, first_id) = begin(&statuses);
        statuses.finish(first, Ok(ack(0)));
        let (second, second_id) = begin(&statuses);
        assert_eq!(statuses.find(&first_id, NOW), Found::Expired, "it made room");
        statuses.finish(second, Ok(ack(1)));
        assert_eq!(statuses.find("", NOW), Found::Unknown);
        assert_eq!(statuses.find("0000000000000001-0000000000000000", NOW), Found::Unknown, "guessed");
        for (age, found) in [(10_000, Found::State(State::Ok(ack(1)))), (10_001, Found::Expired)] {
            assert_eq!(statuses.find(&second_id, NOW + Duration::from_millis(age)), found, "after {age} ms");
        }
    }

    #[test]
    fn a_pending_request_keeps_its_place_whatever_its_age_and_however_many_others_there_are() {
        let statuses = statuses(3);
        let (slow, slow_id) = begin(&statuses);
        for offset in 0..20 {
            let (ticket, id) = begin(&statuses);
            statuses.finish(ticket, Ok(ack(offset)));
            assert_eq!(statuses.find(&id, NOW), Found::State(State::Ok(ack(offset))));
        }
        assert_eq!(statuses.find(&slow_id, NOW + Duration::from_secs(1_000)), Found::State(State::Pending));
        statuses.finish(slow, Ok(ack(20)));
        assert_eq!(statuses.find(&slow_id, NOW), Found::State(State::Ok(ack(20))));
    }

    #[test]
    fn no_request_is_begun_while_all_places_are_pending() {
        let statuses = statuses(2);
        let ((first, _), _) = (begin(&statuses), begin(&statuses));
        assert_eq!((statuses.begin(NOW), statuses.pending()), (None, 2));
        statuses.finish(first, Ok(ack(0)));
        assert!(statuses.begin(NOW).is_some());
    }

    #[test]
    fn a_request_that_was_withdrawn_leaves_its_place_to_others() {
        let statuses = statuses(1);
        let (ticket, _) = begin(&statuses);
        statuses.withdraw(ticket);
        assert_eq!(statuses.pending(), 0);
        assert!(statuses.begin(NOW).is_some());
    }

    #[test]
    fn an_outcome_that_comes_twice_changes_no_other_request() {
        let statuses = statuses(1);
        let (first, _) = begin(&statuses);
        statuses.finish(first, Ok(ack(0)));
        let (_, second_id) = begin(&statuses);
        statuses.finish(first, Ok(ack(9)));
        assert_eq!(statuses.find(&second_id, NOW), Found::State(State::Pending));
    }
}

//! What is known of the store's unsettled events, by bucket.
//!
//! In: what the store told, the time. Out: behind which place it is to be asked, and whether a slot has events. Pure.
//!
//! Where few events are unsettled, all of them are read each time, so the answer is exact. Where there are many, they are read now and then, and
//! in between only those that are new: slots whose events were settled meanwhile count as busy until then. Where there are too many
//! to be read, all slots count as busy. Events go to the store needlessly then, which is safe.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::store::{Busy, Seq, bucket_of};

/// How many events of a bucket are read at a time.
pub(super) const MOST: u64 = 10_000;
/// How long what was read is used for each event, before all are read again.
const EACH: Duration = Duration::from_micros(100);
/// How long a bucket with too many events is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of each bucket.
#[derive(Debug)]
pub(super) struct Views {
    buckets: u16,
    views: Vec<View>,
}

#[derive(Clone, Debug, Default)]
enum View {
    #[default]
    Unknown,
    /// There are too many events. They are not asked for before this moment.
    Many(Instant),
    Known {
        /// Up to which event they were read.
        last: Seq,
        slots: BTreeSet<u16>,
        events: u64,
        /// When all were read again the last time.
        since: Instant,
    },
}

impl Views {
    /// Nothing is known.
    pub(super) fn new(buckets: u16) -> Self {
        let buckets = buckets.max(1);
        Self { buckets, views: vec![View::default(); usize::from(buckets)] }
    }

    /// What to ask of the buckets of these slots: each bucket, and behind which event.
    pub(super) fn questions(&self, slots: impl IntoIterator<Item = u16>, now: Instant) -> Vec<(u16, Seq)> {
        let buckets: BTreeSet<u16> = slots.into_iter().map(|slot| bucket_of(slot, self.buckets)).collect();
        let place = |bucket: u16| self.views.get(usize::from(bucket)).and_then(|view| view.place(now));
        buckets.into_iter().filter_map(|bucket| Some((bucket, place(bucket)?))).collect()
    }

    /// The store was asked for events behind this place, and told this. Returns whether there were any.
    pub(super) fn learn(&mut self, behind: Seq, told: Busy, now: Instant) -> bool {
        let has_some = told.events > 0;
        if let Some(view) = self.views.get_mut(usize::from(told.bucket)) {
            view.learn(behind, told, now);
        }
        has_some
    }

    /// Whether a slot has, or may have, events.
    pub(super) fn is_busy(&self, slot: u16) -> bool {
        match self.views.get(usize::from(bucket_of(slot, self.buckets))) {
            Some(View::Known { slots, .. }) => slots.contains(&slot),
            Some(View::Unknown | View::Many(_)) | None => true,
        }
    }
}

impl View {
    fn place(&self, now: Instant) -> Option<Seq> {
        match self {
            Self::Unknown => Some(Seq::START),
            Self::Many(until) => (now >= *until).then_some(Seq::START),
            Self::Known { last, events, since, .. } => {
                let lasts = EACH.saturating_mul(u32::try_from(*events).unwrap_or(u32::MAX));
                Some(if now.saturating_duration_since(*since) < lasts { *last } else { Seq::START })
            }
        }
    }

    fn learn(&mut self, behind: Seq, told: Busy, now: Instant) {
        let Busy { slots: more, events: new, last: end, is_end, .. } = told;
        *self = match std::mem::take(self) {
            _ if !is_end => Self::Many(now + PAUSE),
            Self::Known { mut slots, events, since, .. } if behind > Seq::START => {
                slots.extend(more);
                Self::Known { last: end, slots, events: events + new, since }
            }
            _ => Self::Known { last: end, slots: more, events: new, since: now },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(slots: &[u16], events: u64, last: i64, is_end: bool) -> Busy {
        Busy { bucket: 0, slots: slots.iter().copied().collect(), events, last: Seq(last), is_end }
    }

    #[test]
    fn a_bucket_is_asked_in_full_as_long_as_it_has_few_events_and_for_new_ones_while_it_has_many() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut views = Views::new(1);
        let cases = [
            (0, 0, told(&[], 0, 0, true), false, "nothing is stored"),
            (1, 0, told(&[7], 1, 5, true), true, "its event is stored"),
            (2, 0, told(&[8], 1, 6, true), false, "it is settled, and another is stored"),
            (10, 0, told(&[8], 2_000, 2_005, true), false, "many are stored: they are not read again for 200 ms"),
            (20, 2_005, told(&[], 0, 2_005, true), false, "no new ones"),
            (200, 2_005, told(&[7], 1, 2_006, true), true, "a new one of the slot"),
            (210, 2_006, told(&[], 0, 2_006, true), true, "it counts as there until all are read again"),
            (211, 0, told(&[8], 9, 2_017, true), false, "all are read again"),
            (212, 0, told(&[8], MOST, 9_000, false), true, "too many"),
        ];
        assert!(views.is_busy(7), "nothing is known");
        for (ms, place, told, is_busy, name) in cases {
            assert_eq!(views.questions([7], at(ms)), [(0, Seq(place))], "{name}");
            let has_some = told.events > 0;
            assert_eq!(views.learn(Seq(place), told, at(ms)), has_some, "{name}");
            assert_eq!(views.is_busy(7), is_busy, "{name}");
        }
        assert_eq!(views.questions([7], at(1_211)), [], "a bucket with too many events is left alone for a while");
        assert_eq!(views.questions([7], at(1_212)), [(0, Seq::START)]);
        assert!(views.is_busy(7));
    }

    #[test]
    fn each_bucket_is_asked_once_whatever_the_slots() {
        let mut views = Views::new(16);
        let now = Instant::now();
        assert_eq!(views.questions([1, 2, 4_096, 65_535], now), [(0, Seq::START), (1, Seq::START), (15, Seq::START)]);
        views.learn(Seq::START, Busy::none(1, Seq::START), now);
        assert_eq!([1, 4_096].map(|slot| views.is_busy(slot)), [true, false]);
        views.learn(Seq::START, Busy::none(99, Seq::START), now);
    }
}

//! The state machine of a circuit breaker.
//!
//! In: calls that want to begin and that ended, orders of an operator, and the time. Out: passes or refusals,
//! transitions in order, numbers. Pure: no clock, no lock, and chance from a seed. Time is an argument and does not go
//! back: an earlier one counts as the latest that was told.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::{
    config::BreakerConfig,
    state::{BreakerState, BreakerStats, CallNotPermitted, Transition},
    window::Window,
};

/// A call that may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The period of a state in which it began. Once that is over, its end changes nothing.
    pub(super) period: u64,
    /// Its number among the calls of HALF_OPEN, if it is one.
    pub(super) probe: Option<u64>,
    /// When it began.
    pub(super) at: Instant,
}

/// The wait in OPEN is over, and nobody called: the owner may find out whether Kafka is back.
#[derive(Clone, Copy, Debug)]
#[must_use = "report it by probe_succeeded or probe_failed"]
pub struct Probe {
    period: u64,
}

/// A circuit breaker without a clock.
#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    chance: u64,
    now: Instant,
    phase: Phase,
    /// The number of the state's period; each transition begins the next.
    period: u64,
    since: Instant,
    window: Window,
    /// Openings since the breaker was last CLOSED for long enough.
    flaps: u32,
    opened: u64,
    not_permitted: u64,
    news: VecDeque<Transition>,
}

/// A state, with what only it needs.
#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen(Trial),
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

/// The calls of HALF_OPEN.
#[derive(Debug)]
struct Trial {
    /// Those under way, by their numbers, and until when they may take. Later numbers end later.
    under_way: BTreeMap<u64, Instant>,
    /// How many have told how they ended. Their places are not given away again.
    ended: u32,
    next: u64,
    /// When HALF_OPEN ends, if that is limited.
    until: Option<Instant>,
}

impl Machine {
    /// CLOSED, with a configuration that has been checked.
    pub(super) fn new(config: BreakerConfig, seed: u64, now: Instant) -> Self {
        Self {
            window: config.window(BreakerState::Closed),
            config,
            chance: seed,
            now,
            phase: Phase::Closed,
            period: 1,
            since: now,
            flaps: 0,
            opened: 0,
            not_permitted: 0,
            news: VecDeque::new(),
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen(_) => BreakerState::HalfOpen,
            Phase::ForcedOpen => BreakerState::ForcedOpen,
            Phase::Disabled => BreakerState::Disabled,
            Phase::MetricsOnly => BreakerState::MetricsOnly,
        }
    }

    /// The period, if its state lets every call pass, so that none of them has to ask.
    pub(super) fn free_period(&self) -> Option<u64> {
        matches!(self.phase, Phase::Closed | Phase::Disabled | Phase::MetricsOnly).then_some(self.period)
    }

    /// Whether a transition has not been told.
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The oldest transition that has not been told.
    pub(super) fn next_news(&mut self) -> Option<Transition> {
        self.news.pop_front()
    }

    /// A call wants to begin.
    pub(super) fn try_acquire(&mut self, now: Instant) -> Result<Pass, CallNotPermitted> {
        let now = self.pass_time(now);
        if self.is_due(now) {
            self.half_open(now);
        }
        let probe = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => None,
            Phase::HalfOpen(trial) if trial.has_place(self.config.probes()) => {
                Some(trial.begin(now + self.config.probe_limit()))
            }
            Phase::HalfOpen(_) | Phase::Open { .. } | Phase::ForcedOpen => {
                self.not_permitted += 1;
                return Err(CallNotPermitted::new(self.state(), now, self.next_attempt_at()));
            }
        };
        Ok(Pass { period: self.period, probe, at: now })
    }

    /// A call ended, by a success or a failure of Kafka.
    pub(super) fn record(&mut self, pass: Pass, failed: bool, now: Instant) {
        let now = self.pass_time(now);
        let counts = match &mut self.phase {
            _ if pass.period != self.period => false,
            Phase::Closed | Phase::MetricsOnly => true,
            // Unless its time was over, and it has been counted.
            Phase::HalfOpen(trial) => trial.end(pass),
            Phase::Open { .. } | Phase::ForcedOpen | Phase::Disabled => false,
        };
        if counts {
            let slow = self.config.is_slow(now.saturating_duration_since(pass.at));
            self.count(failed, slow, now);
        }
    }

    /// A call ended, and says nothing of Kafka. Its place is free again.
    pub(super) fn release(&mut self, pass: Pass) {
        if let (Phase::HalfOpen(trial), Some(probe)) = (&mut self.phase, pass.probe)
            && pass.period == self.period
        {
            trial.under_way.remove(&probe);
        }
    }

    /// Time passed. If OPEN waits for a call and its wait is over, the owner may probe.
    pub(super) fn due(&mut self, now: Instant) -> Option<Probe> {
        let now = self.pass_time(now);
        self.is_due(now).then_some(Probe { period: self.period })
    }

    /// When time alone changes something, or is to be used for a probe.
    pub(super) fn next_check(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen(trial) => trial.next_limit(),
            Phase::Closed | Phase::ForcedOpen | Phase::Disabled | Phase::MetricsOnly => None,
        }
    }

    /// Kafka is back, so calls may try.
    pub(super) fn probe_succeeded(&mut self, probe: Probe, now: Instant) {
        let now = self.pass_time(now);
        if probe.period == self.period && self.is_due(now) {
            self.half_open(now);
        }
    }

    /// Kafka is not back, so the wait begins anew, and is longer.
    pub(super) fn probe_failed(&mut self, probe: Probe, now: Instant) {
        let now = self.pass_time(now);
        if probe.period == self.period && self.is_due(now) {
            self.open(now);
        }
    }

    /// An operator wants this state. It stays as it is if it is in it.
    pub(super) fn order(&mut self, state: BreakerState, now: Instant) {
        let now = self.pass_time(now);
        if state == self.state() {
            return;
        }
        match state {
            BreakerState::Closed => self.enter(Phase::Closed, now),
            BreakerState::Open => self.open(now),
            BreakerState::HalfOpen => self.half_open(now),
            BreakerState::ForcedOpen => self.enter(Phase::ForcedOpen, now),
            BreakerState::Disabled => self.enter(Phase::Disabled, now),
            BreakerState::MetricsOnly => self.enter(Phase::MetricsOnly, now),
        }
    }

    /// As new: CLOSED, and nothing counted.
    pub(super) fn reset(&mut self, now: Instant) {
        let now = self.pass_time(now);
        self.enter(Phase::Closed, now);
        (self.flaps, self.opened, self.not_permitted) = (0, 0, 0);
    }

    pub(super) fn stats(&mut self, now: Instant) -> BreakerStats {
        let now = self.pass_time(now);
        // In OPEN the window stands still.
        let at = if self.state() == BreakerState::Open { self.since } else { now };
        let (totals, known) = (self.window.totals(at), self.window.known(at));
        BreakerStats {
            state: self.state(),
            failure_rate: known.map(|totals| totals.failure_rate()),
            slow_rate: known.map(|totals| totals.slow_call_rate()),
            buffered_calls: totals.calls,
            failed_calls: totals.failed,
            slow_calls: totals.slow,
            not_permitted_calls: self.not_permitted,
            opened: self.opened,
            since: self.since,
            next_attempt_at: self.next_attempt_at(),
        }
    }

    /// Does what time alone does, and returns the time.
    fn pass_time(&mut self, now: Instant) -> Instant {
        let now = now.max(self.now);
        while let Some(limit) = self.passed_limit(now) {
            self.end_limit(limit);
        }
        if self.config.opens_half_by_itself() && self.is_due(now) {
            self.half_open(now);
        }
        self.now = now;
        now
    }

    /// The earliest limit of HALF_OPEN that is over.
    fn passed_limit(&self, now: Instant) -> Option<Instant> {
        let Phase::HalfOpen(trial) = &self.phase else { return None };
        trial.next_limit().filter(|limit| *limit <= now)
    }

    /// A limit of HALF_OPEN is over: a call took too long, or all of them together. What follows is dated back to the
    /// limit, so that an OPEN which nobody saw begin has waited since then.
    fn end_limit(&mut self, limit: Instant) {
        let Phase::HalfOpen(trial) = &mut self.phase else { return };
        if trial.give_up_oldest(limit) {
            self.count(true, self.config.is_slow(self.config.probe_limit()), limit);
        } else {
            self.open(limit);
        }
    }

    /// Whether OPEN has waited long enough.
    fn is_due(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Open { until } if until <= now)
    }

    /// Counts a call, and decides what follows.
    fn count(&mut self, failed: bool, slow: bool, now: Instant) {
        self.window.record(failed, slow, now);
        let Some(totals) = self.window.known(now) else { return };
        let exceeded = self.config.exceeded(totals);
        match &self.phase {
            Phase::Closed | Phase::HalfOpen(_) if exceeded => self.open(now),
            Phase::HalfOpen(_) => self.enter(Phase::Closed, now),
            _ => {}
        }
    }

    fn open(&mut self, now: Instant) {
        let stable = self.config.is_stable_after(now.saturating_duration_since(self.since));
        if matches!(self.phase, Phase::Closed) && stable {
            self.flaps = 0;
        }
        let chance = self.draw();
        let wait = self.config.wait_in_open(self.flaps, chance);
        self.flaps = self.flaps.saturating_add(1);
        self.opened += 1;
        self.enter(Phase::Open { until: now + wait }, now);
    }

    fn half_open(&mut self, now: Instant) {
        let until = self.config.half_open_limit().map(|limit| now + limit);
        self.enter(Phase::HalfOpen(Trial { under_way: BTreeMap::new(), ended: 0, next: 0, until }), now);
    }

    /// Begins a period. OPEN keeps the calls that opened it, to be looked at.
    fn enter(&mut self, phase: Phase, now: Instant) {
        let from = self.state();
        // In OPEN they are those that opened it, which has been told.
        let known = if from == BreakerState::Open { None } else { self.window.known(now) };
        let wait = match &phase {
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        self.phase = phase;
        (self.period, self.since) = (self.period + 1, now);
        let to = self.state();
        if to != BreakerState::Open {
            self.window = self.config.window(to);
        }
        self.news.push_back(Transition {
            from,
            to,
            at: now,
            failure_rate: known.map(|totals| totals.failure_rate()),
            slow_rate: known.map(|totals| totals.slow_call_rate()),
            wait,
        });
    }

    fn next_attempt_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen(trial) if !trial.has_place(self.config.probes()) => trial.next_limit(),
            _ => None,
        }
    }

    /// A number from 0 to 1 (splitmix64).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn draw(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Trial {
    fn has_place(&self, places: u32) -> bool {
        self.under_way.len() + (self.ended as usize) < places as usize
    }

    /// A call takes a place.
    fn begin(&mut self, limit: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, limit);
        number
    }

    /// A call has told how it ended; `false` if it was not under way any more.
    fn end(&mut self, pass: Pass) -> bool {
        let was_under_way = pass.probe.is_some_and(|probe| self.under_way.remove(&probe).is_some());
        self.ended += u32::from(was_under_way);
        was_under_way
    }

    /// When a call's time, or the state's, is over.
    fn next_limit(&self) -> Option<Instant> {
        self.under_way.values().next().copied().into_iter().chain(self.until).min()
    }

    /// Gives up the oldest call if its time is over; its place is free.
    fn give_up_oldest(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.under_way.first_entry().filter(|oldest| *oldest.get() <= now) else { return false };
        oldest.remove();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use BreakerState::{Closed, Disabled, ForcedOpen, HalfOpen, MetricsOnly, Open};

    use super::{super::config::SlidingWindowType, *};

    const S: Duration = Duration::from_secs(1);

    /// A machine and its clock.
    struct Rig {
        machine: Machine,
        start: Instant,
        now: Instant,
    }

    fn config() -> BreakerConfig {
        BreakerConfig::new().sliding_window_size(4).minimum_number_of_calls(4).wait_jitter(0.0)
    }

    impl Rig {
        fn new(config: BreakerConfig) -> Self {
            config.check().unwrap();
            let start = Instant::now();
            Self { machine: Machine::new(config, 7, start), start, now: start }
        }

        /// OPEN, since its start.
        fn opened(config: BreakerConfig) -> Self {
            let mut rig = Self::new(config);
            rig.machine.order(Open, rig.start);
            rig
        }

        /// HALF_OPEN, and its first pass.
        fn trying(config: BreakerConfig) -> (Self, Pass) {
            let mut rig = Self::opened(config);
            rig.wait(60);
            let pass = rig.acquire();
            assert_eq!(rig.state(), HalfOpen);
            (rig, pass)
        }

        fn wait(&mut self, seconds: u32) {
            self.now += S * seconds;
        }

        fn state(&self) -> BreakerState {
            self.machine.state()
        }

        fn acquire(&mut self) -> Pass {
            self.machine.try_acquire(self.now).unwrap()
        }

        fn refused(&mut self) -> CallNotPermitted {
            self.machine.try_acquire(self.now).unwrap_err()
        }

        fn end(&mut self, pass: Pass, failed: bool) {
            self.machine.record(pass, failed, self.now);
        }

        /// Calls, each of which ends at once: `.` succeeds, `x` fails, `-` says nothing.
        fn calls(&mut self, calls: &str) -> BreakerState {
            for call in calls.chars() {
                let pass = self.acquire();
                match call {
                    '-' => self.machine.release(pass),
                    call => self.end(pass, call == 'x'),
                }
            }
            self.state()
        }

        fn stats(&mut self) -> BreakerStats {
            self.machine.stats(self.now)
        }

        /// The transitions that have not been told.
        fn told(&mut self) -> Vec<(BreakerState, BreakerState)> {
            std::iter::from_fn(|| self.machine.next_news()).map(|news| (news.from, news.to)).collect()
        }

        /// Seconds from the start.
        fn at(&self, instant: Instant) -> u64 {
            (instant - self.start).as_secs()
        }

        fn next_check(&self) -> Option<u64> {
            self.machine.next_check().map(|at| self.at(at))
        }
    }

    #[test]
    fn it_opens_when_the_threshold_is_reached_and_not_before_there_are_enough_calls() {
        for (calls, state) in [
            ("xxx", Closed),
            ("xx..", Open),
            ("x...", Closed),
            ("x...x", Closed),
            ("x...xx", Open),
            ("....xx", Open),
            ("x..x", Open),
            ("-xxx--", Closed),
        ] {
            assert_eq!(Rig::new(config()).calls(calls), state, "{calls}");
        }
    }

    #[test]
    fn the_minimum_may_be_less_than_the_window_and_is_never_more() {
        assert_eq!(Rig::new(config().minimum_number_of_calls(2)).calls(".x"), Open);
        assert_eq!(Rig::new(config().minimum_number_of_calls(100)).calls("xx.."), Open);
        let by_time = config().sliding_window_type(SlidingWindowType::TimeBased);
        assert_eq!(Rig::new(by_time.minimum_number_of_calls(100)).calls(&"x".repeat(99)), Closed);
    }

    #[test]
    fn a_row_of_failures_opens_and_a_success_ends_a_row() {
        let five = BreakerConfig::consecutive_failures(5);
        for (calls, state) in [("xxxx", Closed), ("xxxxx", Open), ("xxxx.xxxx", Closed), ("xx-xx--x", Open)] {
            assert_eq!(Rig::new(five.clone()).calls(calls), state, "{calls}");
        }
        assert_eq!(Rig::new(five).calls("xxxx.xxxxx"), Open);
    }

    #[test]
    fn half_of_the_last_calls_open_the_breaker_of_the_other_preset() {
        let half = BreakerConfig::failure_rate(50.0);
        assert_eq!(Rig::new(half.clone()).calls("xxxxxxxxx"), Closed);
        assert_eq!(Rig::new(half.clone()).calls(".....xxxxx"), Open);
        assert_eq!(Rig::new(half).calls(&".".repeat(50)), Closed);
    }

    #[test]
    fn by_time_calls_leave_the_window_after_its_seconds() {
        let mut rig = Rig::new(config().sliding_window_type(SlidingWindowType::TimeBased).sliding_window_size(10));
        assert_eq!(rig.calls("xxx"), Closed);
        rig.wait(10);
        assert_eq!((rig.calls("xxx"), rig.stats().failed_calls), (Closed, 3));
        rig.wait(9);
        assert_eq!(rig.calls("x"), Open);
    }

    #[test]
    fn slow_calls_open_it_as_well() {
        let mut rig = Rig::new(config());
        for _ in 0..4 {
            let pass = rig.acquire();
            rig.wait(61);
            rig.end(pass, false);
        }
        assert_eq!((rig.state(), rig.stats().slow_rate, rig.stats().failure_rate), (Open, Some(100.0), Some(0.0)));
    }

    #[test]
    fn open_permits_nothing_until_its_wait_is_over_and_then_becomes_half_open_at_the_next_call() {
        let mut rig = Rig::new(config());
        rig.calls("xxxx");
        rig.wait(59);
        let refused = rig.refused();
        assert_eq!((refused.state(), refused.retry_after()), (Open, Some(S)));
        rig.wait(1);
        assert_eq!(rig.state(), Open, "nobody called");
        rig.acquire();
        assert_eq!((rig.state(), rig.stats().not_permitted_calls), (HalfOpen, 1));
        assert_eq!(rig.told(), [(Closed, Open), (Open, HalfOpen)]);
    }

    #[test]
    fn automatically_open_becomes_half_open_without_a_call() {
        let mut rig = Rig::opened(config().automatic_transition_from_open_to_half_open_enabled(true));
        rig.wait(59);
        assert!(rig.machine.due(rig.now).is_none());
        assert_eq!((rig.state(), rig.next_check()), (Open, Some(60)));
        rig.wait(1);
        assert!(rig.machine.due(rig.now).is_none(), "there is no need to probe");
        assert_eq!(rig.state(), HalfOpen);
    }

    #[test]
    fn half_open_decides_by_its_calls_when_all_have_ended() {
        for (calls, state) in [
            ("x.xx.x.x.", HalfOpen),
            ("xx..xx..xx", Open),
            ("xxxx......", Closed),
            (".........x", Closed),
            ("---------x", HalfOpen),
            ("-.-.-.-.-.-.-.-.-.-.", Closed),
        ] {
            let mut rig = Rig::opened(config().minimum_number_of_calls(100));
            rig.wait(60);
            assert_eq!(rig.calls(calls), state, "{calls}");
        }
    }

    #[test]
    fn half_open_needs_no_more_calls_than_the_minimum() {
        let mut rig = Rig::opened(config().minimum_number_of_calls(2));
        rig.wait(60);
        assert_eq!(rig.calls(".."), Closed);
    }

    #[test]
    fn half_open_admits_its_number_of_calls_and_says_when_a_place_is_free_at_the_latest() {
        let (mut rig, _) = Rig::trying(config().permitted_number_of_calls_in_half_open_state(3));
        rig.wait(1);
        let (ended, _) = (rig.acquire(), rig.acquire());
        let refused = rig.refused();
        assert_eq!((refused.state(), refused.retry_after()), (HalfOpen, Some(179 * S)));
        assert_eq!(rig.stats().next_attempt_at, refused.next_attempt_at());
        rig.end(ended, false);
        assert_eq!(rig.refused().state(), HalfOpen, "the place of a call that has ended stays taken");
    }

    #[test]
    fn a_call_of_half_open_that_is_given_back_leaves_no_hole() {
        let (mut rig, mut pass) = Rig::trying(config().permitted_number_of_calls_in_half_open_state(1));
        for _ in 0..100 {
            rig.refused();
            let earlier = pass;
            rig.machine.release(earlier);
            pass = rig.acquire();
            rig.machine.release(earlier);
            rig.end(earlier, true);
        }
        assert_eq!((rig.state(), rig.stats().buffered_calls, rig.refused().state()), (HalfOpen, 0, HalfOpen));
    }

    #[test]
    fn a_call_of_half_open_that_takes_too_long_has_failed_and_its_place_is_free() {
        let two = config().minimum_number_of_calls(2).permitted_number_of_calls_in_half_open_state(2);
        let (mut rig, first) = Rig::trying(two);
        rig.wait(100);
        let second = rig.acquire();
        assert_eq!((rig.refused().retry_after(), rig.next_check()), (Some(80 * S), Some(240)));
        rig.wait(80);
        let third = rig.acquire();
        assert_eq!((rig.stats().failed_calls, rig.state()), (1, HalfOpen));
        rig.end(first, false);
        assert_eq!(rig.stats().buffered_calls, 1, "its outcome comes too late");
        rig.refused();
        rig.end(third, false);
        assert_eq!(rig.state(), Open, "one of two failed");
        rig.end(second, false);
        assert_eq!(rig.state(), Open);
    }

    #[test]
    fn half_open_ends_in_open_after_its_longest_wait_and_that_counts_from_its_end() {
        let limited = config().max_wait_duration_in_half_open_state(5 * S);
        let (mut rig, _) = Rig::trying(limited);
        assert_eq!(rig.next_check(), Some(65));
        rig.wait(5);
        assert!(rig.machine.due(rig.now).is_none());
        assert_eq!((rig.state(), rig.next_check()), (Open, Some(65 + 120)));
        rig.wait(1_000);
        rig.acquire();
        rig.wait(1_000);
        assert!(rig.machine.due(rig.now).is_some(), "OPEN began 995 s ago, though nobody saw it");
        let since = rig.stats().since;
        assert_eq!((rig.state(), rig.at(since)), (Open, 60 + 5 + 1_000 + 5));
    }

    #[test]
    fn without_a_longest_wait_half_open_waits_for_its_calls() {
        let (mut rig, pass) = Rig::trying(config());
        rig.machine.release(pass);
        rig.wait(1_000_000);
        assert_eq!((rig.machine.due(rig.now).is_none(), rig.next_check(), rig.state()), (true, None, HalfOpen));
    }

    #[test]
    fn what_began_in_an_earlier_period_changes_nothing() {
        let mut rig = Rig::new(config().minimum_number_of_calls(1).permitted_number_of_calls_in_half_open_state(1));
        let closed: Vec<_> = (0..5).map(|_| rig.acquire()).collect();
        rig.end(closed[0], true);
        let before = rig.stats();
        rig.end(closed[1], false);
        assert_eq!((rig.state(), rig.stats()), (Open, before), "in OPEN");
        rig.wait(60);
        let probe = rig.acquire();
        rig.end(closed[2], false);
        rig.end(closed[3], true);
        rig.machine.release(closed[3]);
        assert_eq!((rig.state(), rig.refused().state()), (HalfOpen, HalfOpen));
        rig.end(probe, true);
        rig.wait(1_000);
        let again = rig.acquire();
        rig.machine.release(probe);
        rig.end(probe, false);
        assert_eq!(rig.refused().state(), HalfOpen, "the calls of another HALF_OPEN have the same numbers");
        rig.end(again, false);
        rig.end(closed[4], true);
        assert_eq!((rig.state(), rig.stats().buffered_calls), (Closed, 0));
    }

    #[test]
    fn waits_grow_while_it_flaps_and_begin_anew_after_it_was_closed_for_long_enough() {
        let mut rig = Rig::new(config().permitted_number_of_calls_in_half_open_state(1));
        let mut waits = Vec::new();
        for closed in [0, 0, 10, 299, 0, 0, 300, 0] {
            rig.wait(closed);
            rig.calls("xxxx");
            let wait = rig.refused().retry_after().unwrap();
            waits.push(wait.as_secs());
            rig.now += wait;
            assert_eq!(rig.calls("."), Closed);
        }
        assert_eq!(waits, [60, 120, 240, 300, 300, 300, 60, 120]);
    }

    #[test]
    fn waits_grow_as_long_as_half_open_fails_however_long_that_is() {
        let mut rig = Rig::opened(config().permitted_number_of_calls_in_half_open_state(1));
        let waits = [60, 120, 240, 300, 300].map(|expected| {
            let wait = rig.refused().retry_after().unwrap();
            rig.now += wait + 10_000 * S;
            rig.calls("x");
            (wait.as_secs(), expected)
        });
        assert!(waits.iter().all(|(wait, expected)| wait == expected), "{waits:?}");
        assert_eq!(rig.stats().opened, 6);
    }

    #[test]
    fn a_long_time_without_traffic_in_open_is_not_one_in_closed() {
        let mut rig = Rig::opened(config());
        rig.wait(10_000);
        let probe = rig.machine.due(rig.now).unwrap();
        rig.machine.probe_failed(probe, rig.now);
        assert_eq!(rig.refused().retry_after(), Some(120 * S));
    }

    #[test]
    fn jitter_is_drawn_once_for_an_opening_and_follows_the_seed() {
        let jittered = |seed| {
            let mut rig = Rig::opened(config().wait_jitter(0.5));
            rig.machine = Machine::new(rig.machine.config, seed, rig.start);
            [0; 20].map(|_| {
                rig.machine.reset(rig.now);
                rig.machine.order(Open, rig.now);
                let wait = rig.refused().retry_after();
                assert_eq!(rig.refused().retry_after(), wait);
                wait.unwrap()
            })
        };
        let waits = jittered(1);
        assert!(waits.iter().all(|wait| (30 * S..=60 * S).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait < 40 * S) && waits.iter().any(|wait| *wait > 50 * S), "{waits:?}");
        assert_eq!(waits, jittered(1));
        assert_ne!(waits, jittered(2));
    }

    #[test]
    fn without_traffic_an_owner_can_probe_when_the_wait_is_over() {
        let mut rig = Rig::opened(config());
        assert_eq!(rig.next_check(), Some(60));
        rig.wait(59);
        assert!(rig.machine.due(rig.now).is_none());
        rig.wait(1);
        let probe = rig.machine.due(rig.now).unwrap();
        assert_eq!(rig.state(), Open, "until the probe is reported");
        rig.wait(30);
        rig.machine.probe_failed(probe, rig.now);
        assert_eq!((rig.next_check(), rig.stats().opened), (Some(90 + 120), 2));
        rig.wait(120);
        let probe = rig.machine.due(rig.now).unwrap();
        rig.machine.probe_succeeded(probe, rig.now);
        assert_eq!((rig.state(), rig.next_check()), (HalfOpen, None));
        assert_eq!(rig.calls(".........."), Closed);
        assert_eq!(rig.told(), [(Closed, Open), (Open, Open), (Open, HalfOpen), (HalfOpen, Closed)]);
    }

    #[test]
    fn a_probe_that_is_reported_too_late_changes_nothing() {
        let one = config().permitted_number_of_calls_in_half_open_state(1);
        let mut rig = Rig::opened(one);
        rig.wait(60);
        let (probe, other) = (rig.machine.due(rig.now).unwrap(), rig.machine.due(rig.now).unwrap());
        rig.acquire();
        rig.machine.probe_failed(probe, rig.now);
        rig.machine.probe_succeeded(other, rig.now);
        assert_eq!((rig.state(), rig.refused().state()), (HalfOpen, HalfOpen), "a call was faster");
        rig.wait(180);
        assert_eq!(rig.stats().state, Open);
        rig.wait(1_000);
        rig.machine.probe_succeeded(probe, rig.now);
        rig.machine.probe_failed(other, rig.now);
        assert_eq!((rig.state(), rig.stats().opened), (Open, 2), "they belong to another OPEN");
    }

    #[test]
    fn an_operator_can_order_each_state_and_have_it_back() {
        let mut rig = Rig::new(config());
        rig.machine.order(ForcedOpen, rig.now);
        rig.wait(1_000_000);
        let refused = rig.refused();
        assert_eq!((refused.state(), refused.next_attempt_at(), rig.next_check()), (ForcedOpen, None, None));
        rig.machine.order(Disabled, rig.now);
        assert_eq!((rig.calls("xxxxxxxx"), rig.stats().buffered_calls), (Disabled, 0));
        rig.machine.order(MetricsOnly, rig.now);
        assert_eq!((rig.calls("xxxxxx"), rig.stats().failure_rate), (MetricsOnly, Some(100.0)));
        rig.machine.order(Closed, rig.now);
        assert_eq!((rig.calls("xxx"), rig.stats().buffered_calls), (Closed, 3));
        rig.machine.order(Closed, rig.now);
        assert_eq!(rig.stats().buffered_calls, 3, "it was CLOSED");
        let expected = [(Closed, ForcedOpen), (ForcedOpen, Disabled), (Disabled, MetricsOnly), (MetricsOnly, Closed)];
        assert_eq!(rig.told(), expected);
    }

    #[test]
    fn a_reset_makes_it_as_new_and_closing_it_does_not() {
        let mut rig = Rig::new(config());
        rig.calls("xxxx");
        rig.refused();
        rig.machine.order(Closed, rig.now);
        let stats = rig.stats();
        assert_eq!((stats.state, stats.opened, stats.not_permitted_calls, stats.buffered_calls), (Closed, 1, 1, 0));
        rig.calls("xxxx");
        assert_eq!(rig.refused().retry_after(), Some(120 * S), "it flaps");
        rig.machine.reset(rig.now);
        let stats = rig.stats();
        assert_eq!((stats.state, stats.opened, stats.not_permitted_calls), (Closed, 0, 0));
        rig.calls("xxxx");
        assert_eq!(rig.refused().retry_after(), Some(60 * S));
    }

    #[test]
    fn statistics_say_what_the_breaker_knows() {
        let mut rig = Rig::new(config());
        rig.calls("x..");
        let stats = rig.stats();
        assert_eq!((stats.failure_rate, stats.buffered_calls, stats.failed_calls), (None, 3, 1));
        assert_eq!((rig.at(stats.since), stats.next_attempt_at), (0, None));
        rig.wait(5);
        rig.calls("x");
        rig.wait(5);
        let stats = rig.stats();
        assert_eq!((stats.state, stats.failure_rate, stats.slow_rate), (Open, Some(50.0), Some(0.0)));
        assert_eq!((rig.at(stats.since), stats.next_attempt_at.map(|at| rig.at(at))), (5, Some(65)));
        let news = rig.machine.next_news().unwrap();
        assert_eq!((news.failure_rate, news.wait), (Some(50.0), Some(60 * S)));
        rig.wait(60);
        rig.acquire();
        let news = rig.machine.next_news().unwrap();
        assert_eq!((news.failure_rate, news.slow_rate, news.wait), (None, None, None), "they have been told");
    }

    #[test]
    fn in_open_the_statistics_of_a_window_by_time_stay_those_that_opened_it() {
        let mut rig = Rig::new(config().sliding_window_type(SlidingWindowType::TimeBased).sliding_window_size(10));
        rig.calls("xxxx");
        rig.wait(50);
        assert_eq!((rig.stats().failed_calls, rig.stats().failure_rate), (4, Some(100.0)));
    }

    #[test]
    fn time_that_goes_back_counts_as_the_latest() {
        let mut rig = Rig::opened(config());
        rig.wait(60);
        assert!(rig.machine.due(rig.now).is_some());
        rig.now = rig.start;
        let pass = rig.acquire();
        assert_eq!((rig.at(pass.at), rig.next_check()), (60, Some(60 + 180)));
    }
}

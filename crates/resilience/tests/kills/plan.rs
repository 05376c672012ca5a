//! The plan of one act, drawn from its seed.
//!
//! In: a seed. Out: the lives of the publishing process, how each ends, and when Kafka is away. Pure. The plan can be replayed; what a
//! process does at the moment of its end is the machine's.

/// What happens in one act.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The mode of the publisher: whether it stores each event first.
    pub(crate) writes_ahead: bool,
    pub(crate) lives: Vec<Life>,
}

/// One life of the publishing process. Moments are told by how much its diary has grown, so that they do not depend on the machine's speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// How long it waits between two calls.
    pub(crate) pause_ms: u64,
    /// After so many bytes of the diary the weather changes, if it does.
    pub(crate) before: u64,
    pub(crate) weather: Option<Weather>,
    /// After so many more it ends,
    pub(crate) after: u64,
    /// and so much later, which makes the moment one of a single call.
    pub(crate) lag_us: u64,
    pub(crate) end: End,
    /// Whether a reader looks into the store afterwards.
    pub(crate) look: bool,
    /// How long until the next life begins.
    pub(crate) rest_ms: u64,
}

/// A change of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// The broker is stopped (SIGSTOP).
    Freeze,
    /// The broker is killed (SIGKILL).
    Kill,
    /// The broker goes on, or is started again.
    Heal,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGKILL.
    Killed,
    /// It is stopped (SIGSTOP) until another process has its lease. Both go on, until both are killed.
    Overtaken,
}

impl Plan {
    /// An act with so many kills.
    pub(crate) fn draw(seed: u64, kills: usize) -> Self {
        let mut chance = Chance(seed ^ 0x006b_696c_6c73);
        let (mut lives, mut weather) = (Vec::new(), Weather::Heal);
        let mut is_killed = false;
        let mut left = kills;
        while left > 0 {
            let next = chance.weather(weather, &mut is_killed);
            weather = next.unwrap_or(weather);
            let life = chance.life(next, left > 1);
            left -= if life.end == End::Overtaken { 2 } else { 1 };
            lives.push(life);
        }
        Self { seed, writes_ahead: seed % 2 == 1, lives }
    }

    /// How often Kafka changes so.
    pub(crate) fn count(&self, weather: Weather) -> usize {
        self.lives.iter().filter(|life| life.weather == Some(weather)).count()
    }

    /// An act with these lives, each killed after so much of its diary.
    pub(crate) fn simple(writes_ahead: bool, weather: &[Option<Weather>]) -> Self {
        let life = |weather: &Option<Weather>| Life {
            pause_ms: 1,
            before: 3_000,
            weather: *weather,
            after: 9_000,
            lag_us: 0,
            end: End::Killed,
            look: false,
            rest_ms: 0,
        };
        Self { seed: 0, writes_ahead, lives: weather.iter().map(life).collect() }
    }
}

/// Random numbers from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// How Kafka changes. A start takes seconds, so the broker is killed at most once in an act, and seldom.
    fn weather(&mut self, now: Weather, is_killed: &mut bool) -> Option<Weather> {
        match now {
            Weather::Heal if !*is_killed && self.one_in(60) => {
                *is_killed = true;
                Some(Weather::Kill)
            }
            Weather::Heal => self.one_in(5).then_some(Weather::Freeze),
            Weather::Freeze | Weather::Kill => self.one_in(2).then_some(Weather::Heal),
        }
    }

    fn life(&mut self, weather: Option<Weather>, may_be_overtaken: bool) -> Life {
        // Long enough that the relay gets the lease of the life before; or short; or ended while it starts.
        let (pause_ms, most) = match self.below(10) {
            0..3 => (2, 30_000),
            3..9 => (self.below(3), 8_000),
            _ => (0, 1),
        };
        let is_overtaken = may_be_overtaken && most > 1 && self.one_in(8);
        Life {
            pause_ms,
            before: self.below(most),
            weather,
            after: self.below(most),
            lag_us: self.below(if most == 1 { 60_000 } else { 3_000 }),
            end: if is_overtaken { End::Overtaken } else { End::Killed },
            look: self.one_in(5),
            rest_ms: [0, 0, 60, 150][self.below(4) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_has_as_many_kills_as_it_was_asked_for_and_all_kinds_of_faults_are_drawn() {
        let plans: Vec<_> = (0..200).map(|seed| Plan::draw(seed, 20)).collect();
        let lives = || plans.iter().flat_map(|plan| &plan.lives);
        for plan in &plans {
            let kills = |life: &Life| if life.end == End::Overtaken { 2 } else { 1 };
            assert_eq!(plan.lives.iter().map(kills).sum::<usize>(), 20);
        }
        for weather in [Weather::Freeze, Weather::Kill, Weather::Heal] {
            assert!(lives().any(|life| life.weather == Some(weather)), "{weather:?}");
        }
        assert!(lives().any(|life| life.end == End::Overtaken) && lives().any(|life| life.look));
        assert!(plans.iter().any(|plan| plan.writes_ahead) && plans.iter().any(|plan| !plan.writes_ahead));
    }
}

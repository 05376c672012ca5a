//! The clocks of this machine or, in the simulation, of the simulated world.
//!
//! In: nothing. Out: readings. Deliberately absent: waiting (see [`super::limits`]).

#[cfg(test)]
use std::sync::Arc;
use std::time::{Instant, SystemTime};

#[cfg(test)]
use super::simulated::WorldClock;
use crate::accumulator::Clock;

/// The clocks of a producer. Its size is zero outside of tests, so that passing it along with a record costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks {
    #[cfg(test)]
    pub(super) world: Option<Arc<WorldClock>>,
}

impl Clock for Clocks {
    #[inline]
    fn tick(&self) -> u64 {
        #[cfg(test)]
        if let Some(world) = &self.world {
            return world.tick();
        }
        coarsetime::Instant::now().as_ticks()
    }

    fn unix_ms(&self) -> i64 {
        #[cfg(test)]
        if let Some(world) = &self.world {
            return world.unix_ms();
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(world) = &self.world {
            return world.now();
        }
        Instant::now()
    }
}

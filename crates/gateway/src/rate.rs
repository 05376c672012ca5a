//! How often each client may send.
//!
//! In: a client's hash and the time, which is an argument. Out: whether its request is carried out, and when it may ask again. Pure. Each
//! client has a token bucket (as GCRA: one number, the time at which the bucket is full again). There is a fixed number of buckets, and a
//! client's is chosen by a hash that nobody else knows, so memory is bounded and no request waits for a lock or sweeps a table. Two clients
//! of the same bucket, which is one pair in 65,536, share what one may send. Deliberately absent: limits by bytes or by topic.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const BUCKETS: usize = 1 << 16;
const SECOND: u64 = 1_000_000_000;

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, for long.
    pub per_second: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// Reads `N/s` or `N/s,BURST`. Without a burst it is what a second has.
    ///
    /// # Errors
    /// It has another form, or a number is not from 1 to 1,000,000.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=1_000_000).contains(number));
        let (rate, burst) = text.split_once(',').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let per_second = rate.trim().strip_suffix("/s").and_then(number);
        let rate = per_second.zip(burst.map_or(per_second, number));
        rate.map(|(per_second, burst)| Self { per_second, burst })
            .ok_or_else(|| format!("expected N/s or N/s,BURST with numbers from 1 to 1000000, got {text:?}"))
    }

    /// The nanoseconds after which there is another request.
    fn interval(self) -> u64 {
        SECOND / u64::from(self.per_second)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Client<'a> {
    /// Whoever has this token.
    Token(&'a [u8]),
    /// Whoever has this address; of IPv6 the first half, because a client has the other one to itself.
    Address(IpAddr),
}

impl Client<'_> {
    pub(crate) fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self::Address(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => Self::Address(address),
        }
    }
}

/// The address that the nearest proxy has seen, which it puts last: those before it are what its client says.
pub(crate) fn forwarded(value: &[u8]) -> Option<IpAddr> {
    let last = str::from_utf8(value).ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

/// Whether a request is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It is; so many more may follow at once.
    Granted(u32),
    /// It is not; after this time another one is.
    Wait(Duration),
}

/// The buckets of all clients.
pub(crate) struct Buckets {
    rate: Rate,
    hashes: RandomState,
    /// When each is full again, in nanoseconds since a fixed moment.
    full_at: Box<[AtomicU64]>,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hashes: RandomState::new(), full_at: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a request of this client at this time since the fixed moment.
    pub(crate) fn take(&self, client: Client<'_>, now: Duration) -> Permit {
        let (interval, now) = (self.rate.interval(), u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        let deepest = interval * u64::from(self.rate.burst);
        // The remainder is less than the number of buckets.
        let bucket = &self.full_at[(self.hashes.hash_one(client) % BUCKETS as u64) as usize];
        let after = |full_at: u64| full_at.max(now).saturating_add(interval);
        let is_room = |full_at: u64| after(full_at) - now <= deepest;
        let taken = bucket
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| is_room(full_at).then(|| after(full_at)));
        match taken {
            // At most the burst, which is a u32.
            Ok(before) => Permit::Granted(((deepest - (after(before) - now)) / interval) as u32),
            Err(full_at) => Permit::Wait(Duration::from_nanos(after(full_at) - now - deepest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn buckets() -> Buckets {
        Buckets::new(Rate { per_second: 10, burst: 3 })
    }

    fn client(last: u8) -> Client<'static> {
        Client::at(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_rate_is_read_with_and_without_a_burst() {
        for (text, rate) in [("10/s", (10, 10)), ("10/s,3", (10, 3)), (" 1/s, 1000000 ", (1, 1_000_000))] {
            assert_eq!(Rate::parse(text), Ok(Rate { per_second: rate.0, burst: rate.1 }), "{text}");
        }
        for text in ["", "10", "0/s", "10/m", "10/s,", "10/s,0", "-1/s", "1000001/s", "1/s,2,3"] {
            assert!(Rate::parse(text).unwrap_err().ends_with(&format!("got {text:?}")), "{text}");
        }
    }

    #[test]
    fn a_burst_is_granted_and_then_one_request_after_each_interval() {
        let buckets = buckets();
        for (after, permit) in [
            (0, Permit::Granted(2)),
            (0, Permit::Granted(1)),
            (0, Permit::Granted(0)),
            (0, Permit::Wait(Duration::from_millis(100))),
            (40, Permit::Wait(Duration::from_millis(60))),
            (100, Permit::Granted(0)),
            (100, Permit::Wait(Duration::from_millis(100))),
            (400, Permit::Granted(2)),
            (100_000, Permit::Granted(2)),
        ] {
            assert_eq!(buckets.take(client(1), NOW + Duration::from_millis(after)), permit, "after {after} ms");
        }
    }

    #[test]
    fn a_client_does_not_take_what_others_may_send() {
        let buckets = buckets();
        while matches!(buckets.take(client(1), NOW), Permit::Granted(_)) {}
        let granted = (2..102).filter(|last| buckets.take(client(*last), NOW) == Permit::Granted(2)).count();
        assert!(granted >= 95, "{granted} of 100: so many in one bucket are no chance");
    }

    #[test]
    fn addresses_of_one_client_are_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    }

    #[test]
    fn the_last_address_is_the_one_that_the_proxy_has_seen() {
        for (value, address) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("6.6.6.6, ::1", Some("::1")),
            ("", None),
            ("a, b", None),
            ("1.2.3.4,", None),
        ] {
            assert_eq!(forwarded(value.as_bytes()), address.map(|text| text.parse().unwrap()), "{value}");
        }
        assert_eq!(forwarded(b"\xff"), None);
    }
}

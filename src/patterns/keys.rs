//! Notices topics whose keys look random, which have the events of one user in no order.
//!
//! In: topic and key of each record. Out: at most one [`RandomKeys`] for a topic. Pure. Deliberately absent: any
//! change of a key.
//!
//! # How it decides
//!
//! It takes records in windows, 1,000 by default, and remembers their keys. UUIDs of versions 4 and 7 count as random;
//! all other keys, such as names, numbers and null, do not. After each window of a topic:
//!
//! | of the window's records | the topic |
//! |---|---|
//! | more than 1 in 100 have a random UUID that came before | has ids of something that repeats: it is not watched further |
//! | at least 95 in 100 have a random UUID that is new | is suspect; after 10 such windows in a row its keys look random |
//! | else | is not suspect: the watch starts again |
//!
//! A program may have many users with UUIDs as ids, and few of them come twice in one window. That is what the other
//! nine windows are for: of half a million users, all equally active, more than 1 in 100 have come before by then. Ids
//! that each come once for all, as in a topic of registrations, cannot be told from random keys: [`KeyWatch::ignore`]
//! such a topic.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, PoisonError},
};

use uuid::{Uuid, Variant};

use crate::record::{Record, intercept::Interceptor};

/// How many windows in a row have to be suspect.
const WINDOWS: u64 = 10;
/// The most topics that are watched; each takes at most 150 KB at the default window.
const MAX_TOPICS: usize = 64;

/// Watches the keys of topics.
///
/// ```
/// use milena::patterns::KeyWatch;
///
/// let mut watch = KeyWatch::new();
/// if let Some(warning) = watch.observe("casino.player.registered.v1", Some(b"player-7")) {
///     eprintln!("{warning}");
/// }
/// ```
#[derive(Clone, Debug)]
pub struct KeyWatch {
    window: u64,
    topics: HashMap<String, Watched>,
}

/// What is known of a topic's keys.
#[derive(Clone, Debug)]
enum Watched {
    Open(Windows),
    /// They were told to look random, or repeat, or are ignored.
    Settled,
}

/// The windows of a topic since the watch of it started.
#[derive(Clone, Debug, Default)]
struct Windows {
    /// The random UUIDs: the 62 random bits at their end.
    seen: HashSet<u64>,
    suspect: u64,
    /// Of the window that is not over.
    records: u64,
    fresh: u64,
    repeated: u64,
}

/// What a window says of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Repeats,
    Suspect,
    Unsuspect,
}

impl KeyWatch {
    /// A watch with windows of 1,000 records.
    #[must_use]
    pub fn new() -> Self {
        Self::with_window(1_000)
    }

    /// A watch with windows of this many records of a topic: 100 to 10,000, and the nearest of both for others. A
    /// larger one takes longer and more memory, and recognises ids that repeat less often.
    #[must_use]
    pub fn with_window(records: u32) -> Self {
        Self { window: u64::from(records.clamp(100, 10_000)), topics: HashMap::new() }
    }

    /// Does not watch a topic.
    #[must_use]
    pub fn ignore(mut self, topic: impl Into<String>) -> Self {
        self.topics.insert(topic.into(), Watched::Settled);
        self
    }

    /// Takes the key of a record. Returns a warning if the keys of its topic look random, once for a topic. At most 64
    /// topics are watched, including those that are ignored, and the memory for each is bounded.
    pub fn observe(&mut self, topic: &str, key: Option<&[u8]>) -> Option<RandomKeys> {
        if !self.topics.contains_key(topic) && self.topics.len() < MAX_TOPICS {
            self.topics.insert(topic.to_owned(), Watched::Open(Windows::default()));
        }
        let watched = self.topics.get_mut(topic)?;
        let Watched::Open(windows) = watched else { return None };
        windows.take(key);
        if windows.records < self.window {
            return None;
        }
        match windows.finding() {
            Finding::Unsuspect => *windows = Windows::default(),
            Finding::Suspect if windows.suspect + 1 < WINDOWS => windows.begin_next(),
            Finding::Suspect => {
                *watched = Watched::Settled;
                return Some(RandomKeys { topic: topic.to_owned(), records: self.window * WINDOWS });
            }
            Finding::Repeats => *watched = Watched::Settled,
        }
        None
    }
}

impl KeyWatch {
    /// An interceptor that watches each record of a producer, and logs the warnings.
    ///
    /// ```
    /// # async fn example() -> Result<(), milena::ConfigError> {
    /// use milena::{Producer, patterns::KeyWatch};
    ///
    /// let watch = KeyWatch::new().ignore("registrations");
    /// let producer = Producer::builder("localhost:9092").interceptor(watch.interceptor()).build().await?;
    /// # Ok(()) }
    /// ```
    pub fn interceptor(self) -> impl Interceptor {
        Watching(Mutex::new(self))
    }
}

struct Watching(Mutex<KeyWatch>);

impl Interceptor for Watching {
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).observe(record.topic(), record.key_bytes());
        if let Some(random) = found {
            tracing::warn!(topic = random.topic(), "{random}");
        }
        record
    }
}

impl Default for KeyWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Windows {
    fn take(&mut self, key: Option<&[u8]>) {
        self.records += 1;
        if let Some(bits) = key.and_then(random_bits) {
            let counted = if self.seen.insert(bits) { &mut self.fresh } else { &mut self.repeated };
            *counted += 1;
        }
    }

    fn finding(&self) -> Finding {
        if self.repeated * 100 > self.records {
            Finding::Repeats
        } else if self.fresh * 100 >= self.records * 95 {
            Finding::Suspect
        } else {
            Finding::Unsuspect
        }
    }

    fn begin_next(&mut self) {
        self.suspect += 1;
        (self.records, self.fresh, self.repeated) = (0, 0, 0);
    }
}

/// The random bits of a UUID of version 4 or 7, as text or as 16 bytes. Text of 16 characters has no byte with the bits
/// of the variant.
fn random_bits(key: &[u8]) -> Option<u64> {
    let uuid = Uuid::from_slice(key).or_else(|_| Uuid::try_parse_ascii(key)).ok()?;
    let is_random = uuid.get_variant() == Variant::RFC4122 && matches!(uuid.get_version_num(), 4 | 7);
    is_random.then(|| uuid.as_u64_pair().1)
}

/// The keys of a topic look random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomKeys {
    topic: String,
    records: u64,
}

impl RandomKeys {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl fmt::Display for RandomKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.topic.escape_debug().take(256).collect::<String>();
        write!(
            f,
            "keys look random: of the last {} records for {topic} nearly all have a new UUID as key, so the events of one \
             user may arrive in another order; use the user's id as key, or ignore this topic",
            self.records
        )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Builder;

    use super::*;

    const NEVER: [u64; 0] = [];

    /// Numbers that look random and are always the same (splitmix64).
    fn number(seed: u64) -> u64 {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn v4(n: u64) -> Uuid {
        let bits = u128::from(number(2 * n)) << 64 | u128::from(number(2 * n + 1));
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    fn v7(n: u64) -> Uuid {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&number(n).to_be_bytes());
        Builder::from_unix_timestamp_millis(1_795_800_788_250 + n, &random).into_uuid()
    }

    fn text(uuid: Uuid) -> Option<Vec<u8>> {
        Some(uuid.to_string().into_bytes())
    }

    /// The numbers of the records after which there is a warning.
    fn warned(watch: &mut KeyWatch, records: u64, key: impl Fn(u64) -> Option<Vec<u8>>) -> Vec<u64> {
        (1..=records).filter(|n| watch.observe("t", key(*n).as_deref()).is_some()).collect()
    }

    #[test]
    fn new_random_uuids_are_told_once_after_ten_windows() {
        let mut watch = KeyWatch::new();
        assert_eq!(warned(&mut watch, 25_000, |n| text(v4(n))), [10_000]);
        assert_eq!(warned(&mut KeyWatch::with_window(200), 5_000, |n| text(v4(n))), [2_000]);
    }

    #[test]
    fn random_uuids_are_recognised_in_every_notation() {
        type Key = fn(u64) -> Option<Vec<u8>>;
        let notations: [(&str, Key); 5] = [
            ("upper case", |n| Some(v4(n).to_string().to_uppercase().into_bytes())),
            ("without hyphens", |n| Some(v4(n).simple().to_string().into_bytes())),
            ("16 bytes", |n| Some(v4(n).as_bytes().to_vec())),
            ("version 7", |n| text(v7(n))),
            ("version 7 in 16 bytes", |n| Some(v7(n).as_bytes().to_vec())),
        ];
        for (name, key) in notations {
            assert_eq!(warned(&mut KeyWatch::new(), 10_000, key), [10_000], "{name}");
        }
    }

    #[test]
    fn keys_that_are_not_random_are_never_told() {
        type Key = fn(u64) -> Option<Vec<u8>>;
        let namespaced = |n: u64| Builder::from_sha1_bytes(*v4(n).as_bytes()).into_uuid();
        assert_eq!(namespaced(1).get_version_num(), 5);
        let keys: [(&str, Key); 10] = [
            ("null", |_| None),
            ("empty", |_| Some(Vec::new())),
            ("sequential numbers", |n| Some(n.to_string().into_bytes())),
            ("sequential numbers of 16 bytes", |n| Some(format!("account-{n:08}").into_bytes())),
            ("binary numbers", |n| Some(n.to_be_bytes().to_vec())),
            ("one id", |_| Some(b"player-7".to_vec())),
            ("random numbers that are no UUIDs", |n| Some(format!("{:032x}x", number(n)).into_bytes())),
            ("UUIDs made of names", |n| text(Builder::from_sha1_bytes(*v4(n).as_bytes()).into_uuid())),
            ("every other null", |n| n.is_multiple_of(2).then(|| text(v4(n)))?),
            ("one of ten is a user's id", |n| if n.is_multiple_of(10) { Some(b"7".to_vec()) } else { text(v4(n)) }),
        ];
        for (name, key) in keys {
            assert_eq!(warned(&mut KeyWatch::new(), 20_000, key), NEVER, "{name}");
        }
    }

    #[test]
    fn uuids_of_users_that_repeat_are_never_told_for_up_to_half_a_million_users() {
        for users in [1, 100, 999, 1_001, 9_000, 100_000, 300_000, 500_000] {
            let by_chance = |n| text(v4(number(n) % users));
            assert_eq!(warned(&mut KeyWatch::new(), 20_000, by_chance), NEVER, "{users} by chance");
        }
        for users in [1, 100, 1_001, 9_000] {
            assert_eq!(warned(&mut KeyWatch::new(), 20_000, |n| text(v4(n % users))), NEVER, "{users} in turn");
        }
        let three_each = |n| text(v4(n / 3));
        assert_eq!(warned(&mut KeyWatch::new(), 20_000, three_each), NEVER, "three events of each in a row");
    }

    #[test]
    fn a_window_without_random_keys_starts_the_watch_again() {
        let mut watch = KeyWatch::new();
        let key = |n| if (9_001..=10_000).contains(&n) { None } else { text(v4(n)) };
        assert_eq!(warned(&mut watch, 25_000, key), [20_000]);
    }

    #[test]
    fn a_few_other_keys_and_records_that_are_sent_twice_do_not_hide_random_ones() {
        let one_of_25_null = |n: u64| if n.is_multiple_of(25) { None } else { text(v4(n)) };
        assert_eq!(warned(&mut KeyWatch::new(), 12_000, one_of_25_null), [10_000]);
        let one_of_200_twice = |n: u64| text(v4(if n.is_multiple_of(200) { n - 1 } else { n }));
        assert_eq!(warned(&mut KeyWatch::new(), 12_000, one_of_200_twice), [10_000]);
    }

    #[test]
    fn each_topic_is_watched_on_its_own_and_ignored_ones_are_not() {
        let mut watch = KeyWatch::with_window(100).ignore("registrations");
        let mut told = Vec::new();
        for n in 0..5_000 {
            let (random, user) = (text(v4(n)), text(v4(n % 7)));
            for (topic, key) in [("a", &random), ("registrations", &random), ("b", &user), ("c", &random)] {
                told.extend(watch.observe(topic, key.as_deref()).map(|warning| warning.topic().to_owned()));
            }
        }
        assert_eq!(told, ["a", "c"]);
    }

    #[test]
    fn memory_is_bounded_in_keys_and_in_topics() {
        let mut watch = KeyWatch::with_window(100);
        for n in 0..20_000 {
            watch.observe(&format!("topic-{}", n % 1_000), text(v4(n)).as_deref());
            watch.observe("nulls and keys in turn", text(v4(n)).filter(|_| n.is_multiple_of(2)).as_deref());
            let seen = |watched: &Watched| match watched {
                Watched::Open(windows) => windows.seen.len(),
                Watched::Settled => 0,
            };
            assert!(watch.topics.len() <= MAX_TOPICS && watch.topics.values().all(|watched| seen(watched) <= 1_000));
        }
        assert_eq!(watch.topics.len(), MAX_TOPICS);
        for (asked, window) in [(0, 100), (100, 100), (u32::MAX, 10_000)] {
            assert_eq!(KeyWatch::with_window(asked).window, window);
        }
    }

    #[test]
    fn an_interceptor_watches_and_leaves_each_record_as_it_is() {
        let watching = Watching(Mutex::new(KeyWatch::with_window(100)));
        for n in 0..1_000 {
            let key = text(v4(n)).unwrap();
            let record = watching.on_send(Record::to("t").key(&key).value("v"));
            assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&*key), Some(&b"v"[..])));
        }
        assert!(matches!(watching.0.lock().unwrap().topics["t"], Watched::Settled), "it was told");
    }

    #[test]
    fn a_warning_names_the_topic_and_what_to_do() {
        let mut watch = KeyWatch::with_window(100);
        let warning = (0..1_000).find_map(|n| watch.observe("casino.bet.placed.v1", text(v4(n)).as_deref())).unwrap();
        assert_eq!(
            warning.to_string(),
            "keys look random: of the last 1000 records for casino.bet.placed.v1 nearly all have a new UUID as key, so the \
             events of one user may arrive in another order; use the user's id as key, or ignore this topic"
        );
        let odd = RandomKeys { topic: format!("a\n{}", "b".repeat(10_000)), records: 1 }.to_string();
        assert!(odd.len() < 600 && !odd.contains('\n'), "{odd:?}");
    }
}

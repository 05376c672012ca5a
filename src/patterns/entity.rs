//! Order among the records of one entity, such as a customer.
//!
//! In: records on their way. Out: the same, and a warning about a topic whose keys cannot keep an order. Pure but for the warning.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Display,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};

use crate::record::{Record, intercept::Interceptor};

/// How many records of a topic are looked at before it is judged.
const SAMPLE: usize = 10_000;
/// How many of them may have a key that another one has, if keys look random. Ten million entities, each as busy as the others, have five.
const REPEATED: usize = 2;
/// How many topics are watched at most; a set of a sample's keys takes about 160 KiB.
const MOST_TOPICS: usize = 100;

/// The key of an entity: `customer-123`.
///
/// All records with the same key go to the same partition, in the order in which they are sent, and consumers get them in that order. There is no
/// order between different keys, and the partition of a key changes when the topic gets more partitions.
///
/// ```
/// use milena::{Record, patterns::entity_key};
///
/// let key = entity_key("customer", 123);
/// let record = Record::to("orders").key(&key).value("placed");
/// assert_eq!(record.key_bytes(), Some(&b"customer-123"[..]));
/// ```
#[must_use]
pub fn entity_key(kind: &str, id: impl Display) -> String {
    format!("{kind}-{id}")
}

/// An interceptor that warns, once for each topic, if nearly every record has a key of its own.
///
/// Such keys are mostly an id of the record where the id of an entity was meant, and then nothing is in order. A topic is judged by its first 10,000
/// records with a key. Of hundreds of topics the first hundred are watched.
///
/// ```
/// # async fn example() -> Result<(), milena::ConfigError> {
/// use milena::{Producer, patterns::KeyWatch};
///
/// let producer = Producer::builder("localhost:9092").interceptor(KeyWatch::default()).build().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct KeyWatch {
    topics: Mutex<BTreeMap<Box<str>, Sample>>,
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug, Default)]
struct Sample {
    records: usize,
    keys: HashSet<u64>,
}

impl Sample {
    /// Whether keys look random, once enough were seen.
    fn look(&mut self, key: u64) -> bool {
        if self.records == SAMPLE {
            return false;
        }
        self.records += 1;
        self.keys.insert(key);
        let distinct = self.keys.len();
        // Enough of them repeat, or all were seen: nothing more is remembered.
        let is_decided = self.records - distinct > REPEATED || self.records == SAMPLE;
        if is_decided {
            let seen = std::mem::replace(&mut self.records, SAMPLE);
            self.keys = HashSet::new();
            return seen - distinct <= REPEATED;
        }
        false
    }
}

impl KeyWatch {
    /// Whether the keys of the record's topic look random, as is found with this record.
    fn is_found_random(&self, record: &Record<'_>) -> bool {
        let Some(key) = record.key_bytes() else { return false };
        let key = self.hasher.hash_one(key);
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sample) = topics.get_mut(record.topic()) {
            return sample.look(key);
        }
        topics.len() < MOST_TOPICS && topics.entry(record.topic().into()).or_default().look(key)
    }
}

impl Interceptor for KeyWatch {
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        if self.is_found_random(&record) {
            tracing::warn!(
                topic = record.topic(),
                "nearly each of the first {SAMPLE} records has a key of its own, so no two of them have an order: check that the key is the id of \
                 the entity, and not one of the record"
            );
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many records the keys of a topic were found to be random.
    fn found_at(watch: &KeyWatch, topic: &str, key: impl Fn(usize) -> String) -> Option<usize> {
        (1..=3 * SAMPLE).find(|number| watch.is_found_random(&Record::to(topic).key(&key(*number))))
    }

    #[test]
    fn keys_of_which_hardly_one_comes_twice_are_random_and_are_told_once() {
        let watch = KeyWatch::default();
        assert_eq!(found_at(&watch, "ids", |number| format!("{number:x}")), Some(SAMPLE));
        assert_eq!(found_at(&watch, "ids", |number| format!("{number:x}")), None, "it was told");
        assert_eq!(found_at(&watch, "customers", |number| entity_key("customer", number % 9_000)), None);
        assert_eq!(found_at(&watch, "late", |number| (number / 5_000).to_string()), None);
        assert!((0..SAMPLE + 1).all(|_| !watch.is_found_random(&Record::to("none").value("v"))), "no keys");
    }

    #[test]
    fn the_number_of_topics_that_are_watched_is_bounded() {
        let watch = KeyWatch::default();
        for number in 0..3 * MOST_TOPICS {
            watch.is_found_random(&Record::to(&format!("t{number}")).key("k"));
        }
        assert_eq!(watch.topics.lock().unwrap().len(), MOST_TOPICS);
    }
}

//! Dead letters: records that cannot be delivered are kept in a separate topic.
//!
//! In: a record, and how it failed. Out: the offset of its dead letter, or the record with both errors. Awaits one
//! publish; the letter itself is a pure function. Deliberately absent: creating the dead-letter topic (`milena::admin`
//! does, with feature `admin`), and sending letters again.
//!
//! A letter has the record's key, value and headers, unchanged and in order, followed by these headers:
//!
//! | header | value, as text | |
//! |---|---|---|
//! | `originalTopic` | the topic that it was for | at most 256 bytes |
//! | `errorType` | the error's type and variant, as [`Failure::type_name`] | |
//! | `errorCode` | the Kafka error code's name, or `NONE` | |
//! | `persisted` | `no`, or `unknown`: then the record may be in its topic as well | |
//! | `originalPartition` | the partition that it was for | where one had been chosen |
//! | `originalTimestamp` | its timestamp, in ms since the Unix epoch | where the caller set one |
//! | `attempts` | how often it was sent | with those of earlier letters |
//! | `firstFailedAt`, `lastFailedAt` | ms since the Unix epoch | the first of all letters, the last of this one |
//! | `eventId` | the event's id, from the header named by [`DeadLetters::event_id_from`] | where there is one |
//! | `errorMessage` | the error's text | at most 1024 bytes |
//!
//! There is no stack trace, and errors of this crate have no secrets. The error of your serializer is in `errorMessage`.
//! The letter's timestamp is the time at which it was sent, because the record's timestamp may be the cause of the
//! failure. Its key determines its partition. Letters are out of order with the delivered records of their key.
//!
//! # What cannot become a letter
//!
//! In these cases [`DeadLetters::publish`] fails with a [`DeadLetterError`], which has the record, its first error, and
//! why there is no letter: the record is for a dead-letter topic (otherwise letters of letters would never end);
//! with these headers it is too large for the producer or the dead-letter topic; the dead-letter topic cannot be
//! written to; or it cannot exist, because its name is the suffix after an invalid topic name. Write such records
//! elsewhere, or stop. They are never dropped.

mod headers;
mod report;

use std::{borrow::Cow, fmt};

use milena::{Ack, Header, Record};

use self::headers::Choice;
pub use self::report::FailureReport;
use crate::{Failure, Publish};

/// Makes dead letters and sends them.
///
/// ```
/// use std::time::SystemTime;
/// use milena::{Record, SendError};
/// use milena_resilience::{Failure, dead_letter::{DeadLetters, FailureReport}};
///
/// let dead_letters = DeadLetters::with_suffix(".dlt").spring_headers(true);
/// let record = Record::to("orders").key("user-1").value(b"\xff").header("eventId", "6b1f");
/// let error = SendError::Serialization { topic: "orders".into(), part: "value", reason: "not UTF-8".into() };
/// let failure = Failure::from(error);
///
/// let topic = dead_letters.topic_for(record.topic()).expect("orders is no dead-letter topic");
/// let letter = dead_letters.letter(&topic, &record, &FailureReport::once(&failure, SystemTime::now()));
/// assert_eq!((letter.topic(), letter.value_bytes()), ("orders.dlt", Some(&b"\xff"[..])));
/// assert!(letter.last_header("errorType").is_some());
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetters {
    naming: Naming,
    spring: bool,
    event_id: String,
    max_header_bytes: usize,
}

#[derive(Clone, Debug)]
enum Naming {
    Suffix(String),
    Topic(String),
}

impl DeadLetters {
    /// Each topic has a dead-letter topic: its name followed by `suffix`, such as `.dlt`, or `-dlt` as with Spring
    /// Kafka. Every topic with this suffix is a dead-letter topic. With an empty suffix all topics are, and there are
    /// no letters.
    #[must_use]
    pub fn with_suffix(suffix: impl Into<String>) -> Self {
        Self::new(Naming::Suffix(suffix.into()))
    }

    /// All topics have one dead-letter topic. It also receives records whose topic has an invalid name.
    #[must_use]
    pub fn with_topic(topic: impl Into<String>) -> Self {
        Self::new(Naming::Topic(topic.into()))
    }

    fn new(naming: Naming) -> Self {
        Self { naming, spring: false, event_id: headers::EVENT_ID.to_owned(), max_header_bytes: 8 * 1024 }
    }

    /// Sets whether letters also have Spring Kafka's headers (`kafka_dlt-original-topic` and so on, with binary
    /// numbers). Defaults to no.
    #[must_use]
    pub fn spring_headers(mut self, wanted: bool) -> Self {
        self.spring = wanted;
        self
    }

    /// Sets which header of a record has the event's id, such as `ce_id` for CloudEvents. Defaults to `eventId`.
    #[must_use]
    pub fn event_id_from(mut self, header: impl Into<String>) -> Self {
        self.event_id = header.into();
        self
    }

    /// Sets the most bytes for the names and values of the added headers. Headers that do not fit are left out, first
    /// the error's message and Spring's headers. Defaults to 8 KiB.
    #[must_use]
    pub fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// The dead-letter topic of a topic. `None` if the topic is a dead-letter topic itself.
    #[must_use]
    pub fn topic_for(&self, topic: &str) -> Option<Cow<'_, str>> {
        match &self.naming {
            Naming::Suffix(suffix) => (!topic.ends_with(&**suffix)).then(|| Cow::Owned(format!("{topic}{suffix}"))),
            Naming::Topic(name) => (topic != name).then_some(Cow::Borrowed(name)),
        }
    }

    /// The dead letter of a record, for `topic`.
    #[must_use]
    pub fn letter<'a>(&self, topic: &'a str, record: &'a Record<'_>, report: &FailureReport<'_>) -> Record<'a> {
        let choice = Choice { spring: self.spring, event_id: &self.event_id, max_bytes: self.max_header_bytes };
        let payload = [record.key_bytes(), record.value_bytes()].map(|part| part.map(Cow::Borrowed));
        let [key, value] = payload;
        let of_failure: Vec<Header<'a>> = headers::of_failure(record, report, choice);
        headers::originals(record)
            .chain(of_failure)
            .fold(Record::to(topic).with_payload(key, value), Record::with_header)
    }

    /// Sends the dead letter of a record and waits until it is written.
    ///
    /// # Errors
    /// There is no letter, or it is not known whether it was written. The error has the record.
    ///
    /// # Cancel safety
    /// If the future is dropped, the letter may still be written. The record is dropped with the future, so clone it
    /// before.
    pub async fn publish<'a>(
        &self,
        to: &(impl Publish + ?Sized),
        record: Record<'a>,
        report: &FailureReport<'_>,
    ) -> Result<Ack, DeadLetterError<'a>> {
        let Some(topic) = self.topic_for(record.topic()) else {
            return Err(DeadLetterError::new(record, report.failure, NoLetter::IsALetter));
        };
        let published = to.publish(self.letter(&topic, &record, report)).await;
        published.map_err(|failure| {
            let topic = topic.into_owned();
            DeadLetterError::new(record, report.failure, NoLetter::NotWritten { topic, failure })
        })
    }
}

/// Why a record has no dead letter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NoLetter {
    /// The record is for a dead-letter topic.
    IsALetter,
    /// The letter could not be delivered. [`Failure::persisted`] says whether it may have been written.
    NotWritten {
        /// The dead-letter topic.
        topic: String,
        /// Why it was not delivered.
        failure: Failure,
    },
}

/// A record that has neither been delivered nor become a dead letter. The error has the record, so keep it.
#[derive(Clone, Debug)]
#[must_use = "it holds the only copy of the record"]
pub struct DeadLetterError<'a>(Box<Parts<'a>>);

#[derive(Clone, Debug)]
struct Parts<'a> {
    record: Record<'a>,
    original: Failure,
    reason: NoLetter,
}

impl<'a> DeadLetterError<'a> {
    fn new(record: Record<'a>, original: &Failure, reason: NoLetter) -> Self {
        Self(Box::new(Parts { record, original: original.clone(), reason }))
    }

    /// The record, unchanged.
    #[must_use]
    pub fn record(&self) -> &Record<'a> {
        &self.0.record
    }

    /// Takes the record out of the error.
    #[must_use]
    pub fn into_record(self) -> Record<'a> {
        self.0.record
    }

    /// Why the record was not delivered.
    #[must_use]
    pub fn original(&self) -> &Failure {
        &self.0.original
    }

    /// Why there is no dead letter.
    #[must_use]
    pub fn reason(&self) -> &NoLetter {
        &self.0.reason
    }
}

impl fmt::Display for DeadLetterError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { original, reason, .. } = &*self.0;
        match reason {
            NoLetter::IsALetter => f.write_str("no dead letter: the record is for a dead-letter topic itself")?,
            NoLetter::NotWritten { topic, failure } => {
                let topic = topic.escape_debug().take(256).collect::<String>();
                write!(f, "no dead letter in {topic}: {failure}")?;
            }
        }
        write!(f, "; the record failed before: {original}; it is still the caller's: keep it, or stop")
    }
}

impl std::error::Error for DeadLetterError<'_> {}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use milena::SendError;

    use super::*;
    use crate::testing::{Script, too_large, unknown};

    fn record() -> Record<'static> {
        Record::to("orders")
            .key(&[0xff, 0])
            .value("nine")
            .header("a", "1")
            .with_header(Header::null("b"))
            .header("a", "2")
            .partition(2)
            .timestamp(5)
    }

    async fn publish<'a>(
        letters: &DeadLetters,
        to: &Script,
        record: Record<'a>,
        failure: &Failure,
    ) -> Result<Ack, DeadLetterError<'a>> {
        letters.publish(to, record, &FailureReport::once(failure, UNIX_EPOCH)).await
    }

    #[tokio::test]
    async fn a_letter_has_key_value_and_headers_unchanged_followed_by_the_failure() {
        let broker = Script::default();
        publish(&DeadLetters::with_suffix(".dlt"), &broker, record(), &too_large()).await.unwrap();
        let [letter] = &broker.published()[..] else { panic!("one letter") };
        assert_eq!((&*letter.topic, letter.partition, letter.timestamp), ("orders.dlt", None, None));
        assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&[0xff, 0][..]), Some(&b"nine"[..])));
        let own = |(name, value): (&str, Option<&str>)| (name.to_owned(), value.map(|v| v.as_bytes().to_vec()));
        assert_eq!(letter.headers[..3], [("a", Some("1")), ("b", None), ("a", Some("2"))].map(own));
        assert_eq!(letter.header("originalTopic"), Some("orders"));
        assert_eq!(letter.header("originalPartition"), Some("2"));
        assert_eq!(letter.header("originalTimestamp"), Some("5"));
    }

    #[tokio::test]
    async fn a_record_without_key_or_value_has_a_letter_without_key_or_value() {
        let broker = Script::default();
        publish(&DeadLetters::with_suffix(".dlt"), &broker, Record::to("orders"), &too_large()).await.unwrap();
        assert_eq!((broker.published()[0].key.clone(), broker.published()[0].value.clone()), (None, None));
    }

    #[test]
    fn a_dead_letter_topic_has_the_suffix_or_the_one_name_and_has_no_dead_letter_topic_itself() {
        let suffix = DeadLetters::with_suffix(".dlt");
        assert_eq!(suffix.topic_for("orders").as_deref(), Some("orders.dlt"));
        assert_eq!(suffix.topic_for("orders.dlt"), None);
        let one = DeadLetters::with_topic("lost");
        assert_eq!(one.topic_for("orders").as_deref(), Some("lost"));
        assert_eq!(one.topic_for("no topic!").as_deref(), Some("lost"));
        assert_eq!(one.topic_for("lost"), None);
        assert_eq!(
            DeadLetters::with_suffix("").topic_for("orders"),
            None,
            "orders would be the dead-letter topic of orders"
        );
    }

    #[tokio::test]
    async fn a_record_for_a_dead_letter_topic_is_returned_and_not_sent() {
        for letters in [DeadLetters::with_suffix(".dlt"), DeadLetters::with_topic("orders.dlt")] {
            let (broker, letter) = (Script::default(), Record::to("orders.dlt").key("k"));
            let error = publish(&letters, &broker, letter.clone(), &too_large()).await.unwrap_err();
            assert!(matches!(error.reason(), NoLetter::IsALetter));
            assert!(broker.published().is_empty());
            assert_eq!(error.into_record(), letter);
        }
    }

    #[tokio::test]
    async fn a_letter_that_is_not_written_is_an_error_with_both_failures_and_the_record() {
        let full: Failure =
            SendError::TooLarge { topic: "orders.dlt".into(), size: 2, limit: 1, setting: "max.request.size" }.into();
        for (second, name) in [(full, "SendError::TooLarge"), (unknown(), "DeliveryError::Expired")] {
            let broker = Script::failing([(0, second)]);
            let letters = DeadLetters::with_suffix(".dlt");
            let error = publish(&letters, &broker, record(), &too_large()).await.unwrap_err();
            let NoLetter::NotWritten { topic, failure } = error.reason() else { panic!("{error}") };
            assert_eq!((&**topic, failure.type_name()), ("orders.dlt", name));
            assert_eq!(error.original().type_name(), "DeliveryError::Rejected");
            assert_eq!(error.record(), &record());
            assert_eq!(broker.published().len(), 1, "it is tried once, and nothing is sent after it");
            let text = error.to_string();
            for part in [&failure.to_string(), &error.original().to_string(), "no dead letter in orders.dlt"] {
                assert!(text.contains(part), "{text:?} lacks {part:?}");
            }
        }
    }

    #[tokio::test]
    async fn publishing_a_letter_can_be_spawned() {
        let task = tokio::spawn(async {
            let failure = too_large();
            publish(&DeadLetters::with_suffix(".dlt"), &Script::default(), record(), &failure).await.is_ok()
        });
        assert!(task.await.unwrap());
    }
}

//! Records that cannot be delivered, and the topic in which each must end.
//!
//! In: the names of topics. Out: cases. Pure; the lab runs them.

use milena::{
    ErrorCode,
    broker::{Api, Fault},
};

/// A little more than `max.request.size` allows.
const TOO_LARGE: usize = 1024 * 1024 + 1;
/// `max.message.bytes` of the small topic, and a larger size.
pub(super) const SMALL: &str = "1000";
const LARGER: usize = 2_000;
const NOT_TEXT: &[u8] = b"\xff\xfe order";
const TEXT: &[u8] = b"nine";

/// The topics of the lab.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub(super) main: String,
    /// The topic with a small `max.message.bytes`.
    pub(super) small: String,
    /// The dead-letter topic.
    pub(super) dead: String,
}

impl Topics {
    pub(super) fn of(main: &str) -> Self {
        Self { main: main.to_owned(), small: format!("{main}.small"), dead: format!("{main}.dlt") }
    }
}

/// One record.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) topic: String,
    pub(super) value: Vec<u8>,
    /// The faults that are injected into the embedded broker.
    pub(super) faults: Vec<Fault>,
    pub(super) end: End,
}

/// The place in which a record must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In its topic.
    Delivered,
    /// In the dead-letter topic.
    Letter(LetterHeaders),
    /// With the caller. `None`: the record is for the dead-letter topic itself. `Some`: the type of the letter's error.
    Returned(Option<&'static str>),
}

/// The headers that a letter must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LetterHeaders {
    pub(super) error_type: &'static str,
    pub(super) code: ErrorCode,
    pub(super) persisted: &'static str,
    pub(super) attempts: &'static str,
    /// Whether a partition had been chosen.
    pub(super) partition: bool,
}

/// All cases. Those that need injected faults are included only if `embedded`.
pub(super) fn cases(topics: &Topics, embedded: bool) -> Vec<Case> {
    let mut cases = from_the_producer(topics);
    cases.extend(from_the_broker(topics).into_iter().filter(|case| embedded || case.faults.is_empty()));
    cases.extend(without_a_letter(topics).into_iter().filter(|case| embedded || case.faults.is_empty()));
    cases
}

/// The names of the cases that need injected faults.
pub(super) fn left_out(topics: &Topics) -> Vec<&'static str> {
    let all = cases(topics, true).into_iter();
    all.filter(|case| !case.faults.is_empty()).map(|case| case.name).collect()
}

fn case(name: &'static str, topic: &str, value: &[u8], faults: Vec<Fault>, end: End) -> Case {
    Case { name, topic: topic.to_owned(), value: value.to_vec(), faults, end }
}

/// Records that the producer itself refuses.
fn from_the_producer(topics: &Topics) -> Vec<Case> {
    let refused = |error_type, code| {
        End::Letter(LetterHeaders { error_type, code, persisted: "no", attempts: "1", partition: false })
    };
    let (payload, name) = ("SendError::Serialization", "SendError::InvalidTopic");
    vec![
        case("all is well", &topics.main, TEXT, vec![], End::Delivered),
        case("undecodable payload", &topics.main, NOT_TEXT, vec![], refused(payload, ErrorCode::INVALID_RECORD)),
        case("invalid topic name", "no topic!", TEXT, vec![], refused(name, ErrorCode::INVALID_TOPIC_EXCEPTION)),
    ]
}

/// Records that a broker refuses.
fn from_the_broker(topics: &Topics) -> Vec<Case> {
    let produce = |fault: Fault| fault.on(Api::Produce).at_topic(&topics.main);
    let error = |code| produce(Fault::error(code));
    let letter = |code, persisted, attempts| {
        End::Letter(LetterHeaders { error_type: "DeliveryError::Rejected", code, persisted, attempts, partition: true })
    };
    let (large, denied) = (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let (invalid, nameless) = (ErrorCode::INVALID_RECORD, ErrorCode::UNKNOWN_SERVER_ERROR);
    let late = vec![error(ErrorCode::NOT_ENOUGH_REPLICAS), error(invalid).after(1)];
    let doubtful = vec![produce(Fault::error_after_append(nameless))];
    let bytes = vec![b'9'; LARGER];
    vec![
        case("larger than its topic allows", &topics.small, &bytes, vec![], letter(large, "no", "1")),
        case("not authorized", &topics.main, TEXT, vec![error(denied)], letter(denied, "no", "1")),
        case("refused for now, then for good", &topics.main, TEXT, late, letter(invalid, "no", "2")),
        case("written, then an error without a name", &topics.main, TEXT, doubtful, letter(nameless, "unknown", "1")),
    ]
}

/// Records that cannot become a letter and come back to the caller.
fn without_a_letter(topics: &Topics) -> Vec<Case> {
    let dead = &topics.dead;
    let refuses = Fault::error(ErrorCode::TOPIC_AUTHORIZATION_FAILED).on(Api::Produce).at_topic(dead);
    let (large, rejected) =
        (End::Returned(Some("SendError::TooLarge")), End::Returned(Some("DeliveryError::Rejected")));
    vec![
        case("too large for the dead-letter topic too", &topics.main, &vec![b'9'; TOO_LARGE], vec![], large),
        case("for the dead-letter topic itself", dead, NOT_TEXT, vec![], End::Returned(None)),
        case("the dead-letter topic refuses it", &topics.main, NOT_TEXT, vec![refuses], rejected),
    ]
}

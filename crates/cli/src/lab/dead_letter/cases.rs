//! Records that cannot be delivered, and where each must end.
//!
//! In: the names of topics. Out: cases. Pure; carrying them out is the lab's.

use milena::{
    ErrorCode,
    broker::{Api, Fault},
};

/// A little more than `max.request.size` allows.
const TOO_LARGE: usize = 1024 * 1024 + 1;
/// What `max.message.bytes` of the small topic is, and what is larger.
pub(super) const SMALL: &str = "1000";
const LARGER: usize = 2_000;
const NOT_TEXT: &[u8] = b"\xff\xfe order";
const TEXT: &[u8] = b"nine";

/// The topics of the lab.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub(super) main: String,
    /// The one that takes small records only.
    pub(super) small: String,
    /// Where the letters go.
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
    /// What the embedded broker does to it.
    pub(super) faults: Vec<Fault>,
    pub(super) end: End,
}

/// Where a record must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In its topic.
    Delivered,
    /// In the dead-letter topic.
    Letter(Tells),
    /// With the caller: as it is for the dead-letter topic itself, or because the letter met this error.
    Returned(Option<&'static str>),
}

/// What a letter must tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tells {
    pub(super) error_type: &'static str,
    pub(super) code: ErrorCode,
    pub(super) persisted: &'static str,
    pub(super) attempts: &'static str,
    /// Whether a partition had been chosen.
    pub(super) partition: bool,
}

/// All cases; `embedded` with those that need a broker that fails on command.
pub(super) fn cases(topics: &Topics, embedded: bool) -> Vec<Case> {
    let mut cases = from_the_producer(topics);
    cases.extend(from_the_broker(topics).into_iter().filter(|case| embedded || case.faults.is_empty()));
    cases.extend(without_a_letter(topics).into_iter().filter(|case| embedded || case.faults.is_empty()));
    cases
}

/// Names of the cases that need a broker that fails on command.
pub(super) fn left_out(topics: &Topics) -> Vec<&'static str> {
    let all = cases(topics, true).into_iter();
    all.filter(|case| !case.faults.is_empty()).map(|case| case.name).collect()
}

fn case(name: &'static str, topic: &str, value: &[u8], faults: Vec<Fault>, end: End) -> Case {
    Case { name, topic: topic.to_owned(), value: value.to_vec(), faults, end }
}

/// The producer itself refuses them.
fn from_the_producer(topics: &Topics) -> Vec<Case> {
    let refused =
        |error_type, code| End::Letter(Tells { error_type, code, persisted: "no", attempts: "1", partition: false });
    let (payload, name) = ("SendError::Serialization", "SendError::InvalidTopic");
    vec![
        case("all is well", &topics.main, TEXT, vec![], End::Delivered),
        case("undecodable payload", &topics.main, NOT_TEXT, vec![], refused(payload, ErrorCode::INVALID_RECORD)),
        case("invalid topic name", "no topic!", TEXT, vec![], refused(name, ErrorCode::INVALID_TOPIC_EXCEPTION)),
    ]
}

/// A broker refuses them.
fn from_the_broker(topics: &Topics) -> Vec<Case> {
    let produce = |fault: Fault| fault.on(Api::Produce).at_topic(&topics.main);
    let error = |code| produce(Fault::error(code));
    let tells = |code, persisted, attempts| {
        End::Letter(Tells { error_type: "DeliveryError::Rejected", code, persisted, attempts, partition: true })
    };
    let (large, denied) = (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let (invalid, nameless) = (ErrorCode::INVALID_RECORD, ErrorCode::UNKNOWN_SERVER_ERROR);
    let late = vec![error(ErrorCode::NOT_ENOUGH_REPLICAS), error(invalid).after(1)];
    let doubtful = vec![produce(Fault::error_after_append(nameless))];
    let bytes = vec![b'9'; LARGER];
    vec![
        case("larger than its topic allows", &topics.small, &bytes, vec![], tells(large, "no", "1")),
        case("not authorized", &topics.main, TEXT, vec![error(denied)], tells(denied, "no", "1")),
        case("refused for now, then for good", &topics.main, TEXT, late, tells(invalid, "no", "2")),
        case("written, then an error without a name", &topics.main, TEXT, doubtful, tells(nameless, "unknown", "1")),
    ]
}

/// They have no letter: they come back.
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

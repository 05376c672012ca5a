//! The lines that `milena verifiable-producer` prints: names, fields and their order are those of Kafka's tool.
//!
//! In: what happened. Out: JSON on stdout, a line each, with the time.

use milena::Ack;
use serde::Serialize;

use super::now_ms;
use crate::{console::to_stdout, output::json};

/// What every line begins with.
#[derive(Serialize)]
struct Head {
    timestamp: i64,
    name: &'static str,
}

impl Head {
    fn new(name: &'static str) -> Self {
        Self { timestamp: now_ms(), name }
    }
}

/// A line that says nothing else.
#[derive(Serialize)]
pub(super) struct Plain(Head);

impl Plain {
    pub(super) fn new(name: &'static str) -> Self {
        Self(Head::new(name))
    }
}

/// A record that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    topic: String,
    pub(super) key: Option<String>,
    pub(super) value: String,
}

#[derive(Serialize)]
pub(super) struct Success<'a> {
    #[serde(flatten)]
    head: Head,
    key: Option<&'a str>,
    value: &'a str,
    offset: i64,
    topic: &'a str,
    partition: i32,
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    #[serde(flatten)]
    head: Head,
    topic: &'a str,
    key: Option<&'a str>,
    value: &'a str,
    exception: String,
    message: &'a str,
}

impl Sent {
    pub(super) fn new(topic: &str, key: Option<String>, value: String) -> Self {
        Self { topic: topic.to_owned(), key, value }
    }

    /// It was acknowledged. Without acknowledgements there are no offsets, which Java writes as -1.
    pub(super) fn success<'a>(&'a self, ack: &'a Ack, has_offsets: bool) -> Success<'a> {
        Success {
            head: Head::new("producer_send_success"),
            key: self.key.as_deref(),
            value: &self.value,
            offset: ack.offset().filter(|_| has_offsets).unwrap_or(-1),
            topic: ack.topic(),
            partition: ack.partition(),
        }
    }

    /// It failed, with what Java would throw.
    pub(super) fn error<'a>(&'a self, class: &str, message: &'a str) -> Failure<'a> {
        Failure {
            head: Head::new("producer_send_error"),
            topic: &self.topic,
            key: self.key.as_deref(),
            value: &self.value,
            exception: format!("class {class}"),
            message,
        }
    }
}

/// The last line.
#[derive(Serialize)]
pub(super) struct ToolData {
    #[serde(flatten)]
    head: Head,
    sent: u64,
    acked: u64,
    target_throughput: i32,
    avg_throughput: f64,
}

impl ToolData {
    pub(super) fn new(sent: u64, acked: u64, target_throughput: i32, avg_throughput: f64) -> Self {
        Self { head: Head::new("tool_data"), sent, acked, target_throughput, avg_throughput }
    }
}

/// Prints a line.
pub(super) fn print(event: &impl Serialize) {
    to_stdout(&json(event));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line without its time.
    fn line(event: &impl Serialize) -> String {
        let text = json(event);
        let rest = text.strip_prefix("{\"timestamp\":").unwrap();
        rest.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned()
    }

    #[test]
    fn each_line_has_the_fields_of_kafkas_tool_in_its_order() {
        let sent = Sent::new("t", Some("1".into()), "7.1".into());
        let ack = Ack::new("t", 2).with_offset(5);
        let success =
            r#","name":"producer_send_success","key":"1","value":"7.1","offset":5,"topic":"t","partition":2}"#;
        assert_eq!(line(&sent.success(&ack, true)), success);
        assert_eq!(line(&sent.success(&ack, false)), success.replace(":5,", ":-1,"));
        let keyless = Sent::new("t", None, "1".into());
        assert_eq!(
            line(&keyless.error("a.B", "m")),
            r#","name":"producer_send_error","topic":"t","key":null,"value":"1","exception":"class a.B","message":"m"}"#
        );
        assert_eq!(line(&Plain::new("startup_complete")), r#","name":"startup_complete"}"#);
        assert_eq!(
            line(&ToolData::new(2, 1, -1, 0.0)),
            r#","name":"tool_data","sent":2,"acked":1,"target_throughput":-1,"avg_throughput":0.0}"#
        );
    }
}

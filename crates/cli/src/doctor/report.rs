//! What is said of a check, and what helps where it failed.
//!
//! In: results of checks. Out: lines. Pure.

use std::time::Duration;

#[cfg(feature = "tls")]
use milena::admin::TlsHandshake;
use milena::{
    ErrorCode,
    admin::{AdminError, ClusterDescription, ConnectionDescription, TopicDescription},
};
use serde::Serialize;

use crate::output;

/// How checks are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Name,
    Tcp,
    #[cfg(feature = "tls")]
    Tls,
    Versions,
    Sasl,
    Metadata,
    Topic,
    Rights,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            #[cfg(feature = "tls")]
            Self::Tls => "tls",
            Self::Versions => "versions",
            Self::Sasl => "sasl",
            Self::Metadata => "metadata",
            Self::Topic => "topic",
            Self::Rights => "rights",
        }
    }

    /// What helps if it failed. The library's errors have hints of their own.
    fn hint(self, why: &str) -> Option<&'static str> {
        match self {
            Self::Name => Some("check the spelling, and the name server of this machine"),
            Self::Tcp if why.contains("refused") => {
                Some("nothing listens there: check the port, and that the broker runs and listens on this address")
            }
            Self::Tcp => Some("check the network and firewalls between this machine and the broker"),
            Self::Metadata => Some("check advertised.listeners of the brokers"),
            #[cfg(feature = "tls")]
            Self::Tls => None,
            Self::Versions | Self::Sasl | Self::Topic | Self::Rights => None,
        }
    }
}

/// What helps besides if an address cannot be reached that a broker advertises: the address of the bootstrap server may have been right.
const ADVERTISED: &str = "the broker advertises this address, and clients use it: check its advertised.listeners";

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    subject: String,
    step: Step,
    /// Whether it is of an address that a broker advertises.
    is_advertised: bool,
    pub(super) result: Result<String, String>,
}

/// A check as JSON.
#[derive(Serialize)]
struct Row<'a> {
    subject: &'a str,
    step: Step,
    ok: bool,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    pub(super) fn new(subject: &str, step: Step, result: Result<String, String>) -> Self {
        Self { subject: subject.to_owned(), step, is_advertised: false, result }
    }

    /// The check, of an address that a broker advertises if `is_advertised`.
    pub(super) fn of_advertised(self, is_advertised: bool) -> Self {
        Self { is_advertised, ..self }
    }

    /// The check as a line.
    pub(super) fn line(&self, format: Format) -> String {
        let (is_ok, text) = match &self.result {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        let hint = self.step.hint(text).filter(|_| !is_ok).map(|hint| match (self.is_advertised, self.step) {
            (true, Step::Name | Step::Tcp) => format!("{hint}; {ADVERTISED}"),
            _ => hint.to_owned(),
        });
        match format {
            Format::Json => {
                let row = Row { subject: &self.subject, step: self.step, ok: is_ok, text, hint };
                serde_json::to_string(&row).unwrap_or_default()
            }
            Format::Text => {
                let word = if is_ok { "ok  " } else { "FAIL" };
                let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                let line = format!("{word} {:<8} {}: {text}{hint}", self.step.name(), self.subject);
                output::printable_lines(&line)
            }
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The value of a setting: the last one that was given.
pub(super) fn value<'a>(settings: &'a [(String, String)], name: &str) -> Option<&'a str> {
    settings.iter().rev().find(|(given, _)| given.trim() == name).map(|(_, value)| value.trim())
}

/// What is said of a TLS handshake.
#[cfg(feature = "tls")]
pub(super) fn handshake(shown: &TlsHandshake, now: jiff::Timestamp) -> Result<String, String> {
    let chain = super::certificates::chain(&shown.certificates, now);
    match &shown.outcome {
        Ok((version, suite)) => Ok(format!("{version}, {suite}; {chain}")),
        Err(why) if chain.is_empty() => Err(why.clone()),
        Err(why) => Err(format!("{why} (it showed {chain})")),
    }
}

/// What is said of a connection of which TLS is no longer in question: what the broker supports, and whether it let the client in.
pub(super) fn opened(
    settings: &[(String, String)],
    opened: Result<Option<ConnectionDescription>, &AdminError>,
) -> Vec<(Step, Result<String, String>)> {
    let mechanism = mechanism(settings);
    match opened {
        Ok(Some(description)) => {
            let versions = (Step::Versions, supported(&description));
            let sasl = mechanism.map(|mechanism| (Step::Sasl, Ok(let_in(&mechanism, description.session))));
            [versions].into_iter().chain(sasl).collect()
        }
        Ok(None) => Vec::new(),
        Err(error) => vec![(if is_of_sasl(error) { Step::Sasl } else { Step::Versions }, Err(error.to_string()))],
    }
}

fn supported(description: &ConnectionDescription) -> Result<String, String> {
    if let Some(lack) = &description.lack {
        return Err(lack.clone());
    }
    let produce = description.produce.map(|(lowest, highest)| format!(", Produce in versions {lowest} to {highest}"));
    Ok(format!("{} kinds of request{}", description.apis, produce.unwrap_or_default()))
}

/// The mechanism by which the settings have the client authenticate, if they do.
fn mechanism(settings: &[(String, String)]) -> Option<String> {
    let protocol = value(settings, "security.protocol").unwrap_or_default().to_uppercase();
    let mechanism = value(settings, "sasl.mechanism").filter(|_| protocol.starts_with("SASL"));
    mechanism.map(str::to_owned)
}

fn let_in(mechanism: &str, session: Option<Duration>) -> String {
    let session = session.map(|length| format!(", for {} s, then again", length.as_secs()));
    format!("authenticated by {mechanism}{}", session.unwrap_or_default())
}

fn is_of_sasl(error: &AdminError) -> bool {
    match error {
        AdminError::Unauthenticated { .. } => true,
        AdminError::Connection { api, .. } | AdminError::Malformed { api, .. } => api.starts_with("Sasl"),
        _ => false,
    }
}

/// What is said of the cluster.
pub(super) fn cluster(description: &ClusterDescription) -> Result<String, String> {
    if let Some(why) = &description.unusable {
        return Err(why.clone());
    }
    if description.brokers.is_empty() {
        return Err("the broker names no broker that can be connected to".to_owned());
    }
    let brokers = description.brokers.iter();
    let brokers = brokers.map(|broker| format!("{} at {}", broker.id, address(&broker.host, broker.port)));
    let cluster = description.cluster_id.as_deref().map_or_else(String::new, |id| format!("cluster {id}, "));
    let controller = description.controller.map_or_else(|| "none".to_owned(), |id| id.to_string());
    Ok(format!("{cluster}controller {controller}, brokers {}", brokers.collect::<Vec<_>>().join(", ")))
}

/// What is said of a topic.
pub(super) fn topic(topic: &TopicDescription) -> Result<String, String> {
    let TopicDescription { error, partitions, leaderless, .. } = topic;
    if *error != ErrorCode::NONE {
        let advice = topic.denied.as_deref().unwrap_or_else(|| error.advice());
        return Err(format!("{error}; {advice}"));
    }
    if !leaderless.is_empty() {
        let list = leaderless.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "{} of {partitions} partitions have no leader: {list}; check the brokers with their replicas",
            leaderless.len()
        ));
    }
    Ok(format!("{partitions} partition{}, each with a leader", if *partitions == 1 { "" } else { "s" }))
}

/// What is said of the client's rights.
pub(super) fn rights(topic: &TopicDescription) -> Result<String, String> {
    match topic.may_write {
        Some(true) => Ok("this client may write to it".to_owned()),
        Some(false) => Err(topic.denied.clone().unwrap_or_else(|| "this client may not write to it".to_owned())),
        None => Ok("the broker does not tell what this client may do".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: Step, result: Result<&str, &str>) -> String {
        Check::new("bootstrap server k:9092", step, result.map(Into::into).map_err(Into::into)).line(Format::Text)
    }

    #[test]
    fn a_failed_check_has_a_hint_and_a_good_one_has_none() {
        assert_eq!(line(Step::Name, Ok("10.0.0.1:9092")), "ok   name     bootstrap server k:9092: 10.0.0.1:9092");
        assert_eq!(
            line(Step::Tcp, Err("10.0.0.1:9092: Connection refused (os error 111)")),
            "FAIL tcp      bootstrap server k:9092: 10.0.0.1:9092: Connection refused (os error 111); nothing listens there: check the \
             port, and that the broker runs and listens on this address"
        );
        assert!(line(Step::Tcp, Err("no answer within 10 s")).contains("firewalls"));
        let advertised = |step| Check::new("broker 1 k:9092", step, Err("no".to_owned())).of_advertised(true);
        for (step, says) in [(Step::Name, true), (Step::Tcp, true), (Step::Sasl, false)] {
            assert_eq!(
                advertised(step).line(Format::Text).contains("check its advertised.listeners"),
                says,
                "{step:?}"
            );
        }
        assert!(!line(Step::Tcp, Err("no")).contains("advertise"));
        let denied = "User:alice may not WRITE to topic orders: grant it by `kafka-acls.sh`";
        assert!(line(Step::Rights, Err(denied)).ends_with(denied));
    }

    #[test]
    fn a_check_as_json_is_one_object() {
        let check = Check::new("k:9092", Step::Name, Err("no such \"name\"".into()));
        let row: serde_json::Value = serde_json::from_str(&check.line(Format::Json)).unwrap();
        assert_eq!(
            (&row["step"], &row["ok"], &row["text"]),
            (&"name".into(), &false.into(), &"no such \"name\"".into())
        );
        assert!(row["hint"].as_str().unwrap().contains("spelling"));
    }

    #[test]
    fn the_mechanism_is_said_where_the_client_authenticates() {
        let settings = |protocol: &str| {
            [("security.protocol", protocol), ("sasl.mechanism", "PLAIN"), ("sasl.password", "hunter2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        assert_eq!(mechanism(&settings("sasl_plaintext")).as_deref(), Some("PLAIN"));
        assert_eq!((mechanism(&settings("SSL")), mechanism(&[])), (None, None));
        assert_eq!(let_in("PLAIN", None), "authenticated by PLAIN");
        assert_eq!(let_in("PLAIN", Some(Duration::from_secs(3))), "authenticated by PLAIN, for 3 s, then again");
    }

    #[test]
    fn an_error_belongs_to_the_step_in_which_it_came() {
        let broken = |api| AdminError::Connection { broker: "k:9092".into(), api, reason: "closed".into() };
        let code = ErrorCode::SASL_AUTHENTICATION_FAILED;
        let refused = AdminError::Unauthenticated { broker: "k:9092".into(), code, reason: "wrong".into() };
        let errors = [broken("ApiVersions"), broken("SaslAuthenticate"), refused];
        assert_eq!(errors.map(|error| opened(&[], Err(&error)).remove(0).0), [Step::Versions, Step::Sasl, Step::Sasl]);
    }

    #[test]
    fn addresses_of_ipv6_have_brackets() {
        assert_eq!([address("k", 1), address("::1", 2)], ["k:1", "[::1]:2"]);
    }
}

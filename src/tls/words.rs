//! What went wrong with TLS, in words for the person who has to act.
//!
//! In: an error of rustls, and what the client is like. Out: a sentence with a hint. Pure. What a peer's certificate says of itself is
//! printed without control characters, and shortened.

use rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
    pki_types::{ServerName, UnixTime},
};

use super::verifier::Untrusted;
use crate::config::tls::TlsSettings;

/// What of a client matters to an explanation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Whether it has a certificate.
    pub(super) has_identity: bool,
}

impl Client {
    /// The one with these settings.
    pub(super) fn of(settings: &TlsSettings) -> Self {
        Self { has_identity: settings.identity.is_some() }
    }
}

/// How many names of a certificate are printed.
const NAMES: usize = 10;
/// How many characters of a name are printed.
const NAME: usize = 100;

/// Why a connection failed.
pub(super) fn explain(error: &Error, client: Client) -> String {
    match error {
        Error::InvalidCertificate(wrong) => certificate(wrong),
        Error::NoCertificatesPresented => "the broker has no certificate".to_owned(),
        Error::AlertReceived(said) => alert(*said, client),
        Error::InvalidMessage(_) => {
            "the peer does not speak TLS: check the port, or use security.protocol=PLAINTEXT for a PLAINTEXT listener"
                .to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) | Error::PeerMisbehaved(_) => {
            format!("the broker chose what was not offered ({error}): check ssl.cipher.suites on both sides")
        }
        Error::PeerIncompatible(_) => {
            format!(
                "the broker has no version of TLS in common with ssl.enabled.protocols ({error}): compare it with the broker's"
            )
        }
        Error::DecryptError => "bytes from the broker were changed on their way: check what is between".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the broker's certificate expired {} ago: renew it, or set this machine's clock right",
            between(*not_after, *time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the broker's certificate is not valid for another {}: check the clock of this machine, and of the one that issued it",
            between(*time, *not_before)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => not_named(expected, presented),
        CertificateError::BadSignature => {
            "the broker's certificate is not signed by the CA whose name it bears: check that ssl.truststore has the CA's present key"
                .to_owned()
        }
        CertificateError::InvalidPurposeContext { .. } => {
            "the broker's certificate is not for servers (extended key usage): issue one with serverAuth".to_owned()
        }
        CertificateError::Other(OtherError(inner)) => match (inner.downcast_ref(), inner.downcast_ref()) {
            (Some(wrong), _) => untrusted(wrong),
            (_, Some(webpki::Error::CaUsedAsEndEntity)) => {
                "the broker's certificate is a CA's: issue one of its own (CA:FALSE), or add this very one to ssl.truststore".to_owned()
            }
            (_, Some(webpki::Error::UnsupportedCertVersion)) => {
                "the broker's certificate is an old X.509 version, which has no names: issue one of version 3 with a subjectAltName"
                    .to_owned()
            }
            _ => format!("the broker's certificate is invalid: {inner}"),
        },
        other => format!("the broker's certificate is invalid: {other}"),
    }
}

fn untrusted(wrong: &Untrusted) -> String {
    let issuer = wrong.issuer.as_deref().map_or_else(String::new, |issuer| format!(" {:?}", short(issuer)));
    if wrong.is_self_signed {
        return format!(
            "the broker's certificate{issuer} is self-signed and not trusted: add it to ssl.truststore.location"
        );
    }
    format!(
        "the broker's certificate is issued by{}, which is not trusted: add that CA to ssl.truststore.location, or have the broker send \
         the certificates between",
        if issuer.is_empty() { " an unknown CA" } else { &issuer }
    )
}

fn not_named(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "the broker's certificate has no subjectAltName, expected one with {expected}: a common name alone does not count (RFC 9525)"
        );
    }
    let names: Vec<_> = presented.iter().take(NAMES).map(|name| short(bare(name))).collect();
    let more = if presented.len() > NAMES { ", …" } else { "" };
    format!(
        "the broker's certificate is for {}{more}, expected {expected}: connect by a name that it has, or issue one with this name",
        names.join(", ")
    )
}

/// `a` of `DnsName("a")`, and `1.2.3.4` of `IpAddress(1.2.3.4)`, which is how rustls passes names on.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(NAME).collect()
}

/// What the broker said about the client.
fn alert(said: AlertDescription, client: Client) -> String {
    use AlertDescription as Alert;
    let required = "the broker requires a client certificate: set ssl.keystore.location, with ssl.keystore.type=PEM";
    match said {
        Alert::CertificateRequired => required.to_owned(),
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::NoCertificate if !client.has_identity => required.to_owned(),
        Alert::HandshakeFailure if !client.has_identity => format!(
            "the broker ended the handshake: it has no cipher suite in common with ssl.cipher.suites and ssl.enabled.protocols, or {required}"
        ),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the broker ended the handshake: it has no cipher suite in common with ssl.cipher.suites and ssl.enabled.protocols".to_owned()
        }
        Alert::ProtocolVersion => {
            "the broker has no version of TLS in common with ssl.enabled.protocols: compare it with the broker's".to_owned()
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown => {
            "the broker does not trust the client's certificate: add its CA to the broker's truststore, or check ssl.keystore.location"
                .to_owned()
        }
        Alert::CertificateExpired => {
            "the client's certificate has expired, or is not valid yet by the broker's clock: renew it in ssl.keystore.location".to_owned()
        }
        Alert::CertificateRevoked | Alert::UnsupportedCertificate | Alert::AccessDenied | Alert::DecryptError => {
            format!("the broker refused the client's certificate ({said:?}): check ssl.keystore.location")
        }
        Alert::UnrecognisedName => "the broker has no certificate for this host name: check bootstrap.servers".to_owned(),
        other => format!("the broker ended TLS with the alert {other:?}"),
    }
}

/// A length of time in the largest unit that it fills.
fn between(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    let units = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(|| format!("{seconds} seconds"), |(length, name)| format!("{} {name}", seconds / length))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALONE: Client = Client { has_identity: false };
    const NAMED: Client = Client { has_identity: true };

    #[test]
    fn each_alert_says_what_the_broker_missed() {
        for (said, client, says) in [
            (AlertDescription::CertificateRequired, ALONE, "requires a client certificate: set ssl.keystore.location"),
            (AlertDescription::BadCertificate, ALONE, "requires a client certificate"),
            (AlertDescription::BadCertificate, NAMED, "does not trust the client's certificate"),
            (AlertDescription::UnknownCA, NAMED, "does not trust the client's certificate"),
            (AlertDescription::CertificateUnknown, NAMED, "does not trust the client's certificate"),
            (AlertDescription::CertificateExpired, NAMED, "the client's certificate has expired"),
            (AlertDescription::CertificateRevoked, NAMED, "refused the client's certificate (CertificateRevoked)"),
            (AlertDescription::HandshakeFailure, ALONE, "or the broker requires a client certificate"),
            (AlertDescription::HandshakeFailure, NAMED, "no cipher suite in common"),
            (AlertDescription::ProtocolVersion, ALONE, "no version of TLS in common"),
            (AlertDescription::UnrecognisedName, ALONE, "no certificate for this host name"),
            (AlertDescription::InternalError, ALONE, "alert InternalError"),
        ] {
            let sentence = explain(&Error::AlertReceived(said), client);
            assert!(sentence.contains(says), "{said:?}: {sentence}");
        }
    }

    #[test]
    fn times_are_told_in_the_largest_unit_that_they_fill_twice() {
        for (seconds, told) in
            [(0, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7_199, "119 minutes"), (7_200, "2 hours")]
        {
            assert_eq!(between(at(100), at(100 + seconds)), told);
        }
        assert_eq!(between(at(0), at(3 * 86_400)), "3 days");
        assert_eq!(between(at(5), at(3)), "0 seconds");
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told_with_a_word_about_the_clock() {
        let expired = CertificateError::ExpiredContext { time: at(200_000), not_after: at(0) };
        assert!(certificate(&expired).starts_with("the broker's certificate expired 2 days ago: renew it, or set"));
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(7_200) };
        assert!(
            certificate(&early)
                .starts_with("the broker's certificate is not valid for another 2 hours: check the clock")
        );
    }

    #[test]
    fn the_names_of_a_certificate_are_told_short_and_without_control_characters() {
        let expected = ServerName::try_from("kafka-1").unwrap();
        let names = [
            "DnsName(\"a\u{1b}[31m\")".to_owned(),
            "IpAddress(127.0.0.1)".to_owned(),
            format!("DnsName(\"{}\")", "x".repeat(999)),
        ];
        let told = not_named(&expected, &names);
        assert!(told.starts_with("the broker's certificate is for a[31m, 127.0.0.1, xxx"), "{told}");
        assert!(told.len() < 400 && told.contains(", expected kafka-1: connect by a name that it has"), "{told}");
        assert!(not_named(&expected, &vec!["DnsName(\"a\")".to_owned(); 11]).contains("a, …, expected"));
        assert!(not_named(&expected, &[]).contains("no subjectAltName, expected one with kafka-1"));
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }
}

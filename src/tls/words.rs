//! What went wrong with TLS, in words for the person who has to act.
//!
//! In: an error of rustls, who the peer is, and what the client is like. Out: a sentence with a hint. Pure. What a peer's certificate says of itself is
//! printed without control characters, and shortened.

use rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
    pki_types::{ServerName, UnixTime},
};

use super::{peer::Peer, verifier::Untrusted};
use crate::config::tls::TlsSettings;

/// What of the two sides matters to an explanation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) peer: Peer,
    /// Whether the client has a certificate.
    pub(super) has_identity: bool,
}

impl Sides {
    /// The peer, and the client with these settings.
    pub(super) fn of(peer: Peer, settings: &TlsSettings) -> Self {
        Self { peer, has_identity: settings.identity.is_some() }
    }
}

/// How many names of a certificate are printed.
const NAMES: usize = 10;
/// How many characters of a name are printed.
const NAME: usize = 100;

/// Why a connection failed.
pub(super) fn explain(error: &Error, sides: Sides) -> String {
    let peer = sides.peer;
    match error {
        Error::InvalidCertificate(wrong) => certificate(wrong, peer),
        Error::NoCertificatesPresented => format!("{peer} has no certificate"),
        Error::AlertReceived(said) => alert(*said, sides),
        Error::InvalidMessage(_) => {
            let (_, hint) = peer.plain();
            format!("{} does not speak TLS: {hint}", peer.listener())
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) | Error::PeerMisbehaved(_) => {
            format!("{peer} chose what was not offered ({error}): check ssl.cipher.suites on both sides")
        }
        Error::PeerIncompatible(_) => {
            format!(
                "{peer} has no version of TLS in common with ssl.enabled.protocols ({error}): compare it with {peer}'s"
            )
        }
        Error::DecryptError => format!("bytes from {peer} were changed on their way: check what is between"),
        other => other.to_string(),
    }
}

fn certificate(wrong: &CertificateError, peer: Peer) -> String {
    match wrong {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "{peer}'s certificate expired {} ago: renew it, or set this machine's clock right",
            between(*not_after, *time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "{peer}'s certificate is not valid for another {}: check the clock of this machine, and of the one that issued it",
            between(*time, *not_before)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => not_named(expected, presented, peer),
        CertificateError::BadSignature => format!(
            "{peer}'s certificate is not signed by the CA whose name it bears: check that ssl.truststore has the CA's present key"
        ),
        CertificateError::InvalidPurposeContext { .. } => {
            format!("{peer}'s certificate is not for servers (extended key usage): issue one with serverAuth")
        }
        CertificateError::Other(OtherError(inner)) => match (inner.downcast_ref(), inner.downcast_ref()) {
            (Some(wrong), _) => untrusted(wrong, peer),
            (_, Some(webpki::Error::CaUsedAsEndEntity)) => format!(
                "{peer}'s certificate is a CA's: issue one of its own (CA:FALSE), or add this very one to ssl.truststore"
            ),
            (_, Some(webpki::Error::UnsupportedCertVersion)) => format!(
                "{peer}'s certificate is an old X.509 version, which has no names: issue one of version 3 with a subjectAltName"
            ),
            _ => format!("{peer}'s certificate is invalid: {inner}"),
        },
        other => format!("{peer}'s certificate is invalid: {other}"),
    }
}

fn untrusted(wrong: &Untrusted, peer: Peer) -> String {
    let issuer = wrong.issuer.as_deref().map_or_else(String::new, |issuer| format!(" {:?}", short(issuer)));
    if wrong.is_self_signed {
        return format!(
            "{peer}'s certificate{issuer} is self-signed and not trusted: add it to ssl.truststore.location"
        );
    }
    format!(
        "{peer}'s certificate is issued by{}, which is not trusted: add that CA to ssl.truststore.location, or have {peer} send \
         the certificates between",
        if issuer.is_empty() { " an unknown CA" } else { &issuer }
    )
}

fn not_named(expected: &ServerName<'_>, presented: &[String], peer: Peer) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "{peer}'s certificate has no subjectAltName, expected one with {expected}: a common name alone does not count (RFC 9525)"
        );
    }
    let names: Vec<_> = presented.iter().take(NAMES).map(|name| short(bare(name))).collect();
    let more = if presented.len() > NAMES { ", …" } else { "" };
    format!(
        "{peer}'s certificate is for {}{more}, expected {expected}: connect by a name that it has, or issue one with this name",
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

/// What the peer said about the client.
fn alert(said: AlertDescription, Sides { peer, has_identity }: Sides) -> String {
    use AlertDescription as Alert;
    let required =
        format!("{peer} requires a client certificate: set ssl.keystore.location, with ssl.keystore.type=PEM");
    match said {
        Alert::CertificateRequired => required,
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::NoCertificate if !has_identity => required,
        Alert::HandshakeFailure if !has_identity => format!(
            "{peer} ended the handshake: it has no cipher suite in common with ssl.cipher.suites and ssl.enabled.protocols, or {required}"
        ),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            format!(
                "{peer} ended the handshake: it has no cipher suite in common with ssl.cipher.suites and ssl.enabled.protocols"
            )
        }
        Alert::ProtocolVersion => {
            format!("{peer} has no version of TLS in common with ssl.enabled.protocols: compare it with {peer}'s")
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown => format!(
            "{peer} does not trust the client's certificate: add its CA to {peer}'s truststore, or check ssl.keystore.location"
        ),
        Alert::CertificateExpired => {
            format!(
                "the client's certificate has expired, or is not valid yet by {peer}'s clock: renew it in ssl.keystore.location"
            )
        }
        Alert::CertificateRevoked | Alert::UnsupportedCertificate | Alert::AccessDenied | Alert::DecryptError => {
            format!("{peer} refused the client's certificate ({said:?}): check ssl.keystore.location")
        }
        Alert::UnrecognisedName => format!("{peer} has no certificate for this host name: check {}", peer.address()),
        other => format!("{peer} ended TLS with the alert {other:?}"),
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

    const ALONE: Sides = Sides { peer: Peer::Broker, has_identity: false };
    const NAMED: Sides = Sides { peer: Peer::Broker, has_identity: true };

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

    #[cfg(feature = "oidc")]
    #[test]
    fn whatever_goes_wrong_with_a_token_endpoint_names_it_and_no_broker() {
        let told = |error| explain(&error, Sides { peer: Peer::TokenEndpoint, has_identity: false });
        let named = |error| explain(&error, Sides { peer: Peer::TokenEndpoint, has_identity: true });
        let wrong = CertificateError::Other;
        let other = |inner: webpki::Error| wrong(OtherError(std::sync::Arc::new(inner)));
        let untrusted = |is_self_signed| {
            CertificateError::Other(OtherError(std::sync::Arc::new(Untrusted { issuer: None, is_self_signed })))
        };
        let certificates = [
            CertificateError::ExpiredContext { time: at(9), not_after: at(0) },
            CertificateError::NotValidYetContext { time: at(0), not_before: at(9) },
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("idp").unwrap(),
                presented: vec!["DnsName(\"a\")".to_owned()],
            },
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("idp").unwrap(),
                presented: Vec::new(),
            },
            CertificateError::BadSignature,
            other(webpki::Error::CaUsedAsEndEntity),
            other(webpki::Error::UnsupportedCertVersion),
            other(webpki::Error::BadDer),
            untrusted(true),
            untrusted(false),
            CertificateError::Revoked,
        ];
        let alerts = (0..=255).map(|code| Error::AlertReceived(AlertDescription::from(code)));
        let errors = [
            Error::NoCertificatesPresented,
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
            Error::DecryptError,
        ];
        let errors = errors.into_iter().chain(certificates.map(Error::InvalidCertificate)).chain(alerts);
        for sentence in errors.flat_map(|error| [told(error.clone()), named(error)]) {
            assert!(sentence.contains("the token endpoint"), "{sentence}");
            assert!(!["broker", "bootstrap", "PLAINTEXT"].iter().any(|word| sentence.contains(word)), "{sentence}");
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
        assert!(
            certificate(&expired, Peer::Broker)
                .starts_with("the broker's certificate expired 2 days ago: renew it, or set")
        );
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(7_200) };
        assert!(
            certificate(&early, Peer::Broker)
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
        let told = not_named(&expected, &names, Peer::Broker);
        assert!(told.starts_with("the broker's certificate is for a[31m, 127.0.0.1, xxx"), "{told}");
        assert!(told.len() < 400 && told.contains(", expected kafka-1: connect by a name that it has"), "{told}");
        assert!(not_named(&expected, &vec!["DnsName(\"a\")".to_owned(); 11], Peer::Broker).contains("a, …, expected"));
        assert!(not_named(&expected, &[], Peer::Broker).contains("no subjectAltName, expected one with kafka-1"));
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }
}

//! What the certificates of a server say.
//!
//! In: certificates in DER, as the server sent them, and the time. Out: words. Pure. Names are cut short; whoever prints them replaces
//! control characters.

use std::net::IpAddr;

use jiff::{Timestamp, tz::TimeZone};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, x509::X509Name};

/// How many names of a certificate are told.
const NAMES: usize = 5;
/// How many characters of a name are told.
const NAME: usize = 60;
const DAY: i64 = 24 * 60 * 60;
/// From how many days before its end on a certificate is pointed out.
const SOON: i64 = 14;

/// The chain, the server's own certificate first: for whom each is, until when, and by whom the last one is issued.
pub(super) fn chain(certificates: &[Vec<u8>], now: Timestamp) -> String {
    let mut told = Vec::new();
    let mut issuer = None;
    for (der, place) in certificates.iter().zip(0..) {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            told.push("a certificate that cannot be read".to_owned());
            continue;
        };
        let names = if place == 0 { names(&certificate) } else { String::new() };
        told.push(format!("{}{names} {}", common_name(certificate.subject()), validity(&certificate, now)));
        issuer = Some(match certificate.subject() == certificate.issuer() {
            true => "self-signed".to_owned(),
            false => format!("issued by {}", common_name(certificate.issuer())),
        });
    }
    told.extend(issuer);
    told.join(", ")
}

fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|attribute| attribute.as_str().ok());
    common.map_or_else(|| "a certificate without a common name".to_owned(), |common| format!("{:?}", short(common)))
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let all = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let told: Vec<_> = all.iter().filter_map(of_host).take(NAMES).collect();
    let more = if all.len() > told.len() { ", …" } else { "" };
    if told.is_empty() { " (no subjectAltName)".to_owned() } else { format!(" ({}{more})", told.join(", ")) }
}

/// A name that a host can have.
fn of_host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(short(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn validity(certificate: &X509Certificate<'_>, now: Timestamp) -> String {
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let left = until.saturating_sub(now.as_second());
    if from > now.as_second() {
        return format!("from {}", date(from));
    }
    match left {
        ..0 => format!("expired on {}", date(until)),
        left if left < SOON * DAY => format!("until {}, which is soon", date(until)),
        _ => format!("until {}", date(until)),
    }
}

/// The day in UTC.
fn date(seconds: i64) -> String {
    let day = Timestamp::from_second(seconds).map(|time| time.to_zoned(TimeZone::UTC).date().to_string());
    day.unwrap_or_else(|_| "a day that no calendar has".to_owned())
}

fn short(name: &str) -> String {
    name.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DnType, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey, date_time_ymd,
    };

    use super::*;

    /// Signs with nothing: nobody here looks at signatures.
    struct Unsigned;

    impl PublicKeyData for Unsigned {
        fn der_bytes(&self) -> &[u8] {
            &[7; 32]
        }

        fn algorithm(&self) -> &'static SignatureAlgorithm {
            &PKCS_ED25519
        }
    }

    impl SigningKey for Unsigned {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            Ok(vec![0; 64])
        }
    }

    /// A self-signed certificate for these names, of the year 2030.
    fn certificate(names: &[&str]) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "kafka");
        (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2030, 12, 31));
        params.serial_number = Some(1_u64.into());
        params.self_signed(&Unsigned).unwrap().der().to_vec()
    }

    fn on(day: &str) -> Timestamp {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    #[test]
    fn names_validity_and_issuer_are_told() {
        let chain = [certificate(&["broker", "127.0.0.1", "::1"])];
        for (day, expected) in [
            ("2029-12-31", "from 2030-01-01"),
            ("2030-06-01", "until 2030-12-31"),
            ("2030-12-20", "until 2030-12-31, which is soon"),
            ("2031-01-02", "expired on 2030-12-31"),
        ] {
            let expected = format!("\"kafka\" (broker, 127.0.0.1, ::1) {expected}, self-signed");
            assert_eq!(super::chain(&chain, on(day)), expected);
        }
    }

    #[test]
    fn many_names_long_names_and_none_are_told_in_a_line() {
        let long = "x".repeat(63);
        let told = chain(&[certificate(&[&long, "b", "c", "d", "e", "f"])], on("2030-06-01"));
        assert!(told.contains(&format!("({}, b, c, d, e, …)", &long[..60])), "{told}");
        assert!(chain(&[certificate(&[])], on("2030-06-01")).contains("(no subjectAltName)"));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_told_and_cause_no_panic() {
        let whole = certificate(&["broker"]);
        for end in 0..whole.len() {
            assert_eq!(chain(&[whole[..end].to_vec()], on("2030-06-01")), "a certificate that cannot be read");
        }
        assert_eq!(chain(&[], on("2030-06-01")), "");
    }
}

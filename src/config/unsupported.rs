//! Properties that are no settings of milena. A property of Java's producer is refused with a reason of its own, a setting of
//! consumers, topics or brokers with where it belongs, and an unknown name with the nearest known one.
//!
//! In: a draft. Out: violations, one for each name that is refused. Pure. Deliberately absent: ignoring unknown names, as Java does with
//! a warning; a misspelt `delivery.timout.ms` would have no effect.

use super::{
    draft::{Draft, echo},
    java_defaults::JAVA_DEFAULTS,
    strangers::{covers, owner},
    table::SETTINGS,
};

/// Java's serializers of bytes and of text in UTF-8, which need no conversion here.
const SERIALIZERS: &[&str] = &[
    "org.apache.kafka.common.serialization.ByteArraySerializer",
    "org.apache.kafka.common.serialization.ByteBufferSerializer",
    "org.apache.kafka.common.serialization.BytesSerializer",
    "org.apache.kafka.common.serialization.StringSerializer",
];
const SERIALIZER: &str = "expected ByteArraySerializer, BytesSerializer, ByteBufferSerializer or StringSerializer of \
     org.apache.kafka.common.serialization, which mean bytes and text as they are: another class cannot run here, so leave it out \
     and serialize before you send";
const REPORTERS: &str = "a Java class cannot run here: read the producer's own metrics";
const PUSH: &str = "milena does not push its metrics to the broker (KIP-714): leave it out, or false";
const TRANSACTIONS: &str = "milena has no transactions yet: leave it out";
const METRICS: &str = "milena always records all of its metrics: leave it out, or INFO, DEBUG or TRACE";
const JSSE: &str = "the name of a part of Java, which has no effect here: leave it out";
const RANDOM: &[&str] =
    &["", "SHA1PRNG", "DRBG", "NativePRNG", "NativePRNGBlocking", "NativePRNGNonBlocking", "Windows-PRNG"];

/// What milena does with `sasl.oauthbearer.token.endpoint.url` anyway; the second is the name before Apache Kafka 3.4.
const LOGIN_HANDLERS: &[&str] = &[
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
    "",
];
const LOGIN_HANDLER: &str = "a Java class cannot run here: leave it out, or Kafka's OAuthBearerLoginCallbackHandler, which is built in; a Rust \
     program can give the builder a source of tokens (oauth_bearer)";
const RETRIEVERS: &[&str] = &[
    "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
];

/// A property of Java's producer that milena does not have, or with a dot at its end the prefix of a family; values that are accepted,
/// which are Java's default and others that ask for what milena does anyway; what milena does instead, and what the user can do.
static MISSING: &[(&str, &[&str], &str)] = &[
    ("key.serializer", SERIALIZERS, SERIALIZER),
    ("value.serializer", SERIALIZERS, SERIALIZER),
    ("metric.reporters", &["org.apache.kafka.common.metrics.JmxReporter", ""], REPORTERS),
    ("config.providers", &[""], "a Java class cannot run here: resolve the values before you pass them"),
    ("security.providers", &[""], "a Java class cannot run here: leave it out"),
    (
        "ssl.protocol",
        &["TLSv1.3", "TLSv1.2", "TLS"],
        "the versions of TLS are those of ssl.enabled.protocols: leave it out",
    ),
    (
        "ssl.provider",
        &[""],
        "a Java class cannot run here: leave it out; which cryptography is used is a feature of milena's build",
    ),
    ("ssl.engine.factory.class", &[""], "a Java class cannot run here: leave it out"),
    ("ssl.keymanager.algorithm", &["SunX509", "NewSunX509", "PKIX"], JSSE),
    ("ssl.trustmanager.algorithm", &["PKIX", "SunX509"], JSSE),
    ("ssl.secure.random.implementation", RANDOM, JSSE),
    ("sasl.login.callback.handler.class", LOGIN_HANDLERS, LOGIN_HANDLER),
    (
        "sasl.oauthbearer.jwt.retriever.class",
        RETRIEVERS,
        "milena gets tokens from a file or by client credentials (KIP-768): leave it out",
    ),
    ("sasl.", &[], "milena authenticates by PLAIN, SCRAM or OAUTHBEARER, in Rust: leave it out"),
    ("transactional.id", &[], "milena has no transactions yet: enable.idempotence keeps a session free of duplicates"),
    ("transaction.timeout.ms", &["60000"], TRANSACTIONS),
    ("transaction.two.phase.commit.enable", &["false"], TRANSACTIONS),
    ("enable.metrics.push", &["true", "false"], PUSH),
    ("metrics.recording.level", &["INFO", "DEBUG", "TRACE"], METRICS),
];

/// The names that are no families.
#[cfg(test)]
pub(super) fn missing() -> impl Iterator<Item = &'static str> {
    MISSING.iter().map(|(name, ..)| *name).filter(|name| !name.ends_with('.'))
}

/// The values of a property that ask for what milena does anyway, and what is said to others.
#[cfg(test)]
pub(super) fn harmless(name: &str) -> Option<(Vec<&'static str>, &'static str)> {
    let (_, harmless, reason) = MISSING.iter().find(|(missing, ..)| covers(missing, name))?;
    let default = JAVA_DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, default)| *default);
    let mut values = harmless.to_vec();
    values.extend(default.filter(|default| !harmless.contains(default)));
    Some((values, reason))
}

/// Adds a violation for every name that is refused.
pub(super) fn refuse(draft: &mut Draft<'_>) {
    let strangers = draft.given.iter().filter(|(name, _)| SETTINGS.iter().all(|setting| setting.name != **name));
    draft.violations.extend(strangers.filter_map(|(name, value)| refusal(name, value.trim())));
}

/// Why a property that is no setting is refused. `None` if its value asks for what milena does anyway.
fn refusal(name: &str, value: &str) -> Option<String> {
    let Some((_, harmless, reason)) = MISSING.iter().find(|(missing, ..)| covers(missing, name)) else {
        return Some(owner(name).map_or_else(|| unknown(name), |owner| format!("{name}: {owner}")));
    };
    let default = JAVA_DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, default)| default);
    let is_harmless = harmless.iter().chain(default).any(|accepted| accepted.eq_ignore_ascii_case(value));
    (!is_harmless).then(|| format!("{name}: {reason}"))
}

fn unknown(name: &str) -> String {
    let hint = nearest(name).map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"));
    format!("{}: unknown property{hint}", echo(name))
}

/// The known name that begins with `name`, or the one with the fewest edits to it, unless more than half of it would change.
fn nearest(name: &str) -> Option<&'static str> {
    let name: String = name.to_lowercase().replace(['_', '-'], ".").chars().take(100).collect();
    let given: Vec<char> = name.chars().collect();
    let known = SETTINGS.iter().map(|setting| setting.name).chain(MISSING.iter().map(|(name, ..)| *name));
    let known = known.filter(|known| !known.ends_with('.'));
    let far = |known: &str| if known.starts_with(&name) { 0 } else { distance(&given, known) };
    let (edits, known) = known.map(|known| (far(known), known)).min()?;
    (edits <= given.len().max(known.len()) / 2).then_some(known)
}

/// Levenshtein's distance: how many characters must be inserted, removed or replaced.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (i, wanted) in to.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &have) in from.iter().enumerate() {
            let replaced = diagonal + usize::from(have != wanted);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[from.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_two_names_is_the_number_of_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("acks", "acks", 0),
            ("linger", "linger.ms", 3),
            ("abc", "bcd", 2),
        ] {
            let from: Vec<char> = from.chars().collect();
            assert_eq!(distance(&from, to), edits, "{from:?} to {to}");
        }
    }

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        for (given, meant) in [
            ("linger", "linger.ms"),
            ("linger_ms", "linger.ms"),
            ("batchsize", "batch.size"),
            ("delivery.timout.ms", "delivery.timeout.ms"),
            ("bootstrap.server", "bootstrap.servers"),
            ("max.in.flight", "max.in.flight.requests.per.connection"),
            ("Acks", "acks"),
            ("transactional_id", "transactional.id"),
        ] {
            assert_eq!(nearest(given), Some(meant), "{given}");
        }
        assert_eq!(nearest("völlig.anderes"), None);
        assert_eq!(nearest(&"x".repeat(1_000_000)), None);
    }

    #[test]
    fn what_asks_for_what_milena_does_anyway_is_let_pass() {
        assert_eq!(refusal("ssl.protocol", "TLSv1.2"), None);
        assert_eq!(refusal("ssl.secure.random.implementation", "SHA1PRNG"), None);
        assert_eq!(refusal("ssl.trustmanager.algorithm", "PKIX"), None);
        assert_eq!(refusal("enable.metrics.push", "FALSE"), None);
        assert_eq!(refusal("enable.metrics.push", "true"), None, "Java's default");
        for class in ["ByteArray", "Bytes", "ByteBuffer", "String"] {
            let class = format!("org.apache.kafka.common.serialization.{class}Serializer");
            assert_eq!(refusal("key.serializer", &class), None);
            assert_eq!(refusal("value.serializer", &class), None);
        }
    }

    #[test]
    fn what_java_has_and_milena_has_not_is_refused_with_a_sentence_of_its_own() {
        for (name, value, says) in [
            ("ssl.protocol", "SSLv3", "ssl.enabled.protocols"),
            ("ssl.provider", "BCJSSE", "Java class"),
            ("ssl.engine.factory.class", "com.example.Factory", "Java class"),
            ("ssl.keymanager.algorithm", "IbmX509", "part of Java"),
            ("sasl.login.class", "secret", "PLAIN, SCRAM or OAUTHBEARER"),
            ("sasl.login.callback.handler.class", "com.example.Handler", "oauth_bearer"),
            (
                "sasl.oauthbearer.jwt.retriever.class",
                "org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever",
                "KIP-768",
            ),
            ("transactional.id", "t", "no transactions"),
            ("key.serializer", "org.apache.kafka.common.serialization.LongSerializer", "serialize before you send"),
            ("value.serializer", "io.confluent.kafka.serializers.KafkaAvroSerializer", "ByteArraySerializer"),
            ("enable.metrics.push", "maybe", "KIP-714"),
            ("transaction.timeout.ms", "60001", "no transactions"),
        ] {
            let refusal = refusal(name, value).unwrap_or_else(|| panic!("{name} is let pass"));
            assert!(refusal.starts_with(name) && refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn no_name_is_two_of_a_setting_missing_and_somebody_elses() {
        assert!(MISSING.iter().all(|(missing, ..)| owner(missing).is_none()));
        for setting in SETTINGS {
            // Of a family some may be settings.
            let mut missing = MISSING.iter().filter(|(missing, ..)| !missing.ends_with('.'));
            assert!(missing.all(|(missing, ..)| !covers(missing, setting.name)), "{}", setting.name);
        }
    }
}

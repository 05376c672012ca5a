//! Properties that are no settings of milena. A property of Java's producer is refused with a reason of its own, a setting of
//! consumers, topics or brokers with where it belongs, and an unknown name with the nearest known one.
//!
//! In: a draft. Out: violations, one for each name that is refused. Pure. Deliberately absent: ignoring unknown names, as Java does with
//! a warning; a misspelt `delivery.timout.ms` would have no effect.

use super::{
    draft::{Draft, echo},
    java_defaults::JAVA_DEFAULTS,
    strangers,
    table::SETTINGS,
};

/// How a property is judged that is no setting.
#[derive(Debug, PartialEq, Eq)]
enum PropertyCheck {
    /// Its value asks for what milena does anyway.
    Harmless,
    /// Java's producer has it, and milena does not. The reason.
    Unsupported(&'static str),
    /// It is not a producer's setting. Whose it is.
    Foreign(&'static str),
    /// It is unknown. The nearest known name, if one is near.
    Unknown(Option<&'static str>),
}

/// A property of Java's producer that milena does not have. It is accepted if its value is Java's default, or asks for what milena does
/// anyway.
struct Missing {
    /// Its name. A name that ends with a dot is the prefix of a family.
    name: &'static str,
    /// Accepted values, beside Java's default.
    harmless: &'static [&'static str],
    /// What milena does instead, and what the user can do.
    reason: &'static str,
}

const fn missing(name: &'static str, harmless: &'static [&'static str], reason: &'static str) -> Missing {
    Missing { name, harmless, reason }
}

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
const TRANSACTIONS: &str = "milena has no transactions yet: leave it out";
const METRICS: &str = "milena keeps metrics in its own way: leave it out";
const RACK: &str = "milena does not choose partitions by rack yet: leave it out";

static MISSING: &[Missing] = &[
    missing("key.serializer", SERIALIZERS, SERIALIZER),
    missing("value.serializer", SERIALIZERS, SERIALIZER),
    missing(
        "partitioner.class",
        &[],
        "a Java class cannot run here: leave it out to have partitions chosen as Java does by default; a Rust program can give the \
         producer a partitioner of its own",
    ),
    missing(
        "interceptor.classes",
        &[],
        "a Java class cannot run here: leave it out; a Rust program can give the producer interceptors of its own",
    ),
    missing("metric.reporters", &[""], "a Java class cannot run here: read the producer's own metrics"),
    missing("config.providers", &[], "a Java class cannot run here: resolve the values before you pass them"),
    missing("security.providers", &[], "a Java class cannot run here: leave it out"),
    missing("security.protocol", &[], "milena speaks PLAINTEXT only as yet: use a PLAINTEXT listener"),
    missing("ssl.", &[], "milena does not speak TLS yet: use a PLAINTEXT listener"),
    missing("sasl.", &[], "milena does not speak SASL yet: use a PLAINTEXT listener without authentication"),
    missing(
        "transactional.id",
        &[],
        "milena has no transactions yet: enable.idempotence keeps a session free of duplicates",
    ),
    missing("transaction.timeout.ms", &[], TRANSACTIONS),
    missing("transaction.two.phase.commit.enable", &[], TRANSACTIONS),
    missing(
        "compression.lz4.level",
        &[],
        "milena has the fast compressor of lz4 only, which has no levels: leave it out, or 9",
    ),
    missing("client.dns.lookup", &[], "milena always tries every address of a name: leave it out, or use_all_dns_ips"),
    missing("client.rack", &[""], RACK),
    missing("partitioner.rack.aware", &["false"], RACK),
    missing(
        "enable.metrics.push",
        &["false"],
        "milena does not push its metrics to the broker (KIP-714): leave it out, or false",
    ),
    missing("metrics.num.samples", &[], METRICS),
    missing("metrics.recording.level", &[], METRICS),
    missing("metrics.sample.window.ms", &[], METRICS),
];

/// Adds a violation for every name that is refused.
pub(super) fn refuse(draft: &mut Draft<'_>) {
    let strangers = draft.given().filter(|(name, _)| SETTINGS.iter().all(|setting| setting.name != *name));
    let refused: Vec<_> = strangers.filter_map(|(name, value)| refusal(name, value)).collect();
    refused.into_iter().for_each(|violation| draft.violate(violation));
}

fn refusal(name: &str, value: &str) -> Option<String> {
    match verdict(name, value) {
        PropertyCheck::Harmless => None,
        PropertyCheck::Unsupported(reason) | PropertyCheck::Foreign(reason) => Some(format!("{name}: {reason}")),
        PropertyCheck::Unknown(Some(nearest)) => {
            Some(format!("{}: unknown property, did you mean {nearest}?", echo(name)))
        }
        PropertyCheck::Unknown(None) => Some(format!("{}: unknown property", echo(name))),
    }
}

/// Judges a property that is no setting.
fn verdict(name: &str, value: &str) -> PropertyCheck {
    let default = JAVA_DEFAULTS.iter().any(|(known, default)| *known == name && default.eq_ignore_ascii_case(value));
    match MISSING.iter().find(|missing| missing.covers(name)) {
        Some(_) if default => PropertyCheck::Harmless,
        Some(missing) if missing.harmless.iter().any(|harmless| harmless.eq_ignore_ascii_case(value)) => {
            PropertyCheck::Harmless
        }
        Some(missing) => PropertyCheck::Unsupported(missing.reason),
        None => strangers::owner(name).map_or_else(|| PropertyCheck::Unknown(nearest(name)), PropertyCheck::Foreign),
    }
}

impl Missing {
    fn covers(&self, name: &str) -> bool {
        if self.name.ends_with('.') { name.starts_with(self.name) } else { name == self.name }
    }
}

/// The known name that begins with `name`, or the one with the fewest edits to it, unless more than half of it would change.
fn nearest(name: &str) -> Option<&'static str> {
    let name: String = name.to_lowercase().replace(['_', '-'], ".").chars().take(100).collect();
    let given: Vec<char> = name.chars().collect();
    let known = SETTINGS.iter().map(|setting| setting.name).chain(MISSING.iter().map(|missing| missing.name));
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
        assert_eq!(verdict("security.protocol", "PLAINTEXT"), PropertyCheck::Harmless);
        assert_eq!(verdict("enable.metrics.push", "FALSE"), PropertyCheck::Harmless);
        assert_eq!(verdict("enable.metrics.push", "true"), PropertyCheck::Harmless, "Java's default");
        assert_eq!(verdict("interceptor.classes", ""), PropertyCheck::Harmless);
        for class in ["ByteArray", "Bytes", "ByteBuffer", "String"] {
            let class = format!("org.apache.kafka.common.serialization.{class}Serializer");
            assert_eq!(verdict("key.serializer", &class), PropertyCheck::Harmless);
            assert_eq!(verdict("value.serializer", &class), PropertyCheck::Harmless);
        }
    }

    #[test]
    fn what_java_has_and_milena_has_not_is_refused_with_a_sentence_of_its_own() {
        for (name, value, says) in [
            ("security.protocol", "SASL_SSL", "PLAINTEXT only"),
            ("sasl.jaas.config", "secret", "SASL"),
            ("ssl.truststore.password", "secret", "TLS"),
            ("transactional.id", "t", "no transactions"),
            ("key.serializer", "org.apache.kafka.common.serialization.LongSerializer", "serialize before you send"),
            ("value.serializer", "io.confluent.kafka.serializers.KafkaAvroSerializer", "ByteArraySerializer"),
            ("enable.metrics.push", "maybe", "KIP-714"),
            ("transaction.timeout.ms", "60001", "no transactions"),
        ] {
            let PropertyCheck::Unsupported(reason) = verdict(name, value) else { panic!("{name} is let pass") };
            assert!(reason.contains(says), "{name}: {reason}");
        }
    }

    #[test]
    fn no_name_is_both_a_setting_and_missing() {
        for setting in SETTINGS {
            assert!(MISSING.iter().all(|missing| !missing.covers(setting.name)), "{}", setting.name);
        }
    }
}

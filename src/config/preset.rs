//! Presets: settings that belong together, by what they are for.
//!
//! In: a name. Out: properties. Pure. They stand below everything that is given, so each can be set to something else. Source: the
//! recommendations of Kafka's documentation for throughput, durability and latency.

/// Settings that belong together ([`ProducerBuilder::preset`](super::ProducerBuilder::preset)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// As many records a second as there can be: large batches, compressed with lz4, twice the memory, and `acks=1`, so a record that is
    /// acknowledged is lost if its leader fails before a follower has it. Without idempotence, unless `acks` is set to `all`.
    Throughput,
    /// Nothing is lost or written twice while a topic has the replicas in sync that its `min.insync.replicas` asks for. These are the
    /// defaults; the preset says so, and refuses settings that contradict it.
    Durability,
    /// Each record is sent at once, and `acks=1` waits for the leader only. Without idempotence, unless `acks` is set to `all`.
    Latency,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::Throughput, Self::Durability, Self::Latency];

    /// Its settings: Java names, and values in Java's notation. Everything else keeps its default.
    ///
    /// ```
    /// assert!(milena::Preset::Throughput.properties().contains(&("compression.type", "lz4")));
    /// ```
    #[must_use]
    pub fn properties(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Throughput => &[
                ("batch.size", "65536"),
                ("linger.ms", "20"),
                ("compression.type", "lz4"),
                ("acks", "1"),
                ("buffer.memory", "67108864"),
            ],
            Self::Durability => &[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("retries", "2147483647"),
                ("max.in.flight.requests.per.connection", "5"),
            ],
            Self::Latency => &[("linger.ms", "0"), ("batch.size", "16384"), ("acks", "1")],
        }
    }

    /// Its name, as commands write it: `throughput`, `durability`, `latency`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Durability => "durability",
            Self::Latency => "latency",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProducerBuilder;

    fn effective(builder: &ProducerBuilder, name: &str) -> String {
        let properties = builder.effective_properties().unwrap();
        properties.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value).unwrap()
    }

    #[test]
    fn every_setting_of_a_preset_takes_effect_and_can_be_set_to_something_else() {
        for preset in Preset::ALL {
            let builder = ProducerBuilder::new("localhost:9092").preset(preset);
            for (name, value) in preset.properties() {
                assert_eq!(effective(&builder, name), *value, "{preset:?}");
            }
            // Before or after it: what is given counts.
            let linger = ProducerBuilder::new("localhost:9092").property("linger.ms", "7").preset(preset);
            assert_eq!(effective(&linger, "linger.ms"), "7", "{preset:?}");
            assert_eq!(effective(&builder.clone().property("batch.size", "99"), "batch.size"), "99", "{preset:?}");
        }
    }

    #[test]
    fn a_later_preset_takes_the_place_of_an_earlier_one() {
        let builder = ProducerBuilder::new("localhost:9092").preset(Preset::Throughput).preset(Preset::Latency);
        assert_eq!(effective(&builder, "compression.type"), "none");
        assert_eq!(effective(&builder, "linger.ms"), "0");
    }

    #[test]
    fn a_preset_without_idempotence_has_it_again_if_all_replicas_acknowledge() {
        for preset in [Preset::Throughput, Preset::Latency] {
            let builder = ProducerBuilder::new("localhost:9092").preset(preset);
            assert_eq!(effective(&builder, "enable.idempotence"), "false", "{preset:?}");
            assert_eq!(effective(&builder.property("acks", "all"), "enable.idempotence"), "true", "{preset:?}");
        }
    }

    #[test]
    fn what_contradicts_durability_is_refused() {
        let builder = ProducerBuilder::new("localhost:9092").preset(Preset::Durability).property("acks", "1");
        let error = builder.effective_properties().unwrap_err();
        assert_eq!(error.violations(), ["enable.idempotence: it needs acks=all"]);
    }
}

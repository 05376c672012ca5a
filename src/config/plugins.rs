//! Partitioners and interceptors that settings name: those that the program registered, and Java's that exist here.
//!
//! In: names, and what is registered under names. Out: what they stand for, or violations. Pure. Source: `partitioner.class` and
//! `interceptor.classes` of `ProducerConfig`.

use std::{collections::BTreeMap, sync::Arc};

use super::draft::{Draft, echo};
use crate::record::{intercept::Interceptor, partition::Partitioner, round_robin::RoundRobinPartitioner};

const PARTITIONER: &str = "partitioner.class";
const INTERCEPTORS: &str = "interceptor.classes";
const ROUND_ROBIN: &str = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
/// Apache Kafka 4.0 has removed them. What they did, and better, the built-in partitioner does.
const REMOVED: &[&str] = &[
    "org.apache.kafka.clients.producer.internals.DefaultPartitioner",
    "org.apache.kafka.clients.producer.UniformStickyPartitioner",
];

/// What the program registered under names.
#[derive(Clone, Default)]
pub(super) struct Plugins {
    pub(super) partitioners: BTreeMap<String, Arc<dyn Partitioner>>,
    pub(super) interceptors: BTreeMap<String, Arc<dyn Interceptor>>,
}

impl Plugins {
    /// The partitioner that counts: the program's own, or the one that `class` names.
    pub(super) fn partitioner(
        &self,
        own: Option<Arc<dyn Partitioner>>,
        class: &str,
        draft: &mut Draft<'_>,
    ) -> Option<Arc<dyn Partitioner>> {
        if class.is_empty() {
            return own;
        }
        if own.is_some() {
            draft.violations.push(format!(
                "{PARTITIONER}: the program gives the producer a partitioner of its own: leave one of them out"
            ));
            return own;
        }
        if class == ROUND_ROBIN {
            return Some(Arc::new(RoundRobinPartitioner::default()));
        }
        let known = self.partitioners.get(class).cloned();
        if known.is_none() {
            let hint = match REMOVED.contains(&class) {
                true => {
                    "Apache Kafka 4.0 has removed this one: leave it out to have partitions chosen as Java does by default"
                }
                false => "a Java class cannot run here: leave it out to have partitions chosen as Java does by default",
            };
            let names = listed(std::iter::once(ROUND_ROBIN).chain(self.partitioners.keys().map(String::as_str)));
            draft.violations.push(format!("{PARTITIONER}: expected {names}, got {}; {hint}", echo(class)));
        }
        known
    }

    /// The interceptors that count: the program's own, and behind them those that `classes` name.
    pub(super) fn interceptors(
        &self,
        own: Vec<Arc<dyn Interceptor>>,
        classes: &[String],
        draft: &mut Draft<'_>,
    ) -> Vec<Arc<dyn Interceptor>> {
        let mut all = own;
        for class in classes {
            match self.interceptors.get(class) {
                Some(known) => all.push(Arc::clone(known)),
                None => {
                    let names = listed(self.interceptors.keys().map(String::as_str));
                    draft.violations.push(format!(
                        "{INTERCEPTORS}: expected {names}, got {}; a Java class cannot run here: leave it out, or have the program register an \
                         interceptor of its own under that name",
                        echo(class)
                    ));
                }
            }
        }
        all
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = names.collect::<Vec<_>>().join(" or ");
    if names.is_empty() { "nothing, because the program has registered none".to_owned() } else { names }
}

#[cfg(test)]
mod tests {
    use crate::{ConfigError, Interceptor, Partitions, ProducerBuilder, Record};

    struct Silent;

    impl Interceptor for Silent {}

    fn first(_: &Record<'_>, _: &Partitions<'_>) -> i32 {
        0
    }

    fn builder() -> ProducerBuilder {
        ProducerBuilder::new("localhost:9092")
    }

    fn violation(builder: ProducerBuilder) -> String {
        let error: ConfigError = builder.validate().unwrap_err();
        let [violation] = error.violations() else { panic!("{error}") };
        violation.clone()
    }

    #[test]
    fn a_name_stands_for_what_is_registered_under_it() {
        let registered = || {
            builder()
                .register_partitioner("first", first)
                .register_interceptor("a", Silent)
                .register_interceptor("b", Silent)
        };
        let none = registered().validate().unwrap();
        assert!(none.partitioner.is_none() && none.interceptors.is_empty(), "what is not named does nothing");
        let named = registered().property("partitioner.class", "first").property("interceptor.classes", "b, a, b");
        let config = named.interceptor(Silent).validate().unwrap();
        assert!(config.partitioner.is_some());
        assert_eq!(config.interceptors.len(), 4, "the program's own first");
        let java = builder().property("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner");
        assert!(java.validate().unwrap().partitioner.is_some());
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_refused_with_those_that_do() {
        let of = |class| violation(builder().register_partitioner("first", first).property("partitioner.class", class));
        let expected =
            "partitioner.class: expected org.apache.kafka.clients.producer.RoundRobinPartitioner or first, got";
        assert!(
            of("com.example.Regions")
                .starts_with(&format!("{expected} \"com.example.Regions\"; a Java class cannot run here"))
        );
        assert!(of("org.apache.kafka.clients.producer.UniformStickyPartitioner").contains("4.0 has removed this one"));
        let said = violation(builder().property("interceptor.classes", "com.example.Audit"));
        assert!(
            said.contains("registered none, got \"com.example.Audit\"") && said.contains("cannot run here"),
            "{said}"
        );
    }

    #[test]
    fn two_partitioners_are_one_too_many() {
        let both =
            builder().register_partitioner("first", first).partitioner(first).property("partitioner.class", "first");
        assert!(violation(both).contains("of its own: leave one of them out"));
    }
}

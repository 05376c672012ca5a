//! A Kafka producer written from the wire protocol up. Every accepted record ends in exactly one truthful outcome:
//! acknowledged at this offset, certainly not written, or unknown.
//!
//! # Example
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use milena::{Persisted, Producer, Record};
//!
//! let producer = Producer::builder("localhost:9092").build().await?;
//! let delivery = producer.send(Record::to("orders").key("user-1").value(r#"{"total": 9}"#)).await?;
//! match delivery.await {
//!     Ok(ack) => println!("written to partition {} at offset {:?}", ack.partition(), ack.offset()),
//!     Err(error) if error.persisted() == Persisted::No => println!("certainly not written: {error}"),
//!     Err(error) => println!("may have been written, once: {error}"),
//! }
//! producer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The first await is backpressure: it waits for the topic's metadata and for memory, and most of the time for nothing. The
//! second is the outcome. Keep deliveries and await them later, so that records share requests, or use [`Producer::send_with`]
//! and a callback.
//!
//! # What to do with a failure
//!
//! [`SendError`]: the record was not accepted; it is still yours and was certainly not written. [`DeliveryError`]: it was
//! accepted and failed; ask [`persisted`](DeliveryError::persisted) before you send it again. A second `send` is a new
//! sequence number, so idempotence does not recognise it as a repetition: a record whose outcome is
//! [`Persisted::Unknown`] may then stand in the log twice, and only an id of your own, in the record, lets a consumer tell.
//!
//! # What there is
//!
//! | for | see |
//! |---|---|
//! | settings, by setters or by Java's names, and presets of them | [`ProducerBuilder`], [`Preset`] |
//! | sending, flushing, closing | [`Producer`], or the trait [`Produce`] |
//! | many records with one result | [`Producer::send_all`] |
//! | many small records of one topic, such as lines, with one handle for many | [`Producer::send_values`] |
//! | the same in a program without tokio | [`blocking::Producer`] |
//! | keys, values, headers, partitions, timestamps | [`Record`], and [`Serializer`] for numbers and others; [`OwnedRecord`] if it has to be kept |
//! | keys and values of one type each | [`TypedProducer`] |
//! | outcomes | [`Delivery`], [`Ack`], [`DeliveryError`], [`Persisted`]; [`Error`] for all errors in one |
//! | code of yours around every record | [`Interceptor`], [`Partitioner`] |
//! | what the producer has done, in numbers | [`Producer::metrics`] |
//! | sending again in the application, and dead letters | the crate `milena-resilience` |
//! | tests without a broker | [`mock`] |
//! | a broker inside the process, with scripted faults | `broker`, with the feature `broker`, and `broker-tls` for TLS |
//! | HTTPS and the like in a program that serves | `TlsAcceptor`, with the feature `tls-server` |
//! | creating topics, listing offsets, reading records back | `admin`, with the feature `admin` |
//! | reading a topic on and on, without a group | `admin::Consumer`, with the feature `admin` |
//! | the order of an entity, a request and its reply | [`patterns`] |
//!
//! TLS (`security.protocol=SSL`) needs the feature `tls`, which builds no C: its cryptography is graviola's, for x86-64 and AArch64 processors
//! of the last ten years. With `tls-ring` it is ring's in its place, and with `tls-aws-lc` AWS-LC's, also where both are on; these
//! compile C. Certificates and keys are PEM. rustls's process-wide default is neither used nor set.
//!
//! Authentication by `sasl.mechanism` PLAIN is always there; SCRAM needs the feature `scram`, and OAUTHBEARER `oauth`, or `oidc` for tokens from a
//! provider: see `oauth`.
//!
//! Compression with gzip, snappy and lz4 is always there. zstd comes with the feature `zstd-rust`, which is on by default and has the quick
//! levels, or with `zstd`, which compiles C and has all.
//!
//! # Examples
//!
//! The repository's folder `examples` has them. Each runs with no set-up: `cargo run --example quick_start`. The first four use the
//! cluster that the environment variable `BOOTSTRAP_SERVERS` names, if it is set.
//!
//! - `quick_start`: sends records and tells where each was written
//! - `callbacks`: outcomes by callback, in place of futures
//! - `partitioner_and_interceptor`: code of yours around every record
//! - `request_reply`: a request to one topic, and its reply from another
//! - `graceful_shutdown`: a service that is told to stop, and what it then reports
//! - `testing_with_mock`: tests of code that sends, without a broker
//! - `testing_with_broker`: such tests against the embedded broker, with faults
//!
//! `ARCHITECTURE.md` in the repository tells how it works inside.
//!
//! # Testing code that sends
//!
//! Let it take a `&dyn` [`Produce`], and hand it a [`mock::MockProducer`] (in Java, `MockProducer`): it acknowledges, fails,
//! holds and delays as a test says, remembers what was sent, and needs no broker. [`Ack`] and [`DeliveryError`] can be made by
//! anybody. With feature `broker` there is a real broker for tests as well, inside the process.

mod accumulator;
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod bench;
pub mod blocking;
#[cfg(feature = "broker")]
pub mod broker;
mod cluster;
mod config;
mod delivery;
mod dial;
mod error;
#[cfg(all(any(test, fuzzing), feature = "admin", feature = "broker"))]
#[path = "../tests/fuzz/main.rs"]
pub mod fuzzing;
#[cfg(all(test, feature = "kafka-tests"))]
#[path = "../tests/golden/main.rs"]
mod golden;
#[cfg(test)]
#[path = "../tests/logs.rs"]
mod logs;
mod metrics;
pub mod mock;
#[cfg(all(test, feature = "broker-tls", feature = "scram"))]
#[path = "../tests/negatives/main.rs"]
mod negatives;
mod net;
#[cfg(not(feature = "oauth"))]
mod oauth;
#[cfg(feature = "oauth")]
pub mod oauth;
pub mod patterns;
mod producer;
mod record;
mod sasl;
mod secret;
mod sender;
#[cfg(all(test, feature = "broker"))]
#[path = "../tests/sim/main.rs"]
mod sim;
#[cfg(feature = "tls")]
mod tls;
#[cfg_attr(not(feature = "broker"), expect(dead_code, reason = "only a broker reads all that a producer writes"))]
mod wire;

pub use config::{Acks, Compression, Preset, ProducerBuilder, SaslMechanism, SecurityProtocol};
pub use delivery::{Ack, Deliveries, Delivery};
pub use error::{
    ConfigError, DeliveryError, ErrorCode, FailureKind, FlushError, Persisted, SendError, WaitedFor, any::Error,
};
pub use metrics::{Distribution, Metric, Metrics};
pub use producer::{Accepting, Produce, Producer, SendAllError, TypedProducer};
pub use record::{
    Header, Record,
    intercept::Interceptor,
    owned::OwnedRecord,
    partition::{Partitioner, Partitions},
    round_robin::RoundRobinPartitioner,
    serialize::{SerializeError, Serializer, Standard},
};
#[cfg(feature = "tls-server")]
pub use tls::{TlsAcceptor, TlsFiles};

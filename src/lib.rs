//! A Kafka producer written from the wire protocol up. Every record handed over ends in exactly one truthful answer:
//! acknowledged at this offset, certainly not written, or unknown.
//!
//! ```text
//!  your task                                               sender task                      connection tasks
//!  Record ─ intercept ─ partition ─ encode ─► Accumulator ══► Sender ─ request ─► socket ─► broker
//!    ▲                                        open batch      lanes ◄─ answer ◄──────────────┘
//!    │                                                          │ verdict
//!  Delivery ◄────────────────── one cell per batch ◄────────────┘
//! ```
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
//! The first await is backpressure: it waits for metadata and memory, and most of the time for nothing. The second is the
//! answer. Keep deliveries and await them later, or use [`Producer::send_with`] and a callback.
//!
//! # What to do with a failure
//!
//! [`SendError`]: the record was not accepted; it is still yours and was certainly not written. [`DeliveryError`]: it was
//! accepted and failed; ask [`persisted`](DeliveryError::persisted) before you send it again. A second `send` is a new
//! sequence number, so idempotence does not recognise it as a repetition: a record whose outcome is
//! [`Persisted::Unknown`] may then stand in the log twice, and only an id of your own, in the record, lets a consumer tell.
//!
//! # Layout
//!
//! In the order in which a record passes through: [`Producer`] (the caller's half), `record` (what the caller gives),
//! `accumulator` (where records wait), `sender` (a pure state machine: requests, answers, retries, sequence numbers), `net`
//! (sockets and tasks), `wire` (bytes), `delivery` (outcomes). `config`, `cluster` and `error` are vocabulary. With feature
//! `broker` there is an embedded broker to test against, with feature `admin` the few requests beside producing. What
//! programs build around a producer, sending again and dead letters, is in the crate `milena-resilience`.
//! `ARCHITECTURE.md` in the repository has the map.
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
mod metrics;
pub mod mock;
mod net;
mod producer;
mod record;
mod sender;
#[cfg(all(test, feature = "broker"))]
#[path = "../tests/sim/mod.rs"]
mod sim;
#[cfg_attr(not(feature = "broker"), expect(dead_code, reason = "only a broker reads all that a producer writes"))]
mod wire;

pub use config::{Acks, Compression, ProducerBuilder};
pub use delivery::{Ack, Delivery};
pub use error::{ConfigError, DeliveryError, ErrorCode, FailureKind, FlushError, Persisted, SendError, WaitedFor};
pub use metrics::{Distribution, Metric, Metrics};
pub use producer::{Accepting, Produce, Producer};
pub use record::{
    Header, Record,
    intercept::Interceptor,
    partition::{Partitioner, Partitions},
    serialize::{SerializeError, Serializer, Standard},
};

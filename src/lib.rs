//! A Kafka producer written from the wire protocol up.

mod accumulator;
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "broker")]
pub mod broker;
mod cluster;
mod config;
mod delivery;
mod error;
#[cfg(test)]
#[path = "../tests/golden/mod.rs"]
mod golden;
mod net;
mod producer;
mod record;
mod sender;
mod wire;

pub use config::{Acks, Compression, ProducerBuilder};
pub use delivery::{Ack, Delivery};
pub use error::{ConfigError, DeliveryError, ErrorCode, FailureKind, FlushError, Persisted, SendError, WaitedFor};
pub use producer::Producer;
pub use record::{
    Header, Record,
    intercept::Interceptor,
    partition::{Partitioner, Partitions},
    serialize::{SerializeError, Serializer, Standard},
};

//! What milena's tests share, and nothing of milena itself: it judges the library from outside.
//!
//! In: a cache folder that `tests/run` has filled with Kafka's jars. Out: a real broker ([`kafka`]), a proxy before it that
//! cuts connections ([`proxy`]), Apache's own tools ([`console`], [`dump`], [`java`], [`overseer`]) and peers that misbehave
//! on purpose ([`peer`]). Everything blocks the calling thread,
//! because the tools are processes. Deliberately absent: any way to skip a test where Java or Kafka is missing.

pub mod console;
pub mod dump;
pub mod java;
pub mod kafka;
pub mod overseer;
pub mod peer;
mod ports;
pub mod proxy;

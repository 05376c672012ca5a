//! The shared code of milena's tests. It does not use milena, because it judges the library from outside.
//!
//! In: a cache folder that `tests/run` has filled with Kafka's jars. Out: a real broker ([`kafka`]), a proxy before it
//! that cuts connections ([`proxy`]), Apache's own tools ([`console`], [`dump`], [`java`], [`overseer`]), peers that
//! misbehave on purpose ([`peer`]), a provider of tokens ([`oidc`]) and a real PostgreSQL ([`postgres`]). All calls block the thread, because the tools are processes. Deliberately absent:
//! any way to skip a test if Java, Kafka or PostgreSQL is missing.

pub mod console;
pub mod dump;
pub mod java;
pub mod kafka;
pub mod oidc;
pub mod overseer;
pub mod peer;
mod ports;
pub mod postgres;
pub mod proxy;

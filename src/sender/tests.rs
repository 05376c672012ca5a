//! The sender against a scripted broker, step by step: no socket, no task, no waiting.
//!
//! [`rig`] plays everything outside: it makes connections, responses what is not Produce by itself, and keeps Produce
//! requests for the test to answer.

mod asking;
mod authentication;
mod availability;
mod counting;
mod delivery;
mod leaders;
mod links;
mod metadata;
#[path = "../../tests/museum/main.rs"]
mod museum;
mod peers;
mod recreated;
mod requests;
mod rig;
mod semantics;
mod sequences;
mod splitting;
#[cfg(feature = "oauth")]
mod tokens;
mod unacknowledged;
mod warnings;

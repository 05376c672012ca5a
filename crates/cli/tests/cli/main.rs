//! The built binary, as a user or a script meets it: arguments in, output and exit code out.
//!
//! - [`usage`]: what is refused before anything is sent
//! - [`broker`]: the embedded broker as a process
//! - [`console`]: the console tools do what Apache's do
//! - [`consume`]: reading where nothing was written by us
//! - [`dlq`]: letters are listed, and replayed once
//! - [`doctor`]: what is wrong is found, and named with a hint
//! - [`manual`]: completions and manual pages are made for every command
//! - [`outbox`]: what a store keeps is listed, replayed and removed, and nothing is created
//! - [`produce`]: every line ends in the log or in the file of failed lines
//! - [`produce_formats`]: what it takes besides plain lines, and what it would send
//! - [`profiles`]: named sets of settings
//! - [`round_trip`]: what is consumed as JSON goes back in unchanged
//! - [`lab`]: the labs hold what they claim
//! - [`perf`]: the lines of Kafka's own tool
//! - [`serve`]: the gateway as a process, with curl
//! - [`serve_https`]: the same with HTTPS
//! - [`serve_kills`]: what it has said when it is ended or killed under load
//! - [`stdout`]: output that is not taken fails a command, unless nobody wants it
//! - [`verifiable_producer`]: the lines of Kafka's tool for its own tests

mod broker;
mod console;
mod consume;
mod dlq;
mod doctor;
mod lab;
mod manual;
mod outbox;
mod perf;
mod produce;
mod produce_formats;
mod profiles;
mod round_trip;
#[cfg(feature = "gateway")]
mod serve;
#[cfg(all(feature = "gateway", feature = "tls"))]
mod serve_https;
#[cfg(all(unix, feature = "gateway"))]
mod serve_kills;
mod stdout;
mod support;
mod usage;
mod verifiable_producer;

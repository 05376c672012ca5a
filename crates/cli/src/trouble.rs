//! The faults of the embedded broker that the lab of the gateway and its page have in common.
//!
//! In: nothing. Out: faults, until they are ended. Pure.

use std::time::Duration;

use milena::broker::{Api, Fault};

/// How late answers are.
pub(crate) const LATENCY: Duration = Duration::from_secs(5);

/// Answers come late.
pub(crate) fn slow() -> Fault {
    Fault::delay_response(LATENCY).on(Api::Produce).forever()
}

/// No answer comes, and connections are closed.
pub(crate) fn cut() -> Fault {
    Fault::drop_request().forever()
}

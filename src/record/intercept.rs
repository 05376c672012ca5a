//! Interceptors: user code that sees every record before it is sent, and every outcome.
//!
//! In: a record, or an outcome. Out: the record to send in its place. Pure. Source: KIP-42, `ProducerInterceptors`.
//! Deliberately absent: the caller of `on_acknowledgement`, which is the callback thread in [`crate::delivery`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::Record;
use crate::{Ack, DeliveryError};

/// User code that sees every record and every outcome.
///
/// Several interceptors form a chain, in the order in which they were added to the builder. Each gets the record that the one before it
/// returned. A panic in an interceptor is caught and logged. The next interceptor then gets the record that the panicking one got.
/// Unless the program has a panic hook of its own, Rust also prints the panic.
///
/// ```
/// use milena::{Header, Interceptor, Record};
///
/// struct Stamp;
///
/// impl Interceptor for Stamp {
///     fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
///         record.with_header(Header::owned("sent-by", "shop-7"))
///     }
/// }
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// Returns the record to send in place of `record`. Any part of it may differ. It is called on the sending task, once for each
    /// call to `send`, before the partition is chosen. It must not block.
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        record
    }

    /// Is called with the outcome of every accepted record, on the callback thread, before the record's callback. It is not called for
    /// a record that `send` refused.
    fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
        let _ = outcome;
    }
}

/// Passes a record through the chain, and puts into its place what comes out.
///
/// Each interceptor gets a copy, because one that panics may have consumed its own. Without interceptors nothing is copied.
pub(crate) fn on_send(interceptors: &[Arc<dyn Interceptor>], record: &mut Record<'_>) {
    for (index, interceptor) in interceptors.iter().enumerate() {
        let given = record.clone();
        match catch_unwind(AssertUnwindSafe(|| interceptor.on_send(given))) {
            Ok(returned) => *record = returned,
            Err(_) => tracing::error!(
                topic = record.topic(),
                "on_send of interceptor {index} panicked; the record goes on without it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    struct Append(&'static str);

    impl Interceptor for Append {
        fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
            record.header(self.0, "")
        }
    }

    struct Panics;

    impl Interceptor for Panics {
        fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
            let _half_changed = record.header("half", "");
            panic!("user code")
        }
    }

    struct Redirects;

    impl Interceptor for Redirects {
        fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
            let value = record.value_bytes().map(|value| value.to_ascii_uppercase().into());
            Record::to("elsewhere").partition(3).with_payload(None, value)
        }
    }

    fn sent<'a>(chain: &[Arc<dyn Interceptor>], mut record: Record<'a>) -> Record<'a> {
        on_send(chain, &mut record);
        record
    }

    fn header_keys(record: &Record<'_>) -> Vec<String> {
        record.headers().iter().map(|Header { key, .. }| key.to_string()).collect()
    }

    #[test]
    fn without_interceptors_a_record_goes_through_unchanged() {
        let record = Record::to("t").key("k").value("v").header("h", "x");
        assert_eq!(sent(&[], record.clone()), record);
    }

    #[test]
    fn interceptors_run_in_their_order_each_on_what_the_last_one_left() {
        let record = sent(&[Arc::new(Append("a")), Arc::new(Append("b"))], Record::to("t").header("own", ""));
        assert_eq!(header_keys(&record), ["own", "a", "b"]);
    }

    #[test]
    fn after_a_panic_the_last_good_record_goes_on_through_the_rest_of_the_chain() {
        let chain: [Arc<dyn Interceptor>; 3] = [Arc::new(Append("a")), Arc::new(Panics), Arc::new(Append("b"))];
        let record = sent(&chain, Record::to("t").key("k").value("v"));
        assert_eq!(header_keys(&record), ["a", "b"]);
        assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b"k"[..]), Some(&b"v"[..])));
    }

    #[test]
    fn an_interceptor_may_send_another_record_altogether() {
        let record = sent(&[Arc::new(Redirects)], Record::to("t").key("k").value("v"));
        assert_eq!((record.topic(), record.explicit_partition()), ("elsewhere", Some(3)));
        assert_eq!((record.key_bytes(), record.value_bytes()), (None, Some(&b"V"[..])));
    }

    #[test]
    fn the_default_interceptor_changes_nothing() {
        struct Nothing;
        impl Interceptor for Nothing {}
        let record = Record::to("t").key("k");
        assert_eq!(sent(&[Arc::new(Nothing)], record.clone()), record);
    }
}

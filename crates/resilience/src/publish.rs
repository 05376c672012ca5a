//! The trait of everything that sends records.
//!
//! In: a record. Out: its acknowledgement, or how it failed.

use milena::{Ack, Produce, Record};

use crate::Failure;

/// Sends one record and waits for its outcome. A [`Producer`](milena::Producer) does, and every other [`Produce`], such
/// as the [`MockProducer`](milena::mock::MockProducer) of a test. You can implement it yourself, too.
pub trait Publish {
    /// Sends the record once and waits for its acknowledgement.
    ///
    /// # Errors
    /// Why it was not accepted or not delivered.
    ///
    /// # Cancel safety
    /// If the future is dropped, the record may still be delivered.
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<Ack, Failure>> + Send;
}

impl<P: Produce + ?Sized> Publish for P {
    async fn publish(&self, record: Record<'_>) -> Result<Ack, Failure> {
        Ok(self.send(record).await?.await?)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use milena::{DeliveryError, ErrorCode, FailureKind, SendError, WaitedFor, mock::MockProducer};

    use super::*;
    use crate::{
        dead_letter::DeadLetters,
        retry::{Retry, RetryPolicy},
    };

    #[tokio::test(start_paused = true)]
    async fn a_retry_and_a_dead_letter_can_be_tested_with_a_mock_behind_the_trait() {
        let mock = MockProducer::new();
        let producer: Arc<dyn Produce> = Arc::new(mock.clone());
        let retry = Retry::new(RetryPolicy::new().max_attempts(3)).unwrap();
        let (topic, code, elapsed) = ("t".into(), ErrorCode::REQUEST_TIMED_OUT, Duration::from_millis(1));
        let waited = SendError::Timeout { topic, waited_for: WaitedFor::Memory, elapsed, code, cause: None };
        mock.refuse_next(waited);
        mock.fail_next(DeliveryError::of(FailureKind::Expired, "t", 0));
        let delivered = retry.send(&*producer, Record::to("t").key("k")).await.unwrap();
        assert_eq!((delivered.tried.len(), mock.history().len()), (2, 2));

        mock.fail_next(DeliveryError::of(FailureKind::Rejected, "t", 0).with_code(ErrorCode::MESSAGE_TOO_LARGE));
        let error = retry.send(&*producer, Record::to("t").key("k")).await.unwrap_err();
        let letters = DeadLetters::with_suffix(".dlt");
        letters.publish(&*producer, Record::to("t").key("k"), &error.report()).await.unwrap();
        let letter = mock.history().pop().unwrap();
        assert_eq!((&*letter.topic, letter.header("errorCode")), ("t.dlt", Some(&b"MESSAGE_TOO_LARGE"[..])));
        assert!(producer.publish(Record::to("t")).await.is_ok());
    }
}

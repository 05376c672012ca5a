//! Many records with one result.
//!
//! In: records. Out: an acknowledgement of each, or one error that names those that failed.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, pending},
};

use super::Producer;
use crate::{
    delivery::Ack,
    error::{Persisted, any::Error},
    record::Record,
};

impl Producer {
    /// Sends records in order, without lingering at the end, and waits for the outcome of all. The records that fail do not keep others
    /// from being sent. In Java: `send` for each, `flush`, and `get` of each future.
    ///
    /// All records are in memory until the last one is accepted; when `buffer.memory` is full, it waits as [`send`](Self::send) does.
    ///
    /// ```no_run
    /// # async fn example(producer: milena::Producer) {
    /// use milena::Record;
    ///
    /// let lines = ["one", "two", "three"];
    /// match producer.send_all(lines.iter().map(|line| Record::to("lines").value(line))).await {
    ///     Ok(acks) => println!("all {} are written", acks.len()),
    ///     Err(error) => error.failed().for_each(|(index, why)| println!("{}: {why}", lines[index])),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// At least one record was not written, or may not be; [`SendAllError`] has the outcome of each.
    ///
    /// # Cancel safety
    /// If the future is dropped, the records that were accepted are delivered all the same, and the others are not sent.
    pub fn send_all<'a>(
        &'a self,
        records: impl IntoIterator<Item = Record<'a>, IntoIter: Send> + Send,
    ) -> impl Future<Output = Result<Vec<Ack>, SendAllError>> + Send {
        let records = records.into_iter();
        async move {
            let mut accepted = Vec::with_capacity(records.size_hint().0);
            for record in records {
                accepted.push(self.send(record).await);
            }
            let outcomes = async {
                let mut outcomes = Vec::with_capacity(accepted.len());
                for delivery in accepted {
                    outcomes.push(match delivery {
                        Ok(delivery) => delivery.await.map_err(Error::from),
                        Err(error) => Err(error.into()),
                    });
                }
                outcomes
            };
            // It is for its beginning only: from then on nothing lingers.
            let flushed = async {
                let _ = self.flush().await;
                pending::<Infallible>().await
            };
            let outcomes = tokio::select! {
                outcomes = outcomes => outcomes,
                never = flushed => match never {},
            };
            if outcomes.iter().any(Result::is_err) {
                return Err(SendAllError { outcomes });
            }
            Ok(outcomes.into_iter().filter_map(Result::ok).collect())
        }
    }
}

/// Some of many records failed ([`Producer::send_all`]).
#[derive(Clone, Debug)]
pub struct SendAllError {
    outcomes: Vec<Result<Ack, Error>>,
}

impl SendAllError {
    /// The outcome of each record, in the order in which they were given.
    pub fn outcomes(&self) -> &[Result<Ack, Error>] {
        &self.outcomes
    }

    /// The records that failed: place and error.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &Error)> {
        self.outcomes.iter().enumerate().filter_map(|(place, outcome)| Some((place, outcome.as_ref().err()?)))
    }

    /// Whether each record that failed is certainly not written, so that sending these again writes nothing twice.
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        self.failed().all(|(_, error)| error.persisted() == Some(Persisted::No))
    }
}

impl fmt::Display for SendAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, all) = (self.failed().count(), self.outcomes.len());
        let unknown = self.failed().filter(|(_, error)| error.persisted() != Some(Persisted::No)).count();
        write!(f, "{failed} of {all} records failed, {unknown} of them may have been written")?;
        match self.failed().next() {
            Some((place, error)) => write!(f, "; the first is record {place}: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SendAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failed().next().map(|(_, error)| error as _)
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;
    use crate::{
        ErrorCode,
        broker::{Api, EmbeddedBroker, Fault},
    };

    async fn started() -> (EmbeddedBroker, Producer) {
        let broker = EmbeddedBroker::builder().topic("t", 2).start().await.unwrap();
        // Whoever waits for lingering waits for longer than the test.
        let builder = Producer::builder(&broker.bootstrap_servers()).property("linger.ms", "600000");
        (broker, builder.property("delivery.timeout.ms", "700000").build().await.unwrap())
    }

    #[tokio::test]
    async fn all_are_written_in_order_and_nothing_lingers() {
        let (broker, producer) = started().await;
        let values: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        let acks =
            producer.send_all(values.iter().map(|value| Record::to("t").partition(1).value(value))).await.unwrap();
        assert_eq!(acks.iter().map(|ack| ack.offset().unwrap()).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        let written = broker.log("t", 1).into_iter().map(|record| record.value.unwrap());
        assert!(written.eq(values.iter().map(|value| value.clone().into_bytes())));
        assert!(producer.send_all([]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_error_names_those_that_failed_and_the_others_are_written() {
        let (broker, producer) = started().await;
        broker.inject(Fault::error(ErrorCode::INVALID_RECORD).at("t", 1).on(Api::Produce).forever());
        let to = |partition| Record::to("t").partition(partition).value("x");
        let error = producer.send_all([to(0), to(1), to(9), to(0)]).await.unwrap_err();
        assert_eq!(error.failed().map(|(place, _)| place).collect::<Vec<_>>(), [1, 2]);
        assert!(error.is_safe_to_repeat());
        assert!(
            error
                .to_string()
                .starts_with("2 of 4 records failed, 0 of them may have been written; the first is record 1: "),
            "{error}"
        );
        assert_eq!(broker.log("t", 0).len(), 2);
    }
}

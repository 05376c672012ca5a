//! Several records with one handle.
//!
//! In: values. Out: a handle for those that went into one batch, or why the first one was not accepted. A record costs no lock, and nothing is
//! counted for it.

use super::{Inner, Producer};
use crate::{
    delivery::Deliveries,
    error::SendError,
    record::Record,
    wire::record_batch::{HEADER_LEN, writer::Payload},
};

impl Producer {
    /// Sends the first of `values`, and as many of those behind it as go into the same batch at once, each as a record of `topic` without key
    /// and headers. Call it again for the rest. For those who send many small records, such as the lines of a file: the batch is locked once and has one handle
    /// for all of them, which for [`send`](Self::send) is most of the work. Without values it accepts nothing.
    ///
    /// The first one waits and fails as with [`send`](Self::send), and the records keep their order as with it. The partition is chosen as for records without
    /// a key (KIP-794). With interceptors or a partitioner, which get every record, each call sends one.
    ///
    /// ```no_run
    /// # async fn example(producer: milena::Producer, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    /// let (mut rest, mut sent) = (&lines[..], Vec::new());
    /// while !rest.is_empty() {
    ///     let accepted = producer.send_values("lines", rest).await?;
    ///     rest = &rest[accepted.len()..];
    ///     sent.push(accepted);
    /// }
    /// for accepted in sent {
    ///     if accepted.acknowledged().await.is_none() {
    ///         // At least one was not written, or may not be: each has its own outcome.
    ///         for delivery in accepted.each() {
    ///             delivery.await?;
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first one was not accepted, nor were the others, and they are certainly not written; see [`SendError`].
    ///
    /// # Cancel safety
    /// If the future is dropped before it resolves, no record was accepted.
    pub async fn send_values(&self, topic: &str, values: &[&[u8]]) -> Result<Deliveries, SendError> {
        match (self.inner.append_several(topic, values), values) {
            (Some(accepted), _) => Ok(accepted),
            (None, [first, ..]) => self.send(Record::to(topic).value(*first)).await.map(Deliveries::from),
            (None, []) => Ok(Deliveries::default()),
        }
    }
}

impl Inner {
    /// Appends what one batch takes at once. `None` if the first one has to wait, is refused, or is the user's code's.
    fn append_several(&self, topic: &str, values: &[&[u8]]) -> Option<Deliveries> {
        if self.has_user_code {
            return None;
        }
        let payloads = values.iter().map(|value| Payload::new(None, Some(value), &[]));
        let mut payloads = payloads.take_while(|payload| HEADER_LEN + payload.max_len() <= self.max_len);
        let first = payloads.next()?;
        let (route, count) = self.accumulator.topics().ready(topic)?;
        let choose = |random| self.choose(route, random);
        let number = route.sticky.current(count, choose);
        let (partition, clocks) = (route.partition(number)?, &self.limits.clocks);
        let appended = self.accumulator.append_several(partition, &first, payloads, clocks).ok()?;
        route.sticky.appended(number, appended.bytes, appended.filled, self.config.batch_size, choose);
        Some(appended.receipt)
    }
}

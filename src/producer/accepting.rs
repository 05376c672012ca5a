//! The future of a send.
//!
//! In: an accepted record, or a future that resolves when it is accepted. Out: a [`Delivery`], or why there is none.
//! Pure.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    delivery::{Accepted, Delivery},
    error::SendError,
};

/// The future of [`Producer::send`](crate::Producer::send). It resolves to the record's [`Delivery`] when the record is
/// accepted, or to an error.
///
/// # Panics
/// As other futures do when they are polled again after they have resolved, which `.await` never does.
#[must_use = "a record may have to wait before it is accepted: await this"]
pub struct Accepting<'a>(pub(super) SendState<'a>);

/// Two words, so that it is returned in registers.
pub(super) enum SendState<'a> {
    /// The record was accepted by the call itself.
    Accepted(Accepted),
    /// `None` once the future has resolved.
    Waiting(Option<Box<Pending<'a, Delivery>>>),
}

/// A record that waits to be accepted.
pub(super) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, SendError>> + Send + 'a>>;

impl Future for Accepting<'_> {
    type Output = Result<Delivery, SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.0, SendState::Waiting(None)) {
            SendState::Accepted(accepted) => Poll::Ready(Ok(accepted.into())),
            SendState::Waiting(pending) => {
                let mut pending = pending.expect("a future is not polled again after it has resolved");
                let polled = pending.as_mut().as_mut().poll(cx);
                if polled.is_pending() {
                    this.0 = SendState::Waiting(Some(pending));
                }
                polled
            }
        }
    }
}

impl<'a> Accepting<'a> {
    /// Resolves as `future` does, for a [`Produce`](crate::Produce) of your own.
    pub fn new(future: impl Future<Output = Result<Delivery, SendError>> + Send + 'a) -> Self {
        Self(SendState::Waiting(Some(Box::new(Box::pin(future)))))
    }
}

/// Waits until a record is accepted. One word: passing two words through a future costs as much as choosing a
/// partition.
pub(super) struct Untracked<'a>(pub(super) Option<Box<Pending<'a, ()>>>);

impl Future for Untracked<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            None => Poll::Ready(Ok(())),
            Some(pending) => pending.as_mut().as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Accepting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            SendState::Accepted(_) => "Accepting(accepted)",
            SendState::Waiting(_) => "Accepting(waits)",
        })
    }
}

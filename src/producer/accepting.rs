//! The future of a send.
//!
//! In: a record that was accepted, or the future that has it accepted. Out: a [`Delivery`], or why there is none. Pure.

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

/// The future of [`Producer::send`](crate::Producer::send): resolves once the record has been accepted, with its
/// [`Delivery`], or refused.
///
/// # Panics
/// As other futures do when they are polled again after they have resolved, which `.await` never does.
#[must_use = "a record may have to wait before it is accepted: await this"]
pub struct Accepting<'a>(pub(super) Attempt<'a>);

/// Two words, so that it is handed on in registers.
pub(super) enum Attempt<'a> {
    /// The call itself accepted it.
    Accepted(Accepted),
    /// `None` once the future has resolved.
    Waits(Option<Box<Waits<'a>>>),
}

pub(super) type Waits<'a> = Pin<Box<dyn Future<Output = Result<Delivery, SendError>> + Send + 'a>>;

impl Future for Accepting<'_> {
    type Output = Result<Delivery, SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.0, Attempt::Waits(None)) {
            Attempt::Accepted(accepted) => Poll::Ready(Ok(accepted.into())),
            Attempt::Waits(waits) => {
                let mut waits = waits.expect("a future is not polled again after it has resolved");
                let polled = waits.as_mut().as_mut().poll(cx);
                if polled.is_pending() {
                    this.0 = Attempt::Waits(Some(waits));
                }
                polled
            }
        }
    }
}

impl<'a> Accepting<'a> {
    /// One that resolves as `future` does: for a [`Produce`](crate::Produce) of your own.
    pub fn new(future: impl Future<Output = Result<Delivery, SendError>> + Send + 'a) -> Self {
        Self(Attempt::Waits(Some(Box::new(Box::pin(future)))))
    }

    /// The same without the [`Delivery`].
    #[inline]
    pub(super) fn untracked(self) -> Untracked<'a> {
        match self.0 {
            Attempt::Accepted(_) => Untracked(None),
            Attempt::Waits(waits) => Untracked(waits),
        }
    }
}

/// What is waited for before a record is accepted. One word: to hand on two through a future costs as much as choosing a partition.
pub(super) struct Untracked<'a>(Option<Box<Waits<'a>>>);

impl Future for Untracked<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            None => Poll::Ready(Ok(())),
            Some(waits) => waits.as_mut().as_mut().poll(cx).map_ok(drop),
        }
    }
}

impl fmt::Debug for Accepting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Attempt::Accepted(_) => "Accepting(accepted)",
            Attempt::Waits(_) => "Accepting(waits)",
        })
    }
}

//! The task that asks the store for many events at once, and keeps the pass.
//!
//! In: questions. Out: answers, and a pass that is renewed as long as it is used. Awaits the store. One question is on its way at a time, and those
//! that come meanwhile are asked together after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{
    holder::Holder,
    views::{MOST, Views},
};
use crate::{
    clock::now,
    relay::Wake,
    store::{PASS_LASTS, Pass, Store, StoreError},
};

/// How often a pass is renewed, if it is used. If questions are rarer than that, they are asked without one.
const RENEW_EACH: Duration = Duration::from_millis(300);
/// How often the relay is woken, at most.
const WAKE_EACH: Duration = Duration::from_secs(1);

/// Whether a slot is free, and who wants to know.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) slot: u16,
    pub(super) reply: oneshot::Sender<Result<bool, StoreError>>,
}

impl Question {
    fn answer(self, is_free: Result<bool, StoreError>) {
        // Whoever dropped the call does not want to know.
        let _ = self.reply.send(is_free);
    }
}

/// The task's state.
pub(super) struct Keeper {
    store: Arc<dyn Store>,
    holder: Arc<Holder>,
    questions: mpsc::Receiver<Question>,
    views: Views,
    takes_passes: bool,
    wake: Arc<Wake>,
    /// When the pass is renewed, if there is one.
    renew_at: Option<Instant>,
    /// No pass is asked for before this moment.
    next_pass: Option<Instant>,
    last_question: Option<Instant>,
    woke: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn Store>,
        holder: Arc<Holder>,
        questions: mpsc::Receiver<Question>,
        takes_passes: bool,
        wake: Arc<Wake>,
    ) -> Self {
        let views = Views::new(store.buckets());
        let [renew_at, next_pass, last_question, woke] = [None; 4];
        Self { store, holder, questions, views, takes_passes, wake, renew_at, next_pass, last_question, woke }
    }

    /// Answers until nobody can ask any more.
    pub(super) async fn run(mut self) {
        loop {
            let renew_at = self.renew_at;
            let time = async {
                match renew_at {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // A pass that was renewed has its time a while from now.
                biased;
                () = time => self.renew().await,
                question = self.questions.recv() => match question {
                    Some(question) => self.serve(question).await,
                    None => return self.give_back().await,
                },
            }
        }
    }

    /// Answers a question, and those that have come by now.
    async fn serve(&mut self, question: Question) {
        let mut asked = vec![question];
        while let Ok(question) = self.questions.try_recv() {
            asked.push(question);
        }
        let now = now();
        let is_worth_it = self.last_question.replace(now).is_some_and(|last| now < last + RENEW_EACH);
        let may_take = self.takes_passes && self.next_pass.is_none_or(|at| now >= at);
        if is_worth_it && may_take && self.take(now).await {
            asked.into_iter().for_each(|question| question.answer(Ok(true)));
        } else {
            self.ask(asked).await;
        }
    }

    /// Asks for a pass. Returns whether one was given, which says that nothing is in the store.
    async fn take(&mut self, now: Instant) -> bool {
        self.next_pass = Some(now + RENEW_EACH);
        let Some(asking) = self.holder.ask() else { return false };
        let taken = self.store.take_pass(asking.instead_of).await;
        match taken {
            Ok(Some(pass)) => {
                self.renew_at = Some(now + RENEW_EACH);
                if !self.holder.given(asking, pass, now + PASS_LASTS) {
                    self.give_back().await;
                }
                true
            }
            Ok(None) => {
                self.give_back().await;
                false
            }
            Err(error) => {
                tracing::debug!(%error, "no pass can be had");
                false
            }
        }
    }

    /// Renews the pass, if it was used.
    async fn renew(&mut self) {
        let now = now();
        self.renew_at = None;
        if self.holder.take_used() {
            // If that fails, the pass ends with its time, and the next question asks for another.
            self.take(now).await;
        } else {
            self.give_back().await;
        }
    }

    async fn give_back(&mut self) {
        self.renew_at = None;
        if let Some(pass) = self.holder.leave() {
            end(&*self.store, vec![pass]).await;
        }
    }

    async fn ask(&mut self, asked: Vec<Question>) {
        let start = now();
        let behind = self.views.questions(asked.iter().map(|question| question.slot), start);
        let told = if behind.is_empty() { Ok(Vec::new()) } else { self.store.busy(behind.clone(), MOST).await };
        match told {
            Ok(told) => {
                let places = |bucket| behind.iter().find(|(of, _)| *of == bucket).map(|(_, place)| *place);
                let mut has_some = false;
                for busy in told {
                    if let Some(place) = places(busy.bucket) {
                        has_some |= self.views.learn(place, busy, start);
                    }
                }
                asked.into_iter().for_each(|question| {
                    let is_free = !self.views.is_busy(question.slot);
                    question.answer(Ok(is_free));
                });
                self.wake_relay(has_some, start);
            }
            Err(error) => asked.into_iter().for_each(|question| question.answer(Err(error.clone()))),
        }
    }

    /// Others have stored events, perhaps in buckets that this publisher's relay has.
    fn wake_relay(&mut self, has_some: bool, now: Instant) {
        if has_some && self.woke.is_none_or(|woke| now >= woke + WAKE_EACH) {
            self.woke = Some(now);
            self.wake.wake();
        }
    }
}

/// Tells the store that passes are not used any more.
pub(super) async fn end(store: &dyn Store, passes: Vec<Pass>) {
    if let Err(error) = store.end_passes(passes).await {
        tracing::debug!(%error, "passes that are not used any more are still in the store");
    }
}

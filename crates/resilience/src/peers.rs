//! Keeps the order of a key between the publishers that share a store.
//!
//! In: slots of events that are to be published; events that are being stored. Out: whether an event may be published directly, and when the
//! other publishers know of one that was stored. Awaits the store. Deliberately absent: the order of a publisher's own calls, which is the
//! [gate](crate::gate)'s.
//!
//! An event may be published directly if no event of its slot is in the store. The publisher has a pass, which says so as long as it lasts and
//! costs a look at an atomic, or a [`keeper`] asks the store, for many events at once. How this holds is told in [`store`](crate::store).

mod holder;
mod keeper;
mod views;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::sleep,
};

use self::{
    holder::{Holder, Storing},
    keeper::{Keeper, Question},
};
use crate::{
    clock::now,
    relay::Wake,
    store::{PASS_LASTS, Pass, Store, StoreError},
};

/// How many questions wait in a queue. More wait outside of it, in order.
const QUEUE: usize = 2_048;
/// How often the store is asked whether passes have ended.
const LOOK_EACH: Duration = Duration::from_millis(50);

/// What a publisher knows of the others that share its store.
#[derive(Debug)]
pub(crate) struct Peers {
    store: Arc<dyn Store>,
    holder: Arc<Holder>,
    questions: mpsc::Sender<Question>,
    /// All passes up to this one have ended. One event at a time looks, and those behind it need not.
    ended: Mutex<Pass>,
}

impl Peers {
    /// Starts the task that asks the store. One that finds events there wakes the relay.
    pub(crate) fn start(store: &Arc<dyn Store>, takes_passes: bool, wake: Arc<Wake>) -> Self {
        let holder = Arc::new(Holder::new(now()));
        let (questions, asked) = mpsc::channel(QUEUE);
        let keeper = Keeper::new(Arc::clone(store), Arc::clone(&holder), asked, takes_passes, wake);
        crate::task::spawn(keeper.run());
        Self { store: Arc::clone(store), holder, questions, ended: Mutex::new(Pass(0)) }
    }

    /// Whether this publisher has a pass: nothing is in the store, but for events whose calls have not returned.
    pub(crate) fn has_pass(&self) -> bool {
        self.holder.has_pass(now())
    }

    /// Asks the store whether a slot has no events, but for those whose calls have not returned when this is called.
    ///
    /// # Errors
    /// The store cannot be asked.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn is_free(&self, slot: u16) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        // The task ends with the runtime only.
        self.questions.send(Question { slot, reply }).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// An event is being stored, until it is dropped. To be called before the store is asked. It ends the use of a pass.
    pub(crate) fn storing(&self) -> Storing {
        self.holder.storing()
    }

    /// Waits until every other publisher knows that an event is stored, or asks: these passes, which were there when it was stored, have ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn know(&self, passes: &[Pass]) {
        let Some(last) = passes.last() else { return };
        let over = now() + PASS_LASTS;
        let mut ended = self.ended.lock().await;
        while *ended < *last {
            if let Some(own) = self.holder.leave() {
                keeper::end(&*self.store, vec![own]).await;
            }
            if self.have_ended(passes).await {
                *ended = *last;
            } else if now() >= over {
                *ended = *last;
                // Those whose owners died would be waited for in every outage.
                keeper::end(&*self.store, passes.to_vec()).await;
            } else {
                sleep(LOOK_EACH.min(over.saturating_duration_since(now()))).await;
            }
        }
    }

    async fn have_ended(&self, passes: &[Pass]) -> bool {
        let left = self.store.passes().await;
        left.is_ok_and(|left| !left.iter().any(|pass| passes.contains(pass)))
    }
}

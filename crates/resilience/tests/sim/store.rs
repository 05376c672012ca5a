//! The store of a run: a store in memory whose calls take time, and are noted.
//!
//! In: calls. Out: the answers of a [`MemoryStore`].

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{
    plan::{Chance, Plan, Strike},
    world::World,
};
use crate::store::{
    Busy, Fault, Filter, Lease, MemoryStore, NewEvent, Outcome, Page, PageLimits, Pass, Published, Quota, Seq,
    SlotCounts, Store, StoreErrorKind, StoreFuture, StoreStats, StoredEvent,
};

/// What a control arm takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Without {
    #[default]
    Nothing,
    /// Events keep no order.
    Order,
    /// Publishers do not ask what others have stored.
    Asking,
    /// Publishers do not wait until others know of what they stored.
    Waiting,
    /// The store forgets what may have been sent.
    Marks,
    /// The store answers before it has synced.
    Syncs,
}

pub(super) struct SlowStore {
    world: Arc<World>,
    memory: MemoryStore,
    chance: Mutex<Chance>,
    slow_calls: u64,
    without: Without,
    jump: Arc<AtomicI64>,
}

impl std::fmt::Debug for SlowStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.memory.fmt(f)
    }
}

impl SlowStore {
    pub(super) fn new(plan: &Plan, world: &Arc<World>, without: Without) -> Arc<Self> {
        let jump = Arc::new(AtomicI64::new(0));
        let (clock, jumped) = (Arc::clone(world), Arc::clone(&jump));
        let memory =
            MemoryStore::with_buckets(plan.buckets).quota(Quota { max_rows: plan.quota_rows, ..Quota::default() });
        let memory = if plan.retention { memory.retention(Duration::from_secs(100)) } else { memory };
        let memory = memory.clock(move || {
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            let jump = jumped.load(Relaxed);
            let now = start + clock.now();
            if jump < 0 {
                now - Duration::from_secs(jump.unsigned_abs())
            } else {
                now + Duration::from_secs(jump.unsigned_abs())
            }
        });
        let memory = if plan.is_shared && without != Without::Asking { memory.shared() } else { memory };
        let memory = if without == Without::Syncs { memory.without_syncs() } else { memory };
        let chance = Mutex::new(Chance::new(plan.seed ^ 1));
        Arc::new(Self { world: Arc::clone(world), memory, chance, slow_calls: plan.slow_calls, without, jump })
    }

    /// The store itself, without delays.
    pub(super) fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    /// Carries a fault out.
    pub(super) async fn strike(&self, strike: Strike) {
        self.world.note(|| format!("store: {strike:?}"));
        let memory = &self.memory;
        match strike {
            Strike::Insert(kind) => memory.fail_next_insert(Fault::Refuse(kind)),
            Strike::InsertUnknown(done) => memory.fail_next_insert(Fault::Indeterminate { done }),
            Strike::Settle(kind) => memory.fail_next_settle(Fault::Refuse(kind)),
            Strike::SettleUnknown(done) => memory.fail_next_settle(Fault::Indeterminate { done }),
            Strike::Away(lasts) => self.always(Fault::Refuse(StoreErrorKind::Unavailable), lasts).await,
            Strike::Slow(each, lasts) => self.always(Fault::Slow(Duration::from_millis(each)), lasts).await,
            Strike::LongSync(lasts) => {
                memory.hold_syncs();
                sleep(Duration::from_millis(lasts)).await;
                memory.sync();
            }
            Strike::PowerLoss(lasts) => {
                memory.hold_syncs();
                sleep(Duration::from_millis(lasts)).await;
                self.world.note(|| "store: crash".to_owned());
                memory.crash();
            }
            Strike::ClockJump(seconds) => {
                self.jump.fetch_add(seconds, Relaxed);
            }
        }
    }

    async fn always(&self, fault: Fault, lasts: u64) {
        self.memory.fail_always(Some(fault));
        sleep(Duration::from_millis(lasts)).await;
        self.memory.fail_always(None);
    }

    /// Mostly none.
    fn delay(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap();
        let ms = if chance.permille(self.slow_calls) { chance.below(30) } else { 0 };
        Duration::from_millis(ms)
    }

    fn after_a_while<'a, T: Send + std::fmt::Debug + 'a>(
        &'a self,
        name: &'static str,
        call: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        StoreFuture::new(async move {
            sleep(self.delay()).await;
            let answer = call.await;
            self.world.note(|| match &answer {
                Ok(_) if matches!(name, "page" | "slots" | "renew") => format!("store: {name}"),
                Ok(answer) => format!("store: {name} {answer:?}"),
                Err(error) => format!("store: {name} {:?}", error.kind()),
            });
            sleep(self.delay()).await;
            answer
        })
    }
}

impl Store for SlowStore {
    fn insert(&self, events: Vec<NewEvent>) -> StoreFuture<'_, Vec<Seq>> {
        self.after_a_while("insert", self.memory.insert(events))
    }

    fn insert_among(&self, events: Vec<NewEvent>) -> StoreFuture<'_, (Vec<Seq>, Vec<Pass>)> {
        let inserted = self.after_a_while("insert", self.memory.insert_among(events));
        StoreFuture::new(async move {
            let (seqs, passes) = inserted.await?;
            Ok((seqs, if self.without == Without::Waiting { Vec::new() } else { passes }))
        })
    }

    fn is_shared(&self) -> bool {
        self.memory.is_shared()
    }

    fn busy(&self, behind: Vec<(u16, Seq)>, limit: u64) -> StoreFuture<'_, Vec<Busy>> {
        self.after_a_while("busy", self.memory.busy(behind, limit))
    }

    fn take_pass(&self, instead_of: Option<Pass>) -> StoreFuture<'_, Option<Pass>> {
        self.after_a_while("pass", self.memory.take_pass(instead_of))
    }

    fn passes(&self) -> StoreFuture<'_, Vec<Pass>> {
        self.after_a_while("passes", self.memory.passes())
    }

    fn end_passes(&self, passes: Vec<Pass>) -> StoreFuture<'_, ()> {
        self.world.note(|| format!("store: will end passes {passes:?}"));
        self.after_a_while("end passes", self.memory.end_passes(passes))
    }

    fn acknowledge(&self, rows: Vec<Published>) -> StoreFuture<'_, u64> {
        self.world.note(|| format!("store: will acknowledge {rows:?}"));
        self.after_a_while("acknowledge", self.memory.acknowledge(rows))
    }

    fn buckets(&self) -> u16 {
        self.memory.buckets()
    }

    fn share(&self, owner: &str) -> StoreFuture<'_, u16> {
        self.after_a_while("share", self.memory.share(owner))
    }

    fn acquire(&self, owner: &str, lasting: Duration, want: u16) -> StoreFuture<'_, Option<Lease>> {
        self.after_a_while("acquire", self.memory.acquire(owner, lasting, want))
    }

    fn renew(&self, lease: &Lease, lasting: Duration) -> StoreFuture<'_, ()> {
        self.after_a_while("renew", self.memory.renew(lease, lasting))
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.after_a_while("release", self.memory.release(lease))
    }

    fn sending(&self, lease: &Lease, up_to: Seq) -> StoreFuture<'_, ()> {
        self.world.note(|| format!("store: will mark up to {up_to}"));
        self.after_a_while("sending", self.memory.sending(lease, up_to))
    }

    fn page(&self, lease: &Lease, after: Seq, limits: PageLimits) -> StoreFuture<'_, Page> {
        let page = self.after_a_while("page", self.memory.page(lease, after, limits));
        StoreFuture::new(async move {
            let mut page = page.await?;
            if self.without == Without::Marks {
                page.events.iter_mut().for_each(|event| event.maybe_sent = false);
            }
            Ok(page)
        })
    }

    fn settle(&self, lease: &Lease, outcomes: Vec<Outcome>) -> StoreFuture<'_, u64> {
        self.world.note(|| {
            let all: Vec<_> = outcomes.iter().map(|o| format!("{} {}", o.seq, o.change.status())).collect();
            format!("store: will settle {}", all.join(", "))
        });
        self.after_a_while("settle", self.memory.settle(lease, outcomes))
    }

    fn slots(&self) -> StoreFuture<'_, SlotCounts> {
        self.after_a_while("slots", self.memory.slots())
    }

    fn stats(&self) -> StoreFuture<'_, StoreStats> {
        self.memory.stats()
    }

    fn list(&self, filter: Filter, after: Seq, limit: usize) -> StoreFuture<'_, Vec<StoredEvent>> {
        self.memory.list(filter, after, limit)
    }

    fn replay(&self, filter: Filter) -> StoreFuture<'_, u64> {
        self.after_a_while("replay", self.memory.replay(filter))
    }

    fn purge(&self, filter: Filter) -> StoreFuture<'_, u64> {
        self.memory.purge(filter)
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        self.memory.sweep()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.memory.close()
    }
}

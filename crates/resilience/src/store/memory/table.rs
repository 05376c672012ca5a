//! The rows, counts and leases of the store in memory.
//!
//! In: calls, and the time of each. Out: their answers. Pure. This is what every store does, in its simplest form.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::keys::Keys;
use crate::store::{
    Busy, Change, EventError, Filter, Lease, NewEvent, Outcome, Page, PageLimits, Pass, Position, Published, Quota,
    Seq, SlotCounts, Status, StoreError, StoreStats, StoredEvent, Token, bucket_of,
    clock::instant,
    counters::{Counters, Rows},
    lease::{after, lasts, remaining},
    query::PageBuilder,
    share::{Held, Wanting, free, may_renew, share},
};

/// Everything that the store has.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) quota: Quota,
    pub(super) retention: Option<Duration>,
    rows: BTreeMap<Seq, Row>,
    counters: Counters,
    buckets: Vec<Bucket>,
    passes: BTreeSet<Pass>,
    last_pass: i64,
    asking: Vec<Asking>,
    pub(super) keys: Keys,
}

#[derive(Clone, Debug)]
struct Row {
    event: NewEvent,
    status: Status,
    attempts: u32,
    next_retry_at: Option<i64>,
    last_error: Option<EventError>,
    created_at: i64,
    updated_at: i64,
    position: Option<Position>,
}

/// Who has the lease of a bucket.
#[derive(Clone, Debug, Default)]
struct Bucket {
    owner: Option<String>,
    token: Option<Token>,
    renewed_at: i64,
    lease_until: i64,
    sent_up_to: Seq,
    maybe_sent_up_to: Seq,
}

/// One who asked for more buckets than it got, and how long that counts.
#[derive(Clone, Debug)]
struct Asking {
    one: Wanting,
    seen_at: i64,
    until: i64,
}

impl Table {
    pub(super) fn new(buckets: u16) -> Self {
        Self {
            quota: Quota::default(),
            retention: None,
            rows: BTreeMap::new(),
            counters: Counters::default(),
            buckets: vec![Bucket::default(); usize::from(buckets.max(1))],
            passes: BTreeSet::new(),
            last_pass: 0,
            asking: Vec::new(),
            keys: Keys::default(),
        }
    }

    pub(super) fn bucket_count(&self) -> u16 {
        u16::try_from(self.buckets.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn insert(&mut self, events: Vec<NewEvent>, now: i64) -> Result<Vec<Seq>, StoreError> {
        let bytes: u64 = events.iter().map(NewEvent::cost).sum();
        let added = Rows { rows: signed(events.len() as u64), bytes: signed(bytes) };
        self.counters.admit(self.quota, added)?;
        self.counters.add(added);
        Ok(events.into_iter().map(|event| self.append(event, now)).collect())
    }

    fn append(&mut self, event: NewEvent, now: i64) -> Seq {
        self.counters.last_seq += 1;
        let seq = Seq(self.counters.last_seq);
        let next_retry_at = event.hold.map(|hold| after(now, hold));
        let (status, attempts, last_error) = (Status::Pending, 0, None);
        self.rows.insert(
            seq,
            Row {
                event,
                status,
                attempts,
                next_retry_at,
                last_error,
                created_at: now,
                updated_at: now,
                position: None,
            },
        );
        seq
    }

    pub(super) fn busy(&self, behind: &[(u16, Seq)], limit: u64) -> Vec<Busy> {
        behind.iter().map(|(bucket, after)| self.busy_in(*bucket, *after, limit)).collect()
    }

    fn busy_in(&self, bucket: u16, after: Seq, limit: u64) -> Busy {
        let mut busy = Busy::none(bucket, after);
        for (seq, row) in self.behind(after).filter(|(_, row)| row.status.is_unsettled()) {
            let slot = row.event.slot();
            if bucket_of(slot, self.bucket_count()) == bucket && !busy.push(*seq, slot, limit) {
                break;
            }
        }
        busy
    }

    pub(super) fn take_pass(&mut self, instead_of: Option<Pass>) -> Option<Pass> {
        if self.counters.pending + self.counters.retrying > 0 {
            return None;
        }
        instead_of.inspect(|pass| {
            self.passes.remove(pass);
        });
        self.last_pass += 1;
        let pass = Pass(self.last_pass);
        self.passes.insert(pass);
        Some(pass)
    }

    pub(super) fn passes(&self) -> Vec<Pass> {
        self.passes.iter().copied().collect()
    }

    pub(super) fn end_passes(&mut self, passes: &[Pass]) {
        self.passes.retain(|pass| !passes.contains(pass));
    }

    pub(super) fn acknowledge(&mut self, rows: &[Published], now: i64) -> u64 {
        rows.iter().map(|row| u64::from(self.apply(row.seq, Change::Resolved, row.position, now))).sum()
    }

    pub(super) fn acquire(&mut self, owner: &str, lasting: Duration, want: u16, now: i64) -> Option<Lease> {
        if want == 0 {
            return None;
        }
        self.want(owner, lasting, now);
        let (held, wanting) = (self.held(), self.wanting(now));
        let taken: Vec<u16> = free(&held, &wanting, (owner, want), now).iter().map(|held| held.bucket).collect();
        if taken.is_empty() {
            return None;
        }
        if taken.len() == usize::from(want) {
            self.leave(owner);
        }
        self.counters.last_token += 1;
        let token = Token(self.counters.last_token);
        let mut sent_up_to = Seq(i64::MAX);
        for number in &taken {
            let bucket = &mut self.buckets[usize::from(*number)];
            bucket.maybe_sent_up_to = bucket.maybe_sent_up_to.max(bucket.sent_up_to);
            sent_up_to = sent_up_to.min(bucket.sent_up_to);
            (bucket.token, bucket.renewed_at, bucket.lease_until) = (Some(token), now, after(now, lasting));
            bucket.owner = Some(owner.to_owned());
        }
        Some(Lease { owner: owner.to_owned(), token, buckets: taken, sent_up_to })
    }

    /// Notes who asks for buckets, and since when.
    fn want(&mut self, owner: &str, lasting: Duration, now: i64) {
        let since = self.wanting(now).into_iter().find(|one| one.owner == owner && now >= one.since);
        self.leave(owner);
        let one = since.unwrap_or_else(|| Wanting { owner: owner.to_owned(), since: now });
        self.asking.push(Asking { one, seen_at: now, until: after(now, lasting) });
    }

    fn leave(&mut self, owner: &str) {
        self.asking.retain(|asking| asking.one.owner != owner);
    }

    fn wanting(&self, now: i64) -> Vec<Wanting> {
        let asking = self.asking.iter().filter(|asking| lasts(now, asking.seen_at, asking.until));
        asking.map(|asking| asking.one.clone()).collect()
    }

    fn held(&self) -> Vec<Held> {
        let held = |(number, bucket): (u16, &Bucket)| Held {
            bucket: number,
            owner: bucket.owner.clone(),
            token: bucket.token.map_or(0, |token| token.0),
            renewed_at: bucket.renewed_at,
            lease_until: bucket.lease_until,
        };
        (0..).zip(&self.buckets).map(held).collect()
    }

    /// How many buckets an owner may have.
    pub(super) fn share(&self, owner: &str, now: i64) -> u16 {
        u16::try_from(share(&self.held(), &self.wanting(now), owner, now)).unwrap_or(u16::MAX)
    }

    pub(super) fn renew(&mut self, lease: &Lease, lasting: Duration, now: i64) -> Result<(), StoreError> {
        let before = self.buckets.clone();
        self.each_bucket(lease, |bucket| (bucket.renewed_at, bucket.lease_until) = (now, after(now, lasting)))?;
        may_renew(&self.held(), &self.wanting(now), (&lease.owner, lasting), now).inspect_err(|_| self.buckets = before)
    }

    pub(super) fn release(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.each_bucket(lease, |bucket| (bucket.token, bucket.sent_up_to) = (None, Seq::START))?;
        self.leave(&lease.owner);
        Ok(())
    }

    pub(super) fn sending(&mut self, lease: &Lease, up_to: Seq) -> Result<(), StoreError> {
        self.each_bucket(lease, |bucket| bucket.sent_up_to = bucket.sent_up_to.max(up_to))
    }

    fn each_bucket(&mut self, lease: &Lease, mut change: impl FnMut(&mut Bucket)) -> Result<(), StoreError> {
        self.check(lease)?;
        for number in &lease.buckets {
            if let Some(bucket) = self.buckets.get_mut(usize::from(*number)) {
                change(bucket);
            }
        }
        Ok(())
    }

    /// Whether the lease still has all its buckets.
    fn check(&self, lease: &Lease) -> Result<(), StoreError> {
        let has = |number: &u16| self.buckets.get(usize::from(*number)).is_some_and(|b| b.token == Some(lease.token));
        if lease.buckets.iter().all(has) { Ok(()) } else { Err(StoreError::fenced(lease.token)) }
    }

    pub(super) fn settle(&mut self, lease: &Lease, outcomes: Vec<Outcome>, now: i64) -> Result<u64, StoreError> {
        self.check(lease)?;
        let buckets = self.bucket_count();
        if !outcomes.iter().all(|outcome| lease.buckets.contains(&bucket_of(outcome.slot, buckets))) {
            return Err(StoreError::fenced(lease.token));
        }
        Ok(outcomes.into_iter().map(|of| u64::from(self.apply(of.seq, of.change, of.position, now))).sum())
    }

    /// Changes a row that is not settled, and says whether there is one.
    fn apply(&mut self, seq: Seq, change: Change, position: Option<Position>, now: i64) -> bool {
        let Some(row) = self.rows.get_mut(&seq).filter(|row| !row.status.is_settled()) else { return false };
        let (from, to) = (row.status, change.status());
        self.counters.change(from, to, 1);
        (row.status, row.updated_at, row.next_retry_at, row.position) = (to, now, None, position);
        match change {
            Change::Resolved | Change::DeadLettered => {
                if self.retention.is_none() {
                    self.remove(seq);
                }
            }
            Change::Failed { attempts, retry_in, maybe_sent, error } => {
                row.next_retry_at = Some(after(now, retry_in));
                row.fail(attempts, maybe_sent, error);
            }
            Change::DeadLetterFailed { attempts, maybe_sent, error } => row.fail(attempts, maybe_sent, error),
        }
        true
    }

    fn remove(&mut self, seq: Seq) {
        if let Some(row) = self.rows.remove(&seq) {
            self.counters.remove(row.status, Rows { rows: 1, bytes: signed(row.event.cost()) });
        }
    }

    pub(super) fn page(&self, lease: &Lease, after: Seq, limits: PageLimits, now: i64) -> Result<Page, StoreError> {
        self.check(lease)?;
        let mut page = PageBuilder::new(limits);
        let mine = |row: &Row| lease.buckets.contains(&bucket_of(row.event.slot(), self.bucket_count()));
        let unsettled = self.behind(after).filter(|(_, row)| row.status.is_unsettled() && mine(row));
        for (seq, row) in unsettled {
            if !page.push(self.stored(*seq, row, now)) {
                break;
            }
        }
        Ok(page.end())
    }

    fn behind(&self, after: Seq) -> impl Iterator<Item = (&Seq, &Row)> {
        self.rows.range(Seq(after.0.saturating_add(1))..)
    }

    fn stored(&self, seq: Seq, row: &Row, now: i64) -> StoredEvent {
        let event = &row.event;
        let bucket = self.buckets.get(usize::from(bucket_of(event.slot(), self.bucket_count())));
        StoredEvent {
            seq,
            slot: event.slot(),
            event_id: event.event_id,
            topic: event.topic.clone(),
            key: event.key.clone(),
            payload: event.payload.clone(),
            headers: event.headers.clone(),
            status: row.status,
            attempts: row.attempts,
            due_in: row.next_retry_at.map_or(Duration::ZERO, |until| remaining(now, row.updated_at, until)),
            maybe_sent: event.maybe_sent || bucket.is_some_and(|bucket| seq <= bucket.maybe_sent_up_to),
            first_error: event.error.clone(),
            last_error: row.last_error.clone().or_else(|| event.error.clone()),
            created_at: instant(row.created_at),
            updated_at: instant(row.updated_at),
            position: row.position,
            bytes: event.cost(),
        }
    }

    pub(super) fn slots(&self) -> SlotCounts {
        let mut counts = SlotCounts::new();
        self.rows.values().filter(|row| row.status.is_unsettled()).for_each(|row| counts.add(row.event.slot()));
        counts
    }

    pub(super) fn stats(&self, now: i64) -> StoreStats {
        let oldest = self.rows.values().find(|row| row.status.is_unsettled()).map(|row| row.created_at);
        self.counters.stats(oldest, now)
    }

    pub(super) fn list(&self, filter: &Filter, after: Seq, limit: usize, now: i64) -> Vec<StoredEvent> {
        let found = self.behind(after).filter(|(seq, row)| row.passes(**seq, filter, now)).take(limit);
        found.map(|(seq, row)| self.stored(*seq, row, now)).collect()
    }

    pub(super) fn replay(&mut self, filter: &Filter, now: i64) -> u64 {
        let again = |row: &Row| match row.status {
            Status::Pending => row.next_retry_at.is_some(),
            status => status != Status::Resolved,
        };
        let mut count = 0;
        for (_, row) in self.rows.iter_mut().filter(|(seq, row)| again(row) && row.passes(**seq, filter, now)) {
            self.counters.change(row.status, Status::Pending, 1);
            (row.status, row.attempts, row.next_retry_at, row.updated_at) = (Status::Pending, 0, None, now);
            count += 1;
        }
        count
    }

    pub(super) fn purge(&mut self, filter: &Filter, now: i64) -> u64 {
        self.remove_all(|seq, row| row.passes(seq, filter, now))
    }

    pub(super) fn sweep(&mut self, now: i64) -> u64 {
        let retention = self.retention.unwrap_or_default();
        self.remove_all(|_, row| row.status.is_settled() && after(row.updated_at, retention) <= now)
    }

    fn remove_all(&mut self, which: impl Fn(Seq, &Row) -> bool) -> u64 {
        let found: Vec<Seq> = self.rows.iter().filter(|(seq, row)| which(**seq, row)).map(|(seq, _)| *seq).collect();
        found.iter().for_each(|seq| self.remove(*seq));
        found.len() as u64
    }
}

impl Row {
    fn fail(&mut self, attempts: u32, maybe_sent: bool, error: EventError) {
        (self.attempts, self.last_error) = (attempts, Some(error));
        self.event.maybe_sent |= maybe_sent;
    }

    fn passes(&self, seq: Seq, filter: &Filter, now: i64) -> bool {
        let Filter { statuses, topic, key, event_id, older_than, after: behind, up_to } = filter;
        seq > *behind
            && up_to.is_none_or(|last| seq <= last)
            && (statuses.is_empty() || statuses.contains(&self.status))
            && topic.as_ref().is_none_or(|topic| *topic == self.event.topic)
            && key.as_ref().is_none_or(|key| Some(key) == self.event.key.as_ref())
            && event_id.is_none_or(|id| id == self.event.event_id)
            && older_than.is_none_or(|age| after(self.created_at, age) <= now)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

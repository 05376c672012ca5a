//! What every store must do. Each scenario opens a store of its own.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{
    script::Script,
    setup::{Factory, LEASE, Memory, Setup, error, event, events, failed, ids, lease, outcomes, stuck, unsettled},
};
use crate::store::{
    Busy, Change, Claim, Claimed, EventError, Filter, NewEvent, Outcome, PageLimits, Position, Published, Quota, Seq,
    Status, StoreErrorKind, StoreStats, bucket_of, slot_of,
};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR_MS: i64 = 3_600_000;

pub(crate) async fn events_come_back_as_they_were_stored_in_the_order_of_acceptance(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    let mut odd = NewEvent::new(Uuid::from_u128(2), "payments", "").header("a", [0, 0xff]).header("b", "text");
    odd.headers.push(("ü".into(), None));
    odd.payload = None;
    let full = event(1).maybe_sent().error(EventError::new("SendError::Timeout", "no metadata"));
    let binary = NewEvent::new(Uuid::from_u128(u128::MAX), "orders", [0, 159, 146, 150]).key([0xff, 0, b'\'']);
    let given = vec![full.clone(), odd.clone(), binary.clone()];
    assert_eq!(store.insert(given.clone()).await.unwrap(), [Seq(1), Seq(2), Seq(3)]);
    let found = unsettled(&*store, &lease(&*store).await).await;
    for (stored, given) in found.iter().zip(&given) {
        let back = NewEvent {
            event_id: stored.event_id,
            topic: stored.topic.clone(),
            key: stored.key.clone(),
            payload: stored.payload.clone(),
            headers: stored.headers.clone(),
            maybe_sent: stored.maybe_sent,
            hold: None,
            error: stored.first_error.clone(),
        };
        assert_eq!(back, *given);
        assert_eq!((stored.status, stored.attempts, stored.due_in), (Status::Pending, 0, Duration::ZERO));
        assert_eq!((stored.slot, stored.bytes), (given.slot(), given.cost()));
        assert_eq!((stored.created_at, stored.updated_at), (setup.clock.now(), setup.clock.now()));
        assert_eq!(stored.last_error, given.error, "the only error is the last one too");
    }
    assert_eq!(found.len(), 3);
}

pub(crate) async fn an_insert_of_nothing_stores_nothing(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    assert_eq!(store.insert(Vec::new()).await.unwrap(), []);
    assert_eq!(store.stats().await.unwrap(), StoreStats::default());
}

pub(crate) async fn settled_events_are_gone_and_counted(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    store.insert(events(5)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    let mut changes = outcomes([&found[1], &found[3]], &Change::Resolved);
    changes.extend(outcomes([&found[0]], &Change::DeadLettered));
    assert_eq!(store.settle(&lease, changes).await.unwrap(), 3);
    assert_eq!(ids(&unsettled(&*store, &lease).await), [3, 5]);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.resolved, stats.dlq, stats.rows), (2, 2, 1, 2));
    assert_eq!(stats.bytes, event(3).cost() + event(5).cost());
    assert_eq!(ids(&store.list(Filter::new(), Seq::START, 9).await.unwrap()), [3, 5]);
}

pub(crate) async fn settled_events_stay_for_the_retention(factory: &impl Factory) {
    let setup = Setup { retention: Some(MINUTE), ..Setup::default() };
    let store = factory.open(&setup).await;
    store.insert(events(3)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[0]], &Change::Resolved)).await.unwrap();
    setup.clock.jump(59_999);
    store.settle(&lease, outcomes([&found[1]], &Change::DeadLettered)).await.unwrap();
    assert_eq!(ids(&unsettled(&*store, &lease).await), [3]);
    assert_eq!(store.sweep().await.unwrap(), 0);
    let statuses = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    assert_eq!(statuses.iter().map(|e| e.status.as_str()).collect::<Vec<_>>(), ["RESOLVED", "DLQ", "PENDING"]);
    setup.clock.jump(1);
    assert_eq!(store.sweep().await.unwrap(), 1);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.rows, stats.resolved, stats.dlq, stats.purged), (2, 1, 1, 0));
}

pub(crate) async fn an_event_that_is_settled_twice_is_counted_once(factory: &impl Factory) {
    for retention in [None, Some(MINUTE)] {
        let store = factory.open(&Setup { retention, ..Setup::default() }).await;
        store.insert(events(2)).await.unwrap();
        let lease = lease(&*store).await;
        let found = unsettled(&*store, &lease).await;
        let resolved = outcomes(&found, &Change::Resolved);
        let twice = [resolved.clone(), resolved.clone()].concat();
        assert_eq!(store.settle(&lease, twice).await.unwrap(), 2);
        for change in [Change::DeadLettered, failed(1, MINUTE), stuck()] {
            assert_eq!(store.settle(&lease, outcomes(&found, &change)).await.unwrap(), 0, "{change:?}");
        }
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.resolved, stats.dlq, stats.unsettled(), stats.dlq_failed), (2, 0, 0, 0));
    }
}

pub(crate) async fn a_failed_event_is_due_at_the_very_time_and_keeps_its_first_error(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    let first = EventError::new("SendError::Timeout", "the first");
    store.insert(vec![event(1).error(first.clone()), event(2)]).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[0]], &failed(1, MINUTE))).await.unwrap();
    for (jump, due_in) in [(0, 60_000), (59_999, 1), (1, 0), (1, 0)] {
        setup.clock.jump(jump);
        let found = unsettled(&*store, &lease).await;
        assert_eq!(found[0].due_in, Duration::from_millis(due_in));
        assert_eq!((found[0].status, found[0].attempts, found[0].maybe_sent), (Status::Retrying, 1, false));
        assert_eq!((found[0].first_error.as_ref(), found[0].last_error.as_ref()), (Some(&first), Some(&error())));
        assert_eq!((found[1].status, found[1].due_in), (Status::Pending, Duration::ZERO));
    }
    let doubt = Change::Failed { attempts: 2, retry_in: MINUTE, maybe_sent: true, error: error() };
    store.settle(&lease, outcomes([&found[0]], &doubt)).await.unwrap();
    store.settle(&lease, outcomes([&found[0]], &failed(3, MINUTE))).await.unwrap();
    let found = unsettled(&*store, &lease).await;
    assert_eq!((found[0].attempts, found[0].maybe_sent), (3, true), "a doubt stays");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.retrying, stats.unsettled()), (1, 1, 2));
}

pub(crate) async fn a_clock_that_jumps_by_an_hour_makes_nothing_wait_longer(factory: &impl Factory) {
    for jump in [-HOUR_MS, HOUR_MS] {
        let setup = Setup::default();
        let store = factory.open(&setup).await;
        store.insert(events(1)).await.unwrap();
        let old = lease(&*store).await;
        let found = unsettled(&*store, &old).await;
        store.settle(&old, outcomes(&found, &failed(1, MINUTE))).await.unwrap();
        setup.clock.jump(jump);
        assert_eq!(unsettled(&*store, &old).await[0].due_in, Duration::ZERO, "{jump}");
        store.renew(&old, LEASE).await.expect("nobody took the lease over");
        assert_eq!(store.acquire("other", LEASE, 1).await.unwrap(), None, "{jump}: it was renewed");
        setup.clock.jump(jump);
        let new = lease(&*store).await;
        assert_eq!(store.settle(&old, Vec::new()).await.unwrap_err().kind(), StoreErrorKind::Fenced);
        assert_eq!(store.settle(&new, outcomes(&found, &Change::Resolved)).await.unwrap(), 1);
    }
}

pub(crate) async fn an_event_that_is_held_is_not_due_before_its_time(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    store.insert(vec![event(1).hold(MINUTE), event(2)]).await.unwrap();
    let lease = lease(&*store).await;
    for (jump, left) in [(0, 60_000), (60_000, 0)] {
        setup.clock.jump(jump);
        let found = unsettled(&*store, &lease).await;
        assert_eq!((found[0].status, found[0].due_in), (Status::Pending, Duration::from_millis(left)));
        assert_eq!(found[1].due_in, Duration::ZERO);
    }
}

pub(crate) async fn what_cannot_be_dead_lettered_waits_for_an_operator(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    store.insert(events(2)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    assert_eq!(store.settle(&lease, outcomes([&found[0]], &stuck())).await.unwrap(), 1);
    assert_eq!(ids(&unsettled(&*store, &lease).await), [2]);
    assert_eq!(store.slots().await.unwrap().of(found[0].slot), 0, "it holds nothing up");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.dlq_failed, stats.pending, stats.rows), (1, 1, 2));
    let listed = store.list(Filter::new().status(Status::DeadLetterFailed), Seq::START, 9).await.unwrap();
    assert_eq!((listed[0].attempts, listed[0].maybe_sent), (4, true));
    assert_eq!(listed[0].last_error, Some(EventError::new("class", "the last")));
    assert_eq!(store.settle(&lease, outcomes([&found[0]], &Change::DeadLettered)).await.unwrap(), 1);
    assert_eq!(store.stats().await.unwrap().dlq, 1);
}

pub(crate) async fn a_replayed_event_starts_again_in_its_old_place(factory: &impl Factory) {
    let store = factory.open(&Setup { retention: Some(MINUTE), ..Setup::default() }).await;
    store.insert(events(5)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    let changes = [stuck(), failed(2, MINUTE), Change::DeadLettered, Change::Resolved];
    let outcomes = found.iter().zip(changes).map(|(event, change)| Outcome::of(event, change)).collect();
    store.settle(&lease, outcomes).await.unwrap();
    assert_eq!(store.replay(Filter::new().topic("payments")).await.unwrap(), 0);
    assert_eq!(store.replay(Filter::new()).await.unwrap(), 3, "neither the published nor the pending one");
    let again = unsettled(&*store, &lease).await;
    assert_eq!(ids(&again), [1, 2, 3, 5]);
    assert!(again.iter().all(|event| event.status == Status::Pending && event.attempts == 0));
    assert!(again.iter().all(|event| event.due_in.is_zero()));
    assert_eq!(again.iter().map(|event| event.maybe_sent).collect::<Vec<_>>(), [true, false, false, false]);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.retrying, stats.dlq_failed, stats.dlq, stats.resolved), (4, 0, 0, 0, 1));
}

pub(crate) async fn a_full_store_refuses_whole_inserts_and_goes_on_settling(factory: &impl Factory) {
    let bytes = event(1).cost() * 3;
    for quota in [Quota { max_rows: 3, ..Quota::default() }, Quota { max_bytes: bytes, ..Quota::default() }] {
        let store = factory.open(&Setup { quota, ..Setup::default() }).await;
        store.insert(events(2)).await.unwrap();
        let error = store.insert(events(2)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(error.to_string().starts_with("the store is full: "), "{error}");
        assert_eq!(store.stats().await.unwrap().rows, 2, "none of the two");
        store.insert(events(1)).await.unwrap();
        assert_eq!(store.insert(events(1)).await.unwrap_err().kind(), StoreErrorKind::Full);
        let lease = lease(&*store).await;
        let found = unsettled(&*store, &lease).await;
        store.settle(&lease, outcomes([&found[0]], &failed(1, MINUTE))).await.unwrap();
        store.settle(&lease, outcomes(&found, &Change::Resolved)).await.unwrap();
        store.insert(events(3)).await.unwrap();
    }
}

pub(crate) async fn numbers_are_not_used_again(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    store.insert(events(3)).await.unwrap();
    assert_eq!(store.purge(Filter::new()).await.unwrap(), 3);
    assert_eq!(store.insert(events(1)).await.unwrap(), [Seq(4)]);
}

pub(crate) async fn nobody_else_acquires_a_lease_until_it_expires_or_is_released(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    let first = lease(&*store).await;
    assert_eq!(first.owner, "relay");
    assert_eq!(first.buckets, (0..store.buckets()).collect::<Vec<_>>());
    for (jump, name) in [(0, "relay"), (29_999, "other")] {
        setup.clock.jump(jump);
        assert_eq!(store.acquire(name, LEASE, 1).await.unwrap(), None, "not even with the same name");
    }
    store.renew(&first, LEASE).await.unwrap();
    setup.clock.jump(29_999);
    assert_eq!(store.acquire("other", LEASE, 1).await.unwrap(), None);
    setup.clock.jump(1);
    let second = lease(&*store).await;
    assert!(second.token > first.token);
    store.release(&second).await.unwrap();
    let third = lease(&*store).await;
    assert!(third.token > second.token);
    for old in [&first, &second] {
        assert_eq!(store.renew(old, LEASE).await.unwrap_err().kind(), StoreErrorKind::Fenced);
        assert_eq!(store.release(old).await.unwrap_err().kind(), StoreErrorKind::Fenced);
    }
}

pub(crate) async fn an_old_token_changes_no_row(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    store.insert(events(3)).await.unwrap();
    let old = lease(&*store).await;
    let found = unsettled(&*store, &old).await;
    store.sending(&old, Seq(1)).await.unwrap();
    setup.clock.jump(30_000);
    let new = lease(&*store).await;
    let before = unsettled(&*store, &new).await;
    for change in [Change::Resolved, Change::DeadLettered, failed(1, MINUTE), stuck()] {
        let error = store.settle(&old, outcomes(&found, &change)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Fenced, "{change:?}");
    }
    assert_eq!(store.sending(&old, Seq(3)).await.unwrap_err().kind(), StoreErrorKind::Fenced);
    let error = store.page(&old, Seq::START, PageLimits::default()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Fenced);
    assert_eq!(unsettled(&*store, &new).await, before);
    assert_eq!(store.stats().await.unwrap().resolved, 0);
}

pub(crate) async fn only_what_may_have_been_sent_is_marked_when_a_lease_is_taken_over(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    store.insert(events(4)).await.unwrap();
    let old = lease(&*store).await;
    store.sending(&old, Seq(2)).await.unwrap();
    store.sending(&old, Seq(1)).await.expect("nothing is taken back");
    assert!(unsettled(&*store, &old).await.iter().all(|event| !event.maybe_sent), "it is known who sends");
    setup.clock.jump(30_000);
    let new = lease(&*store).await;
    assert_eq!(new.sent_up_to, Seq(2));
    let marks: Vec<_> = unsettled(&*store, &new).await.iter().map(|event| event.maybe_sent).collect();
    assert_eq!(marks, [true, true, false, false]);
    let listed = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    assert_eq!(listed.iter().map(|event| event.maybe_sent).collect::<Vec<_>>(), marks);
}

pub(crate) async fn after_a_release_nothing_counts_as_sent(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    store.insert(events(2)).await.unwrap();
    let old = lease(&*store).await;
    store.sending(&old, Seq(2)).await.unwrap();
    store.release(&old).await.unwrap();
    let new = lease(&*store).await;
    assert_eq!(new.sent_up_to, Seq::START);
    assert!(unsettled(&*store, &new).await.iter().all(|event| !event.maybe_sent));
}

pub(crate) async fn pages_have_at_most_their_rows_and_bytes_and_go_on_where_the_last_one_ended(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    let mut given = events(7);
    given[3].payload = Some(vec![b'x'; 10_000]);
    store.insert(given).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[1]], &Change::Resolved)).await.unwrap();
    let exact = event(1).cost() * 2;
    let cases: [(usize, u64, &[&[u128]]); 5] = [
        (9, exact, &[&[1, 3], &[4], &[5, 6], &[7]]),
        (3, 1 << 20, &[&[1, 3, 4], &[5, 6, 7]]),
        (4, 1 << 20, &[&[1, 3, 4, 5], &[6, 7]]),
        (9, 900, &[&[1, 3], &[4], &[5, 6, 7]]),
        (0, 0, &[&[1], &[3], &[4], &[5], &[6], &[7]]),
    ];
    for (rows, bytes, expected) in cases {
        let (mut after, mut pages) = (Seq::START, Vec::new());
        loop {
            let page = store.page(&lease, after, PageLimits { rows, bytes }).await.unwrap();
            after = page.last();
            pages.push(ids(&page.events));
            if page.is_end {
                break;
            }
        }
        assert_eq!(pages, expected, "{rows} rows, {bytes} bytes");
    }
    let page = store.page(&lease, Seq(7), PageLimits::default()).await.unwrap();
    assert_eq!((page.events.len(), page.is_end, page.last()), (0, true, Seq::START));
}

pub(crate) async fn buckets_are_leased_apart_and_have_their_own_events(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    let buckets = store.buckets();
    // So many that no bucket is empty.
    store.insert(events(400)).await.unwrap();
    let mut leases = Vec::new();
    while let Some(lease) = store.acquire("relay", LEASE, 1).await.unwrap() {
        leases.push(lease);
    }
    assert_eq!(leases.len(), usize::from(buckets));
    let mut seen = Vec::new();
    for lease in &leases {
        let found = unsettled(&*store, lease).await;
        assert!(found.iter().all(|event| lease.buckets == [bucket_of(event.slot, buckets)]));
        let foreign = leases.iter().filter(|other| other.token != lease.token);
        for other in foreign {
            let error = store.settle(other, outcomes(&found, &Change::Resolved)).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Fenced);
        }
        store.settle(lease, outcomes(&found, &Change::Resolved)).await.unwrap();
        seen.extend(ids(&found));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=400).collect::<Vec<_>>());
}

pub(crate) async fn slots_count_the_unsettled_events_of_each_key(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    let keyed = |number| NewEvent::new(Uuid::from_u128(number), "orders", "v").key("user-1");
    store.insert(vec![keyed(1), keyed(2), keyed(3), event(4)]).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    let mut changes = outcomes([&found[0]], &Change::Resolved);
    changes.extend(outcomes([&found[1]], &failed(1, MINUTE)));
    store.settle(&lease, changes).await.unwrap();
    let counts = store.slots().await.unwrap();
    assert_eq!(counts.of(slot_of("orders", Some(b"user-1"), &Uuid::nil())), 2);
    assert_eq!(counts.as_slice().iter().sum::<u32>(), 3);
}

pub(crate) async fn lists_show_what_the_filter_lets_through(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    store.insert(events(2)).await.unwrap();
    setup.clock.jump(1_000);
    store.insert(vec![NewEvent::new(Uuid::from_u128(3), "payments", "v"), event(4)]).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[3]], &failed(1, MINUTE))).await.unwrap();
    let all = Filter::new;
    let cases: [(Filter, &[u128]); 13] = [
        (all(), &[1, 2, 3, 4]),
        (all().topic("payments"), &[3]),
        (all().topic("payments' OR 1=1 --"), &[]),
        (all().key("key-2"), &[2]),
        (all().event_id(Uuid::from_u128(4)), &[4]),
        (all().status(Status::Pending), &[1, 2, 3]),
        (all().status(Status::Retrying).status(Status::DeadLetterFailed), &[4]),
        (all().older_than(Duration::from_secs(1)), &[1, 2]),
        (all().topic("orders").older_than(Duration::ZERO).status(Status::Retrying), &[4]),
        (all().between(Seq(2), Seq(3)), &[2, 3]),
        (all().between(Seq(2), Seq(9)).topic("orders"), &[2, 4]),
        (all().between(Seq(4), Seq(4)), &[4]),
        (all().between(Seq(3), Seq(2)), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&store.list(filter.clone(), Seq::START, 9).await.unwrap()), expected, "{filter:?}");
    }
    assert_eq!(ids(&store.list(all(), Seq(1), 2).await.unwrap()), [2, 3], "behind the first, two of them");
}

pub(crate) async fn purged_events_are_gone_and_counted_apart(factory: &impl Factory) {
    let store = factory.open(&Setup { retention: Some(MINUTE), ..Setup::default() }).await;
    store.insert(events(4)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[0]], &Change::Resolved)).await.unwrap();
    store.settle(&lease, outcomes([&found[1]], &stuck())).await.unwrap();
    assert_eq!(store.purge(Filter::new().key("key-3")).await.unwrap(), 1);
    let settled = Filter::new().status(Status::DeadLetterFailed).status(Status::Resolved);
    assert_eq!(store.purge(settled).await.unwrap(), 2);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.rows, stats.pending, stats.resolved, stats.dlq_failed, stats.purged), (1, 1, 1, 0, 2));
}

pub(crate) async fn only_events_of_the_range_are_replayed_and_purged(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    store.insert(events(5)).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes(&found, &stuck())).await.unwrap();
    assert_eq!(store.replay(Filter::new().between(Seq(2), Seq(3))).await.unwrap(), 2);
    assert_eq!(ids(&unsettled(&*store, &lease).await), [2, 3]);
    assert_eq!(store.purge(Filter::new().between(Seq(3), Seq(4))).await.unwrap(), 2);
    assert_eq!(ids(&store.list(Filter::new(), Seq::START, 9).await.unwrap()), [1, 2, 5]);
}

pub(crate) async fn a_publisher_acknowledges_what_it_wrote_ahead_without_a_lease(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    let seqs = store.insert(events(3).into_iter().map(NewEvent::maybe_sent).collect()).await.unwrap();
    assert_eq!(store.acknowledge(vec![seqs[0].into(), seqs[2].into(), Seq(99).into()]).await.unwrap(), 2);
    assert_eq!(store.acknowledge(seqs.iter().map(|seq| (*seq).into()).collect()).await.unwrap(), 1);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.resolved, stats.rows), (3, 0));
}

pub(crate) async fn a_pass_is_given_while_nothing_is_unsettled_and_lasts_until_it_is_ended(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    if !store.is_shared() {
        return;
    }
    let first = store.take_pass(None).await.unwrap().expect("nothing is stored");
    let other = store.take_pass(None).await.unwrap().expect("several may have one");
    assert!(first < other && store.passes().await.unwrap() == [first, other]);
    store.insert(events(2)).await.unwrap();
    assert_eq!(store.take_pass(Some(first)).await.unwrap(), None);
    assert_eq!(store.passes().await.unwrap(), [first, other], "it is still used until its owner says so");
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    store.settle(&lease, outcomes([&found[0]], &Change::Resolved)).await.unwrap();
    store.settle(&lease, outcomes([&found[1]], &failed(1, MINUTE))).await.unwrap();
    assert_eq!(store.take_pass(Some(first)).await.unwrap(), None, "one waits for its next attempt");
    store.settle(&lease, outcomes([&found[1]], &stuck())).await.unwrap();
    let next = store.take_pass(Some(first)).await.unwrap().expect("what waits for an operator is in nobody's way");
    assert!(other < next && store.passes().await.unwrap() == [other, next]);
    store.end_passes(vec![first, other]).await.unwrap();
    assert_eq!(store.passes().await.unwrap(), [next]);
}

pub(crate) async fn an_insert_tells_which_passes_there_are(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    if !store.is_shared() {
        return;
    }
    let passes = [store.take_pass(None).await.unwrap().unwrap(), store.take_pass(None).await.unwrap().unwrap()];
    assert_eq!(store.insert_among(vec![event(1)]).await.unwrap(), (vec![Seq(1)], passes.to_vec()));
    store.end_passes(vec![passes[1]]).await.unwrap();
    assert_eq!(store.insert_among(vec![event(2), event(3)]).await.unwrap(), (vec![Seq(2), Seq(3)], vec![passes[0]]));
    store.end_passes(passes.to_vec()).await.unwrap();
    assert_eq!(store.insert_among(vec![event(4)]).await.unwrap(), (vec![Seq(4)], vec![]));
}

pub(crate) async fn busy_slots_are_those_of_unsettled_events_behind_a_place(factory: &impl Factory) {
    for retention in [None, Some(MINUTE)] {
        let store = factory.open(&Setup { retention, ..Setup::default() }).await;
        if !store.is_shared() {
            return;
        }
        let buckets = store.buckets();
        let busy = async |after: i64, limit| {
            let behind = (0..buckets).map(|bucket| (bucket, Seq(after))).collect();
            store.busy(behind, limit).await.unwrap()
        };
        let slots = |told: &[Busy]| -> BTreeSet<u16> { told.iter().flat_map(|busy| busy.slots.clone()).collect() };
        let of = |numbers: &[u128]| numbers.iter().map(|number| event(*number).slot()).collect::<BTreeSet<_>>();
        let none: Vec<Busy> = (0..buckets).map(|bucket| Busy::none(bucket, Seq(0))).collect();
        assert_eq!(busy(0, 9).await, none);
        store.insert(events(5)).await.unwrap();
        store.insert(vec![event(6).hold(MINUTE)]).await.unwrap();
        let told = busy(0, 9).await;
        assert_eq!((slots(&told), told.iter().map(|busy| busy.events).sum()), (of(&[1, 2, 3, 4, 5, 6]), 6_u64));
        assert_eq!((slots(&busy(4, 9).await), slots(&busy(6, 9).await)), (of(&[5, 6]), of(&[])));
        let lease = lease(&*store).await;
        let found = unsettled(&*store, &lease).await;
        store.settle(&lease, outcomes([&found[0], &found[3]], &Change::Resolved)).await.unwrap();
        store.settle(&lease, outcomes([&found[1]], &failed(1, MINUTE))).await.unwrap();
        store.settle(&lease, outcomes([&found[2]], &stuck())).await.unwrap();
        assert_eq!(slots(&busy(0, 9).await), of(&[2, 5, 6]));
        let bucket = bucket_of(event(2).slot(), buckets);
        let one = store.busy(vec![(bucket, Seq(0))], 1).await.unwrap();
        let expected = Busy { bucket, slots: of(&[2]), events: 1, last: Seq(2), is_end: false };
        assert_eq!(one, [expected]);
        assert_eq!(store.busy(Vec::new(), 1).await.unwrap(), []);
    }
}

pub(crate) async fn the_oldest_event_tells_its_age(factory: &impl Factory) {
    let setup = Setup { retention: Some(MINUTE), ..Setup::default() };
    let store = factory.open(&setup).await;
    store.insert(events(1)).await.unwrap();
    setup.clock.jump(1_000);
    store.insert(vec![event(2)]).await.unwrap();
    setup.clock.jump(5_000);
    let oldest = async || store.stats().await.unwrap().oldest;
    assert_eq!(oldest().await, Some(Duration::from_secs(6)));
    store.acknowledge(vec![Seq(1).into()]).await.unwrap();
    assert_eq!(oldest().await, Some(Duration::from_secs(5)));
    setup.clock.jump(-HOUR_MS);
    assert_eq!(oldest().await, Some(Duration::ZERO));
    store.acknowledge(vec![Seq(2).into()]).await.unwrap();
    assert_eq!(oldest().await, None);
}

pub(crate) async fn a_row_that_is_kept_says_where_its_event_was_written(factory: &impl Factory) {
    let store = factory.open(&Setup { retention: Some(MINUTE), ..Setup::default() }).await;
    assert_eq!((store.retention(), factory.open(&Setup::default()).await.retention()), (MINUTE, Duration::ZERO));
    let seqs = store.insert(events(4)).await.unwrap();
    let position = |offset| Some(Position { partition: 3, offset });
    store.acknowledge(vec![Published { seq: seqs[0], position: position(70) }]).await.unwrap();
    let lease = lease(&*store).await;
    let found = unsettled(&*store, &lease).await;
    let published = |at: usize, position| Outcome::published(&found[at], position);
    store.settle(&lease, vec![published(0, position(71)), published(1, None)]).await.unwrap();
    // It is known already.
    store.acknowledge(vec![Published { seq: seqs[0], position: position(99) }]).await.unwrap();
    let listed = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    let positions: Vec<_> = listed.iter().map(|event| event.position).collect();
    assert_eq!(positions, [position(70), position(71), None, None]);
}

pub(crate) async fn who_claims_a_key_first_has_it_until_it_is_free_or_its_time_is_over(factory: &impl Factory) {
    let setup = Setup::default();
    let store = factory.open(&setup).await;
    assert!(store.keeps_keys());
    let id = Uuid::from_u128;
    let claim = |key: &str, request, instead_of: Option<u128>| Claim {
        key: key.to_owned(),
        fingerprint: vec![0, request as u8],
        request_id: id(request),
        lasting: MINUTE,
        instead_of: instead_of.map(id),
    };
    let owner = |request: u128, age: u64, answer: Option<&str>| Claimed {
        fingerprint: vec![0, request as u8],
        request_id: id(request),
        age: Duration::from_millis(age),
        answer: answer.map(|answer| answer.as_bytes().to_vec()),
    };
    assert_eq!(store.claim(claim("a", 1, None)).await.unwrap(), None);
    assert_eq!(store.claim(claim("a", 1, None)).await.unwrap(), None, "the answer of a commit may be lost");
    setup.clock.jump(9_000);
    assert_eq!(store.claim(claim("a", 2, None)).await.unwrap(), Some(owner(1, 9_000, None)));
    assert_eq!(store.claim(claim("a", 3, Some(2))).await.unwrap(), Some(owner(1, 9_000, None)), "2 has it not");
    // Who has ended without an answer is replaced, and says nothing any more.
    assert_eq!(store.claim(claim("a", 3, Some(1))).await.unwrap(), None);
    store.conclude("a", id(1), Some(b"late".to_vec())).await.unwrap();
    store.conclude("a", id(1), None).await.unwrap();
    store.conclude("a", id(3), Some(b"done".to_vec())).await.unwrap();
    assert_eq!(store.claim(claim("a", 3, Some(3))).await.unwrap(), Some(owner(3, 0, Some("done"))), "it has an answer");
    // A request that is freed leaves nothing.
    assert_eq!(store.claim(claim("b", 4, None)).await.unwrap(), None);
    assert_eq!(store.sweep_keys().await.unwrap(), 2);
    store.conclude("b", id(4), None).await.unwrap();
    assert_eq!(store.claim(claim("b", 5, None)).await.unwrap(), None);
    // Keys are kept for their time.
    setup.clock.jump(59_999);
    assert_eq!(
        (store.sweep_keys().await.unwrap(), store.claim(claim("a", 6, None)).await.unwrap().is_some()),
        (2, true)
    );
    setup.clock.jump(1);
    assert_eq!(store.claim(claim("a", 6, None)).await.unwrap(), None, "also before somebody sweeps");
    assert_eq!(store.sweep_keys().await.unwrap(), 1);
}

pub(crate) async fn a_closed_store_says_so(factory: &impl Factory) {
    let store = factory.open(&Setup::default()).await;
    let insert = store.insert(events(1));
    insert.await.unwrap();
    let lease = lease(&*store).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let errors = [
        store.insert(events(1)).await.err(),
        store.settle(&lease, Vec::new()).await.err(),
        store.page(&lease, Seq::START, PageLimits::default()).await.err(),
        store.stats().await.err(),
        store.sweep().await.err(),
    ];
    for error in errors {
        assert_eq!(error.map(|error| error.kind()), Some(StoreErrorKind::Closed));
    }
}

/// Random calls, of which each must have the same answer as with the store in memory.
pub(crate) async fn every_answer_is_that_of_the_plainest_store(factory: &impl Factory) {
    for seed in 1..=8 {
        let quota = Quota { max_rows: 40, max_bytes: 16_000 };
        let retention = (seed % 2 == 0).then_some(MINUTE);
        let setup = Setup { quota, retention, ..Setup::default() };
        let store = factory.open(&setup).await;
        let model = Memory { buckets: store.buckets() }.open(&setup).await;
        let mut script = Script::new(seed);
        for step in 0..150 {
            let call = script.next(&setup.clock);
            let (found, expected) = (script.perform(&call, &*store).await, script.perform(&call, &*model).await);
            assert_eq!(found, expected, "seed {seed}, step {step}: {call:?}");
            script.learn(&call, found);
        }
    }
}

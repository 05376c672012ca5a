//! Many events: what does not grow with them.

use std::{fs, time::Duration};

use super::{
    super::setup::{TestClock, event, failed, lease, outcomes, stuck},
    Files,
};
use crate::store::{Change, Filter, Page, PageLimits, Seq, Status, Store, StoredEvent};

const EVENTS: u64 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_events_are_drained_page_by_page_and_the_log_stays_small() {
    let files = Files::new();
    let store = files.store().await;
    for from in (0..EVENTS).step_by(5_000) {
        let events = (from..from + 5_000).map(|number| event(u128::from(number % 977) + 1)).collect();
        store.insert(events).await.unwrap();
    }
    let slots = store.slots().await.unwrap();
    assert_eq!(slots.as_slice().iter().map(|count| u64::from(*count)).sum::<u64>(), EVENTS);
    let lease = lease(&store).await;
    let (mut after, mut seen, mut largest) = (Seq::START, 0, 0);
    loop {
        let page = store.page(&lease, after, PageLimits { rows: 2_000, bytes: 1 << 20 }).await.unwrap();
        // Every tenth is blocked, and stays.
        let settled = page.events.iter().filter(|event| event.seq.0 % 10 != 0);
        store.settle(&lease, outcomes(settled, &Change::Resolved)).await.unwrap();
        let Page { events, is_end } = page;
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq) && events.len() <= 2_000);
        seen += events.len() as u64;
        after = events.last().unwrap().seq;
        largest = largest.max(fs::metadata(files.path("store.db-wal")).unwrap().len());
        if is_end {
            break;
        }
    }
    assert_eq!(seen, EVENTS);
    assert!(largest < 32 << 20, "the log had {largest} bytes");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.resolved, stats.rows), (EVENTS / 10, EVENTS - EVENTS / 10, EVENTS / 10));
    let page = store.page(&lease, Seq::START, PageLimits { rows: 20_000, bytes: u64::MAX }).await.unwrap();
    assert_eq!((page.events.len(), page.is_end), (10_000, true), "the next pass reads only what was skipped");
}

#[tokio::test]
async fn what_an_operator_asks_for_reaches_all_rows_in_small_steps() {
    const ROWS: u64 = 25_000;
    let files = Files::new();
    let clock = TestClock::default();
    let now = clock.clone();
    let builder = files.builder("store.db").retention(Duration::from_mins(1)).clock(move || now.now());
    let store = builder.open().await.unwrap();
    store.insert((1..=u128::from(ROWS)).map(event).collect()).await.unwrap();
    let lease = lease(&store).await;
    let all = PageLimits { rows: usize::MAX, bytes: u64::MAX };
    let found = store.page(&lease, Seq::START, all).await.unwrap().events;
    let third = |rest| found.iter().filter(move |event| event.seq.0 % 3 == rest);
    store.settle(&lease, outcomes(third(0), &Change::DeadLettered)).await.unwrap();
    store.settle(&lease, outcomes(third(1), &stuck())).await.unwrap();
    store.settle(&lease, outcomes(third(2), &failed(1, Duration::from_mins(9)))).await.unwrap();

    let listed = |status| store.list(Filter::new().status(status), Seq::START, usize::MAX);
    let seqs = |events: &[StoredEvent]| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(
        seqs(&listed(Status::DeadLetterFailed).await.unwrap()),
        third(1).map(|event| event.seq).collect::<Vec<_>>()
    );
    assert_eq!(store.replay(Filter::new().status(Status::DeadLetterFailed)).await.unwrap(), 8_334);
    assert_eq!(store.purge(Filter::new().status(Status::Retrying)).await.unwrap(), 8_333);
    clock.jump(60_000);
    assert_eq!(store.sweep().await.unwrap(), 8_333);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.rows, stats.dlq, stats.purged), (8_334, 8_334, 8_333, 8_333));
    assert_eq!(stats.bytes, found.iter().filter(|event| event.seq.0 % 3 == 1).map(|event| event.bytes).sum::<u64>());
    assert_eq!(store.page(&lease, Seq::START, all).await.unwrap().events.len(), 8_334);
}

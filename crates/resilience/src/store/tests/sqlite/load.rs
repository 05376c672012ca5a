//! Many events: what does not grow with them.

use std::fs;

use super::{
    super::setup::{event, lease, outcomes},
    Files,
};
use crate::store::{Change, Page, PageLimits, Seq, Store};

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

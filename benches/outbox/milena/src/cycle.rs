//! An outage: events are stored while the breaker is open, and drained when it closes.
//!
//! The publisher, the store and the producer have their defaults. An event counts as stored when `publish_record` says so, and as drained
//! when its row is gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use milena::Producer;
use milena_resilience::{
    event::EventId,
    publisher::{Publication, ResilientPublisher},
};

use crate::{Failure, events::Events, place::Place, rate};

pub async fn run(place: &Place, rows: usize, publishers: usize, sink: &str) -> Result<(), Failure> {
    let store = place.open().await?;
    let producer = Arc::new(Producer::builder(sink).build().await?);
    let publisher = ResilientPublisher::builder(producer, Arc::clone(&store)).start().await?;
    publisher.breaker().force_open(Instant::now());
    let before = place.commits().await?;
    let start = Instant::now();
    store_all(&publisher, rows, publishers).await?;
    let stored = rate(rows, start);
    let group = rows / (place.commits().await? - before).max(1);
    let (first, drained) = drain(&publisher, rows).await?;
    println!("stored={stored:.0} group={group} first_ms={:.1} drained={drained:.0}", first.as_secs_f64() * 1e3);
    publisher.close().await;
    store.close().await?;
    Ok(())
}

/// Publishes so many events, all of which have to be stored.
pub async fn store_all(publisher: &ResilientPublisher, rows: usize, publishers: usize) -> Result<(), Failure> {
    let events = Arc::new(Events::new());
    let publish = |task| {
        let (publisher, events) = (publisher.clone(), Arc::clone(&events));
        tokio::spawn(async move {
            for number in (task..rows).step_by(publishers) {
                let published = publisher.publish_record(EventId::new(), events.record(number, number)).await?;
                if matches!(published, Publication::Published { .. }) {
                    return Err("an event was published although the breaker is open".into());
                }
            }
            Ok::<(), Failure>(())
        })
    };
    let tasks: Vec<_> = (0..publishers).map(publish).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Closes the breaker. Returns when the first event was acknowledged, and the rate until the store was empty.
async fn drain(publisher: &ResilientPublisher, rows: usize) -> Result<(Duration, f64), Failure> {
    let start = Instant::now();
    publisher.breaker().close(start);
    reach(publisher, 1).await;
    let first = start.elapsed();
    reach(publisher, rows as u64).await;
    await_empty(publisher).await;
    Ok((first, rate(rows, start)))
}

/// Waits until no event is stored.
pub async fn await_empty(publisher: &ResilientPublisher) {
    while publisher.retry_stats().await.is_ok_and(|stats| stats.unsettled() > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until so many stored events were acknowledged.
async fn reach(publisher: &ResilientPublisher, events: u64) {
    while publisher.relay_stats().resolved < events {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

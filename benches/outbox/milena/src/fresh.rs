//! Fresh events beside a backlog: how long publishing takes while nothing is stored, and while stored events are drained.
//!
//! Events come at a fixed rate, whether those before them are published or not, and count from the moment at which they were due. Their keys are
//! not those of stored events; one that shares a slot with such a key goes into the store, and is counted apart.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use milena::{Producer, Record};
use milena_resilience::{
    event::EventId,
    publisher::{Publication, ResilientPublisher},
};
use tokio::task::JoinSet;

use crate::{
    Failure,
    cycle::{await_empty, store_all},
    events::{Events, TOPIC},
    place::Place,
    rate,
};

/// How long it is measured without a backlog.
const CALM: Duration = Duration::from_secs(5);
const PUBLISHERS: usize = 1_000;

/// How long events took, and how many were stored instead.
#[derive(Default)]
struct Times {
    published: Vec<Duration>,
    stored: usize,
}

pub async fn run(place: &Place, rows: usize, per_second: u64, sink: &str) -> Result<(), Failure> {
    let store = place.open().await?;
    let producer = Arc::new(Producer::builder(sink).build().await?);
    producer.partitions_for(TOPIC).await?;
    let publisher = ResilientPublisher::builder(producer, Arc::clone(&store)).start().await?;
    let mut calm = publish(&publisher, per_second, tokio::time::sleep(CALM)).await?;
    publisher.breaker().force_open(Instant::now());
    store_all(&publisher, rows, PUBLISHERS).await?;
    let start = Instant::now();
    publisher.breaker().close(start);
    let mut beside = publish(&publisher, per_second, await_empty(&publisher)).await?;
    let drained = rate(rows, start);
    for (name, times) in [("calm", &mut calm), ("beside", &mut beside)] {
        times.published.sort_unstable();
        for (part, at) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            print!("{name}_{part}_ms={:.2} ", times.at(at).as_secs_f64() * 1e3);
        }
        print!("{name}={} {name}_stored={} ", times.published.len(), times.stored);
    }
    println!("drained={drained:.0}");
    publisher.close().await;
    store.close().await?;
    Ok(())
}

/// Publishes so many events a second until `end`, and waits for them.
async fn publish(
    publisher: &ResilientPublisher,
    per_second: u64,
    end: impl Future<Output = ()>,
) -> Result<Times, Failure> {
    let (events, mut running, mut times) = (Arc::new(Events::new()), JoinSet::new(), Times::default());
    let (mut end, start, mut number) = (std::pin::pin!(end), Instant::now(), 0_u64);
    let gap = Duration::from_secs(1) / u32::try_from(per_second)?;
    loop {
        let due = start + gap * u32::try_from(number)?;
        tokio::select! {
            biased;
            () = &mut end => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let (publisher, events) = (publisher.clone(), Arc::clone(&events));
        running.spawn(async move {
            let key = format!("fresh-{}", number % 1_000);
            let record = Record::to(TOPIC).key(&key).value(events.value(usize::try_from(number)?));
            let published = publisher.publish_record(EventId::new(), record).await?;
            Ok::<_, Failure>((matches!(published, Publication::Published { .. }), due.elapsed()))
        });
        number += 1;
        while let Some(done) = running.try_join_next() {
            times.add(done??);
        }
    }
    while let Some(done) = running.join_next().await {
        times.add(done??);
    }
    Ok(times)
}

impl Times {
    fn add(&mut self, (is_published, took): (bool, Duration)) {
        if is_published {
            self.published.push(took);
        } else {
            self.stored += 1;
        }
    }

    /// The time that this share of the events kept to. They are in order.
    fn at(&self, share: f64) -> Duration {
        let last = self.published.len().saturating_sub(1);
        self.published.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

//! Publishing while all is well: each task publishes an event, waits for its outcome, and publishes the next.
//!
//! `direct` has the producer alone, `publisher` a [`ResilientPublisher`] around it, whose store is empty. All else is the same: each record has
//! the header `eventId`. A task has a key of its own, so that no event waits for another one of its key; but some share a slot, as keys do.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use milena::Producer;
use milena_resilience::{
    event::EventId,
    publisher::{Publication, ResilientPublisher},
};
use uuid::Uuid;

use crate::{
    Failure,
    events::{Events, TOPIC},
    place::Place,
    rate,
};

/// What publishes.
#[derive(Clone)]
enum Way {
    Direct(Producer),
    Publisher(ResilientPublisher),
}

/// What all tasks publish together: whoever is free takes the next one, so that none is left behind.
struct Work {
    events: Events,
    records: usize,
    next: AtomicUsize,
    stored: AtomicUsize,
}

pub async fn run(mode: &str, sink: &str, records: usize, tasks: usize) -> Result<(), Failure> {
    let folder = env::temp_dir().join(format!("bench-outbox-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let producer = Producer::builder(sink).build().await?;
    producer.partitions_for(TOPIC).await?;
    let way = match mode {
        "direct" => Way::Direct(producer),
        "publisher" => {
            let store = Place::Sqlite(folder.join("store.db")).open().await?;
            Way::Publisher(ResilientPublisher::builder(Arc::new(producer), store).start().await?)
        }
        _ => return Err(format!("expected direct or publisher, got {mode}").into()),
    };
    let [next, stored] = Default::default();
    let work = Arc::new(Work { events: Events::new(), records, next, stored });
    let published = publish_all(&way, &work, tasks).await?;
    println!("published={published:.0} stored={}", work.stored.load(Relaxed));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn publish_all(way: &Way, work: &Arc<Work>, tasks: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    let publish = |task: usize| {
        let (way, work) = (way.clone(), Arc::clone(work));
        tokio::spawn(async move {
            match way {
                Way::Direct(producer) => direct(&producer, &work, task).await,
                Way::Publisher(publisher) => published(&publisher, &work, task).await,
            }
        })
    };
    let running: Vec<_> = (0..tasks).map(publish).collect();
    for task in running {
        task.await??;
    }
    Ok(rate(work.records, start))
}

async fn direct(producer: &Producer, work: &Work, task: usize) -> Result<(), Failure> {
    while let Some(number) = work.take() {
        let (_, text) = id(number);
        producer.send(work.events.record(number, task).header("eventId", &text)).await?.await?;
    }
    Ok(())
}

async fn published(publisher: &ResilientPublisher, work: &Work, task: usize) -> Result<(), Failure> {
    while let Some(number) = work.take() {
        let (id, text) = id(number);
        let record = work.events.record(number, task).header("eventId", &text);
        if let Publication::Stored { .. } = publisher.publish_record(id, record).await? {
            work.stored.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// An event's id, and its text.
fn id(number: usize) -> (EventId, String) {
    let id = EventId::from(Uuid::from_u128(number as u128));
    (id, id.to_string())
}

impl Work {
    fn take(&self) -> Option<usize> {
        Some(self.next.fetch_add(1, Relaxed)).filter(|number| *number < self.records)
    }
}

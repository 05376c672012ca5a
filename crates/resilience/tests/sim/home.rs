//! An instance in its lives: it starts, publishes, and is closed, abandoned or killed.
//!
//! In: the plan of its lives. Out: calls in the [`World`], and its last publisher, which lives until the end.

use std::{sync::Arc, time::Duration};

use milena::Record;
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    kafka::Kafka,
    plan::{End, How, Life, Plan, Step},
    process::Process,
    store::{SlowStore, Without},
    world::{Fate, World, value_of},
};
use crate::{
    breaker::BreakerConfig,
    publisher::{Kept, Order, ResilientPublisher},
    relay::{RelayConfig, Schedule},
    store::NewEvent,
    task,
};

pub(super) const TOPIC: &str = "orders";

/// How long it may take until events are published directly again: a breaker that has flapped stays open for five minutes.
const PATIENCE: Duration = Duration::from_secs(1_000);

/// What an instance needs.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) number: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) world: Arc<World>,
    pub(super) kafka: Arc<Kafka>,
    pub(super) store: Arc<SlowStore>,
    pub(super) without: Without,
    /// One for each key that all instances publish. Whoever has it publishes.
    pub(super) batons: Arc<Vec<Mutex<()>>>,
}

impl Home {
    /// Lives all lives, and returns the publisher of the last.
    pub(super) async fn live(self) -> ResilientPublisher {
        for life in self.plan.homes[self.number].clone() {
            let pause = Duration::from_millis(life.pause_ms);
            self.live_once(life).await;
            sleep(pause).await;
        }
        self.note("lives its last life");
        self.start(&Process::new(None)).await
    }

    async fn live_once(&self, life: Life) {
        let polls = if let End::CrashAtPoll(polls) = life.end { Some(polls) } else { None };
        let process = Process::new(polls);
        let limit = Duration::from_millis(if let End::Crash(ms) = life.end { ms } else { u64::MAX / 2 });
        self.note("starts");
        let (home, own, end, calls) = (self.clone(), process.clone(), life.end, self.world.calls().len());
        let life = process.spawn(async move {
            let publisher = home.start_here(&own).await;
            home.publish_all(publisher, life).await;
        });
        tokio::select! {
            biased;
            () = process.died() => {}
            ended = life => ended.expect("a life does not panic"),
            () = sleep(limit) => {}
        }
        if matches!(end, End::Crash(_) | End::CrashAtPoll(_)) {
            process.kill();
            self.note("is killed");
            let begun = calls as u64 + 1..=self.world.calls().len() as u64;
            self.world.killed(self.number, begun);
        } else {
            self.note("has ended");
        }
    }

    fn note(&self, what: &str) {
        self.world.note(|| format!("instance {} {what}", self.number));
    }

    /// Starts a publisher in a process.
    async fn start(&self, process: &Process) -> ResilientPublisher {
        let (home, own) = (self.clone(), process.clone());
        process.spawn(async move { home.start_here(&own).await }).await.expect("a start does not panic")
    }

    async fn start_here(&self, process: &Process) -> ResilientPublisher {
        let plan = &self.plan;
        let seconds = [1, 5, 15].map(Duration::from_secs);
        let relay = RelayConfig::default()
            .schedule(Schedule::default().waits(seconds).count_outages(plan.count_outages))
            .poison(plan.poison)
            .in_memory(plan.in_memory, 1 << 20)
            .max_in_flight(plan.max_in_flight)
            .interval(Duration::from_millis(plan.interval_ms))
            .lease(Duration::from_millis(plan.lease_ms));
        let breaker = BreakerConfig::consecutive_failures(3).seed(plan.seed);
        let breaker = breaker.wait_duration_in_open_state(Duration::from_secs(2));
        let order = if self.without == Without::Order { Order::None } else { plan.order };
        loop {
            let producer = Arc::new(self.kafka.producer(process));
            let builder = ResilientPublisher::builder(producer, Arc::clone(&self.store) as _)
                .mode(plan.mode)
                .order(order)
                .hold(Duration::from_millis(plan.hold_ms))
                .breaker(breaker.clone())
                .relay(relay.clone())
                .owner(format!("instance {}", self.number));
            match builder.start().await {
                Ok(publisher) => return publisher,
                Err(error) => self.note(&format!("cannot start: {error}")),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Makes the calls of a life, and ends it in an orderly way.
    async fn publish_all(&self, publisher: ResilientPublisher, life: Life) {
        let mut calls = Vec::new();
        for step in &life.steps {
            sleep(Duration::from_millis(step.pause_ms)).await;
            calls.extend(self.publish(&publisher, *step).await);
        }
        match life.end {
            End::Close => publisher.close().await,
            End::Abandon => drop(publisher),
            End::Crash(_) | End::CrashAtPoll(_) => std::future::pending().await,
        }
        for call in calls {
            call.await.expect("a call does not panic");
        }
    }

    /// Publishes an event. Returns a task that waits for the outcome, if it is not known yet.
    async fn publish(&self, publisher: &ResilientPublisher, step: Step) -> Option<tokio::task::JoinHandle<()>> {
        let baton = step.key.and_then(|key| self.batons.get(self.plan.common(key)?));
        let _has_baton = match baton {
            Some(baton) => Some(baton.lock().await),
            None => None,
        };
        let id = self.world.called(self.number, step.key);
        let world = Arc::clone(&self.world);
        if step.how == How::Async && baton.is_none() {
            let call = publisher.publish_async(event(id, step.key));
            return Some(task::spawn(async move {
                let result = call.await.expect("a call does not panic");
                world.returned(id, &result);
            }));
        }
        if step.how == How::Kept {
            // Whoever has the baton next can publish already.
            return match publisher.publish_kept(event(id, step.key)).await {
                Ok(Kept::Outcome(publication)) => {
                    self.world.returned(id, &Ok(publication));
                    None
                }
                Ok(Kept::Pending(call)) => {
                    self.world.kept(id);
                    Some(task::spawn(async move {
                        let result = call.await.expect("a call does not panic");
                        world.returned(id, &result);
                    }))
                }
                Err(error) => {
                    self.world.returned(id, &Err(error));
                    None
                }
            };
        }
        let event = event(id, step.key);
        let value = value_of(id);
        let record = Record::to(&event.topic).value(&value);
        let record = if let Some(key) = &event.key { record.key(key) } else { record };
        let limit = if let How::Drop(ms) = step.how { ms } else { u64::MAX / 2 };
        let call = publisher.publish_record(Uuid::from_u128(u128::from(id)).into(), record);
        match timeout(Duration::from_millis(limit), call).await {
            Ok(result) => {
                world.returned(id, &result);
            }
            Err(_) => world.end(id, Fate::Dropped),
        }
        None
    }

    /// Publishes events of a key when all is well. Returns whether one was published directly, sooner or later.
    pub(super) async fn probe(&self, publisher: &ResilientPublisher, key: u64) -> bool {
        let end = self.world.now() + PATIENCE;
        while self.world.now() < end {
            let id = self.world.called(self.number, Some(key));
            let result = publisher.publish_async(event(id, Some(key))).await.expect("a call does not panic");
            if self.world.returned(id, &result) == Fate::Published {
                return true;
            }
            // Another instance may have the lease: it looks for new events once in an interval, and so are they counted here.
            sleep(Duration::from_millis(2 * self.plan.interval_ms + 1_000)).await;
        }
        false
    }
}

fn event(id: u64, key: Option<u64>) -> NewEvent {
    let event = NewEvent::new(Uuid::from_u128(u128::from(id)), TOPIC, value_of(id));
    if let Some(key) = key { event.key(format!("k{key}")) } else { event }
}

//! Publishers in processes of their own with a store in PostgreSQL, while processes and the server are killed and stopped.
//!
//! - [`child`]: the process that publishes
//! - [`world`]: a server, a broker that comes and goes, and the processes
//! - [`judge`]: each event that was accepted is in Kafka or in the store, and no repetition lacks its flag
//!
//! Each test has a control: the same fault, with one promise taken away, and the judge finds it. `MILENA_PG_KILLS` sets how often processes and
//! the server are killed and stopped; a few times without it.

#![cfg(unix)]

mod child;
mod judge;
mod world;

use std::env;

use milena_test_support::postgres::Postgres;

use self::{
    child::Order,
    judge::Wrong,
    world::{Process, SERVER, Weather, World, until},
};

/// Takes the marks away: nothing counts as maybe sent when a lease is taken over.
const WITHOUT_MARKS: &str = "CREATE FUNCTION forget() RETURNS trigger AS $$ BEGIN NEW.maybe_sent_up_to = 0; RETURN NEW; END $$ \
     LANGUAGE plpgsql; CREATE TRIGGER forget BEFORE UPDATE ON outbox_leases FOR EACH ROW EXECUTE FUNCTION forget()";
/// Takes the log away: the table is empty after a crash.
const WITHOUT_LOG: &str = "ALTER TABLE failed_kafka_events SET UNLOGGED";

/// Not a test of its own: what the other tests start. Without an order it has nothing to do.
#[test]
fn child() {
    let Some(order) = Order::given() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(child::publish(&order));
}

/// How often something is to happen.
fn times(default: u64) -> u64 {
    env::var("MILENA_PG_KILLS").ok().and_then(|times| times.parse().ok()).unwrap_or(default)
}

/// A number below `limit`, from a seed (SplitMix64).
fn draw(seed: u64, limit: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) % limit
}

fn is_unflagged(wrong: &[Wrong]) -> bool {
    wrong.iter().any(|wrong| matches!(wrong, Wrong::Unflagged(_)))
}

/// One process after the other is killed, some while their relays publish what is stored.
async fn kill_publishers(world: &World<'_>, kills: u64) {
    for kill in 0..kills {
        let process = world.publish();
        let (answers, drains) = (world.told(judge::Told::answers) + 1 + draw(kill, 200) as usize, kill % 3 != 0);
        let wanted = 1 + draw(kill + 7, 60);
        until(async || world.told(judge::Told::answers) >= answers).await;
        until(async || !drains || process.drained(world) >= wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_killed_while_it_stores_and_drains_loses_nothing_and_flags_what_it_repeats() {
    let world = World::start(&SERVER).await;
    kill_publishers(&world, times(6)).await;
    assert_eq!(world.judge().await, []);
    world.told(|told| assert!(told.interrupted() > 0 && !told.stored.is_empty() && !told.drained.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_marks_a_killed_publisher_repeats_events_without_a_flag() {
    let world = World::start(&SERVER).await;
    world.sql(WITHOUT_MARKS).await;
    kill_publishers(&world, 6).await;
    let wrong = world.judge().await;
    assert!(is_unflagged(&wrong), "{wrong:?}");
}

/// The server and all its processes are killed and started again, while two processes publish.
async fn kill_server(world: &World<'_>, kills: u64) {
    let publishers = [world.publish(), world.publish()];
    for kill in 0..kills {
        let stored = world.told(|told| told.stored.len()) + 50 + draw(kill, 200) as usize;
        until(async || world.told(|told| told.stored.len()) >= stored).await;
        let back = |told: &judge::Told| told.refused.len() + told.doubtful.len();
        let before = world.told(back);
        world.server.kill();
        // The fault bites: events can neither be published now and then, nor stored.
        until(async || world.told(back) > before).await;
        world.server.begin();
    }
    let stored = world.told(|told| told.stored.len());
    until(async || world.told(|told| told.stored.len()) > stored).await;
    for publisher in publishers {
        publisher.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_loses_nothing_and_repetitions_are_flagged() {
    let server = Postgres::start();
    let world = World::start(&server).await;
    kill_server(&world, times(3)).await;
    assert_eq!(world.judge().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_log_a_killed_server_loses_events() {
    let server = Postgres::start();
    let world = World::start(&server).await;
    world.sql(WITHOUT_LOG).await;
    world.set_weather(Weather::Away);
    kill_server(&world, 1).await;
    let wrong = world.judge().await;
    assert!(wrong.iter().any(|wrong| matches!(wrong, Wrong::Lost(_))), "{wrong:?}");
}

/// One process is stopped for longer than its lease while it sends, the other takes over, and the first goes on.
async fn stop_publishers(world: &World<'_>, times: u64) {
    let mut processes = [world.publish(), world.publish()];
    for _ in 0..times {
        let [one, other] = &processes;
        let has_some = async |process: &Process, least| world.buckets(process).await >= least;
        until(async || has_some(one, 1).await && has_some(other, 1).await).await;
        let drained = one.drained(world);
        until(async || one.drained(world) > drained).await;
        one.freeze(true);
        until(async || has_some(other, 16).await).await;
        let answers = world.told(judge::Told::answers);
        one.freeze(false);
        until(async || world.told(judge::Told::answers) > answers + 20).await;
        processes.reverse();
    }
    for process in processes {
        process.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_was_stopped_for_longer_than_its_lease_is_fenced_and_loses_nothing() {
    let world = World::start(&SERVER).await;
    stop_publishers(&world, times(3)).await;
    assert_eq!(world.judge().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_marks_events_of_a_stopped_publisher_are_repeated_without_a_flag() {
    let world = World::start(&SERVER).await;
    world.sql(WITHOUT_MARKS).await;
    stop_publishers(&world, 3).await;
    let wrong = world.judge().await;
    assert!(is_unflagged(&wrong), "{wrong:?}");
}

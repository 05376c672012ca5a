//! Gateways that are ended and killed under load, and the judge of what they had said.
//!
//! `MILENA_GATEWAY_KILLS=20` has each kind run so often: `crates/gateway/tests/kills/run`.

mod clients;
mod judge;

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use self::{
    clients::{Clients, ask},
    judge::{Answer, Log, Promise, Request, State, judge},
};
use crate::support::{Broker, Process, Scratch};

const TOPIC: &str = "bhf-transactions";
/// For so long another process leaves a record alone that a killed one may have been sending, and five seconds more.
const SHORT: [&str; 6] = ["-X", "request.timeout.ms=500", "-X", "delivery.timeout.ms=1000", "-X", "max.block.ms=500"];
/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// A number below `limit` (SplitMix64).
fn draw(state: &mut u64, limit: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit
}

fn runs() -> u64 {
    std::env::var("MILENA_GATEWAY_KILLS").map_or(2, |runs| runs.parse().expect("MILENA_GATEWAY_KILLS is a number"))
}

fn broker() -> Broker {
    Broker::start(&["--topic", &format!("{TOPIC}:3")])
}

/// A gateway, and where it is.
struct Gateway {
    process: Process,
    address: String,
    _folder: Scratch,
}

impl Gateway {
    fn start(broker: &Broker, more: &[&str]) -> Self {
        let folder = Scratch::new();
        let args = [&["serve", "--port", "0", "-b", &broker.bootstrap], more, &SHORT].concat();
        let mut process = Process::start(&folder, &args);
        let address = process.address("http://");
        Self { process, address, _folder: folder }
    }
}

/// All records with an event id: where each is.
fn log(broker: &Broker) -> Log {
    let mut log = Log::new();
    for record in broker.read(TOPIC) {
        let value: serde_json::Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
        let place = (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap());
        log.entry(value["eventId"].as_str().unwrap().to_owned()).or_default().push(place);
    }
    log
}

/// What became of each request that was accepted, once it is final.
fn states(address: &str, requests: &mut [Request]) {
    let deadline = Instant::now() + PATIENCE;
    for request in requests {
        let Answer::Accepted(id) = &request.answer else { continue };
        request.state = loop {
            let state = ask(address, id);
            if !matches!(state, State::Open(_)) || Instant::now() > deadline {
                break Some(state);
            }
            sleep(Duration::from_millis(20));
        };
    }
}

/// How often what was answered.
fn counts(requests: &[Request]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    requests.iter().for_each(|request| *counts.entry(request.answer.name()).or_default() += 1);
    counts
}

/// Ends a gateway by a signal while clients send to it, at moments drawn from seeds; every other time while the broker stands still.
/// Returns all requests, how many of those accepted are not in the log, and what was promised and not kept.
fn end_under_load(signal: &str, has_store: bool) -> (Vec<Request>, usize, Vec<String>) {
    let promise = match (signal, has_store) {
        (_, true) => Promise::FinalState,
        ("TERM", false) => Promise::Delivered,
        _ => Promise::Nothing,
    };
    let (mut all, mut lost, mut broken) = (Vec::new(), 0, Vec::new());
    for seed in 0..runs() {
        let mut state = seed;
        let (broker, folder) = (broker(), Scratch::new());
        let store = folder.path().join("events.db");
        let store = if has_store { vec!["--store", store.to_str().unwrap()] } else { Vec::new() };
        let gateway = Gateway::start(&broker, &store);
        let clients = Clients::start(&gateway.address, 6);
        clients.wait_for(12);
        sleep(Duration::from_millis(draw(&mut state, 500)));
        let stands_still = seed % 2 == 1;
        if stands_still {
            broker.process().signal("STOP");
            sleep(Duration::from_millis(50 + draw(&mut state, 150)));
        }
        gateway.process.signal(signal);
        sleep(Duration::from_millis(100));
        if stands_still {
            broker.process().signal("CONT");
        }
        let ran = gateway.process.wait();
        assert!(signal == "KILL" || ran.code == Some(0), "{}", ran.stderr);
        let mut requests = clients.end();
        if has_store {
            let second = Gateway::start(&broker, &store);
            states(&second.address, &mut requests);
            second.process.signal("TERM");
            second.process.wait().expect(0);
        }
        let log = log(&broker);
        broken.extend(judge(promise, &requests, &log).into_iter().map(|what| format!("run {seed}: {what}")));
        let is_lost = |request: &&Request| request.is_accepted() && !log.contains_key(&request.event_id);
        lost += requests.iter().filter(is_lost).count();
        all.extend(requests);
    }
    eprintln!(
        "{signal}, store {has_store}: {} runs, {:?}, {lost} of those accepted are not in the log",
        runs(),
        counts(&all)
    );
    (all, lost, broken)
}

#[track_caller]
fn check((requests, lost, broken): (Vec<Request>, usize, Vec<String>)) -> usize {
    assert_eq!(broken, [""; 0]);
    let counts = counts(&requests);
    for answer in ["written", "accepted"] {
        assert!(counts.get(answer).is_some_and(|count| *count > 20), "{counts:?}");
    }
    lost
}

#[test]
fn a_gateway_that_is_told_to_end_under_load_delivers_what_it_has_accepted() {
    assert_eq!(check(end_under_load("TERM", false)), 0);
}

#[test]
fn a_gateway_that_is_killed_under_load_has_acknowledged_nothing_that_is_not_in_the_log() {
    // That is all it has promised: without a store what was accepted can be lost.
    let lost = check(end_under_load("KILL", false));
    assert!(lost > 0, "a kill that loses nothing shows nothing");
}

#[test]
#[cfg(feature = "sqlite")]
fn with_a_store_a_gateway_that_is_told_to_end_under_load_gives_each_accepted_request_its_final_state() {
    assert_eq!(check(end_under_load("TERM", true)), 0);
}

#[test]
#[cfg(feature = "sqlite")]
fn with_a_store_a_gateway_that_is_killed_under_load_gives_each_accepted_request_its_final_state() {
    assert_eq!(check(end_under_load("KILL", true)), 0);
}

#[test]
#[cfg(feature = "postgres-tests")]
fn of_two_gateways_on_one_postgresql_one_answers_for_the_other_that_was_killed() {
    use milena_resilience::store::{Store, postgres::PostgresStore};

    use crate::support::POSTGRES;

    for seed in 0..runs().div_ceil(2) {
        let broker = broker();
        let schema = format!("kills_{}_{seed}", std::process::id());
        let store = format!("{}?options=-csearch_path%3D{schema}", POSTGRES.uri());
        let opened = PostgresStore::builder(POSTGRES.uri()).schema(&schema);
        tokio::runtime::Runtime::new().unwrap().block_on(async { opened.open().await.unwrap().close().await }).unwrap();
        let [first, second] = [0, 1].map(|_| Gateway::start(&broker, &["--store", &store]));
        let [of_first, of_second] = [&first, &second].map(|gateway| Clients::start(&gateway.address, 3));
        of_first.wait_for(30);
        broker.process().signal("STOP");
        sleep(Duration::from_millis(200));
        first.process.signal("KILL");
        drop(first.process.wait());
        broker.process().signal("CONT");
        sleep(Duration::from_millis(100));
        let mut requests = of_first.end();
        requests.extend(of_second.end());
        states(&second.address, &mut requests);
        assert_eq!(judge(Promise::FinalState, &requests, &log(&broker)), [""; 0]);
        eprintln!("two gateways: {:?}", counts(&requests));
        second.process.signal("TERM");
        second.process.wait().expect(0);
    }
}

/// Clients send as fast as they can to a gateway with little memory, while the broker stands still half of the time.
#[test]
fn under_more_load_than_it_can_take_a_gateway_says_so_and_keeps_what_it_accepts() {
    let broker = broker();
    let gateway =
        Gateway::start(&broker, &["-X", "buffer.memory=16384", "-X", "batch.size=1024", "--max-statuses", "5000000"]);
    let clients = Clients::start(&gateway.address, 16);
    // 30 seconds with 20 runs.
    let until = Instant::now() + Duration::from_millis(1_500 * runs());
    while Instant::now() < until {
        for signal in ["STOP", "CONT"] {
            broker.process().signal(signal);
            sleep(Duration::from_millis(100));
        }
    }
    let mut requests = clients.end();
    states(&gateway.address, &mut requests);
    assert_eq!(judge(Promise::FinalState, &requests, &log(&broker)), [""; 0]);
    let counts = counts(&requests);
    assert!(
        ["accepted", "too many"].iter().all(|answer| counts.get(answer).is_some_and(|count| *count > 20)),
        "{counts:?}"
    );
    let mut took: Vec<_> = requests.iter().filter(|it| it.is_accepted()).map(|it| it.took).collect();
    took.sort();
    eprintln!("overload: {counts:?}, p99 of those accepted {:?}", took[took.len() * 99 / 100]);
    gateway.process.signal("TERM");
    gateway.process.wait().expect(0);
}

//! Stores events with milena-resilience and drains them, or does the least that a database takes for the same. `benches/outbox/run` calls it:
//!
//! | command | what it prints |
//! |---|---|
//! | `cycle STORE ROWS PUBLISHERS HOST:PORT` | `stored=R/s group=N first_ms=T drained=R/s` |
//! | `floor STORE ROWS GROUP` | `inserted=R/s deleted=R/s` |
//! | `fresh STORE ROWS PER_SECOND HOST:PORT` | `calm_p50_ms=T … beside_p99_ms=T … drained=R/s` |
//! | `closed direct\|publisher HOST:PORT RECORDS TASKS` | `published=R/s` |
//!
//! `STORE` is `sqlite:PATH` or `postgres:CONNECTION`. See `benches/outbox/README.md`.

mod closed;
mod cycle;
mod events;
mod floor;
mod fresh;
mod place;

use std::{env, error::Error};

use place::Place;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["cycle", store, rows, publishers, sink] => {
            cycle::run(&Place::parse(store)?, rows.parse()?, publishers.parse()?, sink).await
        }
        ["floor", store, rows, group] => floor::run(&Place::parse(store)?, rows.parse()?, group.parse()?).await,
        ["fresh", store, rows, per_second, sink] => {
            fresh::run(&Place::parse(store)?, rows.parse()?, per_second.parse()?, sink).await
        }
        ["closed", mode, sink, records, tasks] => closed::run(mode, sink, records.parse()?, tasks.parse()?).await,
        _ => Err(format!("expected cycle, floor, fresh or closed with its arguments, got {args:?}").into()),
    }
}

/// How many a second.
fn rate(count: usize, start: std::time::Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

//! What only the store in PostgreSQL can do wrong.

mod commits;
mod instances;
mod outages;
mod proxy;
mod publishers;
mod relays;
mod tables;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use milena_test_support::postgres::Postgres;
use tokio_postgres::{Client, NoTls};

use super::setup::{Factory, Setup};
use crate::store::{
    Store,
    postgres::{PostgresStore, PostgresStoreBuilder},
};

conformance!(Schemas);

/// The server of all tests that do it no harm.
static SERVER: LazyLock<Postgres> = LazyLock::new(Postgres::start);

/// A connection, as anybody would have one.
async fn connect(server: &Postgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// Waits until something is so. A test that would wait for ever fails.
async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), waiting).await.expect("it becomes so");
}

/// A schema that no other test has.
fn new_schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("Schema {}", COUNT.fetch_add(1, Ordering::SeqCst))
}

fn builder(server: &Postgres, schema: &str) -> PostgresStoreBuilder {
    // The machine may be busy.
    let limit = Duration::from_mins(1);
    PostgresStore::builder(server.url()).schema(schema).connect_timeout(limit).timeout(limit)
}

/// Stores in schemas of one server.
struct Schemas;

impl Factory for Schemas {
    async fn open(&self, setup: &Setup) -> Box<dyn Store> {
        let clock = setup.clock.clone();
        let builder = builder(&SERVER, &new_schema()).quota(setup.quota).clock(move || clock.now());
        let builder = match setup.retention {
            Some(retention) => builder.retention(retention),
            None => builder,
        };
        Box::new(builder.open().await.unwrap())
    }
}

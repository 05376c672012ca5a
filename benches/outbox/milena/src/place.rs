//! Where events are stored: a SQLite file, or PostgreSQL.

use std::{path::PathBuf, sync::Arc};

use milena_resilience::store::{Quota, Store, postgres::PostgresStore, sqlite::SqliteStore};
use rusqlite::Connection;
use tokio_postgres::{Client, NoTls};

use crate::Failure;

/// The schema of PostgreSQL that the tables are in. The runner drops it.
pub const SCHEMA: &str = "milena_bench";

pub enum Place {
    Sqlite(PathBuf),
    /// How to connect.
    Postgres(String),
}

impl Place {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once(':') {
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("postgres", connection)) => Ok(Self::Postgres(connection.to_owned())),
            _ => Err("expected sqlite:PATH or postgres:CONNECTION".into()),
        }
    }

    /// The store, with its defaults, but without a limit.
    pub async fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        let quota = Quota { max_rows: u64::MAX, max_bytes: u64::MAX };
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::builder(path).quota(quota).open().await?),
            Self::Postgres(url) => Arc::new(PostgresStore::builder(url).schema(SCHEMA).quota(quota).open().await?),
        })
    }

    /// How many transactions the store has written.
    pub async fn commits(&self) -> Result<usize, Failure> {
        let sql = "SELECT sum(commits) FROM outbox_counters";
        let commits: i64 = match self {
            Self::Sqlite(path) => Connection::open(path)?.query_row(sql, [], |row| row.get(0))?,
            Self::Postgres(url) => {
                connect(url).await?.query_one(&sql.replace("(commits)", "(commits)::bigint"), &[]).await?.try_get(0)?
            }
        };
        Ok(usize::try_from(commits)?)
    }
}

/// A connection of PostgreSQL with the store's tables.
pub async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, task) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move { drop(task.await) });
    client.batch_execute(&format!("SET search_path = {SCHEMA}")).await?;
    Ok(client)
}

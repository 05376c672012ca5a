//! One connection, and the statements that it has prepared.
//!
//! In: statements with their values. Out: rows.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::task::AbortHandle;
use tokio_postgres::{
    Client, Error, Row, Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::schema::Lock;

/// A connection.
pub(super) struct Session {
    client: Client,
    task: AbortHandle,
    statements: Mutex<HashMap<String, Statement>>,
    /// Tells the locks of this schema from those of others.
    schema: i32,
}

impl Session {
    pub(super) fn new(client: Client, task: AbortHandle, schema: i32) -> Self {
        Self { client, task, statements: Mutex::default(), schema }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the connection without a word. What the server still does for it ends as well.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    /// Carries out statements without values and answers.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.client.query(&self.prepared(sql).await?, values).await
    }

    pub(super) async fn query_one(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.client.query_one(&self.prepared(sql).await?, values).await
    }

    /// Returns how many rows were changed.
    pub(super) async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.client.execute(&self.prepared(sql).await?, values).await
    }

    /// Begins to copy rows into a table, whose columns have these types.
    pub(super) async fn copy(&self, sql: &str, types: &[Type]) -> Result<BinaryCopyInWriter, Error> {
        Ok(BinaryCopyInWriter::new(self.client.copy_in(&self.prepared(sql).await?).await?, types))
    }

    /// Takes this lock until the end of the transaction, as text.
    pub(super) fn locking(&self, lock: Lock) -> String {
        format!("SELECT pg_advisory_xact_lock({}, {})", lock.number(), self.schema)
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

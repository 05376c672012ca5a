//! What only the store in a file can do wrong.

mod commits;
mod files;
mod load;

use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::setup::{Factory, Setup};
use crate::store::{
    Store,
    sqlite::{SqliteStore, SqliteStoreBuilder},
};

conformance!(Files::new());

/// Stores in files of one folder, which is removed at the end.
struct Files {
    folder: TempDir,
    /// How many stores were opened; each has a file of its own.
    opened: AtomicUsize,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), opened: AtomicUsize::new(0) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A store in a file of this name. It keeps little space, to be quick.
    fn builder(&self, name: &str) -> SqliteStoreBuilder {
        SqliteStore::builder(self.path(name)).reserve(1 << 16)
    }

    async fn store(&self) -> SqliteStore {
        self.builder("store.db").open().await.unwrap()
    }

    /// The file, as anybody would open it.
    fn look(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("store.db")).unwrap()
    }
}

impl Factory for Files {
    async fn open(&self, setup: &Setup) -> Box<dyn Store> {
        let clock = setup.clock.clone();
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let builder = self.builder(&format!("{number}.db")).quota(setup.quota).clock(move || clock.now());
        let builder = match setup.retention {
            Some(retention) => builder.retention(retention),
            None => builder,
        };
        Box::new(builder.open().await.unwrap())
    }
}

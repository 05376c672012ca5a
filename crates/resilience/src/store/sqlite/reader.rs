//! Reads beside the writer: a connection and a thread of its own.
//!
//! In: calls that read. Out: their answers. Each is one short transaction, so that the log can be written back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{open::for_reading, options::Options};
use crate::store::{StoreError, StoreErrorKind};

/// A call that reads.
#[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
struct Read(Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>);

/// The reading connection, if it is open. Whoever holds the lock keeps it closed.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadConnection(Arc<Mutex<Option<Connection>>>);

impl ReadConnection {
    /// Closes it until the guard is dropped. The next call opens it again.
    pub(super) fn closed(&self) -> MutexGuard<'_, Option<Connection>> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *connection = None;
        connection
    }

    fn perform(&self, options: &Options, Read(read): Read) {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_none() {
            match for_reading(options) {
                Ok(opened) => *connection = Some(opened),
                Err(error) => return read(Err(error)),
            }
        }
        read(connection.as_ref().ok_or_else(StoreError::closed));
    }
}

/// Passes calls to the reading thread.
#[derive(Debug)]
pub(super) struct Reader(mpsc::Sender<Read>);

impl Reader {
    /// Starts the thread. It ends when this is dropped, or closed.
    pub(super) fn start(options: Arc<Options>, connection: ReadConnection) -> Result<Self, StoreError> {
        let (sender, mut receiver) = mpsc::channel::<Read>(64);
        let run = move || {
            while let Some(read) = receiver.blocking_recv() {
                connection.perform(&options, read);
            }
            drop(connection.closed());
        };
        thread::Builder::new().name("milena-store-read".into()).spawn(run).map_err(|error| {
            let text = format!("no thread can be started: {error}");
            StoreError::new(StoreErrorKind::Unavailable, text, "raise the limit on threads")
        })?;
        Ok(Self(sender))
    }

    /// Reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let read = move |connection: Result<&Connection, StoreError>| {
            // Whoever dropped the call does not want to know.
            let _ = reply.send(connection.and_then(work));
        };
        self.0.send(Read(Box::new(read))).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }
}

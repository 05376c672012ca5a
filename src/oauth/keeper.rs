//! Keeps the newest token.
//!
//! In: who gets tokens. Out: each new token, and each failure to get one. A task that does nothing but wait and ask. It ends with the [`Keeper`] that
//! it reports to. A token that is the same as the last one counts as the last one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "admin")]
use tokio::sync::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
    time::sleep_until,
};

use super::{
    retriever::{Retrieved, Retriever},
    schedule::pause,
};
use crate::{config::Config, sasl::Credentials};

/// A source is not asked again sooner because a broker did not accept what it gave.
const BETWEEN: Duration = Duration::from_millis(500);

/// What became of an attempt.
type Update = Result<Arc<Credentials>, Arc<str>>;

/// Where tokens come from, if they say who the client is.
#[derive(Debug)]
pub(crate) struct Tokens(Option<Source>);

#[derive(Debug)]
struct Source {
    retriever: Arc<Retriever>,
    /// The last token of a client without a task.
    #[cfg(feature = "admin")]
    last: Mutex<Option<Retrieved>>,
}

impl Tokens {
    /// Tokens do not say who the client is.
    #[cfg(feature = "admin")]
    pub(crate) const NONE: Self = Self(None);

    /// Reads the files that are needed to get tokens.
    ///
    /// # Errors
    /// Every violation.
    pub(crate) async fn open(config: &Config) -> Result<Self, Vec<String>> {
        let Some(settings) = config.tokens.clone() else { return Ok(Self(None)) };
        let retriever = Arc::new(Retriever::open(settings).await?);
        Ok(Self(Some(Source {
            retriever,
            #[cfg(feature = "admin")]
            last: Mutex::new(None),
        })))
    }

    /// Starts the task that keeps a token.
    pub(crate) fn keep(self, runtime: &Handle) -> Keeper {
        let (updates, tokens) = mpsc::channel(1);
        let keeper = Keeper { tokens, renew: Arc::new(Notify::new()) };
        if let Some(source) = self.0 {
            runtime.spawn(keep(source.retriever, updates, Arc::clone(&keeper.renew)));
        }
        keeper
    }

    /// What to authenticate with: the last token, or a new one where that is due. The last one is used while a new one cannot be had.
    ///
    /// # Errors
    /// Why there is no valid token.
    #[cfg(feature = "admin")]
    pub(crate) async fn credentials(&self) -> Result<Option<Arc<Credentials>>, Arc<str>> {
        let Some(source) = &self.0 else { return Ok(None) };
        let mut last = source.last.lock().await;
        let now = Instant::now();
        if let Some(last) = last.as_ref().filter(|last| now < last.refresh_at) {
            return Ok(Some(Arc::clone(&last.credentials)));
        }
        match source.retriever.retrieve().await {
            Ok(retrieved) => *last = Some(retrieved),
            Err(why) if left(last.as_ref()).is_zero() => return Err(why),
            Err(why) => tracing::warn!(why = &*why, "no new token; the last one is used"),
        }
        Ok(last.as_ref().map(|last| Arc::clone(&last.credentials)))
    }

    /// A broker does not accept the last token, so it is not used again.
    #[cfg(feature = "admin")]
    pub(crate) async fn forget(&self) {
        if let Some(source) = &self.0 {
            *source.last.lock().await = None;
        }
    }
}

/// The task's other end.
#[derive(Debug)]
pub(crate) struct Keeper {
    tokens: mpsc::Receiver<Update>,
    renew: Arc<Notify>,
}

impl Keeper {
    /// The next token, or why there is none. `None` if there will never be one, because the client has no use for it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        self.tokens.recv().await
    }

    /// A broker does not accept the last token: another one is asked for soon.
    pub(crate) fn renew(&self) {
        self.renew.notify_one();
    }
}

async fn keep(retriever: Arc<Retriever>, updates: mpsc::Sender<Update>, renew: Arc<Notify>) {
    let (mut last, mut failures) = (None, 0_u32);
    loop {
        let (version, since) = (retriever.version().await, Instant::now());
        let retrieved = tokio::select! {
            retrieved = retriever.retrieve() => retrieved,
            () = updates.closed() => return,
        };
        let (update, next) = match retrieved {
            Ok(retrieved) => {
                failures = 0;
                let kept = newest(last.take(), retrieved);
                let update = (Ok(Arc::clone(&kept.credentials)), kept.refresh_at);
                last = Some(kept);
                update
            }
            Err(why) => {
                failures = failures.saturating_add(1);
                let pause = pause(failures, retriever.settings.backoff, left(last.as_ref()), retriever.luck());
                (Err(why), Instant::now() + pause)
            }
        };
        if updates.send(update).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep_until(next.into()) => {}
            () = retriever.changed(&version) => {}
            () = renew.notified() => sleep_until((since + BETWEEN).into()).await,
            () = updates.closed() => return,
        }
    }
}

/// A token that is the same as the last one keeps its credentials, by which others recognise it, and gets the time when it is due next.
fn newest(last: Option<Retrieved>, new: Retrieved) -> Retrieved {
    match last {
        Some(last) if last.token == new.token => Retrieved { refresh_at: new.refresh_at, ..last },
        _ => new,
    }
}

/// How long a token is valid.
fn left(last: Option<&Retrieved>) -> Duration {
    let until = last.map(|last| last.credentials.valid_until);
    match until {
        None => Duration::ZERO,
        Some(None) => Duration::MAX,
        Some(Some(until)) => until.saturating_duration_since(Instant::now()),
    }
}

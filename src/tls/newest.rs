//! What is made of files that may change while it is used.
//!
//! In: what the files hold now, and how something is made of it. Out: the newest that is valid. Waits for nothing but its lock. Deliberately
//! absent: when files are read, which is the owner's.

use std::sync::{Arc, Mutex, PoisonError};

/// The newest valid configuration.
pub(super) struct Newest<T, C>(Mutex<Current<T, C>>);

struct Current<T, C> {
    config: Arc<C>,
    /// The texts that it is made of.
    texts: T,
    /// Why newer ones cannot be used.
    complaint: Vec<String>,
}

impl<T: PartialEq, C> Newest<T, C> {
    pub(super) fn new(config: Arc<C>, texts: T) -> Self {
        Self(Mutex::new(Current { config, texts, complaint: Vec::new() }))
    }

    pub(super) fn get(&self) -> Arc<C> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Takes over what was read, if it has changed and is valid. Otherwise the last valid one stays; why is told once.
    pub(super) fn renew(
        &self,
        read: Result<T, Vec<String>>,
        make: impl FnOnce(&T) -> Result<Arc<C>, Vec<String>>,
    ) -> Arc<C> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match read {
            Ok(texts) if texts == current.texts => return Arc::clone(&current.config),
            Ok(texts) => make(&texts).map(|config| (config, texts)),
            Err(violations) => Err(violations),
        };
        match made {
            Ok((config, texts)) => {
                tracing::info!("certificates have changed, and new connections use them");
                *current = Current { config, texts, complaint: Vec::new() };
            }
            Err(complaint) if complaint != current.complaint => {
                tracing::warn!(
                    "certificates have changed and cannot be used, so the last ones stay: {}",
                    complaint.join("; ")
                );
                current.complaint = complaint;
            }
            Err(_) => {}
        }
        Arc::clone(&current.config)
    }
}

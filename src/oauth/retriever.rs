//! Gets one token.
//!
//! In: settings. Out: credentials with the time until which they are valid and the one when they are to be replaced, or why there are none. Does input
//! and output. An error names the source and says what to look at. It has no part of a token or secret.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::schedule::refresh_after;
#[cfg(feature = "oidc")]
use super::{endpoint, http::Client};
use crate::{
    config::tokens::{Origin, TokenSettings, Unsecured},
    sasl::{
        Credentials, jwt,
        token::{Token, TokenError, TokenSource},
    },
    wire::text::printable,
};

/// No file with a token is larger, in bytes.
const LARGEST_FILE: u64 = 512 * 1024;
/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A token, and when to get another one.
#[derive(Clone, Debug)]
pub(super) struct Retrieved {
    pub(super) credentials: Arc<Credentials>,
    pub(super) token: Token,
    pub(super) refresh_at: Instant,
}

/// When a file was changed, and how long it is.
type Version = Option<(SystemTime, u64)>;

/// Who gets tokens.
#[derive(Debug)]
pub(super) struct Retriever {
    pub(super) settings: Arc<TokenSettings>,
    #[cfg(feature = "oidc")]
    client: Option<Client>,
    chance: RandomState,
    drawn: AtomicU64,
}

impl Retriever {
    /// Reads the files that the provider's certificates are in.
    ///
    /// # Errors
    /// Every violation.
    #[cfg_attr(not(feature = "oidc"), expect(clippy::unused_async, reason = "only a provider has certificates"))]
    pub(super) async fn open(settings: Arc<TokenSettings>) -> Result<Self, Vec<String>> {
        Ok(Self {
            #[cfg(feature = "oidc")]
            client: match &settings.origin {
                Origin::Endpoint(endpoint) => Some(Client::open(Arc::clone(endpoint)).await?),
                _ => None,
            },
            settings,
            chance: RandomState::new(),
            drawn: AtomicU64::new(0),
        })
    }

    /// A number from 0 to 1 that differs between processes, so that they do not ask in step.
    pub(super) fn luck(&self) -> f64 {
        let drawn = self.chance.hash_one(self.drawn.fetch_add(1, Relaxed));
        f64::from(u32::try_from(drawn >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// Gets a token, within the time that the source has.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    pub(super) async fn retrieve(&self) -> Result<Retrieved, Arc<str>> {
        let patience = self.settings.patience;
        let late = || Err(TokenError::new(format!("no answer within {} ms", patience.as_millis())));
        let token = timeout(patience, self.token()).await.unwrap_or_else(|_| late());
        let retrieved = token.and_then(|token| self.timed(token, Instant::now(), SystemTime::now()));
        retrieved.map_err(|error| format!("{}: {error}", self.source()).into())
    }

    /// Where tokens come from, in words.
    fn source(&self) -> String {
        match &self.settings.origin {
            Origin::Code(_) => "the program's source of tokens".to_owned(),
            Origin::File(path) => format!("the file {}", path.display()),
            Origin::Unsecured(_) => "the client's own tokens".to_owned(),
            #[cfg(feature = "oidc")]
            Origin::Endpoint(endpoint) => endpoint.name.clone(),
        }
    }

    async fn token(&self) -> Result<Token, TokenError> {
        let token = match &self.settings.origin {
            Origin::Code(source) => ask(Arc::clone(source)).await,
            Origin::File(path) => {
                let text = read(path.clone()).await?;
                self.jwt(text.trim())
            }
            Origin::Unsecured(unsecured) => made(unsecured, SystemTime::now()),
            #[cfg(feature = "oidc")]
            Origin::Endpoint(endpoint) => {
                let Some(client) = &self.client else { return Err(TokenError::new("the producer is not open")) };
                let answer = client.post(endpoint::request(endpoint)?).await.map_err(TokenError::new)?;
                let issued = endpoint::issued(&answer).map_err(TokenError::new)?;
                let token = self.jwt(&issued.token)?;
                Ok(match issued.expires_in.and_then(|left| SystemTime::now().checked_add(left)) {
                    // Counted from now, it does not depend on whose clock is right.
                    Some(at) => token.expires_at(at),
                    None => token,
                })
            }
        }?;
        self.settings.extensions.iter().try_fold(token, |token, (name, value)| token.extension(name, value))
    }

    fn jwt(&self, text: &str) -> Result<Token, TokenError> {
        Token::jwt_with(text, &self.settings.scope_claim, &self.settings.sub_claim)
    }

    /// Until when the token is valid by the clock that does not jump.
    fn timed(&self, token: Token, now: Instant, wall: SystemTime) -> Result<Retrieved, TokenError> {
        let (age, left) = token.life(wall);
        if left.is_zero() {
            return Err(TokenError::new(
                "the token that it gave has expired by this machine's clock: check the clock, and how long tokens live",
            ));
        }
        let valid_until = now.checked_add(left);
        let after = refresh_after(&self.settings.refresh, age, left, self.luck());
        let refresh_at = now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(86_400));
        let credentials = Arc::new(Credentials::of_token(&token, valid_until));
        Ok(Retrieved { credentials, token, refresh_at })
    }

    /// The version of the file, if tokens come from one.
    pub(super) async fn version(&self) -> Version {
        let Origin::File(path) = &self.settings.origin else { return None };
        let path = path.clone();
        spawn_blocking(move || version(&path)).await.ok().flatten()
    }

    /// Resolves when the file has another version than this. Never, if tokens do not come from a file.
    pub(super) async fn changed(&self, last: &Version) {
        loop {
            sleep(LOOK).await;
            if self.version().await != *last {
                return;
            }
        }
    }
}

fn version(path: &Path) -> Version {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Asks the program's source. A panic in it is a failure like others.
async fn ask(source: Arc<dyn TokenSource>) -> Result<Token, TokenError> {
    let mut asking = JoinSet::new();
    asking.spawn(async move { source.token().await });
    let panicked = || Err(TokenError::new("it panicked, or the runtime is shutting down"));
    let answer = asking.join_next().await.and_then(Result::ok).unwrap_or_else(panicked);
    // It may say what somebody else said to it.
    answer.map_err(|error| TokenError::new(printable(&error.to_string())))
}

async fn read(path: PathBuf) -> Result<String, TokenError> {
    let read = spawn_blocking(move || {
        let mut text = String::new();
        File::open(path)?.take(LARGEST_FILE).read_to_string(&mut text).map(|_| text)
    });
    let text = read.await.map_err(|_| TokenError::new("the runtime is shutting down"))?;
    text.map_err(|error| TokenError::new(format!("it cannot be read: {error}")))
}

/// A token that the client makes itself.
fn made(unsecured: &Unsecured, now: SystemTime) -> Result<Token, TokenError> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut claims = unsecured.claims.clone();
    claims.insert("iat".to_owned(), Value::from(now.as_secs_f64()));
    claims.insert("exp".to_owned(), Value::from((now + unsecured.lifetime).as_secs_f64()));
    Token::jwt(jwt::unsigned(&claims))
}

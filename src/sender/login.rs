//! Who the producer says it is: a password, which never changes, or the last token, which ends.
//!
//! In: tokens, or why none could be had. Out: what can be authenticated with now. Pure. Deliberately absent: where tokens come from, and when
//! they are refreshed, which is the keeper's (`oauth/keeper`). The last token stays when another one cannot be had, for as long as it is valid.

use std::{sync::Arc, time::Instant};

use super::Cause;
use crate::{config::Config, error::ErrorCode, sasl::Credentials};

/// Who the producer says it is.
#[derive(Debug)]
pub(crate) struct Login {
    credentials: Option<Arc<Credentials>>,
    has_tokens: bool,
    /// Why the last attempt to get a token failed, if it did.
    failure: Option<Arc<str>>,
}

impl Login {
    pub(crate) fn new(config: &Config) -> Self {
        Self { credentials: config.credentials.clone(), has_tokens: config.has_tokens(), failure: None }
    }

    /// Whether it is said at all.
    pub(crate) fn is_wanted(&self) -> bool {
        self.has_tokens || self.credentials.is_some()
    }

    /// Whether by tokens.
    pub(crate) fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// What to authenticate with; `None` while there is no valid token.
    pub(crate) fn credentials(&self, now: Instant) -> Option<&Arc<Credentials>> {
        self.credentials.as_ref().filter(|credentials| credentials.valid_until.is_none_or(|until| now < until))
    }

    /// Whether a connection can be of use: not while there is nothing to authenticate with.
    pub(crate) fn may_connect(&self, now: Instant) -> bool {
        !self.is_wanted() || self.credentials(now).is_some()
    }

    /// There is a token, or none could be had. Returns whether it is another one than before.
    pub(crate) fn take(&mut self, token: Result<Arc<Credentials>, Arc<str>>) -> bool {
        match token {
            Ok(credentials) => {
                self.failure = None;
                let before = self.credentials.replace(Arc::clone(&credentials));
                before.is_none_or(|before| !Arc::ptr_eq(&before, &credentials))
            }
            Err(why) => {
                self.failure = Some(why);
                false
            }
        }
    }

    /// Whether these are what is authenticated with now. Tokens end, and are replaced.
    pub(crate) fn is_current(&self, used: &Arc<Credentials>, now: Instant) -> bool {
        self.credentials(now).is_some_and(|current| Arc::ptr_eq(current, used))
    }

    /// Why there is nothing to authenticate with, if that is so. It is a refusal only if the source has failed: one that is being asked, as behind
    /// a pause of the whole process, may give a token in a moment.
    pub(crate) fn lack(&self, now: Instant) -> Option<Cause> {
        if self.may_connect(now) {
            return None;
        }
        Some(match (&self.failure, &self.credentials) {
            (Some(why), _) => Cause {
                code: ErrorCode::SASL_AUTHENTICATION_FAILED,
                why: format!("there is no valid token: {why}").into(),
            },
            (None, Some(_)) => Cause::network("the token has expired, and its source has not given another one yet"),
            (None, None) => Cause::network("the source of tokens has not given one yet"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ProducerBuilder, sasl::Mechanism, secret::Secret};

    fn token(valid_until: Instant) -> Arc<Credentials> {
        let mut credentials = Credentials::new(Mechanism::Plain, "alice", Secret::new("token"));
        credentials.valid_until = Some(valid_until);
        Arc::new(credentials)
    }

    #[test]
    fn a_source_that_has_not_failed_is_waited_for_and_one_that_has_is_a_refusal() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut login = Login { credentials: None, has_tokens: true, failure: None };
        let code = |login: &Login, at| login.lack(at).map(|cause| cause.code);
        assert_eq!(code(&login, start), Some(ErrorCode::NETWORK_EXCEPTION));
        login.take(Ok(token(start + second)));
        assert_eq!([0, 1].map(|s| code(&login, start + s * second)), [None, Some(ErrorCode::NETWORK_EXCEPTION)]);
        login.take(Err("down".into()));
        assert_eq!(code(&login, start + second), Some(ErrorCode::SASL_AUTHENTICATION_FAILED));
    }

    #[test]
    fn a_token_that_has_ended_or_was_replaced_is_not_the_one_of_now() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (first, next) = (token(start + second), token(start + 9 * second));
        let mut login = Login { credentials: Some(Arc::clone(&first)), has_tokens: true, failure: None };
        assert_eq!([0, 1].map(|s| login.is_current(&first, start + s * second)), [true, false]);
        login.take(Ok(Arc::clone(&next)));
        assert_eq!([&first, &next].map(|token| login.is_current(token, start)), [false, true]);
    }

    #[test]
    fn the_last_token_stays_when_another_one_cannot_be_had_for_as_long_as_it_is_valid() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut login = Login { credentials: None, has_tokens: true, failure: None };
        let lack = |login: &Login, at| login.lack(at).map(|cause| cause.why.to_string());
        assert_eq!(lack(&login, start).unwrap(), "the source of tokens has not given one yet");
        login.take(Err("down".into()));
        assert_eq!(lack(&login, start).unwrap(), "there is no valid token: down");
        login.take(Ok(token(start + second)));
        assert!(login.may_connect(start) && login.lack(start).is_none());
        assert_eq!(
            lack(&login, start + second).unwrap(),
            "the token has expired, and its source has not given another one yet"
        );
        login.take(Err("down again".into()));
        assert!(login.may_connect(start));
        assert_eq!(lack(&login, start + second).unwrap(), "there is no valid token: down again");
        login.take(Ok(token(start + 9 * second)));
        assert!(login.may_connect(start + second));
    }

    #[test]
    fn who_says_nothing_may_always_connect_and_a_password_never_ends() {
        let config = |properties: &[(&str, &str)]| {
            ProducerBuilder::new("localhost:9092").properties(properties.iter().copied()).validate().unwrap()
        };
        let login = Login::new(&config(&[]));
        assert!(!login.is_wanted() && login.may_connect(Instant::now()));
        let sasl = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "a")];
        let login = Login::new(&config(&sasl));
        assert!(login.is_wanted() && !login.has_tokens() && login.credentials(Instant::now()).is_some());
    }
}

//! For how long a broker knows who the client is (KIP-368), and with a token for how long that is valid.
//!
//! In: the broker's word, the token, and time. Out: when the client has to authenticate again. Pure. A session ends with its token, also where
//! the broker says that it lasts longer. To authenticate again with the token that it began with does not make such a session longer, so the
//! client waits for another one as long as it can, and then sends nothing more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    sasl::Credentials,
    sender::{Chance, Common},
    wire::authentication::Authentication,
};

/// The token that a session began with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    valid_until: Instant,
    /// Whether there is a newer one already.
    is_old: bool,
}

impl Token {
    /// `None` if these are no token, or one that never ends.
    pub(super) fn of(used: &Arc<Credentials>, common: &Common) -> Option<Self> {
        Some(Self { valid_until: used.valid_until?, is_old: !common.login.is_current(used, common.now) })
    }
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) since: Instant,
    /// When the client is to authenticate again; `None` is never.
    renew_at: Option<Instant>,
    /// When it is over.
    ends_at: Option<Instant>,
    /// Whether only another token makes it longer.
    waits_for_token: bool,
    /// While the client authenticates again, nothing else is sent. What is in flight goes on.
    pub(super) authentication: Option<Authentication>,
}

impl Session {
    /// One that never ends.
    pub(super) fn endless(now: Instant) -> Self {
        Self { since: now, renew_at: None, ends_at: None, waits_for_token: false, authentication: None }
    }

    /// A session of this length, counted from now, or as long as the token. The client authenticates again when 85 to 95 % of it have passed, as
    /// Java's does.
    pub(super) fn new(lifetime: Option<Duration>, token: Option<Token>, now: Instant, chance: &mut Chance) -> Self {
        let left = token.map(|token| token.valid_until.saturating_duration_since(now));
        let Some(lasts) = lifetime.into_iter().chain(left).min() else { return Self::endless(now) };
        let early = lasts / 100 * (85 + u32::try_from(chance.below(11)).unwrap_or(0));
        Self {
            renew_at: now.checked_add(early),
            ends_at: now.checked_add(lasts),
            waits_for_token: token.is_some_and(|token| !token.is_old) && ends_with_token(lifetime, left),
            ..Self::endless(now)
        }
    }

    /// When the client is to authenticate again, if it does not already.
    pub(super) fn renewal(&self) -> Option<Instant> {
        let at = if self.waits_for_token { self.ends_at } else { self.renew_at };
        at.filter(|_| self.authentication.is_none())
    }

    /// Whether the client has to authenticate again before it sends anything else.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.renewal().is_some_and(|at| at <= now)
    }

    /// There is another token.
    pub(super) fn token_came(&mut self) {
        self.waits_for_token = false;
    }
}

/// Whether a session lasts as long as its token. The clocks of broker and client differ, so this is not exact.
fn ends_with_token(lifetime: Option<Duration>, left: Option<Duration>) -> bool {
    left.is_some_and(|left| lifetime.is_none_or(|lifetime| lifetime >= left / 10 * 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_session_is_as_long_as_the_broker_says_or_its_token_whatever_is_shorter() {
        let now = Instant::now();
        // How long the broker says, how long the token is valid, how long the session is, and whether it waits for another token.
        for (lifetime, left, lasts, waits) in [
            (None, None, None, false),
            (Some(100), None, Some(100), false),
            (None, Some(100), Some(100), true),
            (Some(100), Some(3_600), Some(100), false),
            (Some(3_600), Some(100), Some(100), true),
            (Some(99), Some(100), Some(99), true),
            (Some(0), Some(0), Some(0), true),
        ] {
            let token = left.map(|left| Token { valid_until: now + S * left, is_old: false });
            let session = Session::new(lifetime.map(|lifetime| S * lifetime), token, now, &mut Chance::new(1));
            assert_eq!(session.ends_at, lasts.map(|lasts| now + S * lasts), "{lifetime:?} {left:?}");
            assert_eq!(session.waits_for_token, waits, "{lifetime:?} {left:?}");
        }
    }

    #[test]
    fn a_session_that_ends_with_its_token_is_used_to_its_end_and_renewed_early_with_another_one() {
        let now = Instant::now();
        let token = |is_old| Some(Token { valid_until: now + S * 100, is_old });
        let new = |is_old| Session::new(None, token(is_old), now, &mut Chance::new(1));
        let mut session = new(false);
        assert!(!session.is_over(now + S * 99) && session.is_over(now + S * 100));
        session.token_came();
        assert!(!session.is_over(now + S * 84) && session.is_over(now + S * 96));
        assert!(new(true).is_over(now + S * 96), "another token came while it began");
    }
}

//! Where the producer's tokens come from: the keeper's part, with the simulated clock.
//!
//! In: requests for a token, and faults of the source. Out: tokens, which brokers accept until they expire, and failures, with the times at
//! which the real keeper (`src/oauth/keeper.rs`) would ask.

use std::{sync::Arc, time::Duration};

use super::{
    plan::USER,
    simulation::{Scheduled, Simulation},
};
use crate::{
    config::tokens::TokenSettings,
    oauth::schedule::{pause, refresh_after},
    sasl::{Credentials, jwt, token::Token},
    sender::{Chance, Event},
};

/// The source is not asked more often because a broker refused what it gave, as the keeper does.
const BETWEEN: Duration = Duration::from_millis(500);

/// What the source of tokens does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    #[default]
    Works,
    /// It gives no token.
    Fails,
    /// It gives tokens that no broker accepts.
    Errs,
}

/// The keeper's state.
#[derive(Debug)]
pub(super) struct Keeper {
    settings: Arc<TokenSettings>,
    pub(super) source: Source,
    luck: Chance,
    /// The attempt that counts; earlier ones were replaced.
    attempt: u64,
    last_ask: Duration,
    failures: u32,
    valid_until: Duration,
}

impl Keeper {
    pub(super) fn new(settings: Arc<TokenSettings>, seed: u64) -> Self {
        let (attempt, failures, zero) = (0, 0, Duration::ZERO);
        let luck = Chance::new(seed);
        Self { settings, source: Source::Works, luck, attempt, last_ask: zero, failures, valid_until: zero }
    }
}

impl Simulation {
    /// Asks the source after this time. What was planned before does not count any more.
    pub(super) fn ask_source(&mut self, after: Duration) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.attempt += 1;
        let attempt = keeper.attempt;
        self.later(after, Scheduled::Asks(attempt));
    }

    /// The sender wants another token.
    pub(super) fn renew_token(&mut self) {
        let soonest = self.keeper.as_ref().map_or(Duration::ZERO, |keeper| keeper.last_ask + BETWEEN);
        self.ask_source(soonest.saturating_sub(self.now));
    }

    pub(super) fn asks(&mut self, attempt: u64) {
        let (now, way) = (self.now, self.plan.delay_us as usize);
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.attempt == attempt) else { return };
        keeper.last_ask = now;
        let takes = Duration::from_micros(1 + keeper.luck.below(2 * way) as u64);
        self.later(takes, Scheduled::Answers(attempt));
    }

    /// The source answers.
    pub(super) fn answers(&mut self, attempt: u64) {
        let (now, now_ms, instant) = (self.now, self.now_ms(), self.instant());
        let life_s = self.plan.token_life_s.unwrap_or(1);
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.attempt == attempt) else { return };
        let luck = keeper.luck.below(1_000) as f64 / 1_000.0;
        let (token, next) = if keeper.source == Source::Fails {
            keeper.failures += 1;
            let left = keeper.valid_until.saturating_sub(now);
            (Err("the source fails".into()), pause(keeper.failures, keeper.settings.backoff, left, luck))
        } else {
            let expires_s = now_ms as u64 / 1_000 + life_s;
            let left = Duration::from_millis(expires_s * 1_000 - now_ms as u64);
            (keeper.failures, keeper.valid_until) = (0, now + left);
            let token = token(expires_s, keeper.source == Source::Errs);
            let credentials = Credentials::of_token(&token, Some(instant + left));
            (Ok(Arc::new(credentials)), refresh_after(&keeper.settings.refresh, Duration::ZERO, left, luck))
        };
        self.note(|| format!("the source of tokens answers: {}", if token.is_ok() { "a token" } else { "none" }));
        if let Some(sender) = &mut self.sender {
            sender.handle_event(instant, Event::Token(token));
            self.ask_source(next);
        }
    }
}

fn token(expires_s: u64, is_wrong: bool) -> Token {
    let claims = serde_json::json!({"sub": USER.0, "exp": expires_s});
    let unsigned = jwt::unsigned(claims.as_object().expect("an object"));
    Token::jwt(if is_wrong { unsigned + "c2ln" } else { unsigned }).expect("a token")
}

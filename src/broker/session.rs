//! Who the client of a connection is, and what the connection may ask for.
//!
//! In: the connection's requests, with their time. Out: whether one is served, and the broker's part of an authentication. Pure; whoever
//! owns the connection owns its session. Source: `SaslServerAuthenticator`, `KafkaChannel` and `SocketServer` of Apache Kafka 4.2; KIP-152 and
//! KIP-368. On a cluster without SASL every request is served.
//!
//! Two differences on purpose. A request in the middle of an authentication ends the connection; Apache Kafka says `ILLEGAL_SASL_STATE`
//! first. And a refusal is sent at once, not after `connection.failed.authentication.delay.ms`.

use std::{net::IpAddr, sync::Arc};

use super::{acls::Requester, kind::Api, security::Security};
use crate::{
    error::ErrorCode,
    sasl::{
        Denied, Mechanism,
        server::{Verdict, Verification},
    },
};

/// A client that authenticates again must wait for so long after it began to do so the last time (`KafkaChannel`).
const MIN_RENEWAL_MS: i64 = 1_000;

/// The principal of a client that has not said who it is (`KafkaPrincipal.ANONYMOUS`).
const ANONYMOUS: &str = "User:ANONYMOUS";

/// Who the client of a connection is.
#[derive(Debug)]
pub(crate) struct Session {
    stage: Stage,
    address: IpAddr,
    /// The subject of its certificate, if it has shown one.
    subject: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    /// The client has said nothing.
    #[default]
    New,
    /// The client knows the versions.
    Told,
    /// The client authenticates; again, if it was known `before`.
    Verifying { mechanism: Mechanism, verification: Verification, before: Option<Known> },
    /// The client is known.
    Known(Known),
    /// Whatever comes next ends the connection.
    Over,
}

/// A client that has authenticated.
#[derive(Clone, Debug)]
struct Known {
    user: Arc<str>,
    mechanism: Mechanism,
    /// When it has to have authenticated again.
    until_ms: Option<i64>,
    /// When it last began to.
    renewed_ms: Option<i64>,
}

impl Known {
    fn is_over(&self, now_ms: i64) -> bool {
        self.until_ms.is_some_and(|until| now_ms > until)
    }

    fn may_renew(&self, now_ms: i64) -> bool {
        // A clock that was set back says nothing of how long ago it was.
        let is_early = |renewed: i64| (0..MIN_RENEWAL_MS).contains(&now_ms.saturating_sub(renewed));
        !self.renewed_ms.is_some_and(is_early)
    }
}

/// Why a request ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwelcome {
    #[error(
        "{api:?} came before the client has authenticated, expected {expected}; set security.protocol=SASL_PLAINTEXT in the client, or SASL_SSL if it speaks TLS"
    )]
    Unauthenticated { api: Api, expected: &'static str },
    #[error(
        "{api:?} came {late_ms} ms after the session of user {user:?} ended, expected the client to authenticate again"
    )]
    SessionOver { api: Api, user: String, late_ms: i64 },
}

/// The broker's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) message: Vec<u8>,
    /// For how long the client is known; 0 if it is not yet, or for ever.
    pub(super) lifetime_ms: i64,
}

/// An error, in the words of Apache Kafka.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) why: String,
}

impl Session {
    /// The session of a client at this address that has shown a certificate with this subject, or none.
    pub(super) fn new(address: IpAddr, subject: Option<String>) -> Self {
        Self { stage: Stage::New, address, subject }
    }

    /// Who the client is to those who judge what it may do: the user that it has authenticated as, else the subject of its certificate
    /// (`DefaultKafkaPrincipalBuilder`).
    pub(super) fn requester(&self) -> Requester {
        let principal = match (&self.stage, &self.subject) {
            (Stage::Known(Known { user, .. }), _) => format!("User:{user}").into(),
            (_, Some(subject)) => format!("User:{subject}").into(),
            (_, None) => ANONYMOUS.into(),
        };
        Requester { principal, address: self.address }
    }

    /// Whether a request that has just arrived is served.
    pub(super) fn admit(&self, now_ms: i64, security: &Security, api: Api) -> Result<(), Unwelcome> {
        let expected = match (&self.stage, api) {
            _ if !security.is_on() => return Ok(()),
            (Stage::Known(known), Api::SaslHandshake) if known.may_renew(now_ms) => return Ok(()),
            (Stage::Known(known), _) => return in_time(known, now_ms, api),
            (Stage::New, Api::ApiVersions | Api::SaslHandshake)
            | (Stage::Told, Api::SaslHandshake)
            | (Stage::Verifying { .. }, Api::SaslAuthenticate) => return Ok(()),
            (Stage::New, _) => "ApiVersions or SaslHandshake",
            (Stage::Told, _) => "SaslHandshake",
            (Stage::Verifying { .. }, _) => "SaslAuthenticate",
            (Stage::Over, _) => "no more requests: the client may not change its mechanism or go on after a refusal",
        };
        Err(Unwelcome::Unauthenticated { api, expected })
    }

    /// The client has learnt the versions. It may not ask for them again before it has authenticated.
    pub(super) fn told(&mut self) {
        if matches!(self.stage, Stage::New) {
            self.stage = Stage::Told;
        }
    }

    /// The client names a mechanism, for the first time or to authenticate again.
    pub(super) fn begin(&mut self, now_ms: i64, security: &mut Security, name: &str) -> Result<(), ErrorCode> {
        let before = match &self.stage {
            _ if !security.is_on() => return Err(ErrorCode::ILLEGAL_SASL_STATE),
            Stage::Known(known) if !known.may_renew(now_ms) => return Err(ErrorCode::ILLEGAL_SASL_STATE),
            Stage::Known(known) => Some(Known { renewed_ms: Some(now_ms), ..known.clone() }),
            _ => None,
        };
        self.stage = Stage::Over;
        let mechanism = security.mechanism(name).ok_or(ErrorCode::UNSUPPORTED_SASL_MECHANISM)?;
        if before.as_ref().is_none_or(|before| before.mechanism == mechanism) {
            self.stage = Stage::Verifying { mechanism, verification: security.verify(mechanism), before };
        }
        Ok(())
    }

    /// The client sends a message of the mechanism.
    pub(super) fn answer(&mut self, now_ms: i64, security: &Security, message: &[u8]) -> Result<Answer, Refused> {
        let Stage::Verifying { mechanism, verification, before } = &mut self.stage else {
            let why = "SaslAuthenticate request received after successful authentication".to_owned();
            return Err(Refused { code: ErrorCode::ILLEGAL_SASL_STATE, why });
        };
        let verdict = verification.take(security.users(), now_ms, message);
        match verdict.map_err(|denied| why(&denied, *mechanism, before.is_some())).and_then(|v| same_user(v, before)) {
            Ok(Verdict::GoesOn(message)) => Ok(Answer { message, lifetime_ms: 0 }),
            Ok(Verdict::Known(user, message)) => {
                let left = verification.until_ms().map(|until| until.saturating_sub(now_ms).max(0));
                let lifetime_ms = shorter(security.lifetime_ms, left);
                let until_ms = (lifetime_ms > 0).then(|| now_ms.saturating_add(lifetime_ms));
                let renewed_ms = before.as_ref().and_then(|before| before.renewed_ms);
                self.stage = Stage::Known(Known { user, mechanism: *mechanism, until_ms, renewed_ms });
                Ok(Answer { message, lifetime_ms })
            }
            Err(why) => {
                self.stage = Stage::Over;
                Err(Refused { code: ErrorCode::SASL_AUTHENTICATION_FAILED, why })
            }
        }
    }

    /// Ends the session early: the client counts on more time than it has.
    #[cfg(test)]
    pub(crate) fn cut_short(&mut self) {
        if let Stage::Known(known) = &mut self.stage {
            known.until_ms = Some(i64::MIN);
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Default for Session {
    fn default() -> Self {
        Self::new(std::net::Ipv4Addr::LOCALHOST.into(), None)
    }
}

/// The shorter of a broker's limit, where 0 is none, and what is left of a token, if there is one.
fn shorter(limit_ms: i64, left_ms: Option<i64>) -> i64 {
    match left_ms {
        Some(left_ms) if limit_ms == 0 || left_ms < limit_ms => left_ms,
        _ => limit_ms,
    }
}

fn in_time(known: &Known, now_ms: i64, api: Api) -> Result<(), Unwelcome> {
    match known.until_ms {
        Some(until) if known.is_over(now_ms) => {
            let late_ms = now_ms.saturating_sub(until);
            Err(Unwelcome::SessionOver { api, user: known.user.to_string(), late_ms })
        }
        _ => Ok(()),
    }
}

/// A client that authenticates again must be the same user.
fn same_user(verdict: Verdict, before: &Option<Known>) -> Result<Verdict, String> {
    match (&verdict, before) {
        (Verdict::Known(user, _), Some(before)) if *user != before.user => {
            let was = &before.user;
            Err(format!("Cannot change principals during re-authentication from User.{was}: User.{user}"))
        }
        _ => Ok(verdict),
    }
}

fn why(denied: &Denied, mechanism: Mechanism, is_again: bool) -> String {
    match denied {
        Denied::Told(_) | Denied::Tokens(_) => denied.to_string(),
        #[cfg(feature = "oauth")]
        Denied::Said(_) | Denied::OtherPrincipal { .. } => denied.to_string(),
        Denied::Untold(_) => {
            let what = if is_again { "re-authentication" } else { "authentication" };
            let mechanism = mechanism.name();
            format!("Authentication failed during {what} due to invalid credentials with SASL mechanism {mechanism}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SaslMechanism;

    const NOW: i64 = 1_000_000;
    const LIFETIME_MS: i64 = 5_000;
    /// Every request that makes a difference.
    const APIS: [Api; 4] = [Api::ApiVersions, Api::SaslHandshake, Api::SaslAuthenticate, Api::Metadata];

    fn security() -> Security {
        let users = ["alice", "bob"].map(|name| (name.to_owned(), "secret".to_owned()));
        Security::new(None, &users, Duration::from_secs(5)).unwrap()
    }

    fn admits(session: &Session, now_ms: i64) -> Vec<Api> {
        APIS.into_iter().filter(|api| session.admit(now_ms, &security(), *api).is_ok()).collect()
    }

    fn verifying() -> Session {
        let mut session = Session::default();
        session.begin(NOW, &mut security(), "PLAIN").unwrap();
        session
    }

    fn known() -> Session {
        let mut session = verifying();
        session.answer(NOW, &security(), b"\0alice\0secret").unwrap();
        session
    }

    #[test]
    fn before_a_client_is_known_only_what_makes_it_known_is_served() {
        let (mut told, mut refused) = (Session::default(), verifying());
        told.told();
        refused.answer(NOW, &security(), b"\0alice\0wrong").unwrap_err();
        for (session, expected) in [
            (Session::default(), &[Api::ApiVersions, Api::SaslHandshake][..]),
            (told, &[Api::SaslHandshake]),
            (verifying(), &[Api::SaslAuthenticate]),
            (refused, &[]),
        ] {
            assert_eq!(admits(&session, NOW), expected, "{session:?}");
        }
        let error = Session::default().admit(NOW, &security(), Api::Metadata).unwrap_err().to_string();
        assert!(
            error.contains("expected ApiVersions or SaslHandshake") && error.contains("security.protocol"),
            "{error}"
        );
    }

    #[test]
    fn without_sasl_everything_is_served_and_nobody_can_authenticate() {
        let (mut off, mut session) = (Security::default(), Session::default());
        assert!(APIS.into_iter().all(|api| session.admit(NOW, &off, api).is_ok()));
        assert_eq!(session.begin(NOW, &mut off, "PLAIN"), Err(ErrorCode::ILLEGAL_SASL_STATE));
        assert_eq!(session.answer(NOW, &off, b"").unwrap_err().code, ErrorCode::ILLEGAL_SASL_STATE);
    }

    #[test]
    fn a_session_ends_after_its_lifetime_unless_the_client_authenticates_again() {
        let mut session = known();
        assert_eq!(admits(&session, NOW + LIFETIME_MS), APIS);
        assert_eq!(admits(&session, NOW + LIFETIME_MS + 1), [Api::SaslHandshake]);
        let error = session.admit(NOW + LIFETIME_MS + 9, &security(), Api::Produce).unwrap_err().to_string();
        assert!(error.contains("9 ms after the session of user \"alice\" ended"), "{error}");
        session.begin(NOW + LIFETIME_MS + 1, &mut security(), "PLAIN").unwrap();
        let answer = session.answer(NOW + LIFETIME_MS + 2, &security(), b"\0alice\0secret").unwrap();
        assert_eq!(answer, Answer { message: Vec::new(), lifetime_ms: LIFETIME_MS });
        assert_eq!(admits(&session, NOW + 2 * LIFETIME_MS + 2), APIS);
    }

    #[test]
    fn the_principal_is_the_user_then_the_subject_of_the_certificate_then_anonymous() {
        let principal = |session: &Session| session.requester().principal;
        assert_eq!(principal(&Session::default()), "User:ANONYMOUS");
        assert_eq!(principal(&verifying()), "User:ANONYMOUS");
        let shown = |session: Session| Session { subject: Some("CN=shop".to_owned()), ..session };
        assert_eq!(principal(&shown(Session::default())), "User:CN=shop");
        assert_eq!([principal(&known()), principal(&shown(known()))], ["User:alice", "User:alice"]);
    }

    #[test]
    fn a_session_without_lifetime_never_ends() {
        let security = Security::new(None, &[("alice".into(), "secret".into())], Duration::ZERO).unwrap();
        let mut session = verifying();
        let answer = session.answer(NOW, &security, b"\0alice\0secret").unwrap();
        assert_eq!(answer.lifetime_ms, 0);
        assert!(session.admit(i64::MAX, &security, Api::Produce).is_ok());
    }

    #[test]
    fn a_client_that_authenticates_again_within_a_second_is_told_so_and_stays_known() {
        let mut session = known();
        session.begin(NOW + 1, &mut security(), "PLAIN").unwrap();
        session.answer(NOW + 1, &security(), b"\0alice\0secret").unwrap();
        let begun = session.begin(NOW + MIN_RENEWAL_MS, &mut security(), "PLAIN");
        assert_eq!(begun, Err(ErrorCode::ILLEGAL_SASL_STATE));
        assert_eq!(admits(&session, NOW + MIN_RENEWAL_MS), APIS);
        session.begin(NOW + 1 + MIN_RENEWAL_MS, &mut security(), "PLAIN").unwrap();
        session.answer(NOW + 1 + MIN_RENEWAL_MS, &security(), b"\0alice\0secret").unwrap();
        session.cut_short();
        assert_eq!(admits(&session, NOW + 2 + MIN_RENEWAL_MS), []);
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn a_session_ends_with_its_token_if_that_is_sooner() {
        for (limit_ms, left_ms, expected) in
            [(0, None, 0), (9, None, 9), (0, Some(5), 5), (9, Some(5), 5), (9, Some(12), 9), (9, Some(0), 0)]
        {
            assert_eq!(shorter(limit_ms, left_ms), expected, "{limit_ms} {left_ms:?}");
        }
        let security = Security::new(None, &[], Duration::ZERO).unwrap();
        let mut security = security.with_tokens(&[("bob".to_owned(), "abc".to_owned())], true);
        let claims = serde_json::json!({"sub": "alice", "exp": NOW / 1_000 + 60});
        let token = crate::sasl::jwt::unsigned(claims.as_object().unwrap());
        let answer = |security: &mut Security, token: &str| {
            let mut session = Session::default();
            session.begin(NOW, security, "OAUTHBEARER").unwrap();
            let answer =
                session.answer(NOW, security, format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes()).unwrap();
            (session, answer)
        };
        assert_eq!(answer(&mut security, "abc").1.lifetime_ms, 0);
        let (session, told) = answer(&mut security, &token);
        assert_eq!(told.lifetime_ms, 60_000);
        assert!(session.admit(NOW + 60_000, &security, Api::Produce).is_ok());
        assert!(session.admit(NOW + 60_001, &security, Api::Produce).is_err());
        let (mut session, told) = answer(&mut security, "other");
        assert_eq!(told.message, br#"{"status":"invalid_token"}"#);
        let refused = session.answer(NOW, &security, &[1]).unwrap_err();
        assert_eq!(
            (refused.code, &*refused.why),
            (ErrorCode::SASL_AUTHENTICATION_FAILED, r#"{"status":"invalid_token"}"#)
        );
    }

    #[test]
    fn a_client_stays_the_same_user_by_the_same_mechanism() {
        let mut session = known();
        session.begin(NOW, &mut security(), "PLAIN").unwrap();
        let refused = session.answer(NOW, &security(), b"\0bob\0secret").unwrap_err();
        assert_eq!(refused.why, "Cannot change principals during re-authentication from User.alice: User.bob");
        assert_eq!(admits(&session, NOW), []);
    }

    #[cfg(feature = "scram")]
    #[test]
    fn a_client_that_changes_the_mechanism_is_not_told_so_and_can_go_no_further() {
        let mut session = known();
        assert_eq!(session.begin(NOW, &mut security(), "SCRAM-SHA-256"), Ok(()));
        assert_eq!(admits(&session, NOW), []);
    }

    #[test]
    fn refusals_are_in_the_words_of_apache_kafka() {
        let wrong = verifying().answer(NOW, &security(), b"\0alice\0wrong").unwrap_err();
        assert_eq!(wrong.code, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert_eq!(wrong.why, "Authentication failed: Invalid username or password");
        let hidden = |is_again| why(&Denied::Untold("no such user"), Mechanism::Plain, is_again);
        let rest = "due to invalid credentials with SASL mechanism PLAIN";
        assert_eq!(hidden(false), format!("Authentication failed during authentication {rest}"));
        assert_eq!(hidden(true), format!("Authentication failed during re-authentication {rest}"));
        let late = known().answer(NOW, &security(), b"").unwrap_err();
        assert_eq!((late.code, late.why.contains("after successful")), (ErrorCode::ILLEGAL_SASL_STATE, true));
    }

    #[test]
    fn a_mechanism_that_is_not_enabled_ends_it() {
        let mut only = Security::new(Some(&[SaslMechanism::Plain]), &[], Duration::ZERO).unwrap();
        for name in ["SCRAM-SHA-256", "plain", ""] {
            let mut session = Session::default();
            assert_eq!(session.begin(NOW, &mut only, name), Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM), "{name:?}");
            assert!(session.admit(NOW, &only, Api::SaslHandshake).is_err());
        }
    }
}

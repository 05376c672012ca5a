//! Who may use the cluster: the mechanisms of SASL that are enabled, the users, and for how long a client is known.
//!
//! In: a builder's settings, and a test's commands. Out: what a connection's session asks for. Pure. Deliberately absent: what a connection
//! has said so far (`session`), and what a user may do (`acls`).

use std::time::Duration;

use crate::{
    config::SaslMechanism,
    sasl::{
        Mechanism,
        server::{Users, Verification},
    },
};

/// Who may use the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    /// `sasl.enabled.mechanisms`. Without any, nobody has to authenticate.
    mechanisms: Vec<Mechanism>,
    users: Users,
    /// `connections.max.reauth.ms`; 0 if a session never ends.
    pub(super) lifetime_ms: i64,
    /// How many authentications have begun.
    begun: u64,
}

impl Security {
    /// Users with their passwords. Without `mechanisms` they may choose any.
    pub(super) fn new(
        mechanisms: Option<&[SaslMechanism]>,
        users: &[(String, String)],
        lifetime: Duration,
    ) -> Result<Self, String> {
        let mechanisms = match mechanisms {
            Some(named) => named.iter().map(|named| mechanism(*named)).collect::<Result<_, _>>()?,
            None if users.is_empty() => Vec::new(),
            None => Mechanism::ALL.to_vec(),
        };
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let mut security = Self { mechanisms, users: Users::default(), lifetime_ms, begun: 0 };
        users.iter().for_each(|(name, password)| security.set_user(name, password));
        Ok(security)
    }

    /// With tokens, for which OAUTHBEARER is enabled unless the mechanisms were named.
    #[cfg(feature = "oauth")]
    pub(super) fn with_tokens(mut self, tokens: &[(String, String)], enable: bool) -> Self {
        if enable && !tokens.is_empty() {
            self.mechanisms.push(Mechanism::OauthBearer);
        }
        tokens.iter().for_each(|(name, token)| self.set_token(name, token));
        self
    }

    /// Whether clients have to authenticate.
    pub(super) fn is_on(&self) -> bool {
        !self.mechanisms.is_empty()
    }

    /// The mechanisms that are enabled, by their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.mechanisms.iter().map(|mechanism| mechanism.name())
    }

    /// The mechanism of this name, if it is enabled.
    pub(super) fn mechanism(&self, name: &str) -> Option<Mechanism> {
        self.mechanisms.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    /// Begins an authentication.
    pub(super) fn verify(&mut self, mechanism: Mechanism) -> Verification {
        self.begun = self.begun.wrapping_add(1);
        Verification::new(mechanism, self.begun)
    }

    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Adds a user, or changes the password of one.
    pub(super) fn set_user(&mut self, name: &str, password: &str) {
        self.users.set(name, password, &self.mechanisms);
    }

    /// Accepts a token as this user's.
    #[cfg(feature = "oauth")]
    pub(super) fn set_token(&mut self, name: &str, token: &str) {
        self.users.tokens.insert(name, token);
    }

    /// Accepts a token no more. Returns whether it was accepted.
    #[cfg(feature = "oauth")]
    pub(super) fn remove_token(&mut self, token: &str) -> bool {
        self.users.tokens.remove(token)
    }

    /// Removes a user. Returns whether there was one of that name.
    pub(super) fn remove_user(&mut self, name: &str) -> bool {
        self.users.remove(name)
    }
}

fn mechanism(named: SaslMechanism) -> Result<Mechanism, String> {
    named.built_in().ok_or_else(|| match named {
        SaslMechanism::Gssapi => {
            format!(
                "the embedded broker does not have {named:?}: choose PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
            )
        }
        SaslMechanism::OauthBearer => {
            format!("{named:?} is not in this build: build milena with the feature `oauth`, or choose PLAIN")
        }
        _ => format!("{named:?} is not in this build: build milena with the feature `scram`, or choose PLAIN"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(mechanisms: Option<&[SaslMechanism]>, users: &[&str]) -> Result<Security, String> {
        let users: Vec<_> = users.iter().map(|name| ((*name).to_owned(), "secret".to_owned())).collect();
        Security::new(mechanisms, &users, Duration::ZERO)
    }

    #[test]
    fn users_or_mechanisms_make_clients_authenticate() {
        for (mechanisms, users, is_on) in [
            (None, &[][..], false),
            (None, &["alice"][..], true),
            (Some(&[SaslMechanism::Plain][..]), &[], true),
            (Some(&[]), &["alice"], false),
        ] {
            assert_eq!(security(mechanisms, users).unwrap().is_on(), is_on, "{mechanisms:?} {users:?}");
        }
    }

    #[test]
    fn what_is_enabled_is_what_was_named_and_without_names_all_of_it() {
        let plain = security(Some(&[SaslMechanism::Plain]), &["alice"]).unwrap();
        assert_eq!(plain.names().collect::<Vec<_>>(), ["PLAIN"]);
        assert_eq!((plain.mechanism("PLAIN"), plain.mechanism("plain")), (Some(Mechanism::Plain), None));
        assert_eq!(security(None, &["alice"]).unwrap().names().count(), Mechanism::ALL.len());
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn tokens_enable_their_mechanism_unless_others_were_named() {
        let tokens = [("alice".to_owned(), "abc".to_owned())];
        let names = |security: Security| security.names().collect::<Vec<_>>();
        assert_eq!(names(security(None, &[]).unwrap().with_tokens(&tokens, true)), ["OAUTHBEARER"]);
        assert_eq!(names(security(None, &[]).unwrap().with_tokens(&[], true)), [""; 0]);
        let plain = security(Some(&[SaslMechanism::Plain]), &[]).unwrap();
        assert_eq!(names(plain.with_tokens(&tokens, false)), ["PLAIN"]);
    }

    #[test]
    fn a_mechanism_that_this_broker_does_not_have_is_refused_at_the_start() {
        let refused = security(Some(&[SaslMechanism::Gssapi]), &[]).unwrap_err();
        assert!(refused.contains("choose PLAIN"), "{refused}");
    }
}

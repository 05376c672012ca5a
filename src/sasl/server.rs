//! SASL, from a broker's side: who a client is.
//!
//! In: users with their passwords, tokens, a nonce, the client's messages. Out: the broker's messages, and the client's name. Pure. Source:
//! `PlainSaslServer` and `ScramSaslServer` of Apache Kafka 4.2. Deliberately absent: the requests that carry the messages, and sessions.

use std::{collections::BTreeMap, sync::Arc};

#[cfg(feature = "oauth")]
use super::bearer::server::{Bearer, Tokens};
#[cfg(feature = "scram")]
use super::scram::{
    Hash,
    server::{Challenge, Credential, First},
};
use super::{Mechanism, error::Denied};
use crate::secret::Secret;

/// How often a password is hashed: what RFC 7677 and Apache Kafka ask for at least.
#[cfg(feature = "scram")]
const ITERATIONS: u32 = 4_096;

/// Those whom a broker knows, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    accounts: BTreeMap<Arc<str>, Account>,
    #[cfg(feature = "oauth")]
    pub(crate) tokens: Tokens,
}

#[derive(Clone, Debug)]
struct Account {
    password: Secret,
    #[cfg(feature = "scram")]
    sha256: Option<Credential>,
    #[cfg(feature = "scram")]
    sha512: Option<Credential>,
}

impl Users {
    /// Adds a user for these mechanisms, or changes the password.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "PLAIN needs the password only"))]
    pub(crate) fn set(&mut self, name: &str, password: &str, mechanisms: &[Mechanism]) {
        // A salt is another one for each user. That it can be foreseen helps nobody who does not have the broker's memory.
        #[cfg(feature = "scram")]
        let credential = |mechanism, hash| {
            let salt = format!("salt of {name}").into_bytes();
            mechanisms.contains(&mechanism).then(|| Credential::new(hash, password.as_bytes(), salt, ITERATIONS))
        };
        let account = Account {
            password: Secret::new(password),
            #[cfg(feature = "scram")]
            sha256: credential(Mechanism::ScramSha256, Hash::Sha256),
            #[cfg(feature = "scram")]
            sha512: credential(Mechanism::ScramSha512, Hash::Sha512),
        };
        self.accounts.insert(name.into(), account);
    }

    /// Removes a user. Returns whether there was one of that name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.accounts.remove(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(&Arc<str>, &Account)> {
        self.accounts.get_key_value(name)
    }
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker says this, and the client has to answer.
    #[cfg_attr(not(any(feature = "scram", feature = "oauth")), expect(dead_code, reason = "PLAIN has one message"))]
    GoesOn(Vec<u8>),
    /// The client is this user; the broker's last message.
    Known(Arc<str>, Vec<u8>),
}

/// One authentication.
#[derive(Debug)]
pub(crate) struct Verification(Stage);

#[derive(Debug)]
enum Stage {
    Plain,
    #[cfg(feature = "scram")]
    Begins(Hash, String),
    #[cfg(feature = "scram")]
    Challenged(Box<Challenge>),
    #[cfg(feature = "oauth")]
    Bearer(Bearer),
}

impl Verification {
    /// `number` must be another one each time.
    #[cfg_attr(not(feature = "scram"), expect(unused_variables, reason = "PLAIN has no nonce"))]
    pub(crate) fn new(mechanism: Mechanism, number: u64) -> Self {
        Self(match mechanism {
            Mechanism::Plain => Stage::Plain,
            #[cfg(feature = "scram")]
            Mechanism::ScramSha256 => Stage::Begins(Hash::Sha256, nonce(number)),
            #[cfg(feature = "scram")]
            Mechanism::ScramSha512 => Stage::Begins(Hash::Sha512, nonce(number)),
            #[cfg(feature = "oauth")]
            Mechanism::OauthBearer => Stage::Bearer(Bearer::default()),
        })
    }

    /// Takes the client's message. `now_ms` is after 1970.
    #[cfg_attr(not(feature = "oauth"), expect(unused_variables, reason = "only tokens expire"))]
    pub(crate) fn take(&mut self, users: &Users, now_ms: i64, message: &[u8]) -> Result<Verdict, Denied> {
        match &mut self.0 {
            Stage::Plain => plain(users, message).map(|user| Verdict::Known(user, Vec::new())),
            #[cfg(feature = "scram")]
            Stage::Begins(hash, nonce) => {
                let challenge = challenge(*hash, nonce, users, &First::read(message)?)?;
                let message = challenge.message();
                self.0 = Stage::Challenged(Box::new(challenge));
                Ok(Verdict::GoesOn(message))
            }
            #[cfg(feature = "scram")]
            Stage::Challenged(challenge) => {
                challenge.verify(message).map(|(user, message)| Verdict::Known(user, message))
            }
            #[cfg(feature = "oauth")]
            Stage::Bearer(bearer) => Ok(match bearer.take(&users.tokens, now_ms, message)? {
                Ok(user) => Verdict::Known(user, Vec::new()),
                Err(error) => Verdict::GoesOn(error),
            }),
        }
    }

    /// Until when the client is known at the most, in milliseconds after 1970: until its token expires.
    pub(crate) fn until_ms(&self) -> Option<i64> {
        match &self.0 {
            #[cfg(feature = "oauth")]
            Stage::Bearer(bearer) => bearer.until_ms,
            _ => None,
        }
    }
}

/// The broker's part of a nonce. It can be foreseen, which a broker for tests can live with: the client's part cannot.
#[cfg(feature = "scram")]
fn nonce(number: u64) -> String {
    format!("broker{number:016x}")
}

#[cfg(feature = "scram")]
fn challenge(hash: Hash, nonce: &str, users: &Users, first: &First<'_>) -> Result<Challenge, Denied> {
    let known = users.find(&first.username).and_then(|(name, account)| {
        let credential = if hash == Hash::Sha256 { &account.sha256 } else { &account.sha512 };
        Some((name, credential.as_ref()?))
    });
    let (name, credential) = known.ok_or(Denied::Untold("no such user, or not by this mechanism"))?;
    Ok(Challenge::new(hash, Arc::clone(name), credential.clone(), first, nonce))
}

/// Apache Kafka does not count further.
const MOST_TOKENS: usize = 4;

/// `acts for, NUL, user name, NUL, password` (RFC 4616).
fn plain(users: &Users, message: &[u8]) -> Result<Arc<str>, Denied> {
    let message = String::from_utf8_lossy(message);
    let parts: Vec<&str> = message.splitn(MOST_TOKENS, '\0').collect();
    let &[acts_for, name, password] = &parts[..] else { return Err(Denied::Tokens(parts.len())) };
    if name.is_empty() {
        return Err(Denied::Told("username not specified"));
    }
    if password.is_empty() {
        return Err(Denied::Told("password not specified"));
    }
    let known = users.find(name).filter(|(_, account)| account.password.reveal() == password);
    let (user, _) = known.ok_or(Denied::Told("Invalid username or password"))?;
    if acts_for.is_empty() || acts_for == name { Ok(Arc::clone(user)) } else { Err(Denied::OTHER_USER) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::Credentials;

    fn users() -> Users {
        let mut users = Users::default();
        users.set("alice", "hunter2", Mechanism::ALL);
        users.set("bob", "secret", &[Mechanism::Plain]);
        users
    }

    /// Lets a client and a broker talk until one of them ends it.
    fn talk(users: &Users, mechanism: Mechanism, name: &str, password: &str) -> Result<Arc<str>, Denied> {
        let credentials = Credentials::new(mechanism, name, Secret::new(password));
        let (mut client, mut message) = credentials.begin(1);
        let mut broker = Verification::new(mechanism, 7);
        loop {
            let (said, known) = match broker.take(users, 0, &message)? {
                Verdict::GoesOn(said) => (said, None),
                Verdict::Known(user, said) => (said, Some(user)),
            };
            match (client.answer(&credentials, &said).unwrap(), known) {
                (Some(next), None) => message = next,
                (None, Some(user)) => return Ok(user),
                other => panic!("one side ends and the other does not: {other:?}"),
            }
        }
    }

    #[test]
    fn a_user_is_known_by_each_mechanism_and_nobody_else_is() {
        for mechanism in Mechanism::ALL {
            let talk = |name, password| talk(&users(), *mechanism, name, password);
            assert_eq!(talk("alice", "hunter2").unwrap(), "alice".into());
            for (name, password) in [("alice", "hunter3"), ("nobody", "hunter2"), ("bob", "hunter2")] {
                assert!(talk(name, password).is_err(), "{name} by {mechanism:?}");
            }
            assert_eq!(talk("bob", "secret").is_ok(), *mechanism == Mechanism::Plain);
        }
    }

    #[test]
    fn a_changed_password_counts_from_the_next_authentication_on() {
        let mut users = users();
        users.set("alice", "new", Mechanism::ALL);
        for mechanism in Mechanism::ALL {
            assert!(talk(&users, *mechanism, "alice", "hunter2").is_err());
            assert!(talk(&users, *mechanism, "alice", "new").is_ok());
        }
        assert!(users.remove("alice") && !users.remove("alice"));
        assert!(talk(&users, Mechanism::Plain, "alice", "new").is_err());
    }

    #[test]
    fn plain_is_denied_in_the_words_of_apache_kafka() {
        for (message, expected) in [
            ("\0alice\0hunter3", "Authentication failed: Invalid username or password"),
            ("\0nobody\0hunter2", "Authentication failed: Invalid username or password"),
            ("\0\0hunter2", "Authentication failed: username not specified"),
            ("\0alice\0", "Authentication failed: password not specified"),
            (
                "bob\0alice\0hunter2",
                "Authentication failed: Client requested an authorization id that is different from username",
            ),
            ("alice\0hunter2", "Invalid SASL/PLAIN response: expected 3 tokens, got 2"),
            ("", "Invalid SASL/PLAIN response: expected 3 tokens, got 1"),
            ("\0alice\0hunter2\0\0", "Invalid SASL/PLAIN response: expected 3 tokens, got 4"),
        ] {
            assert_eq!(plain(&users(), message.as_bytes()).unwrap_err().to_string(), expected, "{message:?}");
        }
        assert_eq!(plain(&users(), b"alice\0alice\0hunter2").unwrap(), "alice".into());
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", users());
        assert!(shown.contains("alice") && !shown.contains("hunter2") && !shown.contains("secret"), "{shown}");
    }
}

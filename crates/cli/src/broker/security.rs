//! Who may connect to `milena broker`, and what they may do.
//!
//! In: arguments, files or environment variables with users and tokens. Out: settings of the broker; the CA's certificate in a file. Does I/O. A
//! password or a token never stands on the command line, where every process of the machine could read it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use milena::{
    SaslMechanism,
    broker::{Acl, Builder, EmbeddedBroker},
};

use crate::exit::CliError;

/// Users in the form of the file.
const USERS: &str = "MILENA_BROKER_USERS";
/// Tokens in the form of their file.
const TOKENS: &str = "MILENA_BROKER_TOKENS";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who may connect, and what they may do")]
pub(crate) struct Security {
    /// File with a user in each line, as NAME:PASSWORD; clients have to authenticate. Without the option, the environment variable
    /// MILENA_BROKER_USERS may hold such lines
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,

    /// File with a token for OAUTHBEARER in each line, as NAME:TOKEN, and whose it is. Besides, every JWT without a signature is accepted, as
    /// with Kafka's default. Without the option, the environment variable MILENA_BROKER_TOKENS may hold such lines
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,

    /// Seconds after which a client has to authenticate again (connections.max.reauth.ms). By default it never has to
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(2..))]
    session: Option<u32>,

    /// Mechanism by which clients may authenticate; may be repeated. Without it those of users, if there are any, and that of tokens
    #[arg(long, value_name = "MECHANISM", value_enum)]
    sasl: Vec<Mechanism>,

    /// Speak TLS, and write the certificate of the CA to this file, for ssl.truststore.location (type PEM). The CA is a new one each time
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,

    /// With --tls: require certificates of clients, and write a key with a certificate of the CA to this file, for ssl.keystore.location (type
    /// PEM). Its user is User:CN=client
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_client: Option<PathBuf>,

    /// Rule of what a user may do, as "User:alice WRITE topic orders"; may be repeated. With a rule, only what rules allow is allowed
    #[arg(long = "acl", value_name = "RULE")]
    acls: Vec<Acl>,

    /// Principal that may do everything, as User:admin; may be repeated
    #[arg(long = "super-user", value_name = "PRINCIPAL")]
    super_users: Vec<String>,
}

/// A mechanism by its name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mechanism {
    #[value(name = "PLAIN")]
    Plain,
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
    #[value(name = "OAUTHBEARER")]
    OauthBearer,
}

impl From<Mechanism> for SaslMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::ScramSha256 => Self::ScramSha256,
            Mechanism::ScramSha512 => Self::ScramSha512,
            Mechanism::OauthBearer => Self::OauthBearer,
        }
    }
}

impl Security {
    /// The broker's settings with these.
    pub(super) fn apply(&self, mut builder: Builder) -> Result<Builder, CliError> {
        for (name, password) in lines(self.users_file.as_deref(), USERS, "user, expected NAME:PASSWORD")? {
            builder = builder.user(name, password);
        }
        for (name, token) in lines(self.tokens_file.as_deref(), TOKENS, "token, expected NAME:TOKEN")? {
            builder = builder.token(name, token);
        }
        if let Some(seconds) = self.session {
            builder = builder.session_lifetime(Duration::from_secs(seconds.into()));
        }
        if !self.sasl.is_empty() {
            builder = builder.sasl(self.sasl.iter().copied().map(SaslMechanism::from));
        }
        let builder = self.acls.iter().cloned().fold(builder, Builder::acl);
        let builder = self.super_users.iter().cloned().fold(builder, Builder::super_user);
        Ok(self.encrypt(builder))
    }

    #[cfg(feature = "tls")]
    fn encrypt(&self, builder: Builder) -> Builder {
        use milena::broker::{ClientAuth, Tls};
        let auth = if self.tls_client.is_some() { ClientAuth::Required } else { ClientAuth::None };
        if self.tls.is_some() { builder.tls(Tls::new().client_auth(auth)) } else { builder }
    }

    #[cfg(not(feature = "tls"))]
    fn encrypt(&self, builder: Builder) -> Builder {
        builder
    }

    /// Writes the files that clients of the running broker need.
    #[cfg(feature = "tls")]
    pub(super) fn write_files(&self, broker: &EmbeddedBroker) -> Result<(), CliError> {
        let write = |path: &PathBuf, text: String| {
            let failed = |error| CliError::Failed(format!("cannot write {}: {error}", path.display()));
            write_private(path, &text).map_err(failed)
        };
        if let Some(path) = &self.tls {
            write(path, broker.ca_pem().unwrap_or_default())?;
        }
        if let Some(path) = &self.tls_client {
            let keystore = broker.client_keystore("client");
            write(path, keystore.map_err(|error| CliError::Failed(error.to_string()))?)?;
        }
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn write_files(&self, _: &EmbeddedBroker) -> Result<(), CliError> {
        Ok(())
    }
}

/// Writes a file that only this user may read: it may hold a key.
#[cfg(feature = "tls")]
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// Names and secrets of a file, or else of an environment variable.
fn lines(file: Option<&Path>, variable: &str, what: &str) -> Result<Vec<(String, String)>, CliError> {
    let (place, text) = match file {
        Some(path) => {
            let (place, text) = (path.display().to_string(), fs::read_to_string(path));
            let text = text.map_err(|error| CliError::Usage(format!("cannot read {place}: {error}")))?;
            (place, text)
        }
        None => (variable.to_owned(), env::var(variable).unwrap_or_default()),
    };
    pairs(&text).map_err(|line| CliError::Usage(format!("{place}: line {line} is no {what}")))
}

/// The names and secrets of a text. An error is the number of a line, and has nothing of what stands in it.
fn pairs(text: &str) -> Result<Vec<(String, String)>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let pair = |(number, line): (usize, &str)| match line.split_once(':') {
        Some((name, secret)) if !name.is_empty() && !secret.is_empty() => Ok((name.to_owned(), secret.to_owned())),
        _ => Err(number + 1),
    };
    lines.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_stand_in_lines_with_remarks_between() {
        let found = pairs("# who\nalice:secret\n\nbob:with:colon \r\n").unwrap();
        assert_eq!(found, [("alice".into(), "secret".into()), ("bob".into(), "with:colon ".into())]);
        assert_eq!(pairs(""), Ok(Vec::new()));
    }

    #[test]
    fn a_line_without_a_name_or_a_secret_is_told_by_its_number_alone() {
        for line in ["hunter2", ":hunter2", "hunter2:"] {
            assert_eq!(pairs(&format!("alice:secret\n{line}")), Err(2), "{line}");
        }
    }
}

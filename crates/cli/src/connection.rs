//! Arguments that say how to connect, for commands that read.
//!
//! In: arguments. Out: settings by their Java names, as the library takes them. Reads the file that is named.

use std::path::{Path, PathBuf};

use crate::{
    console,
    exit::CliError,
    profiles::{self, Profiles},
    properties, settings,
};

const DEFAULT_BOOTSTRAP: &str = "localhost:9092";

/// How to connect.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// Brokers to connect to first, as host:port,host:port [default: those of --config or --profile, or localhost:9092]
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Setting by its Java name, as in security.protocol=SSL; may be repeated
    #[arg(long = "property", short = 'X', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    properties: Vec<(String, String)>,

    /// File of settings in the form of Java's .properties, in UTF-8; those of a producer will do
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    #[command(flatten)]
    profile: ProfileArgs,
}

/// Which profile is used.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ProfileArgs {
    /// Named set of settings, as `milena profile list` tells them; all other arguments count before it [default: MILENA_PROFILE]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// File of profiles [default: milena/config.toml where the user's configurations are]
    #[arg(long, value_name = "PATH")]
    profiles: Option<PathBuf>,
}

impl ProfileArgs {
    /// The settings of the profile; none if none was named.
    pub(crate) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let named = self.profile.clone().or_else(|| std::env::var("MILENA_PROFILE").ok());
        let Some(name) = named.filter(|name| !name.is_empty()) else { return Ok(Vec::new()) };
        let profiles = profiles(self.profiles.as_deref()).map_err(CliError::Usage)?;
        Ok(profiles.settings(&name).map_err(CliError::Usage)?.clone().into_iter().collect())
    }
}

/// The profiles of a file, or of the user's.
pub(crate) fn profiles(path: Option<&Path>) -> Result<Profiles, String> {
    match path {
        Some(path) => Profiles::load(path),
        None => Profiles::load(&profiles::place()?),
    }
}

impl Connection {
    /// All settings; a later one overrides an earlier one.
    pub(crate) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        merged(
            &self.profile,
            self.config.as_deref(),
            &self.properties,
            &[("bootstrap.servers", &self.bootstrap_server)],
        )
    }
}

/// The default server, then the settings of the profile, of the file, those given by name, and those of flags; a later one overrides an
/// earlier one.
pub(crate) fn merged(
    profile: &ProfileArgs,
    config: Option<&Path>,
    named: &[(String, String)],
    flags: &[(&str, &Option<String>)],
) -> Result<Vec<(String, String)>, CliError> {
    let mut settings = vec![("bootstrap.servers".to_owned(), DEFAULT_BOOTSTRAP.to_owned())];
    settings.extend(profile.settings()?);
    settings.extend(gathered(("--config", config), named, flags)?);
    Ok(settings)
}

/// The settings of the file that an option names, those given by name, and those of flags; a later one overrides an earlier one.
pub(crate) fn gathered(
    (option, config): (&str, Option<&Path>),
    named: &[(String, String)],
    flags: &[(&str, &Option<String>)],
) -> Result<Vec<(String, String)>, CliError> {
    let mut settings = config.map(properties::load).transpose().map_err(CliError::Usage)?.unwrap_or_default();
    warn_of_secrets(named, option);
    settings.extend(named.iter().cloned());
    settings.extend(flags.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value).clone()?))));
    Ok(settings)
}

/// Warns of secrets among the settings that were given as arguments. `option` names a file of settings instead.
pub(crate) fn warn_of_secrets(named: &[(String, String)], option: &str) {
    for (name, _) in named.iter().filter(|(name, value)| is_secret(name) && !value.is_empty()) {
        console::to_stderr(&format!(
            "warning: {name} is on the command line, where other users of this machine can see it; put it into a file, and name that by {option}"
        ));
    }
}

/// Warns of the options of before, each with its name of now and whether it was given.
pub(crate) fn warn_of_deprecated(options: &[(&str, &str, bool)]) {
    for (old, new, _) in options.iter().filter(|(.., given)| *given) {
        console::to_stderr(&format!("warning: {old} is deprecated, use {new}"));
    }
}

/// Whether a setting is a password, a key, or what contains one.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.trim();
    ["password", "secret", "jaas.config", "keystore.key"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_other_settings() {
        for (name, expected) in [
            ("sasl.password", true),
            (" ssl.key.password", true),
            ("sasl.jaas.config", true),
            ("ssl.keystore.key", true),
            ("sasl.oauthbearer.client.credentials.client.secret", true),
            ("sasl.username", false),
            ("ssl.keystore.location", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
    }
}

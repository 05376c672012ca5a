//! Named sets of settings, one for each cluster, in a file of the user's.
//!
//! In: a file in TOML, and the name of a profile. Out: settings by their Java names. Pure but for [`Profiles::load`] and [`place`], which read the
//! file and the environment.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Settings by their Java names, in the order of the names.
type Settings = BTreeMap<String, String>;

/// All profiles of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profiles {
    path: PathBuf,
    named: BTreeMap<String, Settings>,
}

impl Profiles {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let wrong = |reason: &dyn std::fmt::Display| format!("profiles in {}: {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let named = parse(&text).map_err(|why| wrong(&why))?;
        Ok(Self { path: path.to_owned(), named })
    }

    /// The settings of a profile.
    pub(crate) fn settings(&self, name: &str) -> Result<&Settings, String> {
        self.named.get(name).ok_or_else(|| {
            let names = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            format!("profile {name:?}: not in {}; those that are there: {names}", self.path.display())
        })
    }

    /// Each profile with its settings.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Settings)> {
        self.named.iter().map(|(name, settings)| (name.as_str(), settings))
    }
}

/// Where profiles are unless a file is named.
pub(crate) fn place() -> Result<PathBuf, String> {
    place_in(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME")).ok_or_else(|| {
        "no folder for profiles: expected XDG_CONFIG_HOME or HOME in the environment, or --profiles".into()
    })
}

fn place_in(config: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let set = |variable: Option<OsString>| variable.filter(|text| !text.is_empty()).map(PathBuf::from);
    let folder = set(config).or_else(|| set(home).map(|home| home.join(".config")))?;
    Some(folder.join("milena").join("config.toml"))
}

/// Parses a table for each profile. `a.b = 1` is the setting `a.b`, with quotation marks and without.
fn parse(text: &str) -> Result<BTreeMap<String, Settings>, String> {
    // The error's own text would show the line, and with it perhaps a secret.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        format!("line {line}: {}", error.message())
    })?;
    let profile = |(name, value): (String, Value)| {
        let Value::Table(table) = value else {
            return Err(format!("{name}: expected it within a profile, as in [local]"));
        };
        let mut settings = Settings::new();
        table.into_iter().try_for_each(|(key, value)| flatten(&name, key, value, &mut settings))?;
        Ok((name, settings))
    };
    table.into_iter().map(profile).collect()
}

fn flatten(profile: &str, name: String, value: Value, into: &mut Settings) -> Result<(), String> {
    let text = match value {
        Value::String(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Table(table) => {
            return table
                .into_iter()
                .try_for_each(|(key, value)| flatten(profile, format!("{name}.{key}"), value, into));
        }
        Value::Array(_) | Value::Datetime(_) => {
            return Err(format!("{profile}: {name}: expected text, a number, true or false"));
        }
    };
    into.insert(name, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<String>, String> {
        let profiles = Profiles { path: PathBuf::new(), named: parse(text)? };
        let told = |(profile, settings): (&str, &Settings)| {
            settings.iter().map(|(name, value)| format!("{profile}: {name}={value}")).collect::<Vec<_>>()
        };
        Ok(profiles.iter().flat_map(told).collect())
    }

    #[test]
    fn a_table_is_a_profile_and_names_may_have_quotation_marks_or_not() {
        let text = "
            [local]
            bootstrap.servers = 'localhost:9092'
            linger.ms = 20

            [prod]
            \"bootstrap.servers\" = \"a:9093,b:9093\"
            enable.idempotence = true
            partitioner.availability.timeout.ms = 5
        ";
        let expected = [
            "local: bootstrap.servers=localhost:9092",
            "local: linger.ms=20",
            "prod: bootstrap.servers=a:9093,b:9093",
            "prod: enable.idempotence=true",
            "prod: partitioner.availability.timeout.ms=5",
        ];
        assert_eq!(told(text).unwrap(), expected);
        assert_eq!(told("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_error_names_the_line_and_never_shows_it() {
        let error = told("[a]\nx = 1\nsasl.password = hunter2\n").unwrap_err();
        assert!(error.starts_with("line 3: ") && !error.contains("hunter2"), "{error}");
        assert_eq!(told("x = 1").unwrap_err(), "x: expected it within a profile, as in [local]");
        assert_eq!(told("[a]\nx = [1]").unwrap_err(), "a: x: expected text, a number, true or false");
    }

    #[test]
    fn a_profile_that_is_not_there_is_told_with_those_that_are() {
        let profiles = Profiles { path: "config.toml".into(), named: parse("[b]\n[a]\n").unwrap() };
        let error = profiles.settings("c").unwrap_err();
        assert_eq!(error, "profile \"c\": not in config.toml; those that are there: a, b");
        assert!(Profiles::default().settings("c").unwrap_err().ends_with("those that are there: none"));
    }

    #[test]
    fn profiles_are_where_the_user_has_configurations() {
        for (config, home, expected) in [
            (Some("/c"), Some("/h"), Some("/c/milena/config.toml")),
            (Some(""), Some("/h"), Some("/h/.config/milena/config.toml")),
            (None, Some("/h"), Some("/h/.config/milena/config.toml")),
            (None, None, None),
        ] {
            assert_eq!(place_in(config.map(Into::into), home.map(Into::into)), expected.map(PathBuf::from));
        }
    }
}

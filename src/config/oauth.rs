//! Where tokens come from: OAUTHBEARER's settings.
//!
//! In: a configuration whose values are valid on their own, the options of `sasl.jaas.config`, a source that the program gave. Out:
//! [`TokenSettings`], or violations. Pure. No violation repeats a secret. Source: `SaslConfigs`, `OAuthBearerLoginCallbackHandler`,
//! `ClientCredentialsJwtRetriever` and `OAuthBearerUnsecuredLoginCallbackHandler` of Apache Kafka 4.2. Deliberately absent: JWT bearer
//! assertions (KIP-1139).

#[cfg(feature = "oidc")]
mod endpoint;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{
    draft::Draft,
    table::Config,
    tokens::{Origin, Refresh, TokenSettings, Unsecured},
};
use crate::sasl::{
    jaas,
    token::{TokenSource, check_extension},
};

const MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const FILE: &str = "file://";
/// `extension_NAME` for tokens of an endpoint or a file, `unsecuredLoginExtension_NAME` for those that the client makes.
const EXTENSION: &str = "extension_";
const UNSECURED_EXTENSION: &str = "unsecuredLoginExtension_";
const UNSECURED_TEXT: &str = "unsecuredLoginStringClaim_";
const UNSECURED_LIFETIME: &str = "unsecuredLoginLifetimeSeconds";
/// How long a token lives that the client makes, in seconds.
const LIFETIME: u64 = 3_600;

/// Reads the settings. `draft` has all properties as they were given.
pub(super) fn read(
    config: &Config,
    draft: &Draft<'_>,
    source: Option<&Arc<dyn TokenSource>>,
) -> Result<TokenSettings, Vec<String>> {
    if !config.sasl_username.is_empty() || !config.sasl_password.is_empty() {
        let hint = "OAUTHBEARER has a token instead: leave them out";
        return Err(vec![format!("sasl.username, sasl.password: {hint}")]);
    }
    let options = options(config).map_err(|why| vec![why])?;
    let origin = match source {
        Some(_) if !config.sasl_token_endpoint.is_empty() => {
            return Err(vec![format!("{URL}: expected it or the program's own source of tokens, got both")]);
        }
        Some(source) => Origin::Code(Arc::clone(source)),
        None => origin(config, draft, &options)?,
    };
    let prefix = if matches!(origin, Origin::Unsecured(_)) { UNSECURED_EXTENSION } else { EXTENSION };
    Ok(TokenSettings {
        patience: patience(config, &origin),
        origin,
        extensions: extensions(&options, prefix)?,
        scope_claim: Arc::clone(&config.sasl_scope_claim),
        sub_claim: Arc::clone(&config.sasl_sub_claim),
        refresh: Refresh {
            factor: config.sasl_refresh_factor,
            jitter: config.sasl_refresh_jitter,
            min_period: Duration::from_secs(config.sasl_refresh_min.into()),
            buffer: Duration::from_secs(config.sasl_refresh_buffer.into()),
        },
        backoff: (config.sasl_login_backoff, config.sasl_login_backoff_max.max(config.sasl_login_backoff)),
    })
}

/// A connection to the provider may take its time, and then the answer.
fn patience(config: &Config, origin: &Origin) -> Duration {
    match origin {
        #[cfg(feature = "oidc")]
        Origin::Endpoint(endpoint) => endpoint.connect.saturating_add(endpoint.read),
        _ => config.connection_setup_timeout,
    }
}

/// The options of the login module, if there is one.
fn options(config: &Config) -> Result<BTreeMap<String, String>, String> {
    let text = config.sasl_jaas_config.reveal();
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let module = jaas::read(text).map_err(|expected| format!("sasl.jaas.config: expected {expected}"))?;
    match module.class == MODULE {
        true => Ok(module.options),
        false => Err(format!("sasl.jaas.config: expected {MODULE}, got another class: a Java class cannot run here")),
    }
}

fn origin(config: &Config, draft: &Draft<'_>, options: &BTreeMap<String, String>) -> Result<Origin, Vec<String>> {
    let url = &*config.sasl_token_endpoint;
    let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if is(FILE) {
        return Ok(Origin::File(path(url).map_err(|why| vec![why])?));
    }
    if is("https://") || is("http://") {
        return endpoint(config, draft, options);
    }
    if !url.is_empty() {
        return Err(vec![format!("{URL}: expected https://HOST/PATH or file:///PATH, got another text")]);
    }
    if options.keys().any(|name| name.starts_with(UNSECURED_TEXT)) {
        return unsecured(options).map(Origin::Unsecured).map_err(|why| vec![format!("sasl.jaas.config: {why}")]);
    }
    Err(vec![format!(
        "{URL}: expected where tokens come from, https://HOST/PATH or file:///PATH, got nothing; a program can give the builder a source \
         of its own (oauth_bearer)"
    )])
}

#[cfg(feature = "oidc")]
fn endpoint(config: &Config, draft: &Draft<'_>, options: &BTreeMap<String, String>) -> Result<Origin, Vec<String>> {
    endpoint::read(config, draft, options).map(|endpoint| Origin::Endpoint(Arc::new(endpoint)))
}

#[cfg(not(feature = "oidc"))]
fn endpoint(_: &Config, _: &Draft<'_>, _: &BTreeMap<String, String>) -> Result<Origin, Vec<String>> {
    Err(vec![format!("{URL}: this build has no OIDC: build milena with the feature `oidc`, or use file:///PATH")])
}

/// The path of `file:///PATH`, in which `%20` and the like stand for bytes.
fn path(url: &str) -> Result<PathBuf, String> {
    let rest = url.get(FILE.len()..).unwrap_or_default();
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let decoded = unescaped(rest).filter(|path| path.starts_with('/') && path.len() > 1);
    decoded.map(PathBuf::from).ok_or_else(|| format!("{URL}: expected file:///PATH with an absolute path"))
}

/// Text with `%` and two hexadecimal digits for some bytes.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn extensions(options: &BTreeMap<String, String>, prefix: &str) -> Result<BTreeMap<String, String>, Vec<String>> {
    let named = |(name, value): (&String, &String)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone()));
    let extensions: BTreeMap<_, _> = options.iter().filter_map(named).collect();
    let wrong = extensions.iter().filter_map(|(name, value)| check_extension(name, value).err());
    let wrong: Vec<_> = wrong.map(|why| format!("sasl.jaas.config: {why}")).collect();
    if wrong.is_empty() { Ok(extensions) } else { Err(wrong) }
}

/// The claims of a token that the client makes. Java's numbers and lists are not there.
fn unsecured(options: &BTreeMap<String, String>) -> Result<Unsecured, String> {
    let claim =
        |(name, value): (&String, &String)| Some((name.strip_prefix(UNSECURED_TEXT)?.to_owned(), value.clone().into()));
    let seconds = match options.get(UNSECURED_LIFETIME).map(|text| text.parse::<u64>()) {
        None => LIFETIME,
        Some(Ok(seconds)) if (1..=u64::from(u32::MAX)).contains(&seconds) => seconds,
        Some(_) => return Err(format!("{UNSECURED_LIFETIME}: expected a number of seconds of at least 1")),
    };
    tracing::warn!(
        "the client makes its tokens itself, without a signature: whoever can reach the brokers can pose as anybody"
    );
    Ok(Unsecured { claims: options.iter().filter_map(claim).collect(), lifetime: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProducerBuilder;

    fn builder(properties: &[(&str, &str)]) -> ProducerBuilder {
        let given = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER")];
        ProducerBuilder::new("localhost:9092").properties(given.iter().chain(properties).copied())
    }

    fn settings(properties: &[(&str, &str)]) -> TokenSettings {
        let config = builder(properties).validate().unwrap();
        assert!(config.has_login() && config.credentials.is_none());
        (*config.tokens.unwrap()).clone()
    }

    fn violations(properties: &[(&str, &str)]) -> Vec<String> {
        builder(properties).validate().unwrap_err().violations().to_vec()
    }

    fn module(options: &str) -> String {
        format!("{MODULE} required {options};")
    }

    #[test]
    fn a_file_is_named_by_its_url_as_in_java() {
        for (url, path) in [
            ("file:///etc/token", "/etc/token"),
            ("FILE:///a%20b/t%25", "/a b/t%"),
            ("file://localhost/etc/token", "/etc/token"),
        ] {
            let Origin::File(found) = settings(&[(URL, url)]).origin else { panic!("{url}") };
            assert_eq!(found, PathBuf::from(path));
        }
        for url in ["file://etc/token", "file:///", "file:///%zz", "file:///%f", "file:///%ff"] {
            assert!(violations(&[(URL, url)])[0].contains("absolute path"), "{url}");
        }
    }

    #[test]
    fn a_source_of_the_program_s_sets_the_mechanism() {
        let source = || async { Err(crate::oauth::TokenError::new("none")) };
        let builder =
            || ProducerBuilder::new("localhost:9092").property("security.protocol", "SASL_SSL").oauth_bearer(source);
        #[cfg(feature = "tls")]
        {
            let config = builder().validate().unwrap();
            assert_eq!(config.sasl_mechanism, crate::SaslMechanism::OauthBearer);
            assert!(matches!(config.tokens.unwrap().origin, Origin::Code(_)));
        }
        let both = builder().property(URL, "file:///t").validate().unwrap_err();
        assert!(both.to_string().contains("expected it or the program's own source of tokens, got both"), "{both}");
        let other =
            builder().property("sasl.mechanism", "PLAIN").property("sasl.username", "a").validate().unwrap_err();
        assert!(other.to_string().contains("sasl.mechanism: expected OAUTHBEARER"), "{other}");
    }

    #[test]
    fn extensions_and_refreshing_are_settings() {
        let jaas = module(r#"extension_logicalCluster="lkc-1" extension_identityPoolId="pool-2""#);
        let settings =
            settings(&[(URL, "file:///t"), ("sasl.jaas.config", &jaas), ("sasl.login.refresh.buffer.seconds", "7")]);
        let extensions: Vec<_> =
            settings.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(extensions, [("identityPoolId", "pool-2"), ("logicalCluster", "lkc-1")]);
        assert_eq!((settings.refresh.factor, settings.refresh.buffer), (0.8, Duration::from_secs(7)));
    }

    #[test]
    fn a_client_may_make_its_tokens_itself() {
        let jaas = module(
            r#"unsecuredLoginStringClaim_sub="alice" unsecuredLoginLifetimeSeconds="5" unsecuredLoginExtension_a="b""#,
        );
        let settings = settings(&[("sasl.jaas.config", &jaas)]);
        let Origin::Unsecured(unsecured) = settings.origin else { panic!() };
        assert_eq!((unsecured.claims["sub"].as_str(), unsecured.lifetime), (Some("alice"), Duration::from_secs(5)));
        assert_eq!(settings.extensions["a"], "b");
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_and_no_secret_is_repeated() {
        let jaas = |options: &str| vec![("sasl.jaas.config", module(options))];
        let url = |url: &str| vec![(URL, url.to_owned())];
        for (properties, expected) in [
            (vec![], "sasl.oauthbearer.token.endpoint.url: expected where tokens come from"),
            (
                jaas(r#"clientId="a" clientSecret="hunter2""#),
                "sasl.oauthbearer.token.endpoint.url: expected where tokens come from",
            ),
            (url("ftp://hunter2"), "sasl.oauthbearer.token.endpoint.url: expected https://HOST/PATH or file:///PATH"),
            (
                vec![("sasl.password", "hunter2".to_owned())],
                "sasl.username, sasl.password: OAUTHBEARER has a token instead",
            ),
            (
                vec![("sasl.jaas.config", "a.Hunter2 required;".to_owned())],
                "sasl.jaas.config: expected org.apache.kafka.common.security.oauthbearer",
            ),
            (
                jaas(r#"unsecuredLoginStringClaim_sub="a" unsecuredLoginLifetimeSeconds="0""#),
                "sasl.jaas.config: unsecuredLoginLifetimeSeconds",
            ),
            (
                [url("file:///t"), jaas(r#"extension_auth="hunter2""#)].concat(),
                "sasl.jaas.config: an extension must not be named auth",
            ),
            (
                vec![("sasl.login.refresh.window.factor", "2".to_owned())],
                "sasl.login.refresh.window.factor: expected a number from 0.5 to 1",
            ),
        ] {
            let properties: Vec<_> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let violations = violations(&properties);
            assert!(violations[0].starts_with(expected), "{violations:?}");
            assert!(!violations.concat().to_lowercase().contains("hunter2"), "{violations:?}");
        }
    }

    #[cfg(not(feature = "oidc"))]
    #[test]
    fn a_provider_without_its_feature_fails_when_the_producer_is_built() {
        assert!(violations(&[(URL, "https://idp.example/token")])[0].contains("build milena with the feature `oidc`"));
    }
}

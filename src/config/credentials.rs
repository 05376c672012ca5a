//! Who the producer says it is: credentials from settings.
//!
//! In: a configuration whose values are valid on their own. Out: credentials, or violations. Pure. No violation repeats a value of
//! `sasl.jaas.config`, `sasl.username` or `sasl.password`. Source: `SaslConfigs` and `JaasContext` of Apache Kafka 4.2.

use std::sync::Arc;

#[cfg(feature = "oauth")]
use super::oauth;
use super::{draft::Draft, table::Config, values::SaslMechanism};
#[cfg(feature = "oauth")]
use crate::sasl::token::TokenSource;
use crate::{
    sasl::{Credentials, Mechanism, jaas},
    secret::Secret,
};

/// The login modules whose options are a user name and a password.
const MODULES: [&str; 2] = [
    "org.apache.kafka.common.security.plain.PlainLoginModule",
    "org.apache.kafka.common.security.scram.ScramLoginModule",
];

/// Adds credentials to `config`, if it asks for them.
pub(super) fn apply(
    config: &mut Config,
    draft: &mut Draft<'_>,
    #[cfg(feature = "oauth")] source: Option<&Arc<dyn TokenSource>>,
) {
    if !config.security_protocol.has_sasl() {
        let given = draft.given.keys().find(|name| name.starts_with("sasl."));
        given.inspect(|name| {
            tracing::warn!("{name} has no effect: security.protocol is not SASL_PLAINTEXT or SASL_SSL")
        });
        return;
    }
    #[cfg(feature = "oauth")]
    if config.sasl_mechanism == SaslMechanism::OauthBearer {
        match oauth::read(config, draft, source) {
            Ok(settings) => config.tokens = Some(Arc::new(settings)),
            Err(violations) => draft.violations.extend(violations),
        }
        return;
    }
    #[cfg(feature = "oauth")]
    if source.is_some() {
        draft.violations.push("sasl.mechanism: expected OAUTHBEARER, as there is a source of tokens".to_owned());
    }
    match (mechanism(config.sasl_mechanism), user(config)) {
        (Ok(mechanism), Ok((username, password))) => {
            config.credentials = Some(Arc::new(Credentials::new(mechanism, &username, password)));
        }
        (mechanism, user) => draft.violations.extend(mechanism.err().into_iter().chain(user.err())),
    }
}

impl SaslMechanism {
    /// The mechanism, if this build has it.
    pub(crate) fn built_in(self) -> Option<Mechanism> {
        match self {
            Self::Plain => Some(Mechanism::Plain),
            #[cfg(feature = "scram")]
            Self::ScramSha256 => Some(Mechanism::ScramSha256),
            #[cfg(feature = "scram")]
            Self::ScramSha512 => Some(Mechanism::ScramSha512),
            #[cfg(feature = "oauth")]
            Self::OauthBearer => Some(Mechanism::OauthBearer),
            _ => None,
        }
    }
}

fn mechanism(named: SaslMechanism) -> Result<Mechanism, String> {
    let why = match named {
        SaslMechanism::Gssapi => {
            "milena has no Kerberos (GSSAPI, which is the default): choose PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
        }
        SaslMechanism::OauthBearer => {
            "this build has no OAUTHBEARER: build milena with the feature `oauth`, or `oidc` for tokens from a provider"
        }
        _ => "this build has no SCRAM: build milena with the feature `scram`, or choose PLAIN",
    };
    named.built_in().ok_or_else(|| format!("sasl.mechanism: {why}"))
}

/// User name and password.
fn user(config: &Config) -> Result<(String, Secret), String> {
    let Config { sasl_jaas_config: jaas, sasl_username: username, sasl_password: password, .. } = config;
    let has_user = !username.is_empty() || !password.is_empty();
    match (jaas.is_empty(), has_user) {
        (true, false) => {
            Err("sasl.jaas.config: expected a login module with user name and password, got nothing; or set \
                              sasl.username and sasl.password"
                .to_owned())
        }
        (false, true) => Err("sasl.username, sasl.password: expected these or sasl.jaas.config, got both".to_owned()),
        (true, true) if username.is_empty() => Err("sasl.username: expected a user name, got nothing".to_owned()),
        (true, true) => Ok((username.to_string(), password.clone())),
        (false, false) => of_module(jaas.reveal()).map_err(|expected| format!("sasl.jaas.config: expected {expected}")),
    }
}

fn of_module(text: &str) -> Result<(String, Secret), String> {
    let mut module = jaas::read(text)?;
    if !MODULES.contains(&module.class.as_str()) {
        return Err(format!("{} or {}, got another class: a Java class cannot run here", MODULES[0], MODULES[1]));
    }
    let username = module.options.remove("username").filter(|name| !name.is_empty());
    let username = username.ok_or("an option username=\"…\" in the login module")?;
    let password = module.options.remove("password").ok_or("an option password=\"…\" in the login module")?;
    Ok((username, Secret::new(&password)))
}

#[cfg(test)]
mod tests {
    use crate::{ProducerBuilder, SaslMechanism, SecurityProtocol};

    const PLAIN: &str =
        r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="hunter2";"#;

    fn builder(properties: &[(&str, &str)]) -> ProducerBuilder {
        let protocol = [("security.protocol", "SASL_PLAINTEXT")];
        ProducerBuilder::new("localhost:9092").properties(protocol.iter().chain(properties).copied())
    }

    fn violations(properties: &[(&str, &str)]) -> Vec<String> {
        builder(properties).validate().unwrap_err().violations().to_vec()
    }

    #[test]
    fn credentials_come_from_a_login_module_or_from_user_name_and_password() {
        let named = [("sasl.mechanism", "PLAIN"), ("sasl.username", "alice"), ("sasl.password", "hunter2")];
        let typed = ProducerBuilder::new("localhost:9092").security_protocol(SecurityProtocol::SaslPlaintext).sasl(
            SaslMechanism::Plain,
            "alice",
            "hunter2",
        );
        for builder in [builder(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]), builder(&named), typed] {
            let credentials = builder.validate().unwrap().credentials.unwrap();
            assert_eq!(credentials.begin(1).1, b"\0alice\0hunter2");
        }
        assert!(ProducerBuilder::new("localhost:9092").properties(named).validate().unwrap().credentials.is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_and_no_value_is_repeated() {
        let jaas = |text| vec![("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", text)];
        for (properties, expected) in [
            (vec![], "sasl.mechanism: milena has no Kerberos"),
            (
                vec![("sasl.mechanism", "PLAIN")],
                "sasl.jaas.config: expected a login module with user name and password, got nothing",
            ),
            (
                vec![("sasl.mechanism", "PLAIN"), ("sasl.password", "hunter2")],
                "sasl.username: expected a user name, got nothing",
            ),
            (
                vec![("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN), ("sasl.username", "alice")],
                "sasl.username, sasl.password: expected these or sasl.jaas.config, got both",
            ),
            (jaas("hunter2"), "sasl.jaas.config: expected required after the class of the login module"),
            (
                jaas("com.example.Hunter2 required;"),
                "sasl.jaas.config: expected org.apache.kafka.common.security.plain.PlainLoginModule or",
            ),
            (
                jaas("org.apache.kafka.common.security.plain.PlainLoginModule required password=\"hunter2\";"),
                "sasl.jaas.config: expected an option username=\"…\" in the login module",
            ),
        ] {
            let violations = violations(&properties);
            assert!(violations[0].starts_with(expected), "{violations:?}");
            assert!(!violations.concat().to_lowercase().contains("hunter2"), "{violations:?}");
        }
    }

    #[cfg(all(feature = "scram", feature = "oidc"))]
    #[test]
    fn the_settings_of_the_usual_providers_are_valid() {
        let page = include_str!("../../PROVIDERS.md");
        let blocks: Vec<_> =
            page.split("```properties\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(blocks.len() >= 10, "{}", blocks.len());
        for block in blocks {
            let block = block.replace(":PORT_FOR_SASL", ":1").replace(":PORT_FOR_CERTIFICATES", ":2");
            let properties = block.lines().filter_map(|line| line.split_once('='));
            let config = ProducerBuilder::from_properties(properties)
                .validate()
                .unwrap_or_else(|error| panic!("{block}{error}"));
            assert!(config.tls.is_some());
        }
    }

    #[test]
    fn effective_properties_hide_what_is_secret() {
        let shown =
            builder(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]).effective_properties().unwrap();
        assert!(
            shown.contains(&("sasl.jaas.config", "[hidden]".to_owned())) && !format!("{shown:?}").contains("hunter2")
        );
    }

    #[cfg(not(feature = "oauth"))]
    #[test]
    fn tokens_without_their_feature_fail_when_the_producer_is_built() {
        let [violation] = &violations(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.username", "a")])[..] else {
            panic!()
        };
        assert!(violation.contains("build milena with the feature `oauth`"), "{violation}");
    }

    #[cfg(not(feature = "scram"))]
    #[test]
    fn scram_without_its_feature_fails_when_the_producer_is_built() {
        let [violation] = &violations(&[("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.username", "a")])[..] else {
            panic!()
        };
        assert!(violation.contains("build milena with the feature `scram`"), "{violation}");
    }
}

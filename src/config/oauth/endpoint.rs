//! The OIDC provider that tokens come from (KIP-768).
//!
//! In: its URL, client id, secret and scope, from settings or from the options of `sasl.jaas.config`. Out: an [`Endpoint`], or every violation.
//! Pure. Source: `ClientCredentialsJwtRetriever` and `JaasOptionsUtils` of Apache Kafka 4.2.

use std::collections::BTreeMap;

use hyper::Uri;

use crate::{
    config::{builder::ProducerBuilder, draft::Draft, table::Config, tls::TlsSettings, tokens::Endpoint},
    secret::Secret,
};

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.credentials.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.credentials.client.secret";

/// Reads the settings.
pub(super) fn read(
    config: &Config,
    draft: &Draft<'_>,
    options: &BTreeMap<String, String>,
) -> Result<Endpoint, Vec<String>> {
    let target = target(&config.sasl_token_endpoint);
    let client_id = one_of(&config.sasl_client_id, options, "clientId", CLIENT_ID);
    let secret = one_of(config.sasl_client_secret.reveal(), options, "clientSecret", CLIENT_SECRET);
    let is_https = target.as_ref().is_ok_and(|target| target.is_https);
    let tls = if is_https { encrypted(config, draft, options).map(Some) } else { Ok(None) };
    match (target, client_id, secret, tls) {
        (Ok(target), Ok(client_id), Ok(secret), Ok(tls)) => {
            if !is_https {
                tracing::warn!("{URL} is http://, so everybody on the way can read the client's secret and its tokens");
            }
            Ok(Endpoint {
                name: target.name,
                host: target.host,
                port: target.port,
                authority: target.authority,
                path: target.path,
                tls,
                client_id: client_id.to_owned(),
                client_secret: Secret::new(secret),
                scope: one_of(&config.sasl_scope, options, "scope", "").unwrap_or_default().to_owned(),
                urlencode: config.sasl_urlencode,
                connect: config.sasl_login_connect.unwrap_or(config.connection_setup_timeout),
                read: config.sasl_login_read.unwrap_or(config.connection_setup_timeout),
            })
        }
        (target, client_id, secret, tls) => {
            let simple = [target.err(), client_id.err(), secret.err()].into_iter().flatten();
            Err(simple.chain(tls.err().into_iter().flatten()).collect())
        }
    }
}

/// A setting, or else the option of the login module.
fn one_of<'a>(
    setting: &'a str,
    options: &'a BTreeMap<String, String>,
    option: &str,
    property: &str,
) -> Result<&'a str, String> {
    let option_value = options.get(option).map(String::as_str);
    let found = [Some(setting), option_value].into_iter().flatten().find(|text| !text.is_empty());
    found.ok_or_else(|| format!("{property}: expected it, or the option {option} in sasl.jaas.config, got neither"))
}

/// How connections to the provider are encrypted: as the login module's options `ssl.*` say, as in Java, or without any as the producer's own.
fn encrypted(
    config: &Config,
    draft: &Draft<'_>,
    options: &BTreeMap<String, String>,
) -> Result<TlsSettings, Vec<String>> {
    let of_module = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let of_module: Vec<_> = of_module.filter(|(name, _)| name.starts_with("ssl.")).collect();
    match (&config.tls, of_module.is_empty()) {
        (Some(tls), true) => Ok(tls.clone()),
        (None, true) => settings(draft.given.iter().map(|(name, value)| (*name, *value)), ""),
        (_, false) => settings(of_module.into_iter(), "sasl.jaas.config: "),
    }
}

fn settings<'a>(given: impl Iterator<Item = (&'a str, &'a str)>, place: &str) -> Result<TlsSettings, Vec<String>> {
    let given = given.filter(|(name, _)| name.starts_with("ssl."));
    let builder = ProducerBuilder::new("localhost:1").properties(given).property("security.protocol", "SSL");
    let (config, violations) = builder.read();
    let violations: Vec<_> = violations.into_iter().map(|why| format!("{place}{why}")).collect();
    config.tls.filter(|_| violations.is_empty()).ok_or(violations)
}

struct Target {
    name: String,
    host: String,
    port: u16,
    authority: String,
    path: String,
    is_https: bool,
}

fn target(url: &str) -> Result<Target, String> {
    let wrong = || format!("{URL}: expected https://HOST/PATH, got a URL that cannot be read");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    if authority.as_str().contains('@') {
        return Err(format!(
            "{URL}: expected no user name or password in it: they are {CLIENT_ID} and {CLIENT_SECRET}"
        ));
    }
    let is_https = scheme.eq_ignore_ascii_case("https");
    let host = authority.host().trim_matches(['[', ']']);
    if host.is_empty() || (authority.port().is_some() && authority.port_u16().is_none_or(|port| port == 0)) {
        return Err(wrong());
    }
    Ok(Target {
        name: format!("{}://{authority}{}", scheme.to_ascii_lowercase(), uri.path()),
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
        authority: authority.as_str().to_owned(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        is_https,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{
        tls::Place,
        tokens::{Origin, TokenSettings},
    };

    const TOKENS: &str = "https://idp.example/token";

    fn given(properties: &[(&str, &str)]) -> Result<Arc<TokenSettings>, Vec<String>> {
        let sasl = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER")];
        let builder = ProducerBuilder::new("localhost:9092").properties(sasl.iter().chain(properties).copied());
        builder.validate().map(|config| config.tokens.unwrap()).map_err(|error| error.violations().to_vec())
    }

    fn endpoint(properties: &[(&str, &str)]) -> Arc<Endpoint> {
        let settings = given(properties).unwrap();
        let Origin::Endpoint(endpoint) = &settings.origin else { panic!("no endpoint") };
        Arc::clone(endpoint)
    }

    #[test]
    fn the_client_is_named_by_settings_or_by_the_login_module_and_settings_count_more() {
        let module = r#"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="a" clientSecret="s" scope="x y";"#;
        let found = endpoint(&[(URL, TOKENS), ("sasl.jaas.config", module)]);
        assert_eq!((&*found.client_id, found.client_secret.reveal(), &*found.scope), ("a", "s", "x y"));
        let found = endpoint(&[(URL, TOKENS), ("sasl.jaas.config", module), (CLIENT_ID, "b"), (CLIENT_SECRET, "t")]);
        assert_eq!((&*found.client_id, found.client_secret.reveal()), ("b", "t"));
        assert_eq!((&*found.host, found.port, &*found.path), ("idp.example", 443, "/token"));
        assert!(!format!("{found:?}").contains("\"t\""), "{found:?}");
    }

    #[test]
    fn urls_have_host_port_and_path() {
        let client = [(CLIENT_ID, "b"), (CLIENT_SECRET, "t")];
        for (url, host, port, path) in [
            ("http://idp.example", "idp.example", 80, "/"),
            ("HTTPS://idp.example:8443/a/b?tenant=1", "idp.example", 8443, "/a/b?tenant=1"),
            ("http://[::1]:8080/token", "::1", 8080, "/token"),
        ] {
            let found = endpoint(&[&client[..], &[(URL, url)]].concat());
            assert_eq!((&*found.host, found.port, &*found.path), (host, port, path), "{url}");
            assert!(!found.name.contains('?'), "{}", found.name);
        }
        for (url, says) in [
            ("https://", "cannot be read"),
            ("https://idp.example:0/", "cannot be read"),
            ("https://idp example/", "cannot be read"),
            ("https://alice:hunter2@idp.example/", "expected no user name or password in it"),
        ] {
            let [violation] = &given(&[&client[..], &[(URL, url)]].concat()).unwrap_err()[..] else { panic!("{url}") };
            assert!(violation.contains(says) && !violation.contains("hunter2"), "{violation}");
        }
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let violations = given(&[(URL, "https://")]).unwrap_err();
        assert_eq!(violations.len(), 3, "{violations:?}");
        assert!(violations[1].starts_with(CLIENT_ID) && violations[2].starts_with(CLIENT_SECRET), "{violations:?}");
    }

    #[test]
    fn certificates_are_trusted_as_the_login_module_says_or_else_the_producer() {
        let client = [(URL, TOKENS), (CLIENT_ID, "b"), (CLIENT_SECRET, "t")];
        let own = [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "own.pem")];
        let trusts = |properties: &[(&str, &str)]| {
            let endpoint = endpoint(properties);
            endpoint.tls.as_ref().unwrap().trusted.as_ref().map(|pem| pem.place.clone())
        };
        assert_eq!(trusts(&client), None, "those of the system");
        assert_eq!(trusts(&[&client[..], &own[..]].concat()), Some(Place::File("own.pem".into())));
        let encrypted = [("security.protocol", "SASL_SSL")];
        assert_eq!(trusts(&[&client[..], &own, &encrypted].concat()), Some(Place::File("own.pem".into())));
        let module = r#"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required ssl.truststore.type="PEM" ssl.truststore.location="idp.pem";"#;
        let jaas = [("sasl.jaas.config", module)];
        assert_eq!(trusts(&[&client[..], &own, &encrypted, &jaas].concat()), Some(Place::File("idp.pem".into())));
        let jks = r#"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required ssl.truststore.location="idp.jks";"#;
        let [violation] = &given(&[&client[..], &[("sasl.jaas.config", jks)]].concat()).unwrap_err()[..] else {
            panic!()
        };
        assert!(violation.starts_with("sasl.jaas.config: ssl.truststore.type"), "{violation}");
    }
}

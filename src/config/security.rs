//! The rules of security: which protocol is possible, and what the settings `ssl.*` add up to.
//!
//! In: a configuration whose values are valid on their own, and the draft. Out: violations, and what they add up to. Pure. Source:
//! `SslConfigs` and `DefaultSslEngineFactory`. Deliberately absent: the files that settings name, which are read by [`crate::tls`].

#[cfg(feature = "tls")]
use std::sync::Arc;

use super::{draft::Draft, table::Config};
#[cfg(feature = "tls")]
use super::{
    tls::{Identity, Pem, Place, TlsSettings},
    values::StoreType,
};
#[cfg(feature = "tls")]
use crate::secret::Secret;

/// Applies the rules to `config`.
pub(super) fn apply(config: &mut Config, draft: &mut Draft<'_>) {
    if config.security_protocol.has_tls() {
        tls(config, draft);
    } else if let Some(idle) = ["ssl.truststore.location", "ssl.keystore.location"].iter().find(|name| draft.has(name))
    {
        tracing::warn!("{idle} has no effect without security.protocol=SSL or SASL_SSL");
    }
}

#[cfg(not(feature = "tls"))]
fn tls(_: &mut Config, draft: &mut Draft<'_>) {
    let missing = "this build has no TLS: build milena with the feature `tls`, or use a PLAINTEXT listener";
    draft.violations.push(format!("security.protocol: {missing}"));
}

#[cfg(feature = "tls")]
fn tls(config: &mut Config, draft: &mut Draft<'_>) {
    let trusted = truststore(config, draft);
    let identity = keystore(config, draft);
    config.tls = Some(TlsSettings {
        trusted,
        identity,
        versions: config.ssl_enabled_protocols,
        cipher_suites: config.ssl_cipher_suites.clone(),
        check_names: config.ssl_check_names,
    });
}

#[cfg(feature = "tls")]
fn truststore(config: &Config, draft: &mut Draft<'_>) -> Option<Pem> {
    let store = Store {
        kind: config.ssl_truststore_type,
        kind_property: "ssl.truststore.type",
        location: &config.ssl_truststore_location,
        location_property: "ssl.truststore.location",
        has_password: !config.ssl_truststore_password.is_empty(),
        password_property: "ssl.truststore.password",
        is_inline: !config.ssl_truststore_certificates.is_empty(),
        inline_property: "ssl.truststore.certificates",
        conversion: trust_conversion,
    };
    store.check(draft);
    let inline = || Pem::inline("ssl.truststore.certificates", &config.ssl_truststore_certificates);
    Pem::file("ssl.truststore.location", &config.ssl_truststore_location).or_else(inline)
}

#[cfg(feature = "tls")]
fn keystore(config: &Config, draft: &mut Draft<'_>) -> Option<Identity> {
    let (chain, key) = (&config.ssl_keystore_certificate_chain, &config.ssl_keystore_key);
    let store = Store {
        kind: config.ssl_keystore_type,
        kind_property: "ssl.keystore.type",
        location: &config.ssl_keystore_location,
        location_property: "ssl.keystore.location",
        has_password: !config.ssl_keystore_password.is_empty(),
        password_property: "ssl.keystore.password",
        is_inline: !chain.is_empty() || !key.is_empty(),
        inline_property: if chain.is_empty() { "ssl.keystore.key" } else { "ssl.keystore.certificate.chain" },
        conversion: key_conversion,
    };
    store.check(draft);
    if chain.is_empty() != key.is_empty() {
        let (given, missing) = match chain.is_empty() {
            true => ("ssl.keystore.key", "ssl.keystore.certificate.chain"),
            false => ("ssl.keystore.certificate.chain", "ssl.keystore.key"),
        };
        draft.violations.push(format!("{missing}: expected with {given}, got nothing"));
    }
    let file = Pem::file("ssl.keystore.location", &config.ssl_keystore_location);
    let chain = file.clone().or_else(|| Pem::inline("ssl.keystore.certificate.chain", chain))?;
    let key = file.or_else(|| Pem::inline("ssl.keystore.key", key))?;
    Some(Identity { chain, key, password: config.ssl_key_password.clone() })
}

#[cfg(feature = "tls")]
impl Pem {
    fn file(property: &'static str, path: &Arc<str>) -> Option<Self> {
        (!path.is_empty()).then(|| Self { property, place: Place::File(Arc::clone(path)) })
    }

    fn inline(property: &'static str, text: &Secret) -> Option<Self> {
        (!text.is_empty()).then(|| Self { property, place: Place::Inline(text.clone()) })
    }
}

/// What is given of a truststore or a keystore.
#[cfg(feature = "tls")]
struct Store<'a> {
    kind: StoreType,
    kind_property: &'static str,
    location: &'a str,
    location_property: &'static str,
    has_password: bool,
    password_property: &'static str,
    is_inline: bool,
    inline_property: &'static str,
    /// The command that makes PEM of a file.
    conversion: fn(StoreType, &str) -> String,
}

#[cfg(feature = "tls")]
impl Store<'_> {
    fn check(&self, draft: &mut Draft<'_>) {
        let (kind, location, inline) = (self.kind_property, self.location_property, self.inline_property);
        let has_file = !self.location.is_empty();
        if (!has_file && !self.is_inline) || !draft.readable(&[kind]) {
            return;
        }
        if has_file && self.is_inline {
            draft.violations.push(format!("{inline}: expected it or {location}, got both"));
        }
        if self.kind == StoreType::Pem {
            if self.has_password {
                let (password, hint) =
                    (self.password_property, "leave it out; the password of a key is ssl.key.password");
                draft.violations.push(format!("{password}: PEM has no password of its own: {hint}"));
            }
        } else if has_file {
            let convert = (self.conversion)(self.kind, self.location);
            let found = if draft.has(kind) {
                "expected PEM, which milena reads"
            } else {
                "JKS if it is not set, and milena reads PEM"
            };
            draft
                .violations
                .push(format!("{kind}: {found}: set it to PEM, and convert a file of another type with {convert}"));
        } else {
            draft.violations.push(format!("{kind}: expected PEM, as {inline} is PEM"));
        }
    }
}

/// How to make a truststore PEM. Java's `keytool` reads both of its types.
#[cfg(feature = "tls")]
fn trust_conversion(_: StoreType, location: &str) -> String {
    format!("`keytool -list -rfc -keystore {location} > {}.pem`", stem(location))
}

/// How to make a keystore PEM.
#[cfg(feature = "tls")]
fn key_conversion(kind: StoreType, location: &str) -> String {
    let stem = stem(location);
    if kind == StoreType::Pkcs12 {
        return format!("`openssl pkcs12 -in {location} -out {stem}.pem`");
    }
    let to_pkcs12 =
        format!("keytool -importkeystore -srckeystore {location} -destkeystore {stem}.p12 -deststoretype PKCS12");
    format!("`{to_pkcs12} && openssl pkcs12 -in {stem}.p12 -out {stem}.pem`")
}

/// A path without its file's extension.
#[cfg(feature = "tls")]
fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, extension)| if extension.contains('/') { path } else { stem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigError, ProducerBuilder};

    fn check(properties: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let builder = ProducerBuilder::new("localhost:9092").properties(properties.iter().copied());
        builder.validate().map_err(|error: ConfigError| error.violations().to_vec())
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_its_feature_fails_when_the_producer_is_built_and_names_the_feature() {
        assert_eq!(
            check(&[("security.protocol", "SSL")]).unwrap_err(),
            [
                "security.protocol: this build has no TLS: build milena with the feature `tls`, or use a PLAINTEXT listener"
            ]
        );
    }

    #[test]
    fn what_belongs_to_tls_is_no_fault_without_it() {
        assert!(check(&[("ssl.truststore.location", "trust.jks"), ("ssl.truststore.password", "secret")]).is_ok());
    }

    #[cfg(feature = "tls")]
    mod with_tls {
        use super::*;
        use crate::config::values::TlsVersions;

        const SSL: (&str, &str) = ("security.protocol", "SSL");

        fn settings(properties: &[(&str, &str)]) -> TlsSettings {
            check(&[&[SSL], properties].concat()).unwrap().tls.unwrap()
        }

        fn violations(properties: &[(&str, &str)]) -> Vec<String> {
            check(&[&[SSL], properties].concat()).err().unwrap_or_default()
        }

        #[test]
        fn without_any_ssl_setting_the_systems_roots_are_trusted_and_names_are_checked() {
            let settings = settings(&[]);
            assert!(settings.trusted.is_none() && settings.identity.is_none() && settings.check_names);
            assert_eq!(settings.versions, TlsVersions { v12: true, v13: true });
        }

        #[test]
        fn stores_are_files_or_texts() {
            let (trust, key) = (("ssl.truststore.type", "PEM"), ("ssl.keystore.type", "PEM"));
            let files =
                settings(&[trust, key, ("ssl.truststore.location", "ca.pem"), ("ssl.keystore.location", "me.pem")]);
            assert_eq!(files.trusted.unwrap().place, Place::File("ca.pem".into()));
            let identity = files.identity.unwrap();
            assert_eq!(identity.chain, identity.key);
            let texts = settings(&[
                trust,
                key,
                ("ssl.truststore.certificates", "a"),
                ("ssl.keystore.certificate.chain", "b"),
                ("ssl.keystore.key", "c"),
                ("ssl.key.password", " d "),
            ]);
            assert_eq!(texts.trusted.unwrap().place, Place::Inline(Secret::new("a")));
            let identity = texts.identity.unwrap();
            assert_eq!(
                (identity.chain.property, identity.key.property),
                ("ssl.keystore.certificate.chain", "ssl.keystore.key")
            );
            assert_eq!(identity.password.reveal(), " d ");
        }

        #[test]
        fn an_empty_algorithm_turns_the_check_of_names_off() {
            assert!(!settings(&[("ssl.endpoint.identification.algorithm", "")]).check_names);
            assert!(violations(&[("ssl.endpoint.identification.algorithm", "ldaps")])[0].contains("expected https or"));
        }

        #[test]
        fn stores_of_java_are_refused_with_the_command_that_converts_them() {
            for (kind, location, says) in [
                ("ssl.truststore", "/etc/trust.jks", "`keytool -list -rfc -keystore /etc/trust.jks > /etc/trust.pem`"),
                (
                    "ssl.keystore",
                    "a.b/key",
                    "-destkeystore a.b/key.p12 -deststoretype PKCS12 && openssl pkcs12 -in a.b/key.p12 ",
                ),
            ] {
                let (location_property, kind_property) = (format!("{kind}.location"), format!("{kind}.type"));
                let [unset] = &violations(&[(&location_property, location)])[..] else { panic!("one") };
                assert!(unset.contains("JKS if it is not set") && unset.contains(says), "{unset}");
                let [set] = &violations(&[(&location_property, location), (&kind_property, "JKS")])[..] else {
                    panic!("one")
                };
                assert!(set.contains("expected PEM, which milena reads") && set.contains(says), "{set}");
            }
            let pkcs12 = violations(&[("ssl.keystore.location", "key.p12"), ("ssl.keystore.type", "PKCS12")]);
            assert!(pkcs12[0].ends_with("with `openssl pkcs12 -in key.p12 -out key.pem`"), "{pkcs12:?}");
        }

        #[test]
        fn each_contradiction_between_stores_is_named_all_at_once() {
            let pem = [("ssl.truststore.type", "PEM"), ("ssl.keystore.type", "PEM")];
            let given = [
                ("ssl.truststore.location", "ca.pem"),
                ("ssl.truststore.certificates", "x"),
                ("ssl.truststore.password", "hunter2"),
                ("ssl.keystore.key", "x"),
            ];
            let found = violations(&[&pem[..], &given[..]].concat());
            assert_eq!(
                found,
                [
                    "ssl.truststore.certificates: expected it or ssl.truststore.location, got both",
                    "ssl.truststore.password: PEM has no password of its own: leave it out; the password of a key is ssl.key.password",
                    "ssl.keystore.certificate.chain: expected with ssl.keystore.key, got nothing",
                ]
            );
            assert_eq!(
                violations(&[("ssl.truststore.certificates", "x")]),
                ["ssl.truststore.type: expected PEM, as ssl.truststore.certificates is PEM"]
            );
        }

        #[test]
        fn no_secret_is_in_what_is_printed_of_a_configuration() {
            let names = [
                "ssl.truststore.certificates",
                "ssl.keystore.certificate.chain",
                "ssl.keystore.key",
                "ssl.key.password",
            ];
            let secrets = names.map(|name| (name, "hunter2"));
            let all = [&[SSL, ("ssl.truststore.type", "PEM"), ("ssl.keystore.type", "PEM")][..], &secrets[..]].concat();
            let config = check(&all).unwrap();
            for printed in [format!("{config:?}"), format!("{:?}", config.tls), format!("{:?}", config.properties())] {
                assert!(!printed.contains("hunter2") && printed.contains("[hidden]"), "{printed}");
            }
        }
    }
}

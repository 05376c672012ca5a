//! Defaults of the families of settings that Java's producer has and milena does not.
//!
//! In: nothing. Out: names of `org.apache.kafka.clients.producer.ProducerConfig` 4.2 and their defaults, as text, which is empty if Java
//! has no value. Pure. A property with its default is accepted. Deliberately absent: settings that are no family, whose defaults are in
//! [`super::unsupported`]. A test compares both with Java's class.

/// Name and default.
pub(super) static JAVA_DEFAULTS: &[(&str, &str)] = &[
    ("sasl.kerberos.service.name", ""),
    ("sasl.kerberos.kinit.cmd", "/usr/bin/kinit"),
    ("sasl.kerberos.ticket.renew.window.factor", "0.8"),
    ("sasl.kerberos.ticket.renew.jitter", "0.05"),
    ("sasl.kerberos.min.time.before.relogin", "60000"),
    ("sasl.mechanism", "GSSAPI"),
    ("sasl.jaas.config", ""),
    ("sasl.client.callback.handler.class", ""),
    ("sasl.login.callback.handler.class", ""),
    ("sasl.login.class", ""),
    ("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
    ("sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
    ("sasl.oauthbearer.assertion.algorithm", "RS256"),
    ("sasl.oauthbearer.assertion.claim.aud", ""),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", "300"),
    ("sasl.oauthbearer.assertion.claim.iss", ""),
    ("sasl.oauthbearer.assertion.claim.jti.include", "false"),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", "60"),
    ("sasl.oauthbearer.assertion.claim.sub", ""),
    ("sasl.oauthbearer.assertion.file", ""),
    ("sasl.oauthbearer.assertion.private.key.file", ""),
    ("sasl.oauthbearer.assertion.private.key.passphrase", ""),
    ("sasl.oauthbearer.assertion.template.file", ""),
    ("sasl.oauthbearer.jwks.endpoint.url", ""),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000"),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000"),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100"),
    ("sasl.oauthbearer.clock.skew.seconds", "30"),
    ("sasl.oauthbearer.expected.audience", ""),
    ("sasl.oauthbearer.expected.issuer", ""),
];

//! Whether all connections of clients are encrypted and authenticated: `MILENA_FAULTS_SECURITY=SASL_SSL`.
//!
//! In: the environment. Out: settings of brokers and of clients. Sessions end every three seconds, so that faults strike in the middle of
//! authentications as well. The clients connect through proxies in any case: the brokers' other listener is their own.

use std::env;

use super::Fault;
use crate::security::{Files, PASSWORD};

const SECURITY: &str = "MILENA_FAULTS_SECURITY";
/// The file with the CA's certificate, for a client in a process of its own.
const TRUST: &str = "MILENA_FAULTS_TRUST";
const SESSION_MS: &str = "3000";

/// Whether they are.
pub(super) fn is_on() -> bool {
    env::var(SECURITY).is_ok_and(|security| security == "SASL_SSL")
}

/// Whether a fault can strike encrypted connections.
pub(super) fn can_be(fault: Fault) -> bool {
    fault != Fault::LoseResponses
}

/// The path of the CA's certificate.
pub(super) fn trust() -> String {
    env::var(TRUST).unwrap_or_else(|_| Files::shared().path("ca.pem"))
}

/// What a client in a process of its own has to know.
pub(super) fn environment() -> Option<(&'static str, String)> {
    is_on().then(|| (TRUST, trust()))
}

/// Settings of each broker.
pub(super) fn of_brokers() -> Vec<(&'static str, String)> {
    let keystore = Files::shared().path("broker.pem");
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"{PASSWORD}\";");
    vec![
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_SSL".to_owned()),
        ("listener.name.proxied.ssl.keystore.type", "PEM".to_owned()),
        ("listener.name.proxied.ssl.keystore.location", keystore),
        ("listener.name.proxied.plain.sasl.jaas.config", plain),
        ("sasl.enabled.mechanisms", "PLAIN".to_owned()),
        ("connections.max.reauth.ms", SESSION_MS.to_owned()),
    ]
}

/// Settings of each client.
pub(super) fn of_clients() -> Vec<(&'static str, String)> {
    if !is_on() {
        return Vec::new();
    }
    vec![
        ("security.protocol", "SASL_SSL".to_owned()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", trust()),
        ("sasl.mechanism", "PLAIN".to_owned()),
        ("sasl.username", "alice".to_owned()),
        ("sasl.password", PASSWORD.to_owned()),
    ]
}

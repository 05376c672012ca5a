//! The principal that brokers know a client by, as far as the client can tell.
//!
//! In: a configuration. Out: a name such as `User:alice`. Pure. Source: `DefaultKafkaPrincipalBuilder` of Apache Kafka 4.2. A broker may
//! have a builder or rules of its own, so the name is for errors only.

use super::table::Config;

/// Who has neither authenticated nor shown a certificate.
const ANONYMOUS: &str = "User:ANONYMOUS";

impl Config {
    /// The user that the client authenticates as, or nobody. `None` if it shows a token or a certificate instead, whose subject is not known
    /// here.
    pub(crate) fn principal(&self) -> Option<String> {
        match &self.credentials {
            Some(credentials) => Some(format!("User:{}", credentials.username)),
            None => (!self.has_tokens() && !self.has_certificate()).then(|| ANONYMOUS.to_owned()),
        }
    }

    #[cfg(feature = "tls")]
    fn has_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.identity.is_some())
    }

    #[cfg(not(feature = "tls"))]
    fn has_certificate(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::{ProducerBuilder, SaslMechanism, SecurityProtocol};

    fn principal(builder: ProducerBuilder) -> Option<String> {
        builder.validate().unwrap().principal()
    }

    #[test]
    fn it_is_the_user_that_is_authenticated_as_or_nobody() {
        let builder = || ProducerBuilder::new("localhost:9092");
        assert_eq!(principal(builder()).as_deref(), Some("User:ANONYMOUS"));
        let sasl = builder().security_protocol(SecurityProtocol::SaslPlaintext);
        let sasl = sasl.sasl(SaslMechanism::Plain, "alice", "secret");
        assert_eq!(principal(sasl).as_deref(), Some("User:alice"));
    }

    #[cfg(feature = "oauth")]
    #[test]
    fn with_a_token_the_broker_knows_and_the_client_does_not() {
        let sasl = ProducerBuilder::new("localhost:9092").security_protocol(SecurityProtocol::SaslPlaintext);
        let none = || async { Err(crate::oauth::TokenError::new("none")) };
        assert_eq!(principal(sasl.oauth_bearer(none)), None);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn with_a_certificate_the_broker_knows_and_the_client_does_not() {
        let tls = ProducerBuilder::new("localhost:9092").properties([("security.protocol", "SSL")]);
        assert_eq!(principal(tls.clone()).as_deref(), Some("User:ANONYMOUS"));
        let shown = tls.properties([("ssl.keystore.type", "PEM"), ("ssl.keystore.location", "client.pem")]);
        assert_eq!(principal(shown), None);
    }
}

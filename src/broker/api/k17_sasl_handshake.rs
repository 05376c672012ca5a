//! SaslHandshake (17), v1. Pure.
//!
//! Behaviour:
//! * Lists the mechanisms that are enabled. One that is not is an `UNSUPPORTED_SASL_MECHANISM`, and the connection is closed.
//! * `ILLEGAL_SASL_STATE` on a cluster without SASL, and to a client that began to authenticate again less than a second ago.
//! * v0 is not served: in place of SaslAuthenticate requests it wants bare messages of the mechanism, which no client sends that
//!   knows v1 (Apache Kafka 1.0, KIP-152).

use kafka_protocol::{
    messages::{SaslHandshakeRequest, SaslHandshakeResponse},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for SaslHandshakeRequest {
    const API: Api = Api::SaslHandshake;
    const SERVED: (i16, i16) = (1, 1);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<SaslHandshakeResponse> {
        let begun = match call.plan.top_error() {
            Some(code) => Err(code),
            None => call.session.begin(call.now_ms, &mut state.security, &self.mechanism),
        };
        let mechanisms = state.security.names().map(StrBytes::from_static_str).collect();
        let response = SaslHandshakeResponse::default();
        match begun {
            Ok(()) => Response::Reply(response.with_mechanisms(mechanisms)),
            // The request came at a wrong time. The connection is as it was.
            Err(code @ ErrorCode::ILLEGAL_SASL_STATE) => Response::Reply(response.with_error_code(code.0)),
            Err(code) => Response::Last(response.with_error_code(code.0).with_mechanisms(mechanisms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SaslMechanism,
        broker::{
            EmbeddedBroker, Fault,
            testing::{TestCluster, read},
        },
    };

    fn request(mechanism: &'static str) -> SaslHandshakeRequest {
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism))
    }

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().user("alice", "secret").sasl([SaslMechanism::Plain]), 1)
    }

    /// The response, and whether the connection is closed after it.
    fn asked(cluster: &mut TestCluster, mechanism: &'static str) -> (i16, Vec<StrBytes>, bool) {
        let reply = cluster.reply(1, 1, &request(mechanism));
        let response = read::<SaslHandshakeRequest>(1, reply.bytes);
        (response.error_code, response.mechanisms, reply.close)
    }

    #[test]
    fn the_enabled_mechanisms_are_listed_and_any_other_one_closes_the_connection() {
        let enabled = vec![StrBytes::from_static_str("PLAIN")];
        assert_eq!(asked(&mut cluster(), "PLAIN"), (0, enabled.clone(), false));
        assert_eq!(asked(&mut cluster(), "SCRAM-SHA-256"), (33, enabled, true));
    }

    #[test]
    fn without_sasl_it_comes_at_a_wrong_time() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder(), 1);
        assert_eq!(asked(&mut cluster, "PLAIN"), (34, Vec::new(), false));
    }

    #[test]
    fn an_injected_error_stands_in_the_response_and_closes_the_connection() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::error(ErrorCode(-1)).on(Api::SaslHandshake));
        assert_eq!(asked(&mut cluster, "PLAIN"), (-1, vec![StrBytes::from_static_str("PLAIN")], true));
    }
}

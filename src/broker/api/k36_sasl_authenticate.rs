//! SaslAuthenticate (36), v0–2. Pure.
//!
//! Behaviour:
//! * Carries a message of the mechanism to the session, and the broker's message back.
//! * A client that cannot prove who it is gets `SASL_AUTHENTICATION_FAILED` in the words of Apache Kafka, and the connection is closed.
//! * `ILLEGAL_SASL_STATE` without a handshake before it.
//!
//! Version notes:
//! * v1: how long the session lasts (KIP-368)
//! * v2: flexible

use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslAuthenticateResponse},
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        kind::Api,
        session::{Answer, Refused},
        state::State,
    },
    error::ErrorCode,
};

/// The first version that says how long the session lasts.
const LIFETIME_SINCE: i16 = 1;

impl Handler for SaslAuthenticateRequest {
    const API: Api = Api::SaslAuthenticate;
    const SERVED: (i16, i16) = (0, 2);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<SaslAuthenticateResponse> {
        let answer = match call.plan.top_error() {
            Some(code) => Err(Refused { code, why: code.to_string() }),
            None => call.session.answer(call.now_ms, &state.security, &self.auth_bytes),
        };
        let response = SaslAuthenticateResponse::default();
        match answer {
            Ok(Answer { message, lifetime_ms }) => {
                let lifetime_ms = if call.version < LIFETIME_SINCE { 0 } else { lifetime_ms };
                Response::Reply(response.with_auth_bytes(message.into()).with_session_lifetime_ms(lifetime_ms))
            }
            Err(Refused { code, why }) => {
                let response = response.with_error_code(code.0).with_error_message(Some(StrBytes::from_string(why)));
                // The request came at a wrong time. The connection is as it was.
                let goes_on = code == ErrorCode::ILLEGAL_SASL_STATE;
                if goes_on { Response::Reply(response) } else { Response::Last(response) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, SaslHandshakeRequest};

    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        api::Malformed,
        testing::{TestCluster, read},
    };

    /// A cluster whose client has agreed to PLAIN.
    fn agreed() -> TestCluster {
        let broker = EmbeddedBroker::builder().user("alice", "secret").session_lifetime(Duration::from_secs(3));
        let mut cluster = TestCluster::new(broker, 1);
        cluster.ask(1, 0, &ApiVersionsRequest::default());
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        assert_eq!(cluster.ask(1, 1, &handshake).error_code, 0);
        cluster
    }

    fn message(bytes: &'static [u8]) -> SaslAuthenticateRequest {
        SaslAuthenticateRequest::default().with_auth_bytes(bytes.into())
    }

    fn refused(cluster: &mut TestCluster, bytes: &'static [u8]) -> (i16, String, bool) {
        let reply = cluster.reply(1, 2, &message(bytes));
        let response = read::<SaslAuthenticateRequest>(2, reply.bytes);
        (response.error_code, response.error_message.unwrap_or_default().to_string(), reply.close)
    }

    #[test]
    fn a_client_that_proves_who_it_is_is_served_and_told_for_how_long() {
        for (version, lifetime_ms) in [(0, 0), (1, 3_000), (2, 3_000)] {
            let mut cluster = agreed();
            let response = cluster.ask(1, version, &message(b"\0alice\0secret"));
            assert_eq!((response.error_code, response.session_lifetime_ms), (0, lifetime_ms), "v{version}");
            cluster.ask(1, 12, &MetadataRequest::default());
        }
    }

    #[test]
    fn a_client_that_does_not_is_told_so_and_its_connection_is_closed() {
        let expected = (58, "Authentication failed: Invalid username or password".to_owned(), true);
        assert_eq!(refused(&mut agreed(), b"\0alice\0wrong"), expected);
    }

    #[test]
    fn a_request_before_that_and_one_after_the_session_end_the_connection() {
        let mut cluster = agreed();
        let closed = |cluster: &mut TestCluster| {
            let arrived = cluster.try_arrive(1, 12, &MetadataRequest::default());
            matches!(arrived, Err(Malformed::Unwelcome(_)))
        };
        assert!(closed(&mut cluster));
        cluster.ask(1, 2, &message(b"\0alice\0secret"));
        cluster.now_ms += 3_000;
        assert!(!closed(&mut cluster));
        cluster.now_ms += 1;
        assert!(closed(&mut cluster));
    }

    #[test]
    fn after_success_it_comes_at_a_wrong_time() {
        let mut cluster = agreed();
        cluster.ask(1, 2, &message(b"\0alice\0secret"));
        let (code, why, closes) = refused(&mut cluster, b"\0alice\0secret");
        assert_eq!((code, closes), (34, false));
        assert_eq!(why, "SaslAuthenticate request received after successful authentication");
    }

    #[test]
    fn a_changed_password_counts_for_the_next_authentication() {
        let mut cluster = agreed();
        cluster.state.set_user("alice", "new");
        cluster.ask(1, 2, &message(b"\0alice\0new"));
        assert!(cluster.state.remove_user("alice"));
        cluster.ask(1, 12, &MetadataRequest::default());
    }

    #[test]
    fn an_injected_error_lets_nobody_in() {
        let mut cluster = agreed();
        cluster.state.inject(Fault::error(ErrorCode(-1)).on(Api::SaslAuthenticate));
        let (code, _, closes) = refused(&mut cluster, b"\0alice\0secret");
        assert_eq!((code, closes), (-1, true));
    }
}

//! How often a client may send.

use crate::support::{Reply, Served, broker, serve, soon};

const SEND: &str = "/api/v1/send?topic=t&sendMode=async";

/// Sends until a request is refused, which it is when it comes within a second of others.
async fn refused(gateway: &Served, headers: &[&str]) -> Reply {
    let asked = async {
        loop {
            let reply = gateway.post(SEND, headers, b"").await;
            if reply.status != 202 {
                return reply;
            }
            assert!(reply.head.contains("ratelimit: \"client\";r="), "{reply:?}");
        }
    };
    soon(asked).await
}

#[tokio::test]
async fn a_client_that_sends_too_often_is_told_when_to_try_again_and_health_is_not_limited() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[("rate-limit", "1/s,2")], &[]).await;
    let reply = refused(&gateway, &["X-Forwarded-For: 10.0.0.1"]).await;
    assert_eq!((reply.status, &reply.json()["retriable"]), (429, &true.into()), "{reply:?}");
    assert_eq!(reply.json()["type"], "urn:milena:problem:too-often");
    for header in ["retry-after: 1", "ratelimit-policy: \"client\";q=1;w=1", "ratelimit: \"client\";r=0;t=1"] {
        assert!(reply.head.contains(header), "{header}: {reply:?}");
    }
    assert_eq!(gateway.get("/health").await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_each_of_its_clients_has_its_own_limit() {
    let broker = broker("t").await;
    let flags = [("rate-limit", "1/s,2"), ("trust-forwarded-for", "true")];
    let gateway = serve(&broker.bootstrap_servers(), &flags, &[]).await;
    assert_eq!(refused(&gateway, &["X-Forwarded-For: 6.6.6.6, 10.0.0.1"]).await.status, 429);
    let reply = gateway.post(SEND, &["X-Forwarded-For: 6.6.6.6, 10.0.0.2"], b"").await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

#[tokio::test]
async fn without_a_limit_answers_say_nothing_of_one() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let reply = gateway.post(SEND, &[], b"").await;
    assert!(!reply.head.contains("ratelimit"), "{reply:?}");
}

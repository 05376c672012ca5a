//! The broker with TLS, and a producer.

use std::{io::ErrorKind, time::Duration};

use super::{orders, *};
use crate::{Producer, ProducerBuilder, Record, SendError, error::ErrorCode};

fn builder(broker: &EmbeddedBroker, ca: &str) -> ProducerBuilder {
    let ssl = [
        ("bootstrap.servers", broker.bootstrap_servers()),
        ("security.protocol", "SSL".to_owned()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.certificates", ca.to_owned()),
    ];
    ProducerBuilder::from_properties(ssl)
}

async fn producer(broker: &EmbeddedBroker) -> Producer {
    builder(broker, &broker.ca_pem().unwrap()).build().await.unwrap()
}

/// A producer that shows a certificate of the broker's CA.
async fn producer_of(broker: &EmbeddedBroker, name: &str) -> Producer {
    let store = broker.client_keystore(name).unwrap();
    let at = store.find("-----BEGIN CERTIFICATE-----").unwrap();
    let (key, chain) = store.split_at(at);
    let shown = [("ssl.keystore.type", "PEM"), ("ssl.keystore.key", key), ("ssl.keystore.certificate.chain", chain)];
    builder(broker, &broker.ca_pem().unwrap()).properties(shown).build().await.unwrap()
}

async fn send(producer: &Producer, value: &str) -> Result<(), SendError> {
    let delivery = producer.send(Record::to("orders").value(value)).await?;
    delivery.await.unwrap();
    Ok(())
}

fn values(broker: &EmbeddedBroker) -> Vec<String> {
    let records = broker.log("orders", 0).into_iter();
    records.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_over_tls_as_they_do_without() {
    let moment = Duration::from_millis(20);
    for fault in [
        Fault::drop_request(),
        Fault::drop_response(),
        Fault::cut_response(5),
        Fault::garbage(&b"\0\0\0\x05hello"[..]),
        Fault::delay_request(moment),
        Fault::delay_response(moment),
        Fault::throttle(moment),
        Fault::error(ErrorCode::NOT_LEADER_OR_FOLLOWER),
    ] {
        let broker = orders().tls(Tls::new()).start().await.unwrap();
        let producer = producer(&broker).await;
        send(&producer, "0").await.unwrap();
        let id = broker.inject(fault.on(Api::Produce).times(3));
        for number in 1..=6 {
            send(&producer, &number.to_string()).await.unwrap();
        }
        assert_eq!(broker.struck(id), 3);
        assert_eq!(values(&broker), ["0", "1", "2", "3", "4", "5", "6"]);
        producer.close().await.unwrap();
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_restarted_speaks_tls_again() {
    let broker = orders().tls(Tls::new()).start().await.unwrap();
    let producer = producer(&broker).await;
    send(&producer, "a").await.unwrap();
    broker.restart_node(1).await.unwrap();
    send(&producer, "b").await.unwrap();
    assert_eq!(values(&broker), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_get_the_certificate_that_was_rotated_in_and_old_ones_go_on() {
    let broker = orders().tls(Tls::new()).start().await.unwrap();
    let stranger = EmbeddedBroker::builder().tls(Tls::new()).start().await.unwrap();
    let old = producer(&broker).await;
    send(&old, "before").await.unwrap();
    broker.rotate_certificate(None).unwrap();
    send(&producer(&broker).await, "by the same CA").await.unwrap();
    broker.rotate_certificate(Some(&stranger.client_keystore("not a broker's").unwrap())).unwrap();
    let refused = send(&producer(&broker).await, "never").await.unwrap_err();
    assert!(matches!(refused, SendError::Unauthenticated { .. }), "{refused}");
    send(&old, "over the old connection").await.unwrap();
    assert_eq!(broker.rotate_certificate(Some("nothing")).unwrap_err().kind(), ErrorKind::Other);
    broker.rotate_certificate(None).unwrap();
    send(&producer(&broker).await, "after").await.unwrap();
    assert_eq!(values(&broker), ["before", "by the same CA", "over the old connection", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subject_of_a_clients_certificate_is_the_user_whose_rights_count() {
    let tls = Tls::new().client_auth(ClientAuth::Requested);
    let broker = orders().tls(tls).acl("User:CN=shop WRITE topic orders".parse().unwrap()).start().await.unwrap();
    send(&producer_of(&broker, "shop").await, "a").await.unwrap();
    for (producer, name) in
        [(producer_of(&broker, "other").await, "this client"), (producer(&broker).await, "User:ANONYMOUS")]
    {
        let refused = send(&producer, "b").await.unwrap_err();
        assert!(matches!(refused, SendError::TopicRefused { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("{name} may not DESCRIBE topic orders")), "{refused}");
    }
    assert_eq!(values(&broker), ["a"]);
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_at_the_start() {
    for (tls, says) in [
        (Tls::new().keystore("nothing"), "ssl.keystore: expected certificates in PEM"),
        (Tls::new().protocols(["SSLv3"]), "ssl.enabled.protocols: expected TLSv1.2, TLSv1.3 or both"),
        (Tls::new().truststore("nothing").client_auth(ClientAuth::Required), "ssl.truststore: expected certificates"),
    ] {
        let error = orders().tls(tls).start().await.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn without_tls_there_is_no_ca() {
    let broker = orders().start().await.unwrap();
    assert_eq!(broker.ca_pem(), None);
    let error = broker.rotate_certificate(None).unwrap_err().to_string();
    assert!(error.contains("start it with Builder::tls"), "{error}");
    assert!(broker.client_keystore("shop").is_err());
}

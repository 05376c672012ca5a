//! Apache's own producer and consumer on the same topics. With the embedded broker, this shows that any client can
//! connect.

use milena::Record;
use milena_test_support::console;
use tokio::task::block_in_place;

use crate::{cluster::Kind, log::Log};

pub(crate) async fn the_console_producer_and_the_console_consumer_agree_with_us(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("java", 1, &[]).await;
    let bootstrap = cluster.bootstrap_servers();
    let records = [("a", Some("by java")), ("b", None), ("c", Some(""))];
    block_in_place(|| console::produce(&bootstrap, &topic, &records));
    let producer = cluster.producer().await;
    let ours = Record::to(&topic).key("d").value("by milena").header("h", "1").timestamp(1_700_000_000_000);
    producer.send(ours).await.unwrap().await.unwrap();
    let log = Log::read(&cluster, &topic).await;
    let seen = block_in_place(|| console::consume_partition(&bootstrap, &topic, 0, 4));
    assert_eq!(seen, log.records);
    let content: Vec<_> = seen.iter().map(|r| (r.key.as_deref().unwrap(), r.value.as_deref())).collect();
    assert_eq!(content, [&records[..], &[("d", Some("by milena"))]].concat());
}

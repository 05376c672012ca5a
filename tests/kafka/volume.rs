//! 200,000 records from eight tasks.

use std::collections::BTreeMap;

use milena::{Producer, Record};

use crate::{cluster::Kind, log::Log};

const TASKS: usize = 8;
const RECORDS_PER_TASK: usize = 25_000;

pub(crate) async fn two_hundred_thousand_records_of_eight_tasks_arrive_once_and_in_order(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("volume", 6, &[]).await;
    let producer = cluster.producer().await;
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(send(producer.clone(), topic.clone(), task))).collect();
    let mut acks = Vec::new();
    for task in tasks {
        acks.extend(task.await.expect("no task panics"));
    }
    producer.close().await.unwrap();
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&acks);
    assert_eq!(acks.len(), TASKS * RECORDS_PER_TASK);
    assert_every_task_is_in_order(&log);
}

/// Every second task uses keys, the others leave the choice of a partition to the producer.
async fn send(producer: Producer, topic: String, task: usize) -> Vec<(String, milena::Ack)> {
    let mut deliveries = Vec::with_capacity(RECORDS_PER_TASK);
    for i in 0..RECORDS_PER_TASK {
        let (key, value) = (format!("key-{}", i % 100), format!("{task}/{i}"));
        let record = Record::to(&topic).value(&value);
        let record = if task.is_multiple_of(2) { record.key(&key) } else { record };
        let delivery = producer.send(record).await.unwrap();
        deliveries.push((value, delivery));
    }
    let mut acks = Vec::with_capacity(RECORDS_PER_TASK);
    for (value, delivery) in deliveries {
        acks.push((value, delivery.await.unwrap()));
    }
    acks
}

fn assert_every_task_is_in_order(log: &Log) {
    let mut last = BTreeMap::new();
    for record in &log.records {
        let (task, i) = record.value.as_deref().and_then(|value| value.split_once('/')).expect("task/number");
        let i: usize = i.parse().expect("task/number");
        let before = last.insert((record.partition, task), i);
        assert!(before.is_none_or(|before| before < i), "task {task}: {i} is after {before:?}");
    }
}

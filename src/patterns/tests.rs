//! Requests and replies over the embedded broker.

use std::time::Duration;

use super::{CORRELATION_ID, RequestError, Requester, reply};
use crate::{
    ErrorCode, Producer, Record,
    admin::{AdminError, ConsumedRecord, Consumer},
    broker::{Api, EmbeddedBroker, Fault},
};

const LONG: Duration = Duration::from_secs(60);

struct Service {
    broker: EmbeddedBroker,
    producer: Producer,
}

impl Service {
    async fn start() -> Self {
        let broker = EmbeddedBroker::builder().topic("requests", 3).topic("responses", 2).start().await.unwrap();
        let producer = Producer::builder(&broker.bootstrap_servers()).linger(Duration::ZERO).build().await.unwrap();
        Self { broker, producer }
    }

    async fn requester(&self) -> Requester {
        let replies = Consumer::builder(&self.broker.bootstrap_servers(), "responses");
        Requester::start(self.producer.clone(), replies).await.unwrap()
    }

    async fn requests(&self) -> Consumer {
        Consumer::builder(&self.broker.bootstrap_servers(), "requests").build().await.unwrap()
    }

    async fn answer(&self, request: &ConsumedRecord) {
        let value = [b"re: ", request.value.as_deref().unwrap()].concat();
        let answer = reply(request, "elsewhere").unwrap().value(&value);
        assert_eq!(answer.topic(), "responses");
        self.producer.send(answer).await.unwrap().await.unwrap();
    }
}

fn text(record: &ConsumedRecord) -> &str {
    str::from_utf8(record.value.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn many_requests_get_their_own_replies_in_whatever_order_these_come() {
    let service = Service::start().await;
    let (requester, mut requests) = (service.requester().await, service.requests().await);
    let ask = |number: usize| {
        let requester = requester.clone();
        async move {
            let value = number.to_string();
            let reply = requester.request(Record::to("requests").value(&value), LONG).await.unwrap();
            assert_eq!(text(&reply), format!("re: {value}"));
        }
    };
    let asking: Vec<_> = (0..100).map(ask).map(tokio::spawn).collect();
    let mut received = Vec::new();
    while received.len() < asking.len() {
        received.push(requests.next().await.unwrap());
    }
    assert_eq!(requester.counts().in_flight, 100);
    for request in received.iter().rev() {
        service.answer(request).await;
    }
    for asked in asking {
        asked.await.unwrap();
    }
    let counts = requester.counts();
    assert_eq!((counts.in_flight, counts.late, counts.foreign), (0, 0, 0));
}

#[tokio::test]
async fn late_second_and_foreign_replies_are_counted_and_answer_nobody() {
    let service = Service::start().await;
    let (requester, other, mut requests) =
        (service.requester().await, service.requester().await, service.requests().await);
    let asked = requester.request(Record::to("requests").value("slow"), Duration::from_millis(300)).await;
    let RequestError::NoReply { correlation_id, written, .. } = asked.unwrap_err() else { panic!("a reply") };
    assert!(matches!(written, Some(Ok(()))));
    let request = requests.next().await.unwrap();
    assert!(request.headers.contains(&(CORRELATION_ID.into(), Some(correlation_id.into()))));
    service.answer(&request).await;
    service.answer(&request).await;
    service.producer.send(Record::to("responses").value("no header")).await.unwrap().await.unwrap();
    let (answered, ()) = tokio::join!(requester.request(Record::to("requests").value("quick"), LONG), async {
        service.answer(&requests.next().await.unwrap()).await;
    });
    assert_eq!(text(&answered.unwrap()), "re: quick");
    // Partitions are read in turn, so the last reply may come before the others.
    while requester.counts().late < 2 || requester.counts().foreign < 1 || other.counts().foreign < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((requester.counts().late, requester.counts().foreign, other.counts().late), (2, 1, 0));
}

#[tokio::test]
async fn a_request_that_is_not_written_fails_at_once_and_says_so() {
    let service = Service::start().await;
    let requester = service.requester().await;
    let too_large = vec![0; 2 << 20];
    let error = requester.request(Record::to("requests").value(&too_large), LONG).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(_)), "{error}");
    service.broker.inject(Fault::error(ErrorCode::INVALID_RECORD).on(Api::Produce));
    let error = requester.request(Record::to("requests").value("v"), LONG).await.unwrap_err();
    assert!(matches!(error, RequestError::NotWritten(_)), "{error}");
    assert_eq!(requester.counts().in_flight, 0);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    let service = Service::start().await;
    let requester = service.requester().await;
    let asked = requester.request(Record::to("requests").value("v"), LONG);
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    assert_eq!(requester.counts().in_flight, 0);
    let nowhere = Consumer::builder(&service.broker.bootstrap_servers(), "nothing");
    let error = Requester::start(service.producer.clone(), nowhere).await.unwrap_err();
    assert!(matches!(error, AdminError::UnknownTopic { .. }));
}

#[test]
fn a_record_without_an_id_is_no_request() {
    let headers = vec![(CORRELATION_ID.to_owned(), None)];
    let record = ConsumedRecord {
        partition: 0,
        offset: 0,
        timestamp: 0,
        timestamp_type: crate::admin::TimestampType::CreateTime,
        key: None,
        value: None,
        headers,
    };
    assert!(reply(&record, "responses").is_none());
}

//! Two publishers that share a store.

use super::*;
use crate::store::PASS_LASTS;

struct Two {
    producer: MockProducer,
    store: MemoryStore,
    first: ResilientPublisher,
    second: ResilientPublisher,
}

impl Two {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(with: impl Fn(ResilientPublisherBuilder) -> ResilientPublisherBuilder) -> Self {
        let (producer, store) = (MockProducer::new(), store().shared());
        let start = async || {
            let builder = ResilientPublisher::builder(Arc::new(producer.clone()), Arc::new(store.clone()));
            with(builder).start().await.unwrap()
        };
        let (first, second) = (start().await, start().await);
        Self { producer, store, first, second }
    }

    /// From now on this value is refused for a while, each time.
    fn refuse(&self, value: &'static str) {
        let is_it = move |record: &Record<'_>| record.value_bytes() == Some(value.as_bytes());
        self.producer.reply_with(move |record| is_it(record).then(|| Reply::fail(not_yet())));
    }

    fn values(&self) -> Vec<String> {
        let values = self.producer.history().into_iter().map(|record| record.value.unwrap_or_default());
        values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
    }

    /// Has the second publisher take a pass.
    async fn take_pass(&self) {
        for _ in 0..3 {
            assert!(is_published(&publish(&self.second, "any", "x").await));
        }
        assert_eq!(self.store.passes().await.unwrap().len(), 1);
    }
}

async fn publish(publisher: &ResilientPublisher, key: &str, value: &str) -> Result<Publication, PublishError> {
    publisher.publish_record(EventId::new(), Record::to("orders").key(key).value(value)).await
}

fn is_behind(publication: &Result<Publication, PublishError>) -> bool {
    matches!(publication, Ok(Publication::Stored { why: Why::Behind, .. }))
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_behind_an_older_one_that_another_publisher_has_stored() {
    let two = Two::new().await;
    two.refuse("1");
    assert!(is_stored(&publish(&two.first, "k", "1").await));
    assert!(is_behind(&publish(&two.second, "k", "2").await));
    assert!(is_published(&publish(&two.second, "another", "x").await), "other keys are published");
    two.producer.reply_with(|_| None);
    sleep(Duration::from_secs(600)).await;
    let sent: Vec<String> = two.values().into_iter().filter(|value| value != "x").collect();
    assert_eq!(sent, ["1", "1", "1", "2"], "by the publisher, and twice by the relay");
    assert!(is_published(&publish(&two.second, "k", "3").await));
}

#[tokio::test(start_paused = true)]
async fn an_event_counts_as_stored_when_no_other_publisher_has_a_pass() {
    let two = Two::new().await;
    two.take_pass().await;
    two.refuse("1");
    let first = {
        let publisher = two.first.clone();
        tokio::spawn(async move { publish(&publisher, "k", "1").await })
    };
    while two.store.stats().await.unwrap().unsettled() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(is_published(&publish(&two.second, "k", "2").await), "it does not know of the first");
    assert!(!first.is_finished(), "the second has its pass");
    assert!(is_stored(&first.await.unwrap()));
    assert_eq!(two.store.passes().await.unwrap(), []);
    assert!(is_behind(&publish(&two.second, "k", "3").await));
}

#[tokio::test(start_paused = true)]
async fn with_a_pass_nothing_is_asked_and_without_one_a_store_that_is_away_has_events_handed_back() {
    let two = Two::new().await;
    two.take_pass().await;
    two.store.fail_always(Some(Fault::Refuse(StoreErrorKind::Unavailable)));
    assert!(is_published(&publish(&two.second, "k", "1").await));
    sleep(PASS_LASTS).await;
    let error = publish(&two.second, "k", "2").await.unwrap_err();
    assert!(matches!(error.why(), Some(Why::Unasked(_))) && error.failure().is_none(), "{error}");
    assert_eq!(error.store_error().unwrap().kind(), StoreErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("not sent: it is unknown whether") && text.contains("storing: "), "{text}");
    two.store.fail_always(None);
    assert!(is_published(&publish(&two.second, "k", "3").await));
}

#[tokio::test(start_paused = true)]
async fn with_an_order_of_its_own_a_publisher_goes_on_while_the_store_is_away() {
    let two = Two::with(|builder| builder.order(Order::PerKeyOfInstance)).await;
    two.store.fail_always(Some(Fault::Refuse(StoreErrorKind::Unavailable)));
    assert!(is_published(&publish(&two.first, "k", "1").await));
    two.store.fail_always(None);
    two.refuse("2");
    assert!(is_stored(&publish(&two.first, "k", "2").await));
    assert!(is_published(&publish(&two.second, "k", "of another publisher").await));
    assert!(is_behind(&publish(&two.first, "k", "3").await));
    two.producer.reply_with(|_| None);
    sleep(Duration::from_secs(600)).await;
    assert!(is_published(&publish(&two.first, "k", "4").await));
}

#[tokio::test(start_paused = true)]
async fn a_pass_whose_owner_died_is_waited_for_once() {
    let two = Two::new().await;
    assert!(two.store.take_pass(None).await.unwrap().is_some(), "its owner will not give it back");
    two.refuse("1");
    let began = crate::clock::now();
    assert!(is_stored(&publish(&two.first, "k", "1").await));
    assert!(crate::clock::now() >= began + PASS_LASTS);
    assert_eq!(two.store.passes().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_not_used_is_given_back() {
    let two = Two::new().await;
    two.take_pass().await;
    for _ in 0..20 {
        sleep(Duration::from_millis(100)).await;
        assert!(is_published(&publish(&two.second, "k", "x").await));
        assert_eq!(two.store.passes().await.unwrap().len(), 1, "it is renewed as long as it is used");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(two.store.passes().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn those_who_write_ahead_ask_and_take_no_pass() {
    let two = Two::with(|builder| builder.mode(Mode::WriteAhead)).await;
    for _ in 0..5 {
        assert!(is_published(&publish(&two.first, "k", "x").await));
        assert!(is_published(&publish(&two.second, "k", "x").await));
    }
    assert_eq!(two.store.passes().await.unwrap(), []);
    two.refuse("1");
    assert!(is_stored(&publish(&two.first, "k", "1").await));
    assert!(is_behind(&publish(&two.second, "k", "2").await));
}

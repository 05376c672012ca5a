//! Adds a new type of event in three steps, and publishes one to a `MockProducer`.
//!
//! `cargo run -p milena-resilience --example new_event_type`. In a service of yours, the producer would be a
//! `milena::Producer`, behind the same trait.

use milena::{Ack, Produce, mock::MockProducer};
use milena_resilience::{
    Failure,
    event::{Envelope, Event, Format, SERVICE, TopicName},
};
use serde::{Deserialize, Serialize};

/// Step 1: a constant for the topic. A name of another form does not compile.
const DEPOSIT_CONFIRMED: TopicName<'_> = TopicName::new("casino.deposit.confirmed.v1");

/// Step 2: the payload, and which topic it is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DepositConfirmed {
    /// As text, because JSON's numbers are not exact.
    amount: String,
    currency: String,
}

impl Event for DepositConfirmed {
    const TOPIC: TopicName<'static> = DEPOSIT_CONFIRMED;
}

/// Step 3: a function of the service that publishes it. The player is the key, so a player's events stay in order.
async fn publish_deposit(producer: &dyn Produce, player: &str, payload: DepositConfirmed) -> Result<Ack, Failure> {
    let event = Envelope::builder(payload).brand_id("brand-1").user_id(player).metadata(SERVICE, "cashier").build()?;
    Ok(producer.send(event.record(&Format::Json)?).await?.await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mock = MockProducer::new();
    let payload = DepositConfirmed { amount: "25.00".into(), currency: "EUR".into() };
    let ack = publish_deposit(&mock, "player-7", payload).await?;
    println!("published to {}-{} at offset {:?}", ack.topic(), ack.partition(), ack.offset());

    let sent = mock.history().pop().ok_or("the mock has the record")?;
    let event: Envelope<DepositConfirmed> = Envelope::decode(&sent.value.unwrap_or_default())?;
    println!("{} of {}: {:?}", event.event_type, event.user_id, event.payload);

    let nobody = DepositConfirmed { amount: "1.00".into(), currency: "EUR".into() };
    if let Err(refused) = publish_deposit(&mock, "", nobody).await {
        println!("refused: {refused}");
    }
    Ok(())
}

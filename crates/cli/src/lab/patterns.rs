//! The patterns that programs build of a producer: the order of an entity, a batch and its flush, a request and its reply.
//!
//! In: nothing, or a cluster. Out: what each pattern did, then whether it holds. Dead letters have a lab of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use milena::{
    Producer, Record,
    admin::{Admin, Consumer, ConsumerBuilder, Start},
    broker::EmbeddedBroker,
    patterns::{KeyWatch, RequestError, Requester, entity_key, reply},
};
use tokio::task::JoinSet;

use super::{
    checks::{Verdict, claim},
    conclude,
    orders::prepare,
    to_stdout,
};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    settings,
};

const CUSTOMERS: usize = 12;
const EVENTS: usize = 20;
const BATCH: usize = 1_000;
const REQUESTS: usize = 50;
/// Of the requests so many have no answer.
const UNANSWERED: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the requests wait that nobody answers.
const SHORT: Duration = Duration::from_secs(1);

/// Show the patterns: the order of an entity, a batch and its flush, a request and its reply
///
/// Twelve customers' events get the customer as their key, and are read back in order; without a key they are spread. A thousand records are sent
/// and flushed, with one result that names the one that is too large. Fifty requests are under way at once, and each gets its own reply by its
/// correlation-id; the five that nobody answers end with the sentence that the request is written. Dead letters: milena lab dead-letter.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Without any set-up:
    milena lab patterns
  The same against a real Kafka:
    milena lab patterns --bootstrap-server localhost:9092

Exit codes: 0 every check holds, 1 one does not, 2 arguments are wrong.")]
pub(crate) struct Args {
    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// What the names of the topics begin with; they are created with 3 partitions if they do not exist
    #[arg(long, default_value = "pattern", value_name = "PREFIX")]
    topics: String,
}

/// Runs the lab.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), EmbeddedBroker::builder()).await?;
    let verdicts = run_on(cluster.bootstrap(), &args.topics).await;
    cluster.close().await;
    verdicts.map(|verdicts| conclude(&verdicts))
}

async fn run_on(bootstrap: &str, prefix: &str) -> Result<Vec<Verdict>, CliError> {
    let topic = |name: &str| format!("{prefix}-{name}");
    let mut admin = Admin::connect(bootstrap).await?;
    for name in ["events", "batch", "requests", "responses"] {
        prepare(&mut admin, &topic(name), -1, &[]).await?;
    }
    let producer = Producer::builder(bootstrap).interceptor(KeyWatch::new().interceptor()).build().await?;
    let place = |name: &str| Place { topic: topic(name), bootstrap };
    let mut verdicts = entities(&producer, &place("events")).await?;
    verdicts.extend(batch(&producer, &topic("batch")).await);
    verdicts.extend(requests(&producer, &place("requests"), &place("responses")).await?);
    producer.close().await.map_err(failed)?;
    Ok(verdicts)
}

/// A topic, and where it is.
struct Place<'a> {
    topic: String,
    bootstrap: &'a str,
}

impl Place<'_> {
    /// A consumer of what is written from now on.
    fn tail(&self) -> ConsumerBuilder {
        Consumer::builder(self.bootstrap, &self.topic).start(Start::End)
    }
}

fn failed(error: impl ToString) -> CliError {
    CliError::Failed(error.to_string())
}

/// Where an event is.
struct Seen {
    partition: i32,
    event: usize,
}

/// The events of each customer, as they are read.
type Events = BTreeMap<String, Vec<Seen>>;

/// Sends each customer's events in turn, with and without a key, and looks where they are.
async fn entities(producer: &Producer, events: &Place<'_>) -> Result<Vec<Verdict>, CliError> {
    let mut consumer = events.tail().build().await?;
    let mut by_customer: [Events; 2] = Default::default();
    // Each record fills a batch, so that chance chooses a partition each time.
    let hasty = Producer::builder(events.bootstrap).batch_size(1).build().await?;
    for (customers, (producer, has_key)) in by_customer.iter_mut().zip([(producer, true), (&hasty, false)]) {
        let mut deliveries = Vec::new();
        for (event, customer) in (0..EVENTS).flat_map(|event| (0..CUSTOMERS).map(move |customer| (event, customer))) {
            let (key, value) = (entity_key("customer", customer), event.to_string());
            let record = Record::to(&events.topic).value(&value).header("customer", &key);
            let record = if has_key { record.key(&key) } else { record };
            deliveries.push(producer.send(record).await.map_err(failed)?);
        }
        producer.flush().await.map_err(failed)?;
        for _ in deliveries {
            let Some(record) = consumer.next_within(PATIENCE).await? else { break };
            let customer =
                record.headers.iter().find(|(name, _)| name == "customer").and_then(|(_, value)| value.clone());
            let customer = String::from_utf8_lossy(&customer.unwrap_or_default()).into_owned();
            let event = String::from_utf8_lossy(&record.value.unwrap_or_default()).parse().unwrap_or(usize::MAX);
            customers.entry(customer).or_default().push(Seen { partition: record.partition, event });
        }
    }
    let [keyed, keyless] = &by_customer;
    let partitions = |seen: &[Seen]| seen.iter().map(|seen| seen.partition).collect::<BTreeSet<_>>().len();
    for (customer, places) in keyed {
        to_stdout(&format!(
            "{customer}: {} events in partition {}",
            places.len(),
            places.first().map_or(-1, |seen| seen.partition)
        ));
    }
    let in_order = |seen: &&Vec<Seen>| partitions(seen) == 1 && seen.iter().map(|seen| seen.event).eq(0..EVENTS);
    let ordered = keyed.values().filter(in_order).count();
    let spread = keyless.values().filter(|places| partitions(places) > 1).count();
    Ok(vec![
        claim(
            "with its id as the key, each customer's events are in one partition and in order",
            ordered == CUSTOMERS,
            format!("{ordered} of {CUSTOMERS} customers"),
        ),
        claim(
            "without a key they are spread over partitions, which have no order among them",
            spread > 0,
            "all of each customer's are in one partition",
        ),
    ])
}

/// Sends many records with one result.
async fn batch(producer: &Producer, topic: &str) -> Vec<Verdict> {
    let values: Vec<_> = (0..BATCH).map(|number| format!("line {number}")).collect();
    let whole = producer.send_all(values.iter().map(|value| Record::to(topic).value(value))).await;
    to_stdout(&match &whole {
        Ok(acks) => format!("{} records, one result: all are written", acks.len()),
        Err(error) => format!("{BATCH} records, one result: {error}"),
    });
    let too_large = "x".repeat(2 << 20);
    let three = ["first", &too_large, "third"];
    let part = producer.send_all(three.iter().map(|value| Record::to(topic).value(*value))).await;
    let failed = part.as_ref().err().map(|error| error.failed().map(|(place, _)| place).collect::<Vec<_>>());
    to_stdout(&format!("3 records, one of them too large: failed are {:?}", failed.clone().unwrap_or_default()));
    let written =
        part.as_ref().map_or_else(|error| error.outcomes().iter().filter(|outcome| outcome.is_ok()).count(), Vec::len);
    vec![
        Verdict {
            claim: "a thousand records have one result, which says that all are written".to_owned(),
            result: whole.map(drop).map_err(|error| error.to_string()),
        },
        claim(
            "one that cannot be written is named, and keeps no other from being written",
            failed == Some(vec![1]) && written == 2,
            format!("{written} are written, failed are {failed:?}"),
        ),
    ]
}

/// Has many requests under way at once, and answers most of them.
async fn requests(producer: &Producer, requests: &Place<'_>, responses: &Place<'_>) -> Result<Vec<Verdict>, CliError> {
    let mut incoming = requests.tail().build().await?;
    let requester = Requester::start(producer.clone(), responses.tail()).await?;
    let mut asking = JoinSet::new();
    for number in 0..REQUESTS {
        let (requester, topic) = (requester.clone(), requests.topic.clone());
        asking.spawn(async move {
            let value = number.to_string();
            let wait = if number < UNANSWERED { SHORT } else { PATIENCE };
            let answer = requester.request(Record::to(&topic).value(&value), wait).await;
            let is_own =
                answer.as_ref().is_ok_and(|answer| answer.value.as_deref() == Some(format!("re: {value}").as_bytes()));
            (number, is_own, answer.err())
        });
    }
    for _ in 0..REQUESTS {
        let Some(request) = incoming.next_within(PATIENCE).await? else { break };
        let text = String::from_utf8_lossy(request.value.as_deref().unwrap_or_default()).into_owned();
        let is_answered = text.parse::<usize>().is_ok_and(|number| number >= UNANSWERED);
        if let Some(answer) = reply(&request, &responses.topic).filter(|_| is_answered) {
            let value = format!("re: {text}");
            drop(producer.send(answer.value(&value)).await.map_err(failed)?);
        }
    }
    let (mut own, mut unanswered) = (0, Vec::new());
    while let Some(asked) = asking.join_next().await {
        let (number, is_own, error) = asked.map_err(failed)?;
        own += usize::from(is_own);
        unanswered.extend(error.map(|error| (number, error)));
    }
    to_stdout(&format!("{REQUESTS} requests at once: {own} have their reply, {} have none", unanswered.len()));
    if let Some((number, error)) = unanswered.first() {
        to_stdout(&format!("request {number}: {error}"));
    }
    let told = unanswered.iter().filter(|(number, error)| {
        *number < UNANSWERED && matches!(error, RequestError::NoReply { written: Some(Ok(())), .. })
    });
    let told = told.count();
    Ok(vec![
        claim(
            "each request that is answered gets its own reply, by its correlation-id",
            own == REQUESTS - UNANSWERED,
            format!("{own} of {}", REQUESTS - UNANSWERED),
        ),
        claim(
            "one that is not ends in time, and says that it is written",
            told == UNANSWERED && unanswered.len() == UNANSWERED,
            format!("{told} of {UNANSWERED}"),
        ),
    ])
}

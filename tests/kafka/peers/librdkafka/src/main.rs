//! librdkafka under the load of `tests/kafka/fault/load.rs`: BOOTSTRAP TOPIC CLIENT FIRST `AT_LEAST`. Sends at least
//! that many records, and until standard input ends. Prints every step in the protocol of
//! `tests/kafka/fault/client.rs`.

use std::{
    env, io, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

const PACE: u32 = 2;
const KEYS: u32 = 100;
/// Longer than `delivery.timeout.ms`.
const FLUSH: Duration = Duration::from_secs(150);

/// Prints every record's outcome.
struct Printer;

impl ClientContext for Printer {}

impl ProducerContext for Printer {
    type DeliveryOpaque = Box<(u32, u32)>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Self::DeliveryOpaque) {
        let (partition, told) = match result {
            Ok(message) => (message.partition(), format!("at {}", message.offset())),
            Err((_, message)) => (message.partition(), "unknown".to_owned()),
        };
        println!("told {} {} {partition} {told}", id.0, id.1);
    }
}

fn main() {
    let words: Vec<String> = env::args().collect();
    let number = |at: usize| words[at].parse::<u32>().expect("a number");
    let (topic, client, first, at_least) = (&words[2], number(3), number(4), number(5));
    let producer = producer(&words[1]);
    let end = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&end);
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        ended.store(true, Ordering::Relaxed);
    });
    let start = Instant::now();
    let mut records = 0;
    while records < at_least || !end.load(Ordering::Relaxed) {
        let due = start + Duration::from_millis(u64::from(records / PACE));
        thread::sleep(due.saturating_duration_since(Instant::now()));
        send(&producer, topic, client, first + records);
        records += 1;
    }
    process::exit(i32::from(producer.flush(FLUSH).is_err()));
}

/// Java's partitioner and delivery timeout; both of librdkafka's request timeouts are 5 s.
fn producer(servers: &str) -> ThreadedProducer<Printer> {
    let settings = [
        ("bootstrap.servers", servers),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("request.timeout.ms", "5000"),
        ("socket.timeout.ms", "5000"),
        ("delivery.timeout.ms", "120000"),
        ("partitioner", "murmur2_random"),
    ];
    let mut config = ClientConfig::new();
    settings.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create_with_context(Printer).expect("the settings are valid")
}

fn send(producer: &ThreadedProducer<Printer>, topic: &str, client: u32, number: u32) {
    println!("sent {client} {number}");
    let mix = (u64::from(client) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let key = format!("key-{}", number % KEYS);
    let value = format!("{client}/{number}/{}", format!("{mix:016x}").repeat(5));
    let record = BaseRecord::with_opaque_to(topic, Box::new((client, number))).key(&key).payload(&value);
    if producer.send(record).is_err() {
        println!("told {client} {number} -1 no");
    }
}

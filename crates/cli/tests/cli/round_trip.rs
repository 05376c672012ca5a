//! What `consume` prints as JSON goes back in by `produce` unchanged: random records, compared in the log itself.

use milena::{
    Header, Producer, Record,
    admin::{Admin, ConsumedRecord},
};

use crate::support::{Broker, Scratch, milena, run_in};

const RECORDS: usize = 400;

/// Random numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % count
    }

    /// Null, nothing, text with all that JSON escapes, what looks like JSON, or bytes.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        const TEXTS: [&str; 9] = [
            "null",
            "{\"a\": [1, 2.50]}",
            "a\tb\r\nc",
            "\"quoted\" \\ /",
            "é€😀",
            "\u{0}\u{1}\u{7f}\u{2028}",
            "17",
            "true",
            " ",
        ];
        match self.below(5) {
            0 => None,
            1 => Some(Vec::new()),
            2 | 3 => Some(TEXTS[self.below(TEXTS.len() as u64) as usize].into()),
            _ => Some((0..self.below(40)).map(|_| self.below(256) as u8).collect()),
        }
    }

    fn headers(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let name = |chance: &mut Self| ["a", "a", "", "é\"\n", "key"][chance.below(5) as usize].to_owned();
        (0..self.below(4)).map(|_| (name(self), self.bytes())).collect()
    }
}

/// Everything of a record but its place in the log.
fn shown(record: &ConsumedRecord) -> String {
    let ConsumedRecord { partition, timestamp, timestamp_type, key, value, headers, .. } = record;
    format!("{partition} {timestamp} {timestamp_type:?} {key:?} {value:?} {headers:?}")
}

async fn send(bootstrap: &str, seed: u64) {
    let (producer, mut chance) = (Producer::builder(bootstrap).build().await.unwrap(), Chance(seed));
    for _ in 0..RECORDS {
        let (key, value, headers) = (chance.bytes(), chance.bytes(), chance.headers());
        let record =
            Record::to("from").partition(chance.below(3) as i32).timestamp(chance.below(1_700_000_000_000) as i64);
        let record = record.with_payload(key.map(Into::into), value.map(Into::into));
        let headers =
            headers.into_iter().map(|(name, value)| Header { key: name.into(), value: value.map(Into::into) });
        drop(producer.send(headers.fold(record, Record::with_header)).await.unwrap());
    }
    producer.close().await.unwrap();
}

#[test]
fn every_record_comes_back_as_it_was() {
    let broker = Broker::start(&["--topic", "from:3", "--topic", "to:3"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(send(&broker.bootstrap, 18));
    let printed = milena(&["consume", "-b", &broker.bootstrap, "-t", "from", "-o", "json"]).expect(0).stdout;
    let args = ["produce", "-b", &broker.bootstrap, "-t", "to", "--format", "json", "-o", "none"];
    run_in(&Scratch::new(), &args, &printed).expect(0);
    let read = |topic| {
        runtime.block_on(async {
            let mut admin = Admin::connect(&broker.bootstrap).await.unwrap();
            admin.read_all(topic).await.unwrap().iter().map(shown).collect::<Vec<_>>()
        })
    };
    let (before, after) = (read("from"), read("to"));
    assert_eq!(before.len(), RECORDS);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(after.len(), RECORDS);
}

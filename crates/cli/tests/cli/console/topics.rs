//! `milena topics` beside `kafka-topics.sh`, `kafka-get-offsets.sh` and `kafka-configs.sh`, before a real Kafka.
//!
//! Each step is run by both, on topics of their own whose names have the same length. What they print must be the same but for names and ids.

use milena_test_support::kafka::RealKafka;

use super::apache;
use crate::support::{Ran, Scratch, run_in};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

/// A tool, its options, and how both end. `@` stands for the owner of a topic.
type Step = (&'static str, &'static [&'static str], i32);

#[rustfmt::skip]
const STEPS: &[Step] = &[
    (TOPICS, &["--create", "--topic", "@-orders", "--partitions", "3", "--config", "retention.ms=3600000", "--config", "cleanup.policy=compact,delete"], 0),
    (TOPICS, &["--create", "--topic", "@-plain"], 0),
    (TOPICS, &["--create", "--topic", "@.dots"], 0),
    (TOPICS, &["--create", "--topic", "@-placed", "--replica-assignment", "1,1"], 0),
    (TOPICS, &["--create", "--topic", "@-plain"], 1),
    (TOPICS, &["--create", "--topic", "@-plain", "--if-not-exists"], 0),
    (TOPICS, &["--create", "--topic", "@-wide", "--replication-factor", "3"], 1),
    (TOPICS, &["--list", "--topic", "@.*"], 0),
    (TOPICS, &["--list", "--topic", "@-o.*,@-plain"], 0),
    (TOPICS, &["--list", "--topic", "@-nothing"], 0),
    (TOPICS, &["--list", "--exclude-internal", "--topic", "@-p.*"], 0),
    (TOPICS, &["--describe", "--topic", "@-orders"], 0),
    (TOPICS, &["--describe", "--topic", "@-p.*"], 0),
    (TOPICS, &["--describe", "--topic", "@-nothing"], 1),
    (TOPICS, &["--describe", "--topic", "@-nothing", "--if-exists"], 0),
    (TOPICS, &["--describe", "--topic", "@.*", "--under-replicated-partitions"], 0),
    (TOPICS, &["--describe", "--topic", "@.*", "--unavailable-partitions"], 0),
    (TOPICS, &["--describe", "--topic", "@.*", "--under-min-isr-partitions"], 0),
    (TOPICS, &["--describe", "--topic", "@-orders", "--at-min-isr-partitions"], 0),
    (TOPICS, &["--describe", "--topic", "@.*", "--topics-with-overrides"], 0),
    (TOPICS, &["--alter", "--topic", "@-orders", "--partitions", "5"], 0),
    (TOPICS, &["--alter", "--topic", "@-orders", "--partitions", "5"], 1),
    (TOPICS, &["--alter", "--topic", "@-orders", "--partitions", "4"], 1),
    (TOPICS, &["--alter", "--topic", "@-placed", "--partitions", "3", "--replica-assignment", "1,1,1"], 0),
    (TOPICS, &["--alter", "--topic", "@-nothing", "--partitions", "4"], 1),
    (TOPICS, &["--alter", "--topic", "@-nothing", "--partitions", "4", "--if-exists"], 0),
    (TOPICS, &["--describe", "--topic", "@-orders"], 0),
    (CONFIGS, &["--describe", "--entity-type", "topics", "--entity-name", "@-orders"], 0),
    (CONFIGS, &["--describe", "--entity-type", "topics", "--entity-name", "@-orders", "--all"], 0),
    (CONFIGS, &["--alter", "--entity-type", "topics", "--entity-name", "@-orders",
        "--add-config", "max.message.bytes=12345,cleanup.policy=[delete,compact]", "--delete-config", "retention.ms"], 0),
    (CONFIGS, &["--alter", "--entity-type", "topics", "--entity-name", "@-orders", "--delete-config", "retention.ms"], 1),
    (CONFIGS, &["--alter", "--entity-type", "topics", "--entity-name", "@-orders", "--add-config", "no.such=1"], 1),
    (CONFIGS, &["--describe", "--entity-type", "topics", "--entity-name", "@-orders"], 0),
    (OFFSETS, &["--topic", "@-orders"], 0),
    (OFFSETS, &["--topic", "@-orders", "--partitions", "0,4", "--time", "earliest"], 0),
    (OFFSETS, &["--topic-partitions", "@-orders:1-3,@-plain", "--time", "-1"], 0),
    (OFFSETS, &["--topic", "@-orders", "--time", "max-timestamp"], 0),
    (OFFSETS, &["--topic", "@-orders", "--time", "-4"], 0),
    (OFFSETS, &["--topic", "@-orders", "--time", "-5"], 0),
    (OFFSETS, &["--topic", "@-orders", "--time", "0"], 0),
    (OFFSETS, &["--topic", "@-nothing"], 1),
    (TOPICS, &["--delete", "--topic", "@-p.*"], 0),
    (TOPICS, &["--delete", "--topic", "@-nothing"], 1),
    (TOPICS, &["--delete", "--topic", "@-nothing", "--if-exists"], 0),
    (TOPICS, &["--list", "--topic", "@.*"], 0),
];

fn arguments((_, options, _): &Step, owner: &str, bootstrap: &str) -> Vec<String> {
    let options = options.iter().map(|option| option.replace('@', owner));
    ["--bootstrap-server".to_owned(), bootstrap.to_owned()].into_iter().chain(options).collect()
}

fn milena(step: &Step, bootstrap: &str) -> Ran {
    let command: &[&str] = match step.0 {
        OFFSETS => &["topics", "offsets"],
        CONFIGS => &["topics", "configs"],
        _ => &["topics"],
    };
    let arguments = arguments(step, "milena", bootstrap);
    let arguments: Vec<_> = command.iter().copied().chain(arguments.iter().map(String::as_str)).collect();
    run_in(&Scratch::new(), &arguments, b"")
}

/// The lines without what differs: whose topic it is, and its id. Apache's tool has no order among topics.
fn lines(ran: &Ran, owner: &str) -> Vec<String> {
    let plain = |line: &str| {
        let line = line.replace(owner, "@");
        match line.split_once("TopicId: ") {
            Some((before, rest)) => format!("{before}TopicId: …{}", rest.get(22..).unwrap_or("too short")),
            None => line,
        }
    };
    let mut lines: Vec<_> = ran.lines().into_iter().map(plain).collect();
    lines.sort();
    lines
}

#[test]
fn topics_offsets_and_settings_are_printed_and_changed_alike() {
    let kafka = RealKafka::start(1, &[]);
    let bootstrap = kafka.bootstrap_servers();
    let mut ours = Vec::new();
    // Topics are there, and gone, a moment later for who asks another way; both run one step after the other, as an operator would.
    let runs = STEPS.chunk_by(|one, other| one.0 == other.0);
    let mut theirs = Vec::new();
    for chunk in runs {
        theirs.extend(apache::run(
            chunk[0].0,
            chunk.iter().map(|step| (&b""[..], arguments(step, "apache", &bootstrap))),
        ));
        ours.extend(chunk.iter().map(|step| milena(step, &bootstrap)));
    }
    assert_eq!(theirs.len(), STEPS.len());
    let mut wrong = Vec::new();
    for ((step, theirs), ours) in STEPS.iter().zip(&theirs).zip(&ours) {
        let what = format!("{:?}\napache: {}\nmilena: {}", step.1, theirs.stderr, ours.stderr);
        // Of a failure of kafka-configs.sh and kafka-get-offsets.sh only the sentence is on stdout, or nothing.
        let alike = lines(theirs, "apache") == lines(ours, "milena");
        if !alike || (theirs.code, ours.code) != (Some(step.2), Some(step.2)) {
            wrong.push(format!(
                "{what}\n{:?} {:#?}\n{:?} {:#?}",
                theirs.code,
                lines(theirs, "apache"),
                ours.code,
                lines(ours, "milena")
            ));
        }
    }
    assert!(wrong.is_empty(), "left or first: Apache: {}", wrong.join("\n\n"));
}

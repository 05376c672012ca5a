//! Both console consumers before a real Kafka, where there are transactions, and groups for Apache's.

use milena_test_support::kafka::RealKafka;

use super::{apache, console};

/// Options, and what both print.
#[rustfmt::skip]
const CASES: &[(&[&str], &[&str])] = &[
    (&["--topic", "ledger", "--partition", "0", "--from-beginning", "--timeout-ms", "3000", "--isolation-level", "read_committed"],
        &["committed-1", "committed-2"]),
    (&["--topic", "ledger", "--partition", "0", "--offset", "2", "--timeout-ms", "3000", "--isolation-level", "read_committed"],
        &["committed-2"]),
    (&["--topic", "ledger", "--partition", "0", "--from-beginning", "--max-messages", "6"],
        &["aborted-1", "aborted-2", "after", "committed-1", "committed-2", "open"]),
    (&["--topic", "many", "--from-beginning", "--max-messages", "6", "--formatter-property", "print.key=true"],
        &["key-0\tvalue-0", "key-1\tvalue-1", "key-2\tvalue-2", "key-3\tvalue-3", "key-4\tvalue-4", "key-5\tvalue-5"]),
    (&["--include", "l.*|m", "--from-beginning", "--timeout-ms", "3000", "--command-property", "isolation.level=read_committed"],
        &["committed-1", "committed-2"]),
    (&["--topic", "many", "--timeout-ms", "3000"], &[]),
];

#[test]
fn transactions_and_all_partitions_are_read_alike() {
    let single = [("transaction.state.log.replication.factor", "1"), ("transaction.state.log.min.isr", "1")];
    let kafka = RealKafka::start(1, &single);
    let bootstrap = kafka.bootstrap_servers();
    apache::run_source("Transactions.java", &format!("{bootstrap}\n"));
    let arguments = |(options, _): &(&[&str], _)| {
        ["--bootstrap-server", &bootstrap]
            .iter()
            .chain(*options)
            .map(|&argument| argument.to_owned())
            .collect::<Vec<_>>()
    };
    let apaches = apache::run(super::consumer::APACHES, CASES.iter().map(|case| (&b""[..], arguments(case))));
    assert_eq!(apaches.len(), CASES.len());
    for (case, theirs) in CASES.iter().zip(apaches) {
        let ours = console("consumer", &arguments(case), b"");
        for ran in [theirs, ours] {
            let ran = ran.expect(0);
            let mut lines = ran.lines();
            lines.sort_unstable();
            assert_eq!(lines, case.1, "{:?}: {}", case.0, ran.stderr);
        }
    }
}

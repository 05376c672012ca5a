//! Every row of the error table is as in Apache Kafka.

use super::{parse, run};
use crate::wire::errors::TABLE;

/// Code, name, retriable, refresh.
type Facts = (i16, String, bool, bool);

/// Rows in which the table says something else on purpose: code, retriable, refresh, why.
const DIFFERENCES: [(i16, bool, bool, &str); 1] =
    [(8, true, true, "a broker that is down can come up again; librdkafka and franz-go retry, Java alone gives up")];

#[test]
fn every_row_has_the_name_and_the_class_that_java_gives_it_but_for_the_listed_ones() {
    let java = run("ErrorTable.java", "");
    let java: Vec<Facts> = java.iter().map(|c| (parse(&c[0]), c[1].clone(), parse(&c[2]), parse(&c[3]))).collect();
    let ours = TABLE.iter().map(|row| (row.code.0, row.name.to_owned(), row.retriable, row.refresh));
    assert_eq!(ours.collect::<Vec<_>>(), java.into_iter().map(with_differences).collect::<Vec<_>>());
}

fn with_differences(java: Facts) -> Facts {
    let Some((code, retriable, refresh, reason)) = DIFFERENCES.iter().find(|(code, ..)| *code == java.0) else {
        return java;
    };
    assert_ne!((*retriable, *refresh), (java.2, java.3), "{code} no longer differs, although {reason}");
    (java.0, java.1, *retriable, *refresh)
}

//! Step 02.4: a key chooses its partition, and a request may choose another.
//!
//! In: the site. Out: verdicts. Does I/O.

use super::{judge::place, site::Site};
use crate::{
    exit::CliError,
    lab::checks::{Verdict, claim},
};

const KEY: &str = "account-123";

pub(super) async fn run(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    let mut chosen = Vec::new();
    for partition in [0, 1] {
        let event = site.event(&format!("P{partition}"));
        let query = format!("mode=plain&sendMode=sync&eventId={event}&key={KEY}&partition={partition}");
        chosen.push(place(&site.first.send(&query).await?).map(|(partition, _)| partition));
    }
    let mut by_key = Vec::new();
    for number in 1..=3 {
        let event = site.event(&format!("K{number}"));
        let query = format!("mode=plain&sendMode=sync&eventId={event}&key={KEY}");
        by_key.push(place(&site.first.send(&query).await?));
    }
    let partitions: Vec<_> = by_key.iter().map(|place| place.map(|(partition, _)| partition)).collect();
    let one = partitions.windows(2).all(|pair| pair.first() == pair.last()) && !partitions.contains(&None);
    let rising = by_key.windows(2).all(|pair| matches!(pair, [Some((_, a)), Some((_, b))] if a < b));
    Ok(vec![
        claim(
            "a request that names a partition goes there, whatever its key",
            chosen == [Some(0), Some(1)],
            told(&chosen),
        ),
        claim("without one the same key always goes to the same partition", one, told(&partitions)),
        claim("there its records stand in the order of sending", rising, format!("{by_key:?}")),
    ])
}

fn told(partitions: &[Option<i32>]) -> String {
    format!("the partitions {partitions:?}")
}

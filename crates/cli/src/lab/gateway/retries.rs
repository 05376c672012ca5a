//! Step 02.3, the main checkpoint: slow answers force retries, with and without idempotence.
//!
//! In: the site. Out: verdicts, and a warning if no event was written twice. Does I/O. Each event is accepted at once; while answers are slow every
//! request times out, and the producer sends its batch again, though Kafka has written it.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    http,
    judge::{accepted, copies, retried},
    site::Site,
};
use crate::{
    exit::CliError,
    lab::{
        checks::{Verdict, claim},
        to_stdout,
    },
};

const EVENTS: usize = 20;
/// How long answers are slow: two and a half times `request.timeout.ms`.
const SLOW: Duration = Duration::from_millis(2_500);

pub(super) async fn run(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    if !site.faults.can_fail() {
        to_stdout("left out, because nothing makes this cluster slow (--toxiproxy names what does)");
        return Ok(Vec::new());
    }
    // Afterwards both producers know where the topic is: they would wait for that, and not for acknowledgements.
    for mode in ["plain", "idempotent"] {
        site.first.send_quietly(&format!("mode={mode}&eventId={}", site.event("BEFORE"))).await?;
    }
    let before = retries(site).await?;
    site.faults.slow().await?;
    to_stdout(&format!("{EVENTS} events for each mode, while Kafka's answers are slow"));
    let plain = send_all(site, "plain").await?;
    let idempotent = send_all(site, "idempotent").await?;
    sleep(SLOW).await;
    site.faults.end().await?;
    let mut verdicts = vec![outcomes(site, &plain, "plain").await?, outcomes(site, &idempotent, "idempotent").await?];
    let after = retries(site).await?;
    for ((mode, before), after) in ["plain", "idempotent"].into_iter().zip(before).zip(after) {
        let holds = after > before;
        verdicts.push(claim(format!("{mode}: records were sent again ({})", after - before), holds, "no retry"));
    }
    let records = site.records().await?;
    let ids = |sent: &Sent| sent.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>();
    let (plain, idempotent) = (ids(&plain), ids(&idempotent));
    verdicts.push(never_lost(&copies(&records, &plain)));
    verdicts.push(exactly_once(&copies(&records, &idempotent)));
    Ok(verdicts)
}

/// Each event with the id of its request.
type Sent = Vec<(String, Option<String>)>;

async fn send_all(site: &Site<'_>, mode: &str) -> Result<Sent, CliError> {
    let mut sent = Vec::new();
    for number in 1..=EVENTS {
        let event = site.event(&format!("{}-{number}", mode.to_uppercase()));
        // A key each, so that every partition gets some.
        let query = format!("mode={mode}&sendMode=async&eventId={event}&key=account-{number}");
        let reply = site.first.send_quietly(&query).await?;
        sent.push((event, accepted(&reply)));
    }
    Ok(sent)
}

/// Every request becomes OK.
async fn outcomes(site: &Site<'_>, sent: &Sent, mode: &str) -> Result<Verdict, CliError> {
    let mut others = Vec::new();
    for (event, id) in sent {
        let state = match id {
            Some(id) => site.first.outcome(id).await?["state"].clone(),
            None => "not accepted".into(),
        };
        if state != "OK" {
            others.push(format!("{event} {state}"));
        }
    }
    Ok(claim(format!("{mode}: each of the {EVENTS} events becomes OK"), others.is_empty(), others.join(", ")))
}

async fn retries(site: &Site<'_>) -> Result<[f64; 2], CliError> {
    let text = http::get(&site.first.address, "/metrics").await?.text;
    Ok(["plain", "idempotent"].map(|mode| retried(&text, &format!("milena-gateway-{mode}"))))
}

/// Without idempotence no event is lost. Tells how many were written more than once.
fn never_lost(copies: &BTreeMap<&str, usize>) -> Verdict {
    let several = copies.values().filter(|count| **count > 1).count();
    let records: usize = copies.values().sum();
    if several == 0 {
        to_stdout("WARN plain wrote no event twice this time: that depends on when the answers are lost");
    } else {
        to_stdout(&format!(
            "plain: {several} of {} events are there more than once, {records} records in all",
            copies.len()
        ));
    }
    claim("plain: no event is lost", copies.values().all(|count| *count > 0), format!("{copies:?}"))
}

fn exactly_once(copies: &BTreeMap<&str, usize>) -> Verdict {
    let others: Vec<_> = copies.iter().filter(|(_, count)| **count != 1).collect();
    claim(
        format!("idempotent: each of the {} events is there exactly once", copies.len()),
        others.is_empty(),
        format!("{others:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_may_write_twice_but_loses_nothing_and_idempotent_writes_once() {
        for (copies, kept, once) in [
            (vec![("a", 1), ("b", 1)], true, true),
            (vec![("a", 1), ("b", 3)], true, false),
            (vec![("a", 1), ("b", 0)], false, false),
        ] {
            let copies: BTreeMap<_, _> = copies.into_iter().collect();
            assert_eq!(
                (never_lost(&copies).result.is_ok(), exactly_once(&copies).result.is_ok()),
                (kept, once),
                "{copies:?}"
            );
        }
    }
}

//! Steps 02.0 and 02.1: the gateways are healthy; a request that waits is answered with the place of its record.
//!
//! In: the site. Out: verdicts. Does I/O.

use super::{
    http,
    judge::{place, stands},
    site::{Site, TOPIC},
};
use crate::{
    exit::CliError,
    lab::{
        checks::{Verdict, claim},
        to_stdout,
    },
};

/// Step 02.0.
pub(super) async fn health(site: &Site<'_>) -> Result<Vec<Verdict>, CliError> {
    let mut verdicts = Vec::new();
    for (number, gateway) in [("first", &site.first), ("second", &site.second)] {
        for (path, what) in [("/health", "is there"), ("/readyz", "reaches Kafka")] {
            let reply = http::get(&gateway.address, path).await?;
            to_stdout(&format!("GET http://{}{path}\n  {} {}", gateway.address, reply.status, reply.text));
            let holds = reply.status == 200 && reply.text == "OK";
            verdicts.push(claim(format!("the {number} gateway {what}: {path} answers OK"), holds, reply.text));
        }
    }
    Ok(verdicts)
}

/// Step 02.1.
pub(super) async fn run(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    let event = site.event("PLAIN");
    let reply = site.first.send(&format!("mode=plain&sendMode=sync&eventId={event}")).await?;
    let (place, json) = (place(&reply), reply.json());
    let records = site.records().await?;
    Ok(vec![
        claim("the answer has partition and offset", place.is_some(), &reply.text),
        claim(format!("its topic is {TOPIC}"), json["topic"] == TOPIC, &json["topic"]),
        claim("its eventId is that of the request", json["eventId"] == event.as_str(), &json["eventId"]),
        stands(&records, &event, place),
    ])
}

//! Step 02.2: a request that does not wait, and what becomes of it when answers are slow, and when none comes.
//!
//! In: the site. Out: verdicts. Does I/O.

use super::{
    judge::{accepted, place, stands, told_as_error},
    site::Site,
};
use crate::{
    exit::CliError,
    lab::{
        checks::{Verdict, claim},
        to_stdout,
    },
    trouble,
};

const NO_ID: &str = "the answer is no 202 with requestId and Location";

pub(super) async fn run(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    let mut verdicts = usual(site).await?;
    if site.faults.can_fail() {
        verdicts.extend(slow(site).await?);
        verdicts.extend(cut(site).await?);
    } else {
        to_stdout(
            "left out, because nothing makes this cluster fail (--toxiproxy names what does): slow answers, and none",
        );
    }
    Ok(verdicts)
}

/// Without trouble the state becomes OK.
async fn usual(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    let event = site.event("ASYNC");
    let reply = site.first.send(&format!("mode=idempotent&sendMode=async&eventId={event}")).await?;
    let Some(id) = accepted(&reply) else { return Ok(vec![claim("it is accepted", false, NO_ID)]) };
    let state = site.first.outcome(&id).await?;
    to_stdout(&format!("GET /api/v1/status?requestId={id}\n  {state}"));
    let at = state["partition"].as_i64().and_then(|partition| i32::try_from(partition).ok());
    let at = at.zip(state["offset"].as_i64());
    let records = site.records().await?;
    Ok(vec![
        claim("it is answered 202 with requestId and Location", true, ""),
        claim("its state becomes OK, with partition and offset", state["state"] == "OK" && at.is_some(), &state),
        stands(&records, &event, at),
    ])
}

/// While answers are slow the state is PENDING; then it becomes OK.
async fn slow(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    site.faults.slow().await?;
    to_stdout(&format!("answers of Kafka are {} s late", trouble::LATENCY.as_secs()));
    let event = site.event("ASYNC-SLOW");
    let reply = site.first.send(&format!("mode=idempotent&sendMode=async&eventId={event}")).await?;
    let Some(id) = accepted(&reply) else { return Ok(vec![claim("it is accepted", false, NO_ID)]) };
    let state = site.first.state(&id).await?;
    to_stdout(&format!("GET /api/v1/status?requestId={id}\n  {state}"));
    site.faults.end().await?;
    to_stdout("they are in time again");
    let later = site.first.outcome(&id).await?;
    to_stdout(&format!("GET /api/v1/status?requestId={id}\n  {later}"));
    Ok(vec![
        claim("while answers are slow its state is PENDING", state["state"] == "PENDING", &state),
        claim("and OK when they are in time again", later["state"] == "OK", &later),
    ])
}

/// When no answer comes the state becomes ERROR, and what is sent afterwards is written.
async fn cut(site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
    site.faults.cut().await?;
    to_stdout("connections to Kafka are closed before an answer");
    let event = site.event("ASYNC-FAIL");
    let reply = site.second.send(&format!("mode=plain&sendMode=async&eventId={event}")).await?;
    let state = match accepted(&reply) {
        Some(id) => site.second.outcome(&id).await?,
        None => return Ok(vec![claim("it is accepted", false, NO_ID)]),
    };
    to_stdout(&format!("GET /api/v1/status\n  {state}"));
    site.faults.end().await?;
    to_stdout("connections stay open again");
    let event = site.event("AFTERWARDS");
    let reply = site.second.send(&format!("mode=plain&sendMode=sync&eventId={event}")).await?;
    Ok(vec![
        told_as_error(&state),
        claim("the next event is written when Kafka can be reached again", place(&reply).is_some(), &reply.text),
    ])
}

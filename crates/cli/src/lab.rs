//! `milena lab`: small programs that show what the producer does, and check what they claim.
//!
//! In: the name of a lab. Out: what it did, then `OK` or the first check that failed. Every lab runs on the embedded
//! broker without any set-up, and on a real cluster with `--bootstrap-server`. What labs have in common with other commands
//! stands beside this folder: nothing outside of it uses what is in it.

mod async_orders;
mod checks;
mod dead_letter;
mod duration;
mod latch;
mod latency;
mod orders;
mod pause;
mod retry;
mod strings;

use std::time::Instant;

use self::checks::Verdict;
use crate::{
    console::say,
    exit::{CliError, Exit},
    warned::Warned,
};

/// Run a small program that shows what the producer does and checks what it claims
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    lab: Lab,
}

#[derive(Debug, clap::Subcommand)]
enum Lab {
    AsyncOrders(async_orders::Args),
    Retry(retry::Args),
    DeadLetter(dead_letter::Args),
    Pause(pause::Args),
    Latency(latency::Args),
}

/// Runs the lab; `started` is when the process did, `warned` counts the warnings of retries.
pub(crate) async fn run(args: Args, started: Instant, warned: Warned) -> Result<Exit, CliError> {
    match args.lab {
        Lab::AsyncOrders(args) => async_orders::run(args, started).await,
        Lab::Retry(args) => retry::run(args).await,
        Lab::DeadLetter(args) => dead_letter::run(args).await,
        Lab::Pause(args) => pause::run(args, started, warned).await,
        Lab::Latency(args) => latency::run(args).await,
    }
}

/// Prints every claim and whether it holds, then `OK` or the first that does not.
fn conclude(verdicts: &[Verdict]) -> Exit {
    for Verdict { claim, result } in verdicts {
        say(&format!("{}  {claim}", if result.is_ok() { "ok    " } else { "FAILED" }));
    }
    match checks::first_failure(verdicts) {
        None => {
            say("OK");
            Exit::Good
        }
        Some(Verdict { claim, result }) => {
            say(&format!("check failed: {claim}: {}", result.as_ref().err().map_or("", String::as_str)));
            Exit::Failed
        }
    }
}

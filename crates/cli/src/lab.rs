//! `milena lab`: small programs that show what the producer does, and check it.
//!
//! In: the name of a lab. Out: its steps, then `OK` or the first check that failed. Every lab runs on the embedded broker without
//! any set-up, and on a real cluster with `--bootstrap-server`. Code that labs share with other commands is outside this folder:
//! nothing outside uses what is in it.

mod async_orders;
mod checks;
mod dead_letter;
mod duration;
#[cfg(feature = "gateway")]
mod gateway;
mod latch;
mod latency;
mod orders;
mod patterns;
mod pause;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod resilient;
mod retry;
mod strings;

use std::time::Instant;

use self::checks::Verdict;
use crate::{
    console::to_stdout,
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
    Patterns(patterns::Args),
    Pause(pause::Args),
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    Resilient(resilient::Args),
    Latency(latency::Args),
    #[cfg(feature = "gateway")]
    Gateway(gateway::Args),
}

/// Runs the lab. `started` is the start of the process; `warned` counts the warnings of retries.
pub(crate) async fn run(args: Args, started: Instant, warned: Warned) -> Result<Exit, CliError> {
    match args.lab {
        Lab::AsyncOrders(args) => async_orders::run(args, started).await,
        Lab::Retry(args) => retry::run(args).await,
        Lab::DeadLetter(args) => dead_letter::run(args).await,
        Lab::Patterns(args) => patterns::run(args).await,
        Lab::Pause(args) => pause::run(args, started, warned).await,
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        Lab::Resilient(args) => resilient::run(args).await,
        Lab::Latency(args) => latency::run(args).await,
        #[cfg(feature = "gateway")]
        Lab::Gateway(args) => gateway::run(args).await,
    }
}

/// Prints each claim and whether it holds, then `OK` or the first claim that does not hold.
fn conclude(verdicts: &[Verdict]) -> Exit {
    for Verdict { claim, result } in verdicts {
        to_stdout(&format!("{}  {claim}", if result.is_ok() { "ok    " } else { "FAILED" }));
    }
    match checks::first_failure(verdicts) {
        None => {
            to_stdout("OK");
            Exit::Good
        }
        Some(Verdict { claim, result }) => {
            to_stdout(&format!("check failed: {claim}: {}", result.as_ref().err().map_or("", String::as_str)));
            Exit::Failed
        }
    }
}

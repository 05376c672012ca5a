//! Replays or removes events: counts them, asks, and goes through them in steps.
//!
//! In: a store, which events, and what to do. Out: how many were changed. Does I/O. A step is done wholly or not at all, so an
//! interrupt between two steps leaves nothing half done. Events that are stored after the count are left alone.

use milena_resilience::store::{Filter, Seq, Store};
use serde::Serialize;

use super::{
    args::ChangeArgs,
    event::Rows,
    pages::{PAGE, Pages},
    question,
    survey::Survey,
};
use crate::{
    console::{to_stderr, to_stdout},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output::{self, count},
    rate::Pacer,
    store::{self, failed},
};

/// What is done to the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Purge,
}

impl Deed {
    /// The command and its past tense.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Replay => ("replay", "replayed"),
            Self::Purge => ("remove", "removed"),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) deed: Deed,
    pub(super) filter: Filter,
    pub(super) rate: Option<u32>,
    pub(super) json: bool,
    pub(super) change: ChangeArgs,
}

/// Carries out a plan.
pub(super) async fn run(address: &str, plan: Plan, interrupt: &mut Interrupt) -> Result<Exit, CliError> {
    let asks = !plan.change.yes && !plan.change.dry_run;
    if asks {
        question::can_be_asked()?;
    }
    let store = store::open(address).await?;
    let prepared = async {
        let rows = plan.change.dry_run.then(|| Rows::new(plan.json));
        let found = Survey::of(&*store, &plan.filter, plan.change.limit, rows).await?;
        to_stderr(&preview(&plan, &found));
        let (verb, _) = plan.deed.words();
        let agreed = !asks || found.total() == 0 || question::ask(&format!("{verb} them?")).await;
        Ok::<_, CliError>((found, agreed))
    };
    let (found, agreed) = tokio::select! {
        biased;
        () = interrupt.next() => (Survey::default(), false),
        prepared = prepared => prepared?,
    };
    if !agreed {
        to_stderr("nothing was changed");
    } else if !plan.change.dry_run {
        return carry_out(&*store, &plan, &found, interrupt).await;
    }
    store::close(&*store).await?;
    Ok(if agreed { Exit::Good } else { Exit::Interrupted })
}

fn preview(plan: &Plan, found: &Survey) -> String {
    let (verb, _) = plan.deed.words();
    let lead = if plan.change.dry_run { "dry run: would" } else { "about to" };
    let unpublished = found.unpublished();
    let loss = match plan.deed {
        Deed::Purge if unpublished > 0 => format!("; {unpublished} of them not published, and lost then"),
        _ => String::new(),
    };
    format!("{lead} {verb} {found}{loss}")
}

async fn carry_out(
    store: &dyn Store,
    plan: &Plan,
    found: &Survey,
    interrupt: &mut Interrupt,
) -> Result<Exit, CliError> {
    let mut changed = 0;
    let done = steps(store, plan, found.range(), &mut changed, interrupt).await;
    conclude(plan, found, changed);
    let exit = done?;
    store::close(store).await?;
    Ok(exit)
}

/// Goes through the events from first to last, a step at a time.
async fn steps(
    store: &dyn Store,
    plan: &Plan,
    (first, last): (Seq, Seq),
    changed: &mut u64,
    interrupt: &mut Interrupt,
) -> Result<Exit, CliError> {
    let mut pacer = Pacer::new(plan.rate);
    let mut pages = Pages::new(store, plan.filter.clone().between(first, last), Seq::START, plan.change.limit);
    loop {
        let allowed = tokio::select! {
            biased;
            () = interrupt.next() => return Ok(Exit::Interrupted),
            allowed = pacer.allow(PAGE) => allowed,
        };
        let Some(page) = pages.next_of(allowed).await? else { return Ok(Exit::Good) };
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(Exit::Good) };
        let step = plan.filter.clone().between(first.seq, last.seq);
        *changed += match plan.deed {
            Deed::Replay => store.replay(step).await,
            Deed::Purge => store.purge(step).await,
        }
        .map_err(failed)?;
    }
}

/// Says what was changed, also after an error.
fn conclude(plan: &Plan, found: &Survey, changed: u64) {
    let (_, past) = plan.deed.words();
    if plan.json {
        to_stdout(&output::json(&Changed { matched: found.total(), action: past, changed }));
    } else {
        to_stdout(&format!("{past} {}", count(changed, "event")));
    }
    if plan.deed == Deed::Replay && changed > 0 {
        to_stderr("the relay of a running publisher looks for them within a minute");
    }
}

#[derive(Serialize)]
struct Changed {
    action: &'static str,
    matched: u64,
    changed: u64,
}

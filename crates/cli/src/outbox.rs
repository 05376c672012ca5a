//! `milena outbox`: what the store of a publisher keeps, and what an operator does about it.
//!
//! In: the address of a store. Out: its events and counts; events that are tried again, or removed. Does I/O. Deliberately absent:
//! sending, which is the relay's, in the process that publishes.

mod age;
mod args;
mod change;
mod event;
mod find;
mod pages;
mod question;
mod survey;

use milena_resilience::store::{Filter, Seq};

pub(crate) use self::args::Args;
use self::{
    args::{Action, ListArgs, PurgeArgs, ReplayArgs, ShowArgs, StatsArgs},
    change::{Deed, Plan},
    event::Rows,
    find::Which,
    pages::Pages,
};
use crate::{
    console::{to_stderr, to_stdout},
    exit::{CliError, Exit},
    interrupt::Interrupt,
    store,
};

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    match args.action {
        Action::List(args) => unless_interrupted(&mut interrupt, list(args)).await,
        Action::Show(args) => unless_interrupted(&mut interrupt, show(args)).await,
        Action::Stats(args) => unless_interrupted(&mut interrupt, stats(args)).await,
        Action::Replay(args) => replay(args, &mut interrupt).await,
        Action::Purge(args) => purge(args, &mut interrupt).await,
    }
}

async fn unless_interrupted(
    interrupt: &mut Interrupt,
    done: impl Future<Output = Result<(), CliError>>,
) -> Result<Exit, CliError> {
    tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = done => done.map(|()| Exit::Good),
    }
}

async fn list(args: ListArgs) -> Result<(), CliError> {
    let store = store::open(&args.common.store).await?;
    let (filter, mut rows) = (args.filter.filter(), Rows::new(args.common.json));
    let mut pages = Pages::new(&*store, filter.clone(), Seq(args.after), Some(args.limit));
    while let Some(page) = pages.next().await? {
        if page.iter().try_for_each(|event| rows.print(event)).is_break() {
            break;
        }
    }
    rows.flush();
    let last = pages.last();
    if pages.is_full() && !store.list(filter, last, 1).await.map_err(store::failed)?.is_empty() {
        to_stderr(&format!("there are more events; go on with --after {last}"));
    }
    store::close(&*store).await
}

async fn show(args: ShowArgs) -> Result<(), CliError> {
    let store = store::open(&args.common.store).await?;
    let filter = match args.which {
        Which::Seq(seq) => Filter::new().between(seq, seq),
        Which::Event(id) => Filter::new().event_id(id),
    };
    let mut pages = Pages::new(&*store, filter, Seq::START, None);
    while let Some(page) = pages.next().await? {
        for event in &page {
            to_stdout(&if args.common.json { event::whole_json(event) } else { event::whole(event, args.hex) });
        }
    }
    if pages.last() == Seq::START {
        let which = args.which;
        let why = "what was published is gone, unless the store has a retention";
        return Err(CliError::Failed(format!("the store has no event {which}; {why}")));
    }
    store::close(&*store).await
}

async fn stats(args: StatsArgs) -> Result<(), CliError> {
    let store = store::open(&args.common.store).await?;
    let stats = store.stats().await.map_err(store::failed)?;
    to_stdout(&if args.common.json { event::stats_json(&stats) } else { event::stats(&stats) });
    store::close(&*store).await
}

async fn replay(args: ReplayArgs, interrupt: &mut Interrupt) -> Result<Exit, CliError> {
    let ReplayArgs { common, filter, change, rate } = args;
    let plan = Plan { deed: Deed::Replay, filter: filter.to_replay()?, rate, json: common.json, change };
    change::run(&common.store, plan, interrupt).await
}

async fn purge(args: PurgeArgs, interrupt: &mut Interrupt) -> Result<Exit, CliError> {
    let PurgeArgs { common, filter, change, all } = args;
    if filter.is_empty() != all {
        let text = if all { "--all and a filter contradict each other" } else { "nothing says which events" };
        return Err(CliError::Usage(format!("{text}; give a filter such as --status, or --all; nothing was removed")));
    }
    let plan = Plan { deed: Deed::Purge, filter: filter.filter(), rate: None, json: common.json, change };
    change::run(&common.store, plan, interrupt).await
}

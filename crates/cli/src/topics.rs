//! `milena topics`: what `kafka-topics.sh`, `kafka-get-offsets.sh` and `kafka-configs.sh --entity-type topics` do, with their options.
//!
//! In: one action on topics. Out: the lines that Apache's tool prints. Does I/O. [`args`] has the options, [`describe`] makes lines of topics;
//! [`offsets`] and [`configs`] are commands of their own. Deliberately absent: reassignments of partitions.

mod args;
mod configs;
mod describe;
mod offsets;

use std::collections::BTreeSet;

use milena::admin::{Admin, AdminError, TopicLayout};

pub(crate) use self::args::Args;
use self::{
    args::{Action, Create, Known, More},
    describe::{Shown, lines},
};
use crate::{
    console::to_stdout,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    output,
};

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        biased;
        () = interrupt.next() => Ok(Exit::Interrupted),
        done = perform(args) => done,
    }
}

async fn perform(args: Args) -> Result<Exit, CliError> {
    match args.more {
        Some(More::Offsets(args)) => return offsets::run(args).await,
        Some(More::Configs(args)) => return configs::run(args).await,
        None => {}
    }
    let action = args.action()?;
    let mut admin = Admin::from_properties(args.settings()?).await?;
    let done = match action {
        Action::List(known) => list(&mut admin, &known).await,
        Action::Create(create) => {
            if create.topic.contains(['.', '_']) {
                to_stdout(COLLISIONS);
            }
            make(&mut admin, &create).await
        }
        Action::Alter { known, partitions, replicas } => {
            grow(&mut admin, &known, partitions, replicas.as_deref()).await
        }
        Action::Describe { known, id, shown } => show(&mut admin, &known, id.as_deref(), shown).await,
        Action::Delete(known) => delete(&mut admin, &known).await,
    };
    match done {
        Ok(()) => Ok(Exit::Good),
        Err(why) => {
            to_stdout(&output::printable_lines(&format!("Error while executing topic command : {why}")));
            Ok(Exit::Failed)
        }
    }
}

const COLLISIONS: &str = "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To \
     avoid issues it is best to use either, but not both.";

/// Why a broker did not do something, in its own words if it has any.
fn said(error: AdminError) -> String {
    match error {
        AdminError::Refused { message: Some(message), .. } => message,
        AdminError::TopicExists { topic } => format!("Topic '{topic}' already exists."),
        error => error.to_string(),
    }
}

/// The topics that are meant, by name. An error if there is none although one must be.
async fn find(admin: &mut Admin, known: &Known) -> Result<Vec<TopicLayout>, String> {
    let all = admin.layouts(None).await.map_err(said)?;
    let found: Vec<_> = all.into_iter().filter(|topic| known.matches(&topic.name, topic.is_internal)).collect();
    match known.topic.as_deref() {
        Some(topic) if found.is_empty() && known.must_exist && !topic.is_empty() => {
            Err(format!("Topic '{topic}' does not exist as expected"))
        }
        _ => Ok(found),
    }
}

async fn list(admin: &mut Admin, known: &Known) -> Result<(), String> {
    let found = find(admin, known).await?;
    let names: Vec<_> = found.into_iter().map(|topic| topic.name).collect();
    to_stdout(&names.join("\n"));
    Ok(())
}

async fn make(admin: &mut Admin, create: &Create) -> Result<(), String> {
    let Create { topic, partitions, replication, replicas, configs, may_exist } = create;
    let configs: Vec<_> = configs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let made = match replicas {
        Some(replicas) => admin.create_topic_at(topic, replicas, &configs).await,
        None => admin.create_topic(topic, *partitions, *replication, &configs).await,
    };
    match made {
        Err(AdminError::TopicExists { .. }) if *may_exist => Ok(()),
        Err(error) => Err(said(error)),
        Ok(()) => {
            to_stdout(&format!("Created topic {topic}."));
            Ok(())
        }
    }
}

/// Adds partitions to each topic. The first error counts; the others get theirs all the same.
async fn grow(admin: &mut Admin, known: &Known, partitions: i32, replicas: Option<&[Vec<i32>]>) -> Result<(), String> {
    let mut done = Ok(());
    for topic in find(admin, known).await? {
        // Assignments are those of all partitions, also of those that are there.
        let added = replicas.map(|all| all.get(topic.partitions.len()..).unwrap_or_default());
        let grown = admin.add_partitions(&topic.name, partitions, added).await.map_err(said);
        done = done.and(grown);
    }
    done
}

async fn delete(admin: &mut Admin, known: &Known) -> Result<(), String> {
    let mut done = Ok(());
    for topic in find(admin, known).await? {
        done = done.and(admin.delete_topic(&topic.name).await.map_err(said));
    }
    done
}

async fn show(admin: &mut Admin, known: &Known, id: Option<&str>, shown: Shown) -> Result<(), String> {
    let topics = match id {
        Some(id) => {
            let all = admin.layouts(None).await.map_err(said)?;
            let found: Vec<_> = all.into_iter().filter(|topic| topic.id.as_deref() == Some(id)).collect();
            if found.is_empty() && known.must_exist {
                return Err(format!("TopicId '{id}' does not exist as expected"));
            }
            found
        }
        None => {
            let found = find(admin, known).await?;
            let names: Vec<_> = found.iter().map(|topic| &*topic.name).collect();
            admin.layouts(Some(&names)).await.map_err(said)?
        }
    };
    let cluster = admin.describe(None).await.map_err(said)?;
    let live: BTreeSet<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
    for topic in topics {
        let settings = admin.topic_settings(&topic.name).await.map_err(said)?;
        for line in lines(&topic, &settings, shown, &live) {
            to_stdout(&line);
        }
    }
    Ok(())
}

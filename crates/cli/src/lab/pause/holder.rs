//! Whoever can make the broker stand still.
//!
//! In: the lab's cluster and arguments. Out: a broker that stands still until the value that stands for that is dropped.
//! Does I/O through the embedded broker or the process.

use milena::broker::EmbeddedBroker;

#[cfg(unix)]
use super::process::{Process, Stopped};
use crate::{cluster::Cluster, exit::CliError};

/// How the broker is paused.
pub(super) enum Holder<'a> {
    /// It is the embedded one.
    Embedded(&'a EmbeddedBroker),
    /// It is a process of this machine.
    #[cfg(unix)]
    Process(Process),
    /// The user does it.
    ByHand,
}

impl<'a> Holder<'a> {
    /// The holder for a cluster; `pid` is the broker's process.
    pub(super) fn of(cluster: &'a Cluster, pid: Option<i32>) -> Result<Self, CliError> {
        match (cluster.embedded(), pid) {
            (Some(broker), _) => Ok(Self::Embedded(broker)),
            (None, Some(pid)) => Self::process(pid),
            (None, None) => Ok(Self::ByHand),
        }
    }

    #[cfg(unix)]
    fn process(pid: i32) -> Result<Self, CliError> {
        Process::find(pid).map(Self::Process)
    }

    #[cfg(not(unix))]
    fn process(_: i32) -> Result<Self, CliError> {
        Err(CliError::Usage("--pid: processes can be stopped on Unix only".into()))
    }

    pub(super) fn is_by_hand(&self) -> bool {
        matches!(self, Self::ByHand)
    }

    /// Whom it pauses, for a person.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Embedded(_) => "the embedded broker".into(),
            #[cfg(unix)]
            Self::Process(process) => {
                process.name().map_or_else(|| "the process".into(), |name| format!("process {name}"))
            }
            Self::ByHand => "the broker".into(),
        }
    }

    /// Makes the broker stand still: it takes connections and requests, and answers none.
    pub(super) fn hold(&self) -> Result<Held<'a>, CliError> {
        match self {
            Self::Embedded(broker) => {
                pause_all(broker, EmbeddedBroker::pause)?;
                Ok(Held::Embedded(broker))
            }
            #[cfg(unix)]
            Self::Process(process) => process.stop().map(Held::Process),
            Self::ByHand => Ok(Held::Nothing),
        }
    }
}

fn pause_all(
    broker: &EmbeddedBroker,
    change: fn(&EmbeddedBroker, i32) -> Result<(), milena::broker::BrokerError>,
) -> Result<(), CliError> {
    let failed = |error| CliError::Failed(format!("cannot pause the embedded broker: {error}"));
    broker.nodes().into_iter().try_for_each(|node| change(broker, node).map_err(failed))
}

/// A broker that stands still. Dropping it lets the broker go on.
pub(super) enum Held<'a> {
    Embedded(&'a EmbeddedBroker),
    #[cfg(unix)]
    Process(#[expect(dead_code, reason = "its drop is what matters")] Stopped),
    Nothing,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Self::Embedded(broker) = self {
            let _ = pause_all(broker, EmbeddedBroker::resume);
        }
    }
}

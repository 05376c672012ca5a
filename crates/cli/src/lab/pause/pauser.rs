//! Pauses the broker of the lab.
//!
//! In: the lab's cluster and arguments. Out: a guard; the broker is paused until it is dropped. Does I/O through the embedded
//! broker or the process.

use milena::broker::EmbeddedBroker;

#[cfg(unix)]
use super::process::{Process, Stopped};
use crate::{cluster::Cluster, exit::CliError};

/// How the broker is paused.
pub(in crate::lab) enum Pauser<'a> {
    /// The embedded broker is paused.
    Embedded(&'a EmbeddedBroker),
    /// A process of this machine is stopped.
    #[cfg(unix)]
    Process(Process),
    /// The user pauses the broker.
    ByHand,
}

impl<'a> Pauser<'a> {
    /// The pauser of a cluster; `pid` is the broker's process.
    pub(in crate::lab) fn of(cluster: &'a Cluster, pid: Option<i32>) -> Result<Self, CliError> {
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

    pub(in crate::lab) fn is_by_hand(&self) -> bool {
        matches!(self, Self::ByHand)
    }

    /// A name of the broker for messages.
    pub(in crate::lab) fn name(&self) -> String {
        match self {
            Self::Embedded(_) => "the embedded broker".into(),
            #[cfg(unix)]
            Self::Process(process) => {
                process.name().map_or_else(|| "the process".into(), |name| format!("process {name}"))
            }
            Self::ByHand => "the broker".into(),
        }
    }

    /// Pauses the broker: it accepts connections and requests, and sends no response.
    pub(in crate::lab) fn pause(&self) -> Result<Paused<'a>, CliError> {
        match self {
            Self::Embedded(broker) => {
                pause_all(broker, EmbeddedBroker::pause)?;
                Ok(Paused::Embedded(broker))
            }
            #[cfg(unix)]
            Self::Process(process) => process.stop().map(Paused::Process),
            Self::ByHand => Ok(Paused::Nothing),
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

/// A guard of a paused broker. Dropping it resumes the broker.
pub(in crate::lab) enum Paused<'a> {
    Embedded(&'a EmbeddedBroker),
    #[cfg(unix)]
    Process(#[expect(dead_code, reason = "its drop is what matters")] Stopped),
    Nothing,
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Self::Embedded(broker) = self {
            let _ = pause_all(broker, EmbeddedBroker::resume);
        }
    }
}

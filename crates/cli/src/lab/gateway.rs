//! The gateway under trouble: two of them, one Kafka, and a network that fails on command.
//!
//! In: nothing, or a cluster behind Toxiproxy. Out: for each step what was sent and answered, its claims, and OK or the first claim that does
//! not hold. The gateways run in this process, at ports of their own; everything goes through HTTP, as a user's requests do.

mod compaction;
mod faults;
mod http;
mod judge;
mod keys;
mod retries;
mod site;
mod status;
mod sync;

use milena::broker::EmbeddedBroker;

use self::{faults::Faults, site::Site};
use super::{checks::Verdict, conclude, to_stdout};
use crate::{
    cluster::Cluster,
    exit::{CliError, Exit},
    interrupt::Interrupt,
    settings,
};

/// Two HTTP gateways before one Kafka whose answers come late or not at all, and what becomes of the events
///
/// Each step ends with OK, or with the first check that failed, which ends the lab. By default Kafka is the embedded broker, which is slow, or closes its connections, on command. With
/// --toxiproxy it is a real one behind Toxiproxy's proxy "kafka"; its faults are set and removed there.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Steps:
  02.0  both gateways are healthy
  02.1  a request that waits is answered with partition and offset, and the record is there
  02.2  a request that does not wait has a state: PENDING while answers are slow, then OK, or ERROR when Kafka cannot be reached
  02.3  slow answers force retries: without idempotence an event may be written twice, with it exactly once
  02.4  a key chooses its partition, always the same; a request may choose another
  02.5  of a compacted topic the last value of a key remains

Examples:
  Without any set-up:
    milena lab gateway
  One step, or some:
    milena lab gateway --step 02.3
    milena lab gateway --step 02.0,02.1
  A real Kafka behind Toxiproxy, as docker-compose.yml starts them:
    milena lab gateway --bootstrap-server localhost:9094 --toxiproxy http://localhost:8474

Exit codes: 0 every step ended in OK, 1 a check failed, 2 arguments are wrong, 130 stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Step to run; may be repeated, or be several with commas [default: all]
    #[arg(long, value_name = "STEP", value_enum, value_delimiter = ',')]
    step: Vec<Step>,

    /// Cluster to use instead of the embedded broker, as host:port,host:port
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Toxiproxy's API, which makes the way to that cluster slow; its proxy has the name kafka
    #[arg(long, value_name = "URL", requires = "bootstrap_server", value_parser = http::address)]
    toxiproxy: Option<String>,

    /// Ports of the two gateways; for one that is taken the system chooses another
    #[arg(long, value_name = "PORT,PORT", default_value = "18080,18081", value_parser = ports)]
    ports: [u16; 2],
}

fn ports(text: &str) -> Result<[u16; 2], String> {
    let ports = text.split_once(',').and_then(|(first, second)| Some([first.parse().ok()?, second.parse().ok()?]));
    ports.ok_or_else(|| "expected two ports with a comma between, as in 18080,18081".into())
}

/// A step, by its number in the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Step {
    #[value(name = "02.0")]
    Health,
    #[value(name = "02.1")]
    Sync,
    #[value(name = "02.2")]
    Status,
    #[value(name = "02.3")]
    Retries,
    #[value(name = "02.4")]
    Keys,
    #[value(name = "02.5")]
    Compaction,
}

impl Step {
    const ALL: [Self; 6] = [Self::Health, Self::Sync, Self::Status, Self::Retries, Self::Keys, Self::Compaction];

    fn title(self) -> &'static str {
        match self {
            Self::Health => "02.0 both gateways are healthy",
            Self::Sync => "02.1 a request that waits",
            Self::Status => "02.2 a request that does not wait, and its state",
            Self::Retries => "02.3 retries, with and without idempotence",
            Self::Keys => "02.4 a key against a partition",
            Self::Compaction => "02.5 a compacted topic",
        }
    }

    async fn run(self, site: &mut Site<'_>) -> Result<Vec<Verdict>, CliError> {
        match self {
            Self::Health => sync::health(site).await,
            Self::Sync => sync::run(site).await,
            Self::Status => status::run(site).await,
            Self::Retries => retries::run(site).await,
            Self::Keys => keys::run(site).await,
            Self::Compaction => compaction::run(site).await,
        }
    }
}

/// The steps that were asked for, each once and in the course's order; without any, all.
fn chosen(asked: &[Step]) -> Vec<Step> {
    let mut steps = if asked.is_empty() { Step::ALL.to_vec() } else { asked.to_vec() };
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Runs the lab.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let mut interrupt = Interrupt::listen_to_all()?;
    let broker = EmbeddedBroker::builder().default_partitions(3);
    let cluster = Cluster::open(args.bootstrap_server.as_deref(), broker).await?;
    let faults = Faults::of(cluster.embedded(), args.toxiproxy.as_deref());
    let exit = tokio::select! {
        exit = run_on(&cluster, &faults, &args) => exit,
        () = interrupt.next() => Ok(Exit::Interrupted),
    };
    // Whatever happened, the way to Kafka is as it was.
    let healed = faults.end().await;
    cluster.close().await;
    exit.and_then(|exit| healed.map(|()| exit))
}

async fn run_on(cluster: &Cluster, faults: &Faults<'_>, args: &Args) -> Result<Exit, CliError> {
    faults.end().await?;
    let mut site = Site::open(cluster, faults, args.ports).await?;
    let mut exit = Exit::Good;
    for step in chosen(&args.step) {
        to_stdout(&format!("\n{}", step.title()));
        let verdicts = step.run(&mut site).await?;
        // A step that was left out claims nothing.
        if !verdicts.is_empty() {
            exit = conclude(&verdicts);
        }
        // So the last line is OK only if every step's is.
        if exit == Exit::Failed {
            break;
        }
    }
    site.close().await;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_have_a_comma_between() {
        assert_eq!(ports("18080,0"), Ok([18080, 0]));
        for text in ["", "1", "1,", "1,2,3", "1 2", "1,65536"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn steps_run_once_each_in_the_order_of_the_course() {
        assert_eq!(chosen(&[]), Step::ALL);
        assert_eq!(chosen(&[Step::Keys, Step::Health, Step::Keys]), [Step::Health, Step::Keys]);
    }
}

//! The `milena` command.
//!
//! In: arguments. Out: an exit code. Parses, calls the library, prints; one file for each command. Deliberately absent: anything
//! that another program with the library needs as well.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod apache;
mod broker;
mod cluster;
mod completions;
mod connection;
mod console;
mod console_consumer;
mod console_producer;
mod consume;
mod dlq;
mod doctor;
mod encoding;
mod exit;
mod interrupt;
mod lab;
mod man;
mod outbox;
mod output;
mod pace;
mod perf;
mod produce;
mod profile;
mod profiles;
mod properties;
mod rate;
#[cfg(feature = "gateway")]
mod serve;
mod settings;
mod store;
mod topics;
#[cfg(feature = "gateway")]
mod trouble;
mod verifiable_producer;
mod warned;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Instant,
};

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{self, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use exit::{CliError, Exit};
use warned::Warned;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Kafka producer written from the wire protocol up, on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "milena",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_long_help = "\
Exit codes:
  0    everything succeeded
  1    a record failed, a check failed, or a broker refused a request
  2    the arguments or the configuration are wrong; nothing was sent
  130  interrupted by Ctrl-C (SIGINT) or SIGTERM, after records in flight were completed

See it work without any set-up:
  milena lab async-orders
  milena lab retry
  milena lab dead-letter
  milena lab pause
  milena lab latency
  milena lab gateway
  milena serve
  milena perf --topic test --num-records 1000000 --record-size 100"
)]
struct Cli {
    /// What to log to stderr: error, warn, info, debug, trace, or per module as in milena=debug [default: RUST_LOG, else
    /// warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<Targets>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Produce(Box<produce::Args>),
    Consume(consume::Args),
    ConsoleProducer(console_producer::Args),
    ConsoleConsumer(console_consumer::Args),
    Topics(topics::Args),
    Perf(perf::Args),
    VerifiableProducer(verifiable_producer::Args),
    Lab(lab::Args),
    Broker(broker::Args),
    Outbox(outbox::Args),
    Dlq(dlq::Args),
    Doctor(doctor::Args),
    Profile(profile::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[cfg(feature = "gateway")]
    Serve(serve::Args),
}

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let warned = Warned::default();
    let lines = lines(&cli.command, started).with_filter(cli.log.unwrap_or_else(log_from_environment));
    tracing_subscriber::registry().with(lines).with(warned.clone().with_filter(LevelFilter::WARN)).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(CliError::Failed(format!("cannot start the runtime: {error}")))),
    };
    let result = runtime.block_on(run(cli.command, started, warned));
    // A pending read of stdin must not keep the process alive.
    runtime.shutdown_background();
    report(result)
}

/// The format of the log. In labs it is short and has the time since the start, like the lines of the lab itself.
fn lines<S>(command: &Command, started: Instant) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Otherwise an event that cannot be written to stderr would panic.
    let layer = layer.log_internal_errors(false);
    match command {
        Command::Lab(_) => layer.with_target(false).with_timer(SinceStart(started)).boxed(),
        _ => layer.boxed(),
    }
}

struct SinceStart(Instant);

impl FormatTime for SinceStart {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", output::stamp(self.0.elapsed()))
    }
}

/// Reads RUST_LOG. It is often set for other programs, so a value that cannot be parsed is no error.
fn log_from_environment() -> Targets {
    let set = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    set.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN))
}

async fn run(command: Command, started: Instant, warned: Warned) -> Result<Exit, CliError> {
    match command {
        Command::Produce(args) => produce::run(*args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::ConsoleProducer(args) => console_producer::run(args).await,
        Command::ConsoleConsumer(args) => console_consumer::run(args).await,
        Command::Topics(args) => topics::run(args).await,
        Command::Perf(args) => perf::run(args).await,
        Command::VerifiableProducer(args) => verifiable_producer::run(args).await,
        Command::Lab(args) => lab::run(args, started, warned).await,
        Command::Broker(args) => broker::run(args).await,
        Command::Outbox(args) => outbox::run(args).await,
        Command::Dlq(args) => dlq::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Profile(args) => profile::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
        #[cfg(feature = "gateway")]
        Command::Serve(args) => serve::run(args).await,
    }
}

/// Prints help and versions on stdout, and errors of the arguments on stderr.
fn explain(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // An error here cannot be reported anywhere.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let _ = console::attempt(|| error.print().and_then(|()| io::stdout().flush()));
    report(Ok(Exit::Good))
}

fn report(result: Result<Exit, CliError>) -> ExitCode {
    if let Err(error) = &result {
        console::to_stderr(&format!("error: {}", output::printable_lines(&error.to_string())));
    }
    match result {
        Ok(Exit::Good) if !console::all_taken() => Exit::Failed.into(),
        Ok(exit) => exit.into(),
        Err(error) => error.exit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Cli::command().debug_assert();
    }
}

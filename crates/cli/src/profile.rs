//! `milena profile`: tells which profiles there are, and what is in one.
//!
//! In: the file of profiles. Out: names, or settings in the form of Java's .properties. Does I/O. Secrets are never printed.

use std::path::PathBuf;

use clap::Subcommand;

use crate::{
    connection::{is_secret, profiles},
    console::to_stdout,
    exit::{CliError, Exit},
    output::printable,
};

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

/// Tell the profiles for --profile, which are named sets of settings
///
/// Profiles are in $XDG_CONFIG_HOME/milena/config.toml (else ~/.config/milena/config.toml), or in the file that --profiles names: in
/// TOML, a table for each. A command takes one by --profile or by MILENA_PROFILE; what its --config, -X and other arguments say
/// counts before it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  A file with two profiles:
    [local]
    bootstrap.servers = \"localhost:9092\"

    [prod]
    bootstrap.servers = \"a.example:9093,b.example:9093\"
    security.protocol = \"SASL_SSL\"
    sasl.mechanism = \"SCRAM-SHA-512\"
    sasl.username = \"orders\"
    sasl.password = \"...\"
  Use one of them:
    milena consume --profile prod --topic orders
  See what is in it, but for secrets:
    milena profile show prod

Exit codes: 0 told, 1 the output cannot be written, 2 there is no such file or profile.")]
pub(crate) struct Args {
    /// File of profiles [default: milena/config.toml where the user's configurations are]
    #[arg(long, value_name = "PATH", global = true)]
    profiles: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The names of all profiles, with their servers
    List,
    /// The settings of a profile, as a file for --config would have them; secrets are hidden
    Show {
        /// Name of the profile
        name: String,
    },
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, CliError> {
    let profiles = profiles(args.profiles.as_deref()).map_err(CliError::Usage)?;
    match &args.command {
        Command::List => {
            for (name, settings) in profiles.iter() {
                let servers = settings.get("bootstrap.servers").map_or("", String::as_str);
                to_stdout(printable(format!("{name} {servers}").as_bytes()).trim_end());
            }
        }
        Command::Show { name } => {
            for (name, value) in profiles.settings(name).map_err(CliError::Usage)? {
                to_stdout(&printable(format!("{name}={}", if is_secret(name) { HIDDEN } else { value }).as_bytes()));
            }
        }
    }
    Ok(Exit::Good)
}

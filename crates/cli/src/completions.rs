//! `milena completions`: what a shell needs to complete commands and options.
//!
//! In: the name of a shell, and the definition of all arguments. Out: a script. Does I/O: it prints.

use std::io::Write as _;

use clap_complete::Shell;

use crate::{
    console::Stdout,
    exit::{CliError, Exit},
};

/// Print a script with which a shell completes commands and options
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  bash, for this user:
    milena completions bash > ~/.local/share/bash-completion/completions/milena
  zsh, in a folder of $fpath:
    milena completions zsh > ~/.zfunc/_milena
  fish:
    milena completions fish > ~/.config/fish/completions/milena.fish

Exit codes: 0 printed, 1 the output cannot be written, 2 the shell is not known.")]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "milena", &mut script);
    // What stdout did not take fails the command at its end.
    let _ = Stdout.write_all(&script);
    Ok(Exit::Good)
}

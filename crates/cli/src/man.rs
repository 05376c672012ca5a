//! `milena man`: manual pages.
//!
//! In: the definition of all arguments. Out: a page on stdout, or one for each command in a folder. Does I/O.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap_mangen::Man;

use crate::{
    console::{Stdout, to_stdout},
    exit::{CliError, Exit},
};

/// Print the manual page, or write one for each command into a folder
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Read it:
    milena man | man -l -
  Install the pages of all commands, milena.1, milena-produce.1 and so on:
    milena man /usr/local/share/man/man1

Exit codes: 0 written, 1 a page cannot be written.")]
pub(crate) struct Args {
    /// Folder for the pages of all commands, which must be there [default: the main page on stdout]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, command: clap::Command) -> Result<Exit, CliError> {
    let command = command.disable_help_subcommand(true);
    let Some(folder) = &args.folder else {
        // What stdout did not take fails the command at its end.
        let _ = Stdout.write_all(&page(command)?);
        return Ok(Exit::Good);
    };
    for (name, page) in pages("milena".into(), command)? {
        write(&folder.join(format!("{name}.1")), &page)?;
    }
    Ok(Exit::Good)
}

/// The pages of a command and of all below it, with their names.
fn pages(name: String, command: clap::Command) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let command = command.display_name(&name).bin_name(name.replace('-', " "));
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).cloned().collect::<Vec<_>>();
    let mut all = vec![(name.clone(), page(command)?)];
    for command in below {
        all.extend(pages(format!("{name}-{}", command.get_name()), command)?);
    }
    Ok(all)
}

fn page(command: clap::Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    let rendered = Man::new(command).render(&mut page);
    rendered.map_err(|error| CliError::Failed(format!("cannot make a manual page: {error}")))?;
    Ok(page)
}

fn write(path: &Path, page: &[u8]) -> Result<(), CliError> {
    let written = std::fs::write(path, page);
    written.map_err(|error| CliError::Failed(format!("cannot write {}: {error}", path.display())))?;
    to_stdout(&path.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_it() {
        let deep =
            Command::new("lab").subcommand(Command::new("re-try").arg(Arg::new("x").long("times").help("How often")));
        let pages = pages("milena".into(), Command::new("milena").subcommand(deep)).unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["milena", "milena-lab", "milena-lab-re-try"]);
        let text = String::from_utf8(pages[2].1.clone()).unwrap();
        assert!(text.contains("How often") && text.contains("re\\-try"), "{text}");
    }
}

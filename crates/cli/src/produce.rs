//! `milena produce`: sends a record for each line.
//!
//! In: lines, objects of JSON, rows of CSV, or files. Out: the offset or the error of each, and a file with the lines that failed. Does
//! I/O. Every line that was read ends in the log, in that file, or in both if its record may have been written. [`args`] has the options,
//! [`ends`] and [`lines`] split the input, [`parser`] makes records, [`session`] sends them, [`block`] waits for
//! their outcomes, [`dry`] only tells.

mod ahead;
mod args;
mod block;
mod columns;
mod csv;
mod dry;
mod ends;
mod failed;
mod json;
mod layout;
mod ledger;
mod lines;
mod outcomes;
mod parser;
mod partitioner;
mod report;
mod room;
mod session;
mod template;

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Instant,
};

use bytes::Bytes;
use milena::ProducerBuilder;
use tokio::io::AsyncRead;

use crate::{
    console::to_stderr,
    exit::{CliError, Exit},
    interrupt::Interrupt,
};
use ahead::Ahead;
pub(crate) use args::Args;
use args::Output;
use dry::DryRun;
pub(crate) use ends::Ends;
use failed::FailedLines;
use ledger::Ledger;
pub(crate) use lines::{Input, Lines};
use report::End;
pub(crate) use session::{LAST_CALLBACKS, close};
use session::{Session, Stop};

/// An input that is open: a file, or stdin.
type Source = Lines<Box<dyn AsyncRead + Send + Unpin>>;

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    args.check()?;
    let started = Instant::now();
    let properties = args.settings()?;
    let failed = FailedLines::at(args.failed_path()?, args.ends());
    let mut interrupt = Interrupt::listen()?;
    let mut lines = open(&args).await?;
    let heading = tokio::select! {
        biased;
        () = interrupt.next() => return Ok(Exit::Interrupted),
        heading = heading(&args, &mut lines) => heading?,
    };
    let parser = args.parser(&heading)?;
    let mut number = parser.lines_before(&heading);
    if args.dry_run {
        let dry = DryRun::new(parser, args.rule(), args.output.format(), properties);
        return tokio::select! {
            biased;
            () = interrupt.next() => Ok(Exit::Interrupted),
            done = dry.run(&args.files, lines, number) => Ok(done),
        };
    }
    let ledger = Ledger::new(args.output.format(), failed.with_heading(&heading), shows_progress(&args));
    let builder = ProducerBuilder::from_properties(properties);
    let builder = args.rule().partitioner().into_iter().fold(builder, ProducerBuilder::partitioner);
    // Unsent lines of stdin would be lost; those of a file are still in the file.
    let keeps_rest = args.file.is_none() && args.files.is_empty();
    let session = Session::new(builder.build().await?, parser, ledger, keeps_rest);
    let mut lines = Ahead::new(lines);
    let stop = match &args.files[..] {
        [] => session.pump(&mut lines, &mut number, &mut interrupt).await,
        files => session.send_files(files, lines.max_len(), &mut number, &mut interrupt).await,
    };
    if keeps_rest {
        let rest = lines.into_rest().await;
        session.ledger().keep_unsent(&rest);
    }
    if matches!(stop, Stop::Interrupted) {
        to_stderr("interrupted; waiting for what was sent, Ctrl-C again stops that");
    }
    session.close(&mut interrupt).await;
    let mut ledger = session.ledger();
    ledger.write_unsent();
    ledger.finish();
    let end = End { stop: &stop, lines: number, file: args.file.as_deref(), took: started.elapsed() };
    to_stderr(report::text(&end, &ledger).trim_end());
    Ok(report::exit(&stop, ledger.counts()))
}

/// Whether to show a progress line. It would disturb a user who types, and would be redrawn below each line that is printed to the
/// same terminal.
fn shows_progress(args: &Args) -> bool {
    let typed = args.file.is_none() && args.files.is_empty() && io::stdin().is_terminal();
    is_undisturbed(typed, args.output, io::stdout().is_terminal())
}

fn is_undisturbed(typed: bool, output: Output, on_screen: bool) -> bool {
    !typed && (output == Output::None || !on_screen)
}

/// Opens what lines are read from; nothing if files are sent whole.
async fn open(args: &Args) -> Result<Source, CliError> {
    let input: Box<dyn AsyncRead + Send + Unpin> = match &args.file {
        _ if !args.files.is_empty() => Box::new(tokio::io::empty()),
        Some(path) => Box::new(tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?),
        None => {
            if io::stdin().is_terminal() {
                to_stderr("one record per line; end with Ctrl-D");
            }
            Box::new(tokio::io::stdin())
        }
    };
    Ok(Lines::new(input, args.ends(), args.max_line_bytes as usize))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!("cannot read {}: {error}", path.display()))
}

/// Reads the row that names the columns, if the input has rows.
async fn heading(args: &Args, lines: &mut Source) -> Result<Bytes, CliError> {
    if !matches!(args.ends(), Ends::Row(_)) {
        return Ok(Bytes::new());
    }
    match lines.next().await {
        Ok(Some(Input::Line(row))) => Ok(row),
        Ok(Some(Input::LongLine | Input::Piece { .. })) => Err(CliError::Usage(format!(
            "the first row: expected names of columns in {} bytes, got more",
            lines.max_len()
        ))),
        Ok(None) => Err(CliError::Usage("the first row: expected names of columns, got an empty input".into())),
        Err(error) => Err(CliError::Failed(format!("cannot read the input: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_only_if_it_disturbs_neither_input_nor_output() {
        for (typed, output, on_screen, expected) in [
            (false, Output::None, true, true),
            (false, Output::Text, false, true),
            (false, Output::Text, true, false),
            (false, Output::Json, true, false),
            (true, Output::None, true, false),
            (true, Output::Text, false, false),
        ] {
            assert_eq!(is_undisturbed(typed, output, on_screen), expected, "{typed} {output:?} {on_screen}");
        }
    }
}

//! How the process ends.
//!
//! In: what a command came to. Out: its exit code, which scripts may rely on. Pure.

use std::process::ExitCode;

use milena::{ConfigError, admin::AdminError};

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All good.
    Good,
    /// A record or a check failed; it has been told already.
    Failed,
    /// The user stopped it; what was under way has been finished.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments or the configuration are wrong.
    #[error("{0}")]
    Usage(String),
    /// Something outside failed.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The exit code, as a process gives it.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        })
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        match error.violations() {
            [] | [_] => Self::Usage(error.to_string()),
            violations => Self::Usage(format!("invalid configuration:\n  - {}", violations.join("\n  - "))),
        }
    }
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::InvalidBootstrap { .. } | AdminError::UnknownPartition { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

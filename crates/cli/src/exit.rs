//! Exit codes.
//!
//! In: the result of a command. Out: its exit code, which scripts may rely on. Pure.

use std::process::ExitCode;

use milena::{ConfigError, admin::AdminError};

/// The result of a command that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything succeeded.
    Good,
    /// A record or a check failed; the failure has been printed.
    Failed,
    /// The user stopped the command; records in flight have been completed.
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

/// Why a command could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments or the configuration are wrong.
    #[error("{0}")]
    Usage(String),
    /// A broker, a file or the system failed.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The exit code of the process.
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
            AdminError::InvalidConfig(error) => error.into(),
            AdminError::InvalidBootstrap { .. } | AdminError::UnknownPartition { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

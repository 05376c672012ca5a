//! Stops and continues a process of this machine.
//!
//! In: a process id. Out: a guard; the process is stopped until it is dropped. Does I/O: signals. The drop sends SIGCONT whenever
//! the lab ends, be it by an error, a panic, Ctrl-C or SIGHUP. Only a lab that is killed with SIGKILL cannot send it.

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpid, kill_process, test_kill_process},
};

use crate::exit::CliError;

/// A process that this one may send signals to.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Process(Pid);

impl Process {
    /// Checks that the process exists and that a signal may be sent to it. Refuses this process and process 1.
    pub(in crate::lab) fn find(pid: i32) -> Result<Self, CliError> {
        let wrong = |reason: String| CliError::Usage(format!("--pid {pid}: {reason}"));
        let process = (pid > 1).then(|| Pid::from_raw(pid)).flatten();
        let process = process.ok_or_else(|| wrong("expected the id of a broker's process, 2 or more".into()))?;
        if process == getpid() {
            return Err(wrong("it is this process itself".into()));
        }
        match test_kill_process(process) {
            Ok(()) => Ok(Self(process)),
            Err(Errno::SRCH) => Err(wrong("there is no such process".into())),
            Err(Errno::PERM) => Err(wrong("it is another user's, who alone may stop it".into())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// The program's name, on systems with `/proc`.
    pub(in crate::lab) fn name(self) -> Option<String> {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.0.as_raw_nonzero())).ok()?;
        Some(name.trim().to_owned())
    }

    /// Stops the process (SIGSTOP).
    pub(in crate::lab) fn stop(self) -> Result<Stopped, CliError> {
        let cannot = |error| CliError::Failed(format!("cannot stop process {}: {error}", self.0.as_raw_nonzero()));
        kill_process(self.0, Signal::STOP).map_err(cannot)?;
        Ok(Stopped(self))
    }
}

/// A guard of a stopped process. Dropping it continues the process (SIGCONT).
#[derive(Debug)]
pub(in crate::lab) struct Stopped(Process);

impl Drop for Stopped {
    fn drop(&mut self) {
        // An error means that the process has ended, so it need not be continued.
        let _ = kill_process((self.0).0, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A child process that sleeps, killed when the test is over.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
        }

        fn process(&self) -> Process {
            Process::find(i32::try_from(self.0.id()).unwrap()).unwrap()
        }

        /// Whether it is stopped, by `/proc`.
        #[cfg(target_os = "linux")]
        fn is_stopped(&self) -> bool {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('T')
        }

        /// Waits until it is stopped, or no longer stopped.
        #[cfg(target_os = "linux")]
        fn wait_until_stopped(&self, stopped: bool) {
            let since = std::time::Instant::now();
            while self.is_stopped() != stopped {
                assert!(since.elapsed() < std::time::Duration::from_secs(30), "stopped={stopped} never came");
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_stopped_process_continues_when_the_guard_is_dropped_even_by_a_panic() {
        let child = Sleeper::start();
        let stopped = child.process().stop().unwrap();
        child.wait_until_stopped(true);
        drop(stopped);
        child.wait_until_stopped(false);
        let process = child.process();
        let panicked = std::panic::catch_unwind(move || {
            let _stopped = process.stop().unwrap();
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        child.wait_until_stopped(false);
    }

    #[test]
    fn a_process_that_cannot_be_a_broker_is_refused_with_the_reason() {
        let own = i32::try_from(std::process::id()).unwrap();
        let gone = {
            let child = Sleeper::start();
            i32::try_from(child.0.id()).unwrap()
        };
        for (pid, reason) in [
            (0, "expected the id"),
            (-5, "expected the id"),
            (1, "expected the id"),
            (own, "this process itself"),
            (gone, "there is no such process"),
        ] {
            let error = Process::find(pid).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--pid {pid}: ")) && error.contains(reason), "{error}");
        }
    }
}

//! The process that publishes, from outside.
//!
//! In: an order. Out: a process that can be stopped, continued and killed, and that ends with this one.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::{
    child::{self, Order},
    diary,
};

const ORDER: &str = "MILENA_KILLS_ORDER";
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that publishes.
pub(crate) struct Process {
    child: Child,
    diary: PathBuf,
}

/// Carries out the order that this process was started with. Without one it does nothing.
pub(crate) fn run_as_child() {
    if let Ok(order) = env::var(ORDER) {
        child::run(&serde_json::from_str(&order).unwrap());
    }
}

impl Process {
    /// Starts this binary again, which then runs the test `child` alone.
    pub(crate) fn start(order: &Order) -> Self {
        Self::start_by(Command::new("env"), order)
    }

    /// The same by a command that gets the binary and its arguments as its last ones.
    pub(crate) fn start_by(mut command: Command, order: &Order) -> Self {
        command.arg(env::current_exe().unwrap()).args(["--exact", "child", "--nocapture", "--test-threads=1"]);
        command.env(ORDER, serde_json::to_string(order).unwrap()).stdin(Stdio::piped()).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), diary: order.diary.clone() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much it has written down, in bytes.
    pub(crate) fn told(&self) -> u64 {
        diary::length(&self.diary)
    }

    /// Waits until it has written down so many bytes.
    pub(crate) fn await_told(&mut self, bytes: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.told() < bytes {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the publishing process ended by itself: {ended:?}");
            assert!(Instant::now() < deadline, "the publishing process stalls at {} of {bytes} bytes", self.told());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops it (SIGSTOP), and waits until all its threads are.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        let status = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap();
        assert!(status.is_some_and(|(_, status)| status.stopped()), "{status:?}");
    }

    /// Has it go on (SIGCONT).
    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the publishing process ended by itself: {status}");
    }

    /// Waits until it has done what it was told.
    pub(crate) fn finish(mut self) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the publishing process does not end");
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "the publishing process failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! Runs the binary, each time in a folder of its own, and never waits for ever.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Nothing here takes as long; a process that does is killed and the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The PostgreSQL server of all tests.
#[cfg(feature = "postgres-tests")]
pub(crate) static POSTGRES: std::sync::LazyLock<milena_test_support::postgres::Postgres> =
    std::sync::LazyLock::new(milena_test_support::postgres::Postgres::start);

/// A folder that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("milena-cli-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    /// The names of the files in it.
    pub(crate) fn files(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(&self.0).unwrap().map(name).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails the test, showing everything, unless the exit code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let (stdout, stderr) = (String::from_utf8_lossy(&self.stdout), &self.stderr);
        assert_eq!(self.code, Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    /// Standard output as lines of text.
    pub(crate) fn lines(&self) -> Vec<&str> {
        str::from_utf8(&self.stdout).unwrap().lines().collect()
    }

    /// Standard output as a JSON object for each line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `milena` to its end.
pub(crate) fn milena(args: &[&str]) -> Ran {
    run_in(&Scratch::new(), args, b"")
}

/// Runs `milena` to its end in a folder, with something on its standard input.
pub(crate) fn run_in(folder: &Scratch, args: &[&str], stdin: &[u8]) -> Ran {
    let mut process = Process::start(folder, args);
    process.write(stdin);
    process.end()
}

/// A process that is still running. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Arc<Told>,
}

/// What a process has written to its standard error so far, and whether that was all.
#[derive(Default)]
struct Told {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Told {
    fn listen(self: Arc<Self>, mut stderr: ChildStderr) {
        let mut chunk = [0; 4096];
        loop {
            let len = stderr.read(&mut chunk).unwrap();
            let mut told = self.text.lock().unwrap();
            told.0.push_str(&String::from_utf8_lossy(&chunk[..len]));
            told.1 = len == 0;
            self.more.notify_all();
            if len == 0 {
                return;
            }
        }
    }

    fn wait_until(&self, enough: impl Fn(&str, bool) -> bool) -> String {
        let not_yet = |told: &mut (String, bool)| !enough(&told.0, told.1);
        let waited = self.more.wait_timeout_while(self.text.lock().unwrap(), PATIENCE, not_yet).unwrap();
        assert!(!waited.1.timed_out(), "stderr so far: {}", waited.0.0);
        waited.0.0.clone()
    }
}

impl Process {
    pub(crate) fn start(folder: &Scratch, args: &[&str]) -> Self {
        Self::start_with(folder, args, Stdio::piped(), Stdio::piped())
    }

    /// Starts it with these for its standard output and error; only what is piped can be read.
    pub(crate) fn start_with(folder: &Scratch, args: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_milena"))
            .args(args)
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stderr = Arc::new(Told::default());
        let told = Arc::clone(&stderr);
        match child.stderr.take() {
            Some(pipe) => drop(thread::spawn(move || told.listen(pipe))),
            None => told.text.lock().unwrap().1 = true,
        }
        let stdout = child.stdout.take().map(BufReader::new);
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Its process id.
    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input; one that is not read any more is no error here.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stdin.as_mut().unwrap().write_all(bytes);
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Where it serves, once it does and says so: its next line, without the scheme.
    #[cfg(feature = "gateway")]
    pub(crate) fn address(&mut self, scheme: &str) -> String {
        let line = self.line();
        line.strip_prefix(scheme).unwrap_or_else(|| panic!("{line:?}")).to_owned()
    }

    /// Waits until its standard error holds this.
    pub(crate) fn wait_for(&self, text: &str) {
        self.stderr.wait_until(|told, ended| told.contains(text) || ended);
    }

    /// Sends a signal, as in `INT`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Ends its standard input and waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        self.stdin = None;
        self.wait()
    }

    /// Waits for its end with its standard input left open.
    pub(crate) fn wait(mut self) -> Ran {
        let watchdog = self.kill_when_patience_ends();
        let mut stdout = Vec::new();
        if let Some(pipe) = &mut self.stdout {
            pipe.read_to_end(&mut stdout).unwrap();
        }
        let stderr = self.stderr.wait_until(|_, ended| ended);
        let code = self.child.wait().unwrap().code();
        drop(watchdog);
        Ran { code, stdout, stderr }
    }

    /// Kills the process (by its own id) unless the returned value is dropped in time.
    fn kill_when_patience_ends(&self) -> std::sync::mpsc::Sender<()> {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let pid = self.child.id().to_string();
        thread::spawn(move || {
            let started = Instant::now();
            if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("killing process {pid} after {:?}", started.elapsed());
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        done
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An embedded broker in a process of its own, on a port that the system chose.
pub(crate) struct Broker {
    process: Process,
    pub(crate) bootstrap: String,
    _folder: Scratch,
}

impl Broker {
    pub(crate) fn start(args: &[&str]) -> Self {
        let folder = Scratch::new();
        let mut process = Process::start(&folder, &[&["broker", "--port", "0"], args].concat());
        let bootstrap = process.line();
        assert!(bootstrap.starts_with("127.0.0.1:"), "{bootstrap:?}");
        Self { process, bootstrap, _folder: folder }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn into_process(self) -> Process {
        self.process
    }

    /// Everything in a topic, as JSON.
    pub(crate) fn read(&self, topic: &str) -> Vec<serde_json::Value> {
        milena(&["consume", "-b", &self.bootstrap, "--topic", topic, "--output", "json"]).expect(0).json()
    }

    /// Sends lines to a topic, in a folder.
    pub(crate) fn produce(&self, folder: &Scratch, topic: &str, args: &[&str], stdin: &[u8]) -> Ran {
        run_in(folder, &[&["produce", "-b", &self.bootstrap, "--topic", topic], args].concat(), stdin)
    }
}

//! A real PostgreSQL server that belongs to a test.
//!
//! In: PostgreSQL's programs, which `tests/run` installs. Out: a server with an empty database, which can be killed, frozen and started
//! again. Its data and its socket are in a folder of its own; it listens nowhere else. Where the tests run as root, it runs as `nobody`,
//! because it refuses to be root. `kafka/node.sh` ends it with the process that started it, however that process ends, so it may be in a
//! static.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Keeps a server by the words that it is sent.
const KEEPER: &str = include_str!("kafka/node.sh");
/// The password of the server's only role. Nothing but a connection may show it.
pub const PASSWORD: &str = "s3cret of the tests";
/// Debian's number of `nobody` and of its group.
const NOBODY: u32 = 65_534;
/// The time limit of a start, which takes less than a second on an idle core.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A server.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// It ends when its input does, and the server and its folder with it.
    keeper: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Postgres {
    /// Starts a server, and waits until it takes connections.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let (folder, programs) = (new_folder(), programs());
        init(&folder, &programs);
        let mut keeper = of_its_own(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(&folder)
            .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c", "deadlock_timeout=100ms"])
            // A commit is still written before it is answered. No test cuts the power.
            .args(["-c", "fsync=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let (input, output) = (keeper.stdin.take(), keeper.stdout.take());
        let input = input.expect("its input is a pipe");
        let output = BufReader::new(output.expect("its output is a pipe"));
        let server = Self { folder, programs, keeper: Mutex::new((keeper, input, output)) };
        server.begin();
        server
    }

    /// How it is connected to, as keywords and values.
    #[must_use]
    pub fn url(&self) -> String {
        format!("host={} user=milena password='{PASSWORD}' dbname=postgres", self.folder.display())
    }

    /// The same as a URI.
    #[must_use]
    pub fn uri(&self) -> String {
        let encoded = |text: &str| text.replace('/', "%2F").replace(' ', "%20");
        format!("postgres://milena:{}@{}/postgres", encoded(PASSWORD), encoded(&self.folder.to_string_lossy()))
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Ends the server and all its processes by SIGKILL.
    ///
    /// # Panics
    /// When its keeper has ended.
    pub fn kill(&self) {
        let children = children(self.pid());
        self.order("kill");
        let children = children.iter().map(u32::to_string);
        // Some have ended by themselves, without their server.
        let killed = Command::new("kill").arg("-KILL").args(children).stderr(Stdio::null()).status();
        killed.expect("kill can be started");
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not, with the end of its log.
    pub fn begin(&self) {
        self.order("start");
        let limit = Instant::now() + START_LIMIT;
        while !self.is_ready() {
            assert!(Instant::now() < limit, "PostgreSQL does not start: {}", self.log());
            thread::sleep(Duration::from_millis(20));
            // It ends at once if a process of the one before is still there.
            if stat(self.pid()).is_none_or(|(state, _)| state == 'Z') {
                self.order("start");
            }
        }
    }

    /// Stops the server's first process by SIGSTOP, or lets it go on. The others go on.
    ///
    /// # Panics
    /// When its keeper has ended.
    pub fn freeze(&self, freeze: bool) {
        self.order(if freeze { "freeze" } else { "thaw" });
    }

    fn is_ready(&self) -> bool {
        let mut asks = Command::new(self.programs.join("pg_isready"));
        let asks = asks.arg("-q").arg("-h").arg(&self.folder);
        asks.status().expect("pg_isready can be started").success()
    }

    fn pid(&self) -> u32 {
        let pid = fs::read_to_string(self.folder.join("pid")).expect("it was started");
        pid.trim().parse().expect("a process has a number")
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join(" | ")
    }

    fn order(&self, word: &str) {
        let mut keeper = self.keeper.lock().expect("nobody panicked with it");
        writeln!(keeper.1, "{word}").expect("its keeper reads");
        let mut answer = String::new();
        keeper.2.read_line(&mut answer).expect("its keeper answers");
        assert_eq!(answer, "ok\n", "its keeper answers");
    }
}

fn new_folder() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("milena-pg-{}-{number}", process::id()));
    fs::create_dir(&folder).expect("a folder can be created");
    if is_root() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may do that");
    }
    folder
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that is not root's.
fn of_its_own(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Makes an empty database.
fn init(folder: &Path, programs: &Path) {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).expect("a file can be written");
    let made = of_its_own(&programs.join("initdb"))
        .args(["--username=milena", "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .arg("--pgdata")
        .arg(folder.join("data"))
        .arg("--pwfile")
        .arg(&password)
        .output()
        .expect("initdb can be started");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Where PostgreSQL's programs are. Debian has them beside each other by version, and not in the path.
fn programs() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let all = versions.into_iter().rev().chain(env::split_paths(&path));
    let has_all = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    all.into_iter().find(has_all).expect("PostgreSQL is installed; tests/run does it")
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == of)).collect()
}

/// The state of a process, and its parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

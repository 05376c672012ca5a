//! A PostgreSQL server that belongs to the tests, and ends with them.
//!
//! Its data and its socket are in a folder of its own; it listens nowhere else. Where the tests run as root, it runs as `nobody`, because
//! it refuses to be root. What keeps Kafka's brokers keeps it as well.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use rustix::process::geteuid;
use tokio_postgres::NoTls;

/// Keeps a server by the words that it is sent.
const KEEPER: &str = include_str!("../../../../../../tests/support/kafka/node.sh");
pub(crate) const PASSWORD: &str = "s3cret of the tests";
/// Debian's number of `nobody` and of its group.
const NOBODY: u32 = 65_534;

/// A server.
pub(crate) struct Server {
    folder: PathBuf,
    /// It ends when its input does, and the server and its folder with it.
    keeper: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    /// A server with an empty database, once it takes connections.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("milena-pg").tempdir().unwrap().keep();
        let programs = programs();
        let is_root = geteuid().is_root();
        if is_root {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let of_its_own = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir("/");
            if is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let (data, password) = (folder.join("data"), folder.join("password"));
        fs::write(&password, PASSWORD).unwrap();
        let made = of_its_own(&programs.join("initdb"))
            .args(["--username=milena", "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut keeper = of_its_own(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c", "deadlock_timeout=100ms"])
            // A commit is still written before it is answered. No test cuts the power.
            .args(["-c", "fsync=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (keeper.stdin.take().unwrap(), BufReader::new(keeper.stdout.take().unwrap()));
        let server = Self { folder, keeper: Mutex::new((keeper, input, output)) };
        server.begin().await;
        server
    }

    /// How it is connected to.
    pub(crate) fn url(&self) -> String {
        format!("host={} user=milena password='{PASSWORD}' dbname=postgres", self.folder.display())
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// A connection, as anybody would have one.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url()).await.unwrap()
    }

    /// Ends it by SIGKILL. Its backends notice, and end.
    pub(crate) fn kill(&self) {
        self.tell("kill");
    }

    /// Starts it again, and waits until it takes connections.
    pub(crate) async fn begin(&self) {
        self.tell("start");
        while let Err(error) = connect(&self.url()).await {
            assert!(error.code().is_none_or(|code| code.code() == "57P03"), "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            // It ends at once if a backend of the one before is still there.
            if self.is_gone() {
                self.tell("start");
            }
        }
    }

    fn is_gone(&self) -> bool {
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap();
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        state.split(") ").nth(1).is_none_or(|rest| rest.starts_with('Z'))
    }

    pub(crate) fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.1, "{word}").unwrap();
        let mut answer = String::new();
        keeper.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ok\n");
    }
}

async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
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

//! Runs Java programs with Kafka's jars: Apache's tools, and the golden programs of `tests/golden`.
//!
//! In: a class or a source file, arguments, standard input. Out: standard output. A program that fails causes a panic
//! with its output. Deliberately absent: downloads. Only `tests/run` fetches the jars.

use std::{
    env,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The time limit of a tool; one that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The folder that `tests/run` keeps: `$MILENA_CACHE`, or `target/kafka` of this checkout.
#[must_use]
pub fn cache() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka");
    env::var_os("MILENA_CACHE").map_or_else(default, PathBuf::from)
}

/// A Java virtual machine that starts fast, has Kafka's jars on its class path, and logs at `log_level`.
///
/// # Panics
/// When the jars are not there: a test without Kafka proves nothing, so it fails.
#[must_use]
pub fn java(log_level: &str) -> Command {
    let cache = cache();
    // `tests/run` copies the pom here when the fetch is complete.
    assert!(cache.join("pom.xml").is_file(), "no Kafka in {}: run tests/run once, it fetches Kafka", cache.display());
    let logging = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/log4j2.properties");
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    command.arg(format!("-Dmilena.log.level={log_level}"));
    command.arg("-cp").arg(cache.join("jars").join("*"));
    command
}

/// As [`java`], for brokers, of which the tests start many: with an archive of their classes they start in half the time. Without it, or
/// where it does not fit, they start more slowly, and say nothing of it. Tools run without: the order in which Jackson writes fields
/// depends on it.
pub(crate) fn java_of_brokers(log_level: &str) -> Command {
    let mut command = java(log_level);
    command.arg(format!("-XX:SharedArchiveFile={}", cache().join("classes.jsa").display())).arg("-Xlog:cds*=off");
    command
}

/// Runs a single-file Java program.
///
/// # Panics
/// When it does not end with success.
#[must_use]
pub fn run_source(source: &Path, input: &str) -> String {
    assert!(source.is_file(), "no Java program at {}", source.display());
    run(java("WARN").arg(source), input)
}

/// Runs a class of Kafka's jars, such as `org.apache.kafka.tools.ConsoleProducer`.
///
/// # Panics
/// When it does not end with success.
pub fn run_class(class: &str, arguments: &[&str], input: &str) -> String {
    run(java("WARN").arg(class).args(arguments), input)
}

/// Formats a broker's folder with `kafka.tools.StorageTool`.
pub(crate) fn format_storage(arguments: &[&str]) {
    run(java_of_brokers("WARN").args(["kafka.tools.StorageTool", "format"]).args(arguments), "");
}

fn run(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    feed(&mut child, input.to_owned());
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = wait(&mut child);
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(status.is_some_and(|s| s.success()), "{command:?} ended with {status:?}\n{stdout}\n{stderr}");
    stdout
}

/// Writes the input on a separate thread. Otherwise a program that prints while it reads would block on a full pipe.
fn feed(child: &mut Child, input: String) {
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that ends before it has read everything is judged by its exit status.
    thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("output is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("reading a pipe does not fail");
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8(reader.join().expect("the reader does not panic")).expect("the tools print UTF-8")
}

/// Waits for the process to end. `None` means that it exceeded the time limit and was killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().and_then(|()| child.wait()).expect("a child can be killed");
    None
}

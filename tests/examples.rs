//! Runs every example as a user would. It must print what its documentation says, and exit with success.
//!
//! In: the binaries that cargo built of `examples/`. Out: their output and exit codes. `cargo test` builds them, and so
//! does `cargo build --examples`. `cargo test --test examples` alone does not, and fails if they are missing.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use milena::broker::{Api, EmbeddedBroker, Fault};

/// Beside the folder of this test's own binary.
fn example(name: &str) -> Command {
    let own = env::current_exe().expect("a test knows its own binary");
    let profile = own.ancestors().nth(2).expect("a test's binary is in PROFILE/deps");
    let binary: PathBuf = profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(binary.exists(), "{} is missing: run cargo build --examples with this test's profile", binary.display());
    let mut command = Command::new(binary);
    command.env_remove("BOOTSTRAP_SERVERS").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// What it prints, if it ends well.
fn printed(name: &str, Output { status, stdout, stderr }: &Output) -> String {
    assert!(status.success(), "{name}: {status}\n{}\n{}", text(stdout), text(stderr));
    text(stdout)
}

fn run(name: &str) -> String {
    printed(name, &example(name).output().expect("an example can be started"))
}

#[test]
fn quick_start_tells_where_each_order_was_written() {
    let printed = run("quick_start");
    let orders = printed.lines().filter(|line| line.contains(": written to orders-")).count();
    assert_eq!(orders, 5, "{printed}");
    assert!(printed.ends_with("5 of 5 orders were written\n"), "{printed}");
}

#[test]
fn quick_start_uses_the_cluster_that_bootstrap_servers_names() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
    let broker = runtime.block_on(EmbeddedBroker::builder().topic("orders", 1).start()).expect("the broker starts");
    let mut command = example("quick_start");
    let output = command.env("BOOTSTRAP_SERVERS", broker.bootstrap_servers()).output().expect("it can be started");
    printed("quick_start", &output);
    assert_eq!(broker.log("orders", 0).len(), 5);
}

#[test]
fn request_reply_prints_the_replies_and_the_request_that_has_none() {
    assert_eq!(
        run("request_reply"),
        "customer-7 has 3 orders\ncustomer-42 has 3 orders\ncustomer-13: no reply, written: true\n"
    );
}

#[test]
fn callbacks_count_every_outcome_once() {
    let printed = run("callbacks");
    assert!(printed.contains("not accepted: "), "{printed}");
    assert!(printed.ends_with("1000 acknowledged, 0 failed\n"), "{printed}");
}

#[test]
fn the_partitioner_keeps_a_partition_and_the_interceptor_hears_of_all() {
    let printed = run("partitioner_and_interceptor");
    for line in printed.lines().filter(|line| line.contains(": partition ")) {
        assert_eq!(line.starts_with("vip-"), line.ends_with("partition 0"), "{line}");
    }
    assert!(printed.ends_with("the interceptor heard of 5 acknowledgements\n"), "{printed}");
}

#[test]
fn the_service_ends_by_itself_with_nothing_undelivered() {
    let printed = run("graceful_shutdown");
    assert!(printed.ends_with("stopping after 50 orders\n50 orders taken, 0 not delivered\n"), "{printed}");
}

/// The service is told to stop while the broker answers nothing.
#[cfg(unix)]
#[test]
fn a_service_that_is_told_to_stop_reports_what_was_not_delivered() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
    let broker = runtime.block_on(EmbeddedBroker::builder().topic("orders", 1).start()).expect("the broker starts");
    let answers_late = Fault::delay_response(Duration::from_secs(3_600)).on(Api::Produce).forever();
    let fault = broker.inject(answers_late);
    let mut command = example("graceful_shutdown");
    let service = command.arg("1000000").env("BOOTSTRAP_SERVERS", broker.bootstrap_servers()).spawn();
    let mut service = service.expect("it can be started");
    let mut stdout = BufReader::new(service.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it prints lines");
    assert_eq!(line, "taking orders; Ctrl-C stops it\n");
    while broker.struck(fault) == 0 {
        std::thread::yield_now();
    }
    let told = Command::new("kill").args(["-TERM", &service.id().to_string()]).status().expect("kill is there");
    assert!(told.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("it prints text");
    let status = service.wait().expect("it ends");
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.starts_with("stopping after "), "{rest}");
    assert!(rest.contains("\norder 0 may have been written: "), "{rest}");
    let last = rest.lines().last().unwrap_or_default();
    assert!(last.ends_with(" not delivered") && !last.ends_with(" 0 not delivered"), "{rest}");
}

#[test]
fn the_tests_with_a_mock_pass() {
    assert_eq!(run("testing_with_mock").lines().filter(|line| line.starts_with("ok: ")).count(), 3);
}

#[test]
fn the_tests_with_a_broker_pass() {
    assert_eq!(run("testing_with_broker").lines().filter(|line| line.starts_with("ok: ")).count(), 3);
}

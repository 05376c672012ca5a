//! Runs every example as a user would. It must print what its documentation says, and exit with success.
//!
//! In: the binaries that cargo built of `examples/`. Out: their output and exit codes. `cargo test` builds them, and so
//! does `cargo build --examples`. `cargo test --test examples` alone does not, and fails if they are missing.

use std::{env, process::Command};

/// What an example prints, if it ends well. Its binary is beside the folder of this test's own.
fn run(name: &str) -> String {
    let own = env::current_exe().expect("a test knows its own binary");
    let profile = own.ancestors().nth(2).expect("a test's binary is in PROFILE/deps");
    let binary = profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(binary.exists(), "{} is missing: run cargo build --examples with this test's profile", binary.display());
    let output = Command::new(binary).output().expect("an example can be started");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{name}: {}\n{stdout}\n{stderr}", output.status);
    stdout.replace("\r\n", "\n")
}

#[test]
fn a_new_type_of_event_takes_three_steps() {
    assert_eq!(
        run("new_event_type"),
        "published to casino.deposit.confirmed.v1-0 at offset Some(0)\n\
         casino.deposit.confirmed.v1 of player-7: DepositConfirmed { amount: \"25.00\", currency: \"EUR\" }\n\
         refused: invalid record for casino.deposit.confirmed.v1: userId: expected an id, got none\n"
    );
}

#[cfg(feature = "sqlite")]
#[test]
fn events_are_kept_while_kafka_is_away() {
    let out = run("resilient_publisher");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "published: 40, stored: 0"), "{out}");
    assert_eq!(lines[1], "the broker refuses; published: 0, stored: 40");
    assert_eq!(lines[2], "the broker is back; published: 40, stored: 0");
    assert_eq!(lines[3], "OK: 120 events of 4 users, none lost, in order");
}

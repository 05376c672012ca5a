//! What a store keeps is listed, replayed and removed, and nothing is created.

use crate::support::{Scratch, run_in};

#[cfg(feature = "postgres-tests")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

const NO_POSTGRES: &str = if cfg!(feature = "postgres") {
    "the connection string cannot be parsed"
} else {
    "this build has no store in PostgreSQL; build milena with --features postgres"
};

#[test]
#[cfg(feature = "postgres")]
fn a_database_that_is_out_of_reach_is_told_without_its_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("postgres://user:secret@127.0.0.1:{port}/db");
    let ran = run_in(&Scratch::new(), &["outbox", "stats", "--store", &address], b"").expect(1);
    assert!(ran.stderr.contains("--store: the database is out of reach"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn a_store_that_cannot_be_opened_is_told_and_nothing_is_created() {
    let folder = Scratch::new();
    for (address, part) in [
        ("postgres://user:secret@localhost:no/db", NO_POSTGRES),
        (
            "mysql://user:secret@localhost/db",
            "expected postgres://…, sqlite:PATH, or a path, got an address that begins with mysql://",
        ),
        ("sqlite:", "got no path"),
    ] {
        for command in ["list", "stats"] {
            let ran = run_in(&folder, &["outbox", command, "--store", address], b"").expect(2);
            assert!(ran.stderr.contains(part), "{}", ran.stderr);
            assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
        }
    }
    assert!(folder.files().is_empty());
}

#[test]
#[cfg(not(feature = "sqlite"))]
fn a_build_without_sqlite_says_how_to_get_it() {
    let ran = run_in(&Scratch::new(), &["outbox", "stats", "--store", "outbox.db"], b"").expect(2);
    assert!(ran.stderr.contains("build milena with --features sqlite"), "{}", ran.stderr);
}

#[test]
fn events_that_nothing_can_be_done_for_are_refused_before_the_store_is_opened() {
    let folder = Scratch::new();
    for (args, part) in [
        (&["purge", "--yes"][..], "nothing says which events"),
        (&["purge", "--all", "--topic", "t", "--yes"], "--all and a filter contradict each other"),
        (&["purge", "--all"], "give --yes, or --dry-run"),
        (&["replay"], "give --yes, or --dry-run"),
        (&["replay", "--yes", "--status", "PENDING"], "PENDING events are sent without a replay"),
        (&["replay", "--yes", "--dry-run"], "--yes"),
        (&["replay", "--yes", "--rate", "0"], "--rate"),
        (&["list", "--status", "LOST"], "expected one of PENDING, RETRYING, RESOLVED, DLQ, DLQ_FAILED"),
        (&["list", "--older-than", "1w"], "expected a whole number and s, m, h or d"),
        (&["show", "seven"], "expected a seq or an event id (a UUID), got \"seven\""),
    ] {
        let ran = run_in(&folder, &[&["outbox"], args, &["--store", "missing.db"]].concat(), b"").expect(2);
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
    }
    assert!(folder.files().is_empty());
}

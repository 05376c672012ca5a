//! Named sets of settings: which one is used, what counts before it, and that secrets stay hidden.

use crate::support::{Broker, Scratch, run_in};

#[test]
fn a_profile_has_the_settings_of_a_cluster_and_arguments_count_before_it() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let profiles = format!(
        "[here]\nbootstrap.servers = '{}'\nlinger.ms = 1\n\n[away]\nbootstrap.servers = 'localhost:1'\n",
        broker.bootstrap
    );
    folder.write("profiles.toml", profiles.as_bytes());
    let with = |profile| ["--profiles", "profiles.toml", "--profile", profile];
    run_in(&folder, &[&["produce", "-t", "t"][..], &with("here")].concat(), b"a\n").expect(0);
    let args = [&["produce", "-t", "t", "-b", &broker.bootstrap][..], &with("away")].concat();
    run_in(&folder, &args, b"b\n").expect(0);
    let ran = run_in(&folder, &[&["consume", "-t", "t", "-f", "%s "][..], &with("here")].concat(), b"").expect(0);
    assert_eq!(ran.stdout, b"a b ");
    run_in(&folder, &[&["dlq", "list", "-t", "t"][..], &with("here")].concat(), b"").expect(0);
    let perf = ["perf", "--topic", "t", "--num-records", "1", "--record-size", "1"];
    run_in(&folder, &[&perf[..], &with("here")].concat(), b"").expect(0);
    assert_eq!(broker.read("t").len(), 3);
}

#[test]
fn profiles_are_listed_and_shown_without_their_secrets() {
    let folder = Scratch::new();
    folder.write("p", b"[prod]\nbootstrap.servers = 'a:1'\nsasl.username = 'me'\nsasl.password = 'hunter2'\n[local]\n");
    let ran = run_in(&folder, &["profile", "list", "--profiles", "p"], b"").expect(0);
    assert_eq!(ran.lines(), ["local", "prod a:1"]);
    let ran = run_in(&folder, &["profile", "show", "prod", "--profiles", "p"], b"").expect(0);
    assert_eq!(ran.lines(), ["bootstrap.servers=a:1", "sasl.password=(hidden)", "sasl.username=me"]);
}

#[test]
fn a_profile_that_cannot_be_used_is_told_before_anything_is_sent() {
    let folder = Scratch::new();
    folder.write("p", b"[prod]\nlinger.ms = 1\n");
    folder.write("broken", b"[prod]\nsasl.password = hunter2\n");
    for (args, expected) in [
        (["--profiles", "p", "--profile", "pord"], "profile \"pord\": not in p; those that are there: prod"),
        (["--profiles", "missing", "--profile", "prod"], "profiles in missing: "),
        (["--profiles", "broken", "--profile", "prod"], "profiles in broken: line 2: "),
    ] {
        let ran = run_in(&folder, &[&["produce", "-t", "t"][..], &args].concat(), b"a\n").expect(2);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

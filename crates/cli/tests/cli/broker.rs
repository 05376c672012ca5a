//! The embedded broker as a process.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::support::{Broker, Process, Ran, Scratch, milena, run_in};

#[test]
#[cfg(unix)]
fn it_says_where_to_connect_and_ends_well_when_asked_to() {
    for signal in ["INT", "TERM"] {
        let process = Broker::start(&[]).into_process();
        process.signal(signal);
        process.wait().expect(0);
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let broker = Broker::start(&[]);
    let port = broker.bootstrap.rsplit(':').next().unwrap();
    let ran = milena(&["broker", "--port", port]).expect(1);
    let expected = format!("cannot start the broker: 127.0.0.1:{port}: ");
    assert!(ran.stderr.contains(&expected) && ran.stderr.contains("with --port"), "{}", ran.stderr);
}

#[test]
fn topics_have_the_partitions_that_were_asked_for() {
    let broker = Broker::start(&["--topic", "one:1", "--topic", "three:3"]);
    let read = |topic, partition| milena(&["consume", "-b", &broker.bootstrap, "-t", topic, "-p", partition]);
    read("three", "2").expect(0);
    let ran = read("three", "3").expect(2);
    assert!(ran.stderr.contains("three has partitions 0 to 2, got 3"), "{}", ran.stderr);
    read("one", "0").expect(0);
    read("one", "1").expect(2);
}

#[test]
fn several_nodes_are_one_cluster() {
    let broker = Broker::start(&["--nodes", "3", "--topic", "orders:3"]);
    for bootstrap in broker.bootstrap.split(',') {
        milena(&["consume", "-b", bootstrap, "-t", "orders"]).expect(0);
    }
}

/// Starts `milena broker` in a folder. Returns the process and its address.
fn start_in(folder: &Scratch, args: &[&str]) -> (Process, String) {
    let mut process = Process::start(folder, &[&["broker", "--port", "0"], args].concat());
    let bootstrap = process.line();
    assert!(bootstrap.starts_with("127.0.0.1:"), "{bootstrap:?}");
    (process, bootstrap)
}

/// A CA that has issued nothing.
const OTHER_CA: &str = include_str!("../../../../tests/fuzz/pem/certificate.pem");

fn settings<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|setting| ["-X", setting]).collect()
}

#[test]
fn users_of_a_file_write_over_tls_where_a_rule_allows_it_and_nowhere_else() {
    let folder = Scratch::new();
    folder.write("users", b"# two users\nalice:secret\nbob:secret\n");
    let secured = ["--users-file", "users", "--tls", "ca.pem", "--acl", "User:alice WRITE topic orders"];
    let (broker, bootstrap) =
        start_in(&folder, &[&secured[..], &["--topic", "orders:1", "--topic", "other:1"]].concat());
    let as_user = |user: &'static str, command: &[&str]| {
        let login = [
            "security.protocol=SASL_SSL",
            "ssl.truststore.type=PEM",
            "ssl.truststore.location=ca.pem",
            "sasl.mechanism=SCRAM-SHA-256",
            user,
            "sasl.password=secret",
        ];
        run_in(&folder, &[command, &["-b", &bootstrap], &settings(&login)].concat(), b"one\n")
    };
    let (alice, bob) = ("sasl.username=alice", "sasl.username=bob");
    as_user(alice, &["produce", "--topic", "orders"]).expect(0);
    for (user, topic, name) in [(alice, "other", "alice"), (bob, "orders", "bob")] {
        let ran = as_user(user, &["produce", "--topic", topic]).expect(1);
        let expected = format!("User:{name} may not DESCRIBE topic {topic}");
        assert!(ran.stderr.contains(&expected) && ran.stderr.contains("kafka-acls.sh --add"), "{}", ran.stderr);
    }
    let told = as_user(alice, &["doctor", "--topic", "orders"]).expect(0);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("this client may write to it"), "{told}");
    for line in ["ok   tls      ", "ok   versions ", "ok   sasl     "] {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.contains("TLSv1.3, TLS_") && told.contains(", 127.0.0.1") && told.contains("issued by"), "{told}");
    assert!(told.contains("authenticated by SCRAM-SHA-256"), "{told}");
    let told = String::from_utf8(as_user(bob, &["doctor", "--topic", "orders"]).expect(1).stdout).unwrap();
    assert!(
        told.contains("FAIL topic    topic orders: TOPIC_AUTHORIZATION_FAILED (29); User:bob may not DESCRIBE"),
        "{told}"
    );
    folder.write("other.pem", OTHER_CA.as_bytes());
    let untrusted = ["security.protocol=SSL", "ssl.truststore.type=PEM", "ssl.truststore.location=other.pem"];
    let ran = run_in(&folder, &[&["doctor", "-b", &bootstrap], &settings(&untrusted)[..]].concat(), b"").expect(1);
    let told = String::from_utf8(ran.stdout).unwrap();
    let failed = told.lines().find(|line| line.starts_with("FAIL tls")).unwrap_or_else(|| panic!("{told}"));
    assert!(failed.contains("which is not trusted") && failed.contains("(it showed \""), "{failed}");
    drop(broker);
}

/// A signed token, as far as a client can tell; the signature is these bytes.
fn token(signature: &[u8]) -> String {
    let parts: [&[u8]; 3] = [br#"{"alg":"RS256"}"#, br#"{"sub":"alice","exp":9999999999}"#, signature];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[test]
fn the_tokens_of_a_file_are_their_users_and_others_are_refused() {
    let folder = Scratch::new();
    let (known, unknown) = (token(b"known"), token(b"unknown"));
    folder.write("tokens", format!("# one token\nalice:{known}\n").as_bytes());
    let secured = ["--tokens-file", "tokens", "--session", "60", "--acl", "User:alice WRITE topic orders"];
    let (broker, bootstrap) = start_in(&folder, &[&secured[..], &["--topic", "orders:1"]].concat());
    let with = |token: &str| {
        folder.write("token", token.as_bytes());
        let module = "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
        let url = format!("sasl.oauthbearer.token.endpoint.url=file://{}", folder.path().join("token").display());
        let login = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=OAUTHBEARER", module, &url];
        run_in(
            &folder,
            &[&["produce", "--topic", "orders", "-b", &bootstrap], &settings(&login)[..]].concat(),
            b"one\n",
        )
    };
    with(&known).expect(0);
    let refused = with(&unknown).expect(1);
    assert!(refused.stderr.contains("SASL_AUTHENTICATION_FAILED"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(&unknown), "{}", refused.stderr);
    drop(broker);
}

#[test]
fn a_client_shows_the_certificate_that_the_broker_made_for_it() {
    let folder = Scratch::new();
    let rule = "User:CN=client ALL topic * host=127.0.0.1";
    let secured = ["--tls", "ca.pem", "--tls-client", "client.pem", "--acl", rule, "--topic", "orders:1"];
    let (broker, bootstrap) = start_in(&folder, &secured);
    let tls = ["security.protocol=SSL", "ssl.truststore.type=PEM", "ssl.truststore.location=ca.pem"];
    let shown = ["ssl.keystore.type=PEM", "ssl.keystore.location=client.pem"];
    let with = |more: &[&str]| {
        let command = ["produce", "--topic", "orders", "-b", &bootstrap];
        run_in(&folder, &[&command[..], &settings(&tls), &settings(more)].concat(), b"one\n")
    };
    let refused = with(&[]).expect(1);
    assert!(refused.stderr.contains("the broker requires a client certificate"), "{}", refused.stderr);
    // The first one needs a producer id, for which the rule is enough.
    with(&shown).expect(0);
    drop(broker);
}

#[test]
fn users_and_rules_that_are_none_are_refused_without_a_password() {
    let folder = Scratch::new();
    folder.write("users", b"alice:secret\nhunter2\n");
    folder.write("tokens", b"hunter2:\n");
    for (args, expected) in [
        (["--users-file", "users"], "users: line 2 is no user, expected NAME:PASSWORD"),
        (["--users-file", "nowhere"], "cannot read nowhere"),
        (["--tokens-file", "tokens"], "tokens: line 1 is no token, expected NAME:TOKEN"),
        (["--session", "1"], "1 is not in 2.."),
        (["--acl", "alice WRITE topic orders"], "principal \"alice\" has no type"),
        (["--acl", "User:alice WRITE topic orders host=kafka-1"], "host \"kafka-1\" is no IP address"),
        (["--acl", "User:alice EAT topic orders"], "no operation (ALL, READ,"),
        (["--sasl", "GSSAPI"], "SCRAM-SHA-256"),
        (["--tls-client", "client.pem"], "--tls <FILE>"),
    ] {
        let ran = run_in(&folder, &[&["broker", "--port", "0"], &args[..]].concat(), b"").expect(2);
        assert!(ran.stderr.contains(expected) && !ran.stderr.contains("hunter2"), "{args:?}: {}", ran.stderr);
    }
}

/// Starts `milena broker --data data` in a folder, on a port that the system chooses.
fn start_keeping(folder: &Scratch) -> (Process, String) {
    start_in(folder, &["--data", "data"])
}

fn read(bootstrap: &str, topic: &str) -> Vec<String> {
    let ran = milena(&["consume", "-b", bootstrap, "-t", topic, "--output", "json"]).expect(0);
    ran.json().iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect()
}

#[cfg(unix)]
#[test]
fn what_is_kept_in_a_folder_survives_the_end_and_a_kill_at_any_moment() {
    let folder = Scratch::new();
    let (process, bootstrap) = start_keeping(&folder);
    let topics = |bootstrap: &str, more: &[&str]| {
        milena(&[&["topics", "--bootstrap-server", bootstrap], more].concat()).expect(0).lines().join("\n")
    };
    topics(&bootstrap, &["--create", "--topic", "orders", "--partitions", "1", "--config", "max.message.bytes=77777"]);
    run_in(&folder, &["produce", "-b", &bootstrap, "-t", "orders"], b"one\ntwo\n").expect(0);
    process.signal("TERM");
    process.wait().expect(0);

    let mut kept = vec!["one".to_owned(), "two".to_owned()];
    for round in 0..3 {
        let (process, bootstrap) = start_keeping(&folder);
        assert_eq!(read(&bootstrap, "orders"), kept, "{round}");
        assert!(topics(&bootstrap, &["--describe", "--topic", "orders"]).contains("max.message.bytes=77777"));
        let line = format!("round {round}");
        run_in(&folder, &["produce", "-b", &bootstrap, "-t", "orders"], format!("{line}\n").as_bytes()).expect(0);
        kept.push(line);
        // More is on its way when it is killed; of that anything may be there.
        let mut busy = Process::start(&folder, &["produce", "-b", &bootstrap, "-t", "busy"]);
        (0..200).for_each(|number| busy.write(format!("{number}\n").as_bytes()));
        process.signal("KILL");
        drop(process);
        drop(busy);
    }
    let (_process, bootstrap) = start_keeping(&folder);
    assert_eq!(read(&bootstrap, "orders"), kept);
}

#[test]
fn a_folder_that_is_in_use_or_damaged_is_told() {
    let folder = Scratch::new();
    let (process, _) = start_keeping(&folder);
    let ran = run_in(&folder, &["broker", "--port", "0", "--data", "data"], b"").expect(1);
    assert!(ran.stderr.contains("used by another broker"), "{}", ran.stderr);
    drop(process);
    folder.write("data/data", b"something else");
    let ran = run_in(&folder, &["broker", "--port", "0", "--data", "data"], b"").expect(1);
    assert!(ran.stderr.contains("at byte 0") && ran.stderr.contains("move it away"), "{}", ran.stderr);
}

#[test]
fn what_is_too_old_goes_by_itself_and_compacted_topics_are_compacted() {
    let broker = Broker::start(&["--log-cleaner-backoff-ms", "50"]);
    let topics =
        |args: &[&str]| milena(&[&["topics", "--bootstrap-server", &broker.bootstrap], args].concat()).expect(0);
    topics(&["--create", "--topic", "short", "--config", "retention.ms=1"]);
    topics(&["--create", "--topic", "long"]);
    for topic in ["short", "long"] {
        run_in(&Scratch::new(), &["produce", "-b", &broker.bootstrap, "-t", topic], b"one\ntwo\n").expect(0);
    }
    // What is read may go just then, which is an error.
    let is_empty = |ran: Ran| ran.code == Some(0) && ran.stdout.is_empty();
    while !is_empty(milena(&["consume", "-b", &broker.bootstrap, "-t", "short", "-o", "json"])) {}
    assert_eq!(broker.read("long").len(), 2);
    let ran = milena(&["lab", "gateway", "--step", "02.5", "-b", &broker.bootstrap]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
}

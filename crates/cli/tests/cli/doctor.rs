//! What is wrong is found, and named with a hint.

use crate::support::{Broker, milena};

/// Runs the command, which has to end with this code. Returns what it printed.
fn doctor(arguments: &[&str], code: i32) -> String {
    let arguments: Vec<_> = [&["doctor"], arguments].concat();
    String::from_utf8(milena(&arguments).expect(code).stdout).unwrap()
}

#[test]
fn a_cluster_where_all_is_well_has_a_line_for_each_check() {
    let broker = Broker::start(&["--topic", "orders:3"]);
    let told = doctor(&["-b", &broker.bootstrap, "-t", "orders"], 0);
    let steps: Vec<_> = told.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(steps, ["name", "tcp", "versions", "metadata", "topic", "rights"]);
    assert!(told.lines().all(|line| line.starts_with("ok ")), "{told}");
}

#[test]
fn every_server_is_looked_at_and_a_failure_says_what_to_do() {
    let broker = Broker::start(&[]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let servers = format!("{closed},{}", broker.bootstrap);
    let told = doctor(&["-b", &servers, "-t", "nowhere"], 1);
    let failed: Vec<_> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
    let [tcp, topic] = failed[..] else { panic!("{told}") };
    assert!(tcp.contains(&closed) && tcp.contains("nothing listens there"), "{tcp}");
    assert!(topic.contains("topic nowhere: UNKNOWN_TOPIC_OR_PARTITION"), "{topic}");
}

#[test]
fn a_wrong_login_is_told_as_json_without_the_password() {
    let broker = Broker::start(&[]);
    let login =
        ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=alice", "sasl.password=hunter2"];
    let login = login.iter().flat_map(|setting| ["-X", setting]);
    let arguments: Vec<_> = ["-b", &broker.bootstrap, "-o", "json"].into_iter().chain(login).collect();
    let ran = milena(&[&["doctor"], &arguments[..]].concat()).expect(1);
    assert!(ran.stderr.contains("warning: sasl.password is on the command line"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"));
    let told = String::from_utf8(ran.stdout).unwrap();
    let rows: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = rows.last().unwrap();
    assert_eq!((&last["step"], &last["ok"]), (&"sasl".into(), &false.into()));
    assert!(last["text"].as_str().unwrap().contains("security.protocol"), "{last}");
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_source_without_a_token_is_named_and_its_secret_is_not() {
    let broker = Broker::start(&[]);
    let login = [
        "security.protocol=SASL_PLAINTEXT",
        "sasl.mechanism=OAUTHBEARER",
        "sasl.oauthbearer.token.endpoint.url=http://127.0.0.1:1/token",
        "sasl.oauthbearer.client.credentials.client.id=alice",
        "sasl.oauthbearer.client.credentials.client.secret=hunter2",
    ];
    let arguments: Vec<_> = ["-b", &broker.bootstrap].into_iter().chain(login.iter().flat_map(|s| ["-X", s])).collect();
    let told = doctor(&arguments, 1);
    let expected =
        "there is no valid token to authenticate with: http://127.0.0.1:1/token: cannot connect to 127.0.0.1:1";
    assert!(told.lines().last().is_some_and(|line| line.starts_with("FAIL") && line.contains(expected)), "{told}");
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_setting_that_is_wrong_is_told_before_anybody_is_asked() {
    let ran = milena(&["doctor", "-b", "127.0.0.1:1", "-X", "security.protocol=TLS"]).expect(2);
    assert!(ran.stderr.contains("security.protocol: expected PLAINTEXT or SSL"), "{}", ran.stderr);
    let ran = milena(&["doctor", "-b", "127.0.0.1:1", "-X", "securty.protocol=SSL"]).expect(2);
    assert!(ran.stderr.contains("did you mean security.protocol?"), "{}", ran.stderr);
}

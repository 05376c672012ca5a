//! What is wrong is found, and named with a hint.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

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
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let servers = format!("{closed},{}", broker.bootstrap);
    let told = doctor(&["-b", &servers, "-t", "nowhere"], 1);
    let failed: Vec<_> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
    let [tcp, topic] = failed[..] else { panic!("{told}") };
    assert!(tcp.contains(&closed) && tcp.contains("nothing listens there"), "{tcp}");
    assert!(topic.contains("topic nowhere: UNKNOWN_TOPIC_OR_PARTITION"), "{topic}");
}

/// Passes bytes on to a broker and back, with one text in place of the other wherever the broker sends it. Both are of the same length. Returns its
/// address.
fn advertise(broker: &str, own: Vec<u8>, other: Vec<u8>) -> String {
    assert_eq!(own.len(), other.len());
    let (listener, broker) = (TcpListener::bind("127.0.0.1:0").unwrap(), broker.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut server = TcpStream::connect(&broker).unwrap();
            let (mut to_server, mut from_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            let (own, other) = (own.clone(), other.clone());
            thread::spawn(move || {
                let mut length = [0; 4];
                while server.read_exact(&mut length).is_ok() {
                    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
                    server.read_exact(&mut frame).unwrap();
                    if let Some(at) = frame.windows(own.len()).position(|window| window == own) {
                        frame[at..at + own.len()].copy_from_slice(&other);
                    }
                    client.write_all(&[&length[..], &frame].concat()).unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn an_advertised_address_that_cannot_be_reached_has_a_line_of_its_own_with_a_hint() {
    let broker = Broker::start(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port: u16 = broker.bootstrap.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker_at = |host: &str, port: u16| [host.as_bytes(), &u32::from(port).to_be_bytes()].concat();
    let own = broker_at("127.0.0.1", port);
    for (other, address, step, hint) in [
        (broker_at("127.0.0.1", closed.port()), closed.to_string(), "tcp ", "nothing listens there"),
        (broker_at("x.invalid", port), format!("x.invalid:{port}"), "name", "check the spelling"),
    ] {
        let bootstrap = advertise(&broker.bootstrap, own.clone(), other);
        let told = doctor(&["-b", &bootstrap], 1);
        let failed: Vec<_> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
        let [line] = failed[..] else { panic!("{told}") };
        assert!(line.starts_with(&format!("FAIL {step}     broker 1 {address}: ")), "{line}");
        assert!(line.contains(hint) && line.ends_with("check its advertised.listeners"), "{line}");
        // The bootstrap server itself is well.
        assert!(told.contains(&format!("ok   versions bootstrap server {bootstrap}: ")), "{told}");
    }
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

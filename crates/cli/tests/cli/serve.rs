//! The gateway as a process: the curl lines of the course that it follows, as they stand but for the ports.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use crate::support::{Broker, Process, Scratch, milena};

/// A gateway on a port that the system chose. `port` is the one that lines name.
struct Gateway {
    process: Process,
    port: &'static str,
    address: String,
    _folder: Scratch,
}

impl Gateway {
    fn start(port: &'static str, args: &[&str]) -> Self {
        let folder = Scratch::new();
        let mut process = Process::start(&folder, &[&["serve", "--port", "0"], args].concat());
        let address = process.address("http://");
        Self { process, port, address, _folder: folder }
    }
}

/// Runs lines of shell in which gateways are at their usual ports, and returns what they print.
#[track_caller]
fn bash(gateways: &[&Gateway], lines: &str) -> String {
    let at_ports =
        |lines: String, gateway: &&Gateway| lines.replace(&format!("localhost:{}", gateway.port), &gateway.address);
    let script = gateways.iter().fold(format!("set -e -o pipefail\n{lines}"), at_ports);
    let output = Command::new("bash").arg("-c").arg(&script).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_lines_of_the_course_work_as_they_stand_with_two_gateways_before_one_broker() {
    let broker = Broker::start(&["--topic", "bhf-transactions:3", "--topic", "bhf-compact-demo:3"]);
    let first = Gateway::start("18080", &["--bootstrap-server", &broker.bootstrap]);
    let second = Gateway::start("18081", &["--bootstrap-server", &broker.bootstrap]);
    let both = [&first, &second];
    let health = "curl -fsS localhost:18080/health\ncurl -fsS localhost:18081/health";
    assert_eq!(bash(&both, health), "OKOK");

    let sent = bash(
        &both,
        r#"EVENT_ID="PLAIN-$(date +%s)"
curl -fsS -X POST "localhost:18080/api/v1/send?mode=plain&sendMode=sync&eventId=$EVENT_ID" | cat"#,
    );
    assert!(sent.contains(r#""topic":"bhf-transactions""#) && sent.contains(r#""offset":0"#), "{sent}");

    let polled = bash(
        &both,
        r#"EVENT_ID="JAVA-ASYNC-$(date +%s)"

REQ_ID=$(curl -fsS -X POST "localhost:18080/api/v1/send?mode=idempotent&sendMode=async&eventId=$EVENT_ID" | sed -n 's/.*"requestId":"\([^"]*\)".*/\1/p')
echo "requestId=$REQ_ID"

curl -fsS "localhost:18080/api/v1/status?requestId=$REQ_ID" | cat"#,
    );
    let (id, state) = polled.split_once('\n').unwrap();
    let id = id.strip_prefix("requestId=").unwrap();
    assert!(id.len() > 16 && state.contains(&format!(r#""requestId":"{id}""#)), "{polled}");
    assert!(state.contains(r#""state":"OK""#) || state.contains(r#""state":"PENDING""#), "{polled}");

    for partition in ["0", "1"] {
        let line = format!(
            r#"EVENT_ID="P{partition}-$(date +%s)"
curl -fsS -X POST "localhost:18080/api/v1/send?mode=plain&sendMode=sync&eventId=$EVENT_ID&key=account-123&partition={partition}" | cat"#
        );
        let sent = bash(&both, &line);
        assert!(sent.contains(&format!(r#""partition":{partition},"#)), "{sent}");
    }

    bash(
        &both,
        r#"KEY="customer-42"
curl -fsS -X POST "localhost:18081/api/v1/send?mode=plain&sendMode=sync&topic=bhf-compact-demo&eventId=V1&key=$KEY" | cat
curl -fsS -X POST "localhost:18081/api/v1/send?mode=plain&sendMode=sync&topic=bhf-compact-demo&eventId=V2&key=$KEY" | cat
curl -fsS -X POST "localhost:18081/api/v1/send?mode=plain&sendMode=sync&topic=bhf-compact-demo&eventId=V3&key=$KEY" | cat"#,
    );
    let written = broker.read("bhf-compact-demo");
    let values: Vec<_> = written.iter().map(|record| record["value"].to_string()).collect();
    assert!(values.iter().zip(["V1", "V2", "V3"]).all(|(value, id)| value.contains(id)), "{values:?}");
    assert_eq!(values.len(), 3);
}

#[test]
fn a_status_is_an_error_when_kafka_cannot_be_reached() {
    let broker = Broker::start(&["--topic", "bhf-transactions:3"]);
    let gateway = Gateway::start("18081", &["-b", &broker.bootstrap, "-X", "max.block.ms=200"]);
    drop(broker);
    let polled = bash(
        &[&gateway],
        r#"EVENT_ID="DOTNET-ASYNC-FAIL-$(date +%s)"
REQ_ID=$(curl -fsS -X POST "localhost:18081/api/v1/send?mode=plain&sendMode=async&eventId=$EVENT_ID" | sed -n 's/.*"requestId":"\([^"]*\)".*/\1/p')
echo "requestId=$REQ_ID"
until STATUS=$(curl -fsS "localhost:18081/api/v1/status?requestId=$REQ_ID") && ! grep -q PENDING <<< "$STATUS"; do :; done
echo "$STATUS""#,
    );
    assert!(polled.contains(r#""state":"ERROR""#) && polled.contains(r#""outcome":"not_persisted""#), "{polled}");
}

#[test]
#[cfg(unix)]
fn without_an_address_there_is_an_embedded_broker_and_a_signal_ends_it_well() {
    for signal in ["INT", "TERM"] {
        let gateway = Gateway::start("18080", &[]);
        let sent = bash(&[&gateway], r#"curl -fsS -X POST "localhost:18080/api/v1/send?eventId=E""#);
        assert!(sent.contains(r#""offset":0"#), "{sent}");
        gateway.process.signal(signal);
        let ran = gateway.process.wait().expect(0);
        assert!(ran.stderr.contains("embedded broker"), "{}", ran.stderr);
    }
}

#[test]
fn all_settings_that_are_wrong_are_told_at_once() {
    let ran = milena(&["serve", "--port", "http", "--max-statuses", "0", "-X", "acks=1"]).expect(2);
    for violation in ["port: expected a number", "max-statuses: expected a number", "it needs acks=all"] {
        assert!(ran.stderr.contains(violation), "{violation}: {}", ran.stderr);
    }
}

#[test]
fn with_a_file_of_tokens_requests_need_one() {
    let folder = Scratch::new();
    folder.write("tokens", b"0123456789abcdef\n");
    let path = folder.path().join("tokens");
    let gateway = Gateway::start("18080", &["--token-file", path.to_str().unwrap()]);
    let lines = r#"curl -sS -o /dev/null -w '%{http_code} ' -X POST localhost:18080/api/v1/send
curl -sS -o /dev/null -w '%{http_code}' -X POST localhost:18080/api/v1/send -H 'Authorization: Bearer 0123456789abcdef'"#;
    assert_eq!(bash(&[&gateway], lines), "401 200");
    folder.write("tokens", b"short");
    let ran = milena(&["serve", "--port", "0", "--token-file", path.to_str().unwrap()]).expect(2);
    assert!(ran.stderr.contains("line 1: expected a token") && !ran.stderr.contains("short"), "{}", ran.stderr);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let first = Gateway::start("18080", &[]);
    let port = first.address.rsplit(':').next().unwrap();
    let ran = milena(&["serve", "--port", port]).expect(1);
    assert!(ran.stderr.contains(&format!("cannot listen at 127.0.0.1:{port}: ")), "{}", ran.stderr);
}

/// Sends requests that do not wait on one connection, and returns the ids of those that were accepted.
fn accepted(address: &str, requests: usize) -> Vec<String> {
    let mut connection = TcpStream::connect(address).unwrap();
    let mut send = |number: usize| {
        let query = format!("mode=idempotent&sendMode=async&eventId=E-{number}&key=k{}", number % 3);
        let head = format!("POST /api/v1/send?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut piece = [0; 4096];
            let read = connection.read(&mut piece).unwrap();
            assert!(read > 0, "the connection ended");
            answer.extend_from_slice(&piece[..read]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        answer.split("\"requestId\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned()
    };
    (0..requests).map(&mut send).collect()
}

/// The state of a request, or the status of the answer.
fn state(gateway: &Gateway, id: &str) -> String {
    let line = format!(
        r#"curl -sS -w '\n%{{http_code}}' "localhost:18080/api/v1/status?requestId={id}" | sed 's/.*"state":"\([A-Z]*\)".*/\1/'"#
    );
    let told = bash(&[gateway], &line);
    let (state, status) = told.trim_end().rsplit_once('\n').unwrap();
    if status == "200" { state.to_owned() } else { status.to_owned() }
}

/// Accepts requests while the broker stands still, kills the gateway, and starts another one, to which the broker answers.
fn kill_and_start(broker: &Broker, store: &[&str]) -> (Gateway, Vec<String>) {
    // For so long another process leaves a record alone that this one may be sending.
    let short = ["-X", "request.timeout.ms=500", "-X", "delivery.timeout.ms=500", "-X", "max.block.ms=500"];
    let args = [&["-b", &broker.bootstrap], store, &short].concat();
    let first = Gateway::start("18080", &args);
    // Its topic is known then.
    bash(&[&first], r#"curl -fsS -X POST "localhost:18080/api/v1/send?mode=idempotent&eventId=first""#);
    broker.process().signal("STOP");
    let ids = accepted(&first.address, 60);
    first.process.signal("KILL");
    drop(first.process.wait());
    broker.process().signal("CONT");
    (Gateway::start("18080", &args), ids)
}

#[test]
#[cfg(all(unix, feature = "sqlite"))]
fn with_a_store_every_request_that_was_accepted_is_delivered_though_the_gateway_was_killed() {
    let (folder, broker) = (Scratch::new(), Broker::start(&["--topic", "bhf-transactions:3"]));
    let store = folder.path().join("events.db");
    let (second, ids) = kill_and_start(&broker, &["--store", store.to_str().unwrap()]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    for id in &ids {
        while state(&second, id) != "OK" {
            assert!(std::time::Instant::now() < deadline, "{id}: {}", state(&second, id));
        }
    }
    let written = format!("{:?}", broker.read("bhf-transactions"));
    for number in 0..ids.len() {
        assert!(written.contains(&format!("E-{number}\\")), "E-{number} in {written}");
    }
    second.process.signal("TERM");
    second.process.wait().expect(0);
}

#[test]
#[cfg(unix)]
fn without_a_store_nobody_knows_of_them_any_more() {
    let broker = Broker::start(&["--topic", "bhf-transactions:3"]);
    let (second, ids) = kill_and_start(&broker, &[]);
    assert!(ids.iter().all(|id| state(&second, id) == "404"));
}

//! Reading where there is nothing, and stopping.

use crate::support::{Broker, Process, Scratch, milena};

#[test]
fn an_empty_topic_is_read_to_its_end_at_once() {
    let broker = Broker::start(&["--topic", "empty:3"]);
    assert!(broker.read("empty").is_empty());
}

#[test]
fn a_topic_that_does_not_exist_is_told_and_not_created() {
    let broker = Broker::start(&[]);
    for _ in 0..2 {
        let ran = milena(&["consume", "-b", &broker.bootstrap, "-t", "nowhere"]).expect(1);
        assert!(ran.stderr.contains("topic nowhere does not exist"), "{}", ran.stderr);
    }
}

#[test]
fn an_offset_outside_the_log_is_told_with_what_the_log_holds() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let ran = milena(&["consume", "-b", &broker.bootstrap, "-t", "orders", "--from", "1"]).expect(2);
    assert!(ran.stderr.contains("orders-0 holds offsets 0 to 0 (its end), got 1"), "{}", ran.stderr);
}

#[test]
fn nobody_listening_is_told_with_the_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let ran = milena(&["consume", "-b", &address, "-t", "orders"]).expect(1);
    assert!(ran.stderr.contains(&address), "{}", ran.stderr);
}

#[test]
fn settings_of_tls_in_a_file_are_those_of_a_producer_and_what_is_wrong_with_them_is_named() {
    let folder = Scratch::new();
    folder.write(
        "ssl.properties",
        b"security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=nowhere.pem\nssl.keystore.location=me.jks\n",
    );
    let config = folder.path().join("ssl.properties");
    let config = config.to_str().unwrap();
    for command in [&["consume", "-t", "t"][..], &["dlq", "list", "-t", "t"], &["produce", "-t", "t"]] {
        let ran = milena(&[command, &["--config", config]].concat()).expect(2);
        assert!(ran.stderr.contains("ssl.truststore.location: cannot read nowhere.pem"), "{}", ran.stderr);
        assert!(ran.stderr.contains("`keytool -importkeystore -srckeystore me.jks"), "{}", ran.stderr);
    }
}

#[test]
#[cfg(unix)]
fn following_goes_on_until_it_is_interrupted() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let folder = Scratch::new();
    let mut process = Process::start(&folder, &["consume", "-b", &broker.bootstrap, "-t", "orders", "--follow"]);
    broker.produce(&Scratch::new(), "orders", &[], b"hello\n").expect(0);
    assert!(process.line().ends_with("\t(null)\thello"));
    process.signal("INT");
    process.wait().expect(130);
}

#[test]
fn reading_stops_after_as_many_records_as_were_asked_for() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    broker.produce(&Scratch::new(), "orders", &[], b"a\nb\nc\nd\n").expect(0);
    let args = ["consume", "-b", &broker.bootstrap, "-t", "orders", "--from", "1", "--max-messages", "2", "-o", "json"];
    let values: Vec<_> = milena(&args).expect(0).json().iter().map(|r| r["value"].clone()).collect();
    assert_eq!(values, ["b", "c"]);
}

#[test]
fn records_are_printed_as_a_format_string_says() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let args = ["--parse-key", "-H", "a=1", "--timestamp", "17", "--null-marker", "NULL"];
    broker.produce(&Scratch::new(), "orders", &args, b"k\tv\nl\tNULL\n").expect(0);
    for (args, expected) in [
        (&["-f", "%t/%p@%o %k=%s [%h] %T %S\\n"][..], "orders/0@0 k=v [a=1] 17 1\norders/0@1 l= [a=1] 17 -1\n"),
        (&["-f", "%k{hex}:%v{base64};", "-Z"], "6b:dg==;6c:NULL;"),
        (&["-f", "%i %v\\0", "--null-marker", "-"], "0 v\x001 -\0"),
        (&["-o", "none"], ""),
    ] {
        let ran = milena(&[&["consume", "-b", &broker.bootstrap, "-t", "orders"], args].concat()).expect(0);
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), expected, "{args:?}");
    }
}

//! The gateway with HTTPS, as a process, asked by curl. `openssl` makes the certificates, as its users do.

use std::{
    io::Read,
    net::TcpStream,
    process::{Command, Output},
};

use crate::support::{Process, Scratch, milena};

/// A gateway on a port that the system chose.
struct Gateway {
    _process: Process,
    /// Its host and port.
    address: String,
}

impl Gateway {
    fn start(folder: &Scratch, args: &[&str]) -> Self {
        let keystore = ["serve", "--port", "0", "--tls-keystore", "keystore.pem"];
        let mut process = Process::start(folder, &[&keystore, args].concat());
        let address = process.address("https://");
        Self { _process: process, address }
    }

    /// What curl gets of it, which trusts the certificate `trusted`.
    fn get(&self, folder: &Scratch, trusted: &str, more: &[&str]) -> Output {
        let url = format!("https://{}/health", self.address);
        let mut curl = Command::new("curl");
        curl.current_dir(folder.path()).args(["-sS", "--max-time", "60", "--cacert", trusted]).args(more).arg(url);
        curl.output().unwrap()
    }
}

/// Makes `NAME.crt`, which signs itself, `NAME.key` and, with both, `NAME.pem`.
fn issue(folder: &Scratch, name: &str) {
    issue_with(folder, name, &[]);
}

/// The same, signed by another.
fn issue_by(folder: &Scratch, ca: &str, name: &str) {
    let (certificate, key) = (format!("{ca}.crt"), format!("{ca}.key"));
    issue_with(folder, name, &["-CA", &certificate, "-CAkey", &key, "-addext", "basicConstraints=critical,CA:FALSE"]);
}

fn issue_with(folder: &Scratch, name: &str, more: &[&str]) {
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    let curve = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
    openssl(folder, &[&curve[..], &names, &["-keyout", &key, "-out", &certificate], more].concat());
    join(folder, name, &key);
}

/// Encrypts the key in `NAME.pem`.
fn encrypt(folder: &Scratch, name: &str, password: &str) {
    let (key, password) = (format!("{name}.key"), format!("pass:{password}"));
    let cipher = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &password];
    openssl(folder, &[&cipher[..], &["-in", &key, "-out", "encrypted.key"]].concat());
    join(folder, name, "encrypted.key");
}

fn join(folder: &Scratch, name: &str, key: &str) {
    folder.write(&format!("{name}.pem"), &[folder.read(&format!("{name}.crt")), folder.read(key)].concat());
}

fn openssl(folder: &Scratch, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Puts a keystore in the place of the last one, as a program that renews certificates does: whole, or not at all.
fn replace(folder: &Scratch, name: &str) {
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(path(name), path("new.pem")).unwrap();
    std::fs::rename(path("new.pem"), path("keystore.pem")).unwrap();
}

fn check(output: &Output, expected: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, expected, "{stderr}");
}

#[test]
fn a_certificate_that_is_replaced_is_shown_to_new_connections_and_a_broken_one_is_not() {
    let folder = Scratch::new();
    issue(&folder, "first");
    issue(&folder, "second");
    replace(&folder, "first.pem");
    let gateway = Gateway::start(&folder, &[]);
    check(&gateway.get(&folder, "first.crt", &["-w", " %{http_version}"]), "OK 1.1");
    check(&gateway.get(&folder, "second.crt", &[]), "");
    replace(&folder, "second.pem");
    check(&gateway.get(&folder, "second.crt", &[]), "OK");
    check(&gateway.get(&folder, "first.crt", &[]), "");
    folder.write("broken.pem", b"nothing");
    replace(&folder, "broken.pem");
    check(&gateway.get(&folder, "second.crt", &[]), "OK");
}

#[test]
fn clients_need_a_certificate_where_a_ca_of_clients_is_named_and_keys_may_be_encrypted() {
    let folder = Scratch::new();
    issue(&folder, "server");
    encrypt(&folder, "server", "a-password");
    issue(&folder, "ca");
    issue_by(&folder, "ca", "client");
    issue_by(&folder, "server", "other");
    replace(&folder, "server.pem");
    folder.write("password", b"a-password\n");
    let gateway = Gateway::start(&folder, &["--tls-client-ca", "ca.crt", "--tls-key-password-file", "password"]);
    check(&gateway.get(&folder, "server.crt", &["--cert", "client.pem"]), "OK");
    check(&gateway.get(&folder, "server.crt", &["--cert", "other.pem"]), "");
    check(&gateway.get(&folder, "server.crt", &[]), "");
}

#[test]
fn clients_that_do_not_shake_hands_are_cut_and_others_are_served_meanwhile() {
    let folder = Scratch::new();
    issue(&folder, "server");
    replace(&folder, "server.pem");
    let gateway = Gateway::start(&folder, &["--read-timeout-ms", "3000"]);
    let mut silent = TcpStream::connect(&gateway.address).unwrap();
    let plain =
        Command::new("curl").args(["-sS", "--max-time", "60", &format!("http://{}/health", gateway.address)]).output();
    assert!(!plain.unwrap().status.success());
    check(&gateway.get(&folder, "server.crt", &[]), "OK");
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn files_that_do_not_fit_are_told_with_all_else_that_is_wrong() {
    let folder = Scratch::new();
    folder.write("keystore.pem", b"nothing");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (keystore, nowhere) = (path("keystore.pem"), path("nowhere"));
    let ran = milena(&["serve", "--tls-keystore", &keystore, "--token-file", &nowhere]).expect(2);
    for violation in
        ["tls-keystore: expected certificates in PEM", "tls-keystore: expected a private key", "token-file "]
    {
        assert!(ran.stderr.contains(violation), "{violation}: {}", ran.stderr);
    }
    let ran = milena(&["serve", "--tls-keystore", &nowhere, "--tls-client-ca", &nowhere]).expect(2);
    for violation in ["tls-keystore: cannot read ", "tls-client-ca: cannot read "] {
        assert!(ran.stderr.contains(violation), "{violation}: {}", ran.stderr);
    }
}

//! No secret is printed: neither in an error, nor in a log, nor by `Debug`.
//!
//! In: settings with passwords and keys. Out: a failing test if a piece of one is in anything that was written, down to `TRACE`.

use tracing::{Level, subscriber::set_default};

use super::{
    Folder, client, config, connect, encrypted, identity, open,
    pki::{Ca, Wanted},
    round_trip,
    server::{Setup, echo},
    violations,
};
use crate::logs::Logs;

#[tokio::test]
async fn no_piece_of_a_password_or_a_key_is_in_anything_that_is_printed() {
    let logs = Logs::default();
    let guard = set_default(logs.listener(Level::TRACE));
    let ca = Ca::new("Shop CA");
    let issued = ca.issue(&Wanted::default());
    let (folder, damaged) = (Folder::new("canary"), issued.key.replace("-----END", "hunter2\n-----END"));
    let store = folder.file("store.pem", &issued.store());
    let mut printed = Vec::new();
    for key in [encrypted::AES, encrypted::PBES1, &issued.key, &damaged] {
        for password in ["hunter2", "hunter22"] {
            let settings = [
                ("ssl.truststore.certificates", ca.pem.as_str()),
                ("ssl.keystore.certificate.chain", encrypted::CERTIFICATE),
                ("ssl.keystore.key", key),
                ("ssl.key.password", password),
            ];
            let valid = config(&settings);
            printed.push(format!("{valid:?} {:?} {:?}", valid.properties(), valid.tls));
            printed.extend(violations(&settings));
        }
    }
    let with_file = open(&[("ssl.truststore.certificates", &ca.pem), ("ssl.keystore.location", &store)]).unwrap();
    folder.file("store.pem", &damaged);
    with_file.newest();
    printed.extend(logs.take());
    assert!(printed.iter().any(|line| line.contains("cannot be used")), "the log is heard");
    let (port, _seen) = echo(&Setup { clients: Some(ca.pem.clone()), ..Setup::new(issued.clone()) });
    let own = identity(&issued);
    let own = client(&ca, &own.each_ref().map(|(name, value)| (*name, value.as_str())));
    let mut stream = connect(&own, "localhost", port).await.unwrap();
    round_trip(&mut stream).await.unwrap();
    printed.push(format!("{stream:?}"));
    drop(guard);
    printed.extend(logs.take());
    let lines = [encrypted::AES, encrypted::PBES1, &issued.key].map(|key| key.lines().nth(1).unwrap());
    for secret in [&["hunter2"][..], &lines].concat() {
        assert!(printed.iter().all(|text| !text.contains(secret)), "{secret} is in {printed:#?}");
    }
}

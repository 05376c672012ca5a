//! A password is in nothing that is printed: no log down to `TRACE`, no error, no `Debug`.
//!
//! In: users who authenticate by each mechanism, rightly and wrongly, and settings that are wrong. Out: a failing test if a password, or what it is
//! sent as, is in anything that was written.

use milena::{
    Producer, ProducerBuilder, Record,
    admin::Admin,
    broker::{EmbeddedBroker, Fault},
};
use tracing::{Level, subscriber::set_default};

use crate::logs::Logs;

const PASSWORD: &str = "hunter2-canary";
const WRONG: &str = "hunter2-wrong";
const MECHANISMS: &[&str] =
    if cfg!(feature = "scram") { &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] } else { &["PLAIN"] };
/// The passwords, and as Base64, alone and in the message of PLAIN, whatever stands before.
const SECRETS: [&str; 4] = ["hunter2", "aHVudGVyMi", "h1bnRlcjI", "odW50ZXIy"];

/// Settings of alice.
fn settings(servers: &str, mechanism: &str, password: &str) -> Vec<(&'static str, String)> {
    vec![
        ("bootstrap.servers", servers.to_owned()),
        ("security.protocol", "SASL_PLAINTEXT".to_owned()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.username", "alice".to_owned()),
        ("sasl.password", password.to_owned()),
        ("max.block.ms", "2000".to_owned()),
    ]
}

/// Sends a record, and reads metadata. Returns all that can be printed of it.
async fn attempt(settings: Vec<(&'static str, String)>) -> Vec<String> {
    let builder = ProducerBuilder::from_properties(settings.clone());
    let mut printed = vec![format!("{builder:?} {:?}", builder.effective_properties())];
    let producer = match builder.build().await {
        Ok(producer) => producer,
        Err(error) => return [printed, vec![format!("{error} {error:?}")]].concat(),
    };
    printed.push(format!("{producer:?}"));
    printed.push(outcome(&producer).await);
    match Admin::from_properties(settings).await {
        Ok(mut admin) => printed.push(format!("{:?} {admin:?}", admin.describe(None).await)),
        Err(error) => printed.push(format!("{error} {error:?}")),
    }
    let _ = producer.close().await;
    printed
}

async fn outcome(producer: &Producer) -> String {
    match producer.send(Record::to("orders").value("v")).await {
        Ok(delivery) => format!("{:?}", delivery.await),
        Err(error) => format!("{error} {error:?}"),
    }
}

#[tokio::test]
async fn a_password_is_in_nothing_that_is_printed() {
    let logs = Logs::default();
    let guard = set_default(logs.listener(Level::TRACE));
    let broker = EmbeddedBroker::builder().user("alice", PASSWORD).start().await.expect("it starts");
    let servers = broker.bootstrap_servers();
    let mut printed = vec![format!("{broker:?}")];
    for mechanism in MECHANISMS {
        for password in [PASSWORD, WRONG] {
            let said = attempt(settings(&servers, mechanism, password)).await;
            let refusal = said.iter().any(|text| text.contains("refused user"));
            assert_eq!(refusal, password == WRONG, "{mechanism}: {said:#?}");
            printed.extend(said);
        }
    }
    broker.inject(Fault::drop_response());
    printed.extend(attempt(settings(&servers, "PLAIN", PASSWORD)).await);
    for module in ["m.PlainLoginModule required password=\"hunter2;", "hunter2", "m required hunter2=hunter2;"] {
        let mut settings = settings(&servers, "PLAIN", PASSWORD);
        settings.retain(|(name, _)| !name.starts_with("sasl.username") && !name.starts_with("sasl.password"));
        settings.push(("sasl.jaas.config", module.to_owned()));
        printed.extend(attempt(settings).await);
    }
    drop(guard);
    let logged = logs.take();
    assert!(logged.iter().any(|line| line.contains("alice")), "the log is heard");
    printed.extend(logged);
    for secret in SECRETS {
        assert!(printed.iter().all(|text| !text.contains(secret)), "{secret} is in {printed:#?}");
    }
}

#[test]
fn each_secret_is_recognised_in_what_base64_makes_of_it() {
    // "hunter2" at each of the three places that Base64 distinguishes.
    for (shown, found) in [("aHVudGVyMi1jYW5hcnk=", 1), ("AGh1bnRlcjItY2FuYXJ5", 2), ("AABodW50ZXIyLWNhbmFyeQ==", 3)] {
        let found_by = SECRETS.iter().position(|secret| shown.contains(secret));
        assert_eq!(found_by, Some(found), "{shown}");
    }
}

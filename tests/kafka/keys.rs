//! Each kind of key, in each version of TLS, with each way to say who the client is, against Java's implementation.
//!
//! In: a broker with three listeners for each kind of key. Out: records that come back over each of them. The cryptography is that of the
//! build, so `tests/kafka/providers` runs this once for each provider.

use milena_test_support::kafka::RealKafka;
use tokio::task::block_in_place;

use crate::security::{Files, PASSWORD, round_trip};

const RECORDS: usize = 30;
/// A kind of key by its name, what makes OpenSSL generate one, and its listeners: one that wants nothing, one that wants a certificate, one that
/// wants a user.
const KINDS: [(&str, &[&str], [&str; 3]); 4] = [
    ("RSA", &["rsa:2048"], ["TLS_RSA", "MTLS_RSA", "SASL_RSA"]),
    ("P256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["TLS_P256", "MTLS_P256", "SASL_P256"]),
    ("P384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], ["TLS_P384", "MTLS_P384", "SASL_P384"]),
    ("ED25519", &["ed25519"], ["TLS_ED25519", "MTLS_ED25519", "SASL_ED25519"]),
];
/// graviola cannot check the signature of an Ed25519 key in TLS 1.2.
const HAS_ED25519_IN_12: bool = cfg!(any(feature = "tls-ring", feature = "tls-aws-lc"));
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
/// A token that the client makes, and that the broker takes without a signature.
const TOKEN: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\";";

fn start() -> RealKafka {
    let files = Files::shared();
    let names: Vec<&'static str> = KINDS.iter().flat_map(|(.., listeners)| *listeners).collect();
    let protocol = |name: &str| if name.starts_with("SASL") { "SASL_SSL" } else { "SSL" };
    let map: String = names.iter().map(|name| format!(",{name}:{}", protocol(name))).collect();
    let mut settings = vec![
        ("listener.security.protocol.map".to_owned(), format!("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{map}")),
        ("num.network.threads".to_owned(), "1".to_owned()),
        ("sasl.enabled.mechanisms".to_owned(), MECHANISMS.join(",")),
        ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ("ssl.truststore.location".to_owned(), files.path("ca.pem")),
    ];
    for (kind, algorithm, listeners) in KINDS {
        files.issue(&format!("broker-{kind}"), algorithm);
        files.issue(&format!("client-{kind}"), algorithm);
        for listener in listeners {
            let mut set = |name: &str, value: String| {
                settings.push((format!("listener.name.{}.{name}", listener.to_lowercase()), value));
            };
            // Kafka's reader of PEM knows no Ed25519.
            set("ssl.keystore.type", "PKCS12".to_owned());
            set("ssl.keystore.location", files.pkcs12(&format!("broker-{kind}")));
            set("ssl.keystore.password", PASSWORD.to_owned());
            set("ssl.key.password", PASSWORD.to_owned());
            if listener.starts_with("MTLS") {
                set("ssl.client.auth", "required".to_owned());
            }
            let module = "org.apache.kafka.common.security";
            set(
                "oauthbearer.sasl.jaas.config",
                format!(
                    "{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
                ),
            );
            set(
                "plain.sasl.jaas.config",
                format!("{module}.plain.PlainLoginModule required user_alice=\"{PASSWORD}\";"),
            );
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                set(&format!("{mechanism}.sasl.jaas.config"), format!("{module}.scram.ScramLoginModule required;"));
            }
        }
    }
    let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|m| format!("{m}=[name=alice,password={PASSWORD}]"));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    block_in_place(|| RealKafka::start_secured(&names, &users.each_ref().map(|user| &**user), &settings))
}

#[test]
fn each_kind_of_key_works_in_each_version_with_each_way_to_say_who_one_is() {
    crate::run(async {
        let kafka = start();
        let truststore = Files::shared().path("ca.pem");
        let mut cells = 0;
        for (kind, _, [tls, mtls, sasl]) in KINDS {
            let keystore = Files::shared().path(&format!("client-{kind}.pem"));
            for version in ["TLSv1.2", "TLSv1.3"] {
                if kind == "ED25519" && version == "TLSv1.2" && !HAS_ED25519_IN_12 {
                    continue;
                }
                let common = [
                    ("ssl.truststore.type", "PEM"),
                    ("ssl.truststore.location", &*truststore),
                    ("ssl.enabled.protocols", version),
                ];
                let identity = [("ssl.keystore.type", "PEM"), ("ssl.keystore.location", &*keystore)];
                let mut ways = vec![
                    ("TLS", tls, vec![("security.protocol", "SSL")]),
                    ("mTLS", mtls, [&[("security.protocol", "SSL")], &identity[..]].concat()),
                ];
                for mechanism in MECHANISMS {
                    let user: &[_] = match mechanism {
                        "OAUTHBEARER" => &[("sasl.jaas.config", TOKEN)],
                        _ => &[("sasl.username", "alice"), ("sasl.password", PASSWORD)],
                    };
                    let who = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", mechanism)];
                    ways.push((mechanism, sasl, [&who[..], user].concat()));
                }
                for (way, listener, settings) in ways {
                    let server = kafka.secured_server(listener);
                    let properties = [&[("bootstrap.servers", &*server)], &common[..], &settings].concat();
                    let properties: Vec<_> =
                        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                    println!("{kind}, {version}, {way}");
                    round_trip(&properties, &format!("{kind}-{version}-{way}"), RECORDS).await;
                    cells += 1;
                }
            }
        }
        assert_eq!(cells, (if HAS_ED25519_IN_12 { 8 } else { 7 }) * (2 + MECHANISMS.len()));
    });
}

//! What a client may not do, and which rule allows it.
//!
//! In: a broker's error, the client's principal if it is known, a topic. Out: a sentence that names who may not do what with what, and the
//! words of Kafka's `kafka-acls.sh` that grant it. Pure. An error of authorization has no such sentence from a broker, and does not
//! heal by itself. Source: the rights that `KafkaApis` and `ControllerApis` of Apache Kafka 4.2 ask for.

use super::ErrorCode;

/// Why metadata have no topic. A broker hides topics that a client may not see, so it is not known whether the topic exists.
pub(crate) fn not_seen(code: ErrorCode, principal: Option<&str>, topic: &str) -> String {
    if code != ErrorCode::TOPIC_AUTHORIZATION_FAILED {
        return code.advice().to_owned();
    }
    let (who, grant) = (who(principal), grant(principal));
    format!(
        "{who} may not DESCRIBE topic {topic}, or it does not exist and {who} may not CREATE it: grant WRITE (which includes DESCRIBE) and \
         CREATE by `{grant} --producer --topic {topic}`, or check the topic's name"
    )
}

/// Why a broker does not tell of a topic that it was not asked to create.
#[cfg(feature = "admin")]
pub(crate) fn not_described(code: ErrorCode, principal: Option<&str>, topic: &str) -> Option<String> {
    (code == ErrorCode::TOPIC_AUTHORIZATION_FAILED).then(|| {
        let (who, grant) = (who(principal), grant(principal));
        format!(
            "{who} may not DESCRIBE topic {topic}, so it is not told whether it exists: grant WRITE (which includes DESCRIBE) by `{grant} \
             --operation WRITE --topic {topic}`"
        )
    })
}

/// Whether a record that failed with this error failed for want of a right.
pub(crate) fn is_lack(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED)
}

/// Why a record cannot be written, if it is for want of a right.
pub(crate) fn not_written(code: ErrorCode, principal: Option<&str>, topic: &str) -> Option<String> {
    if !is_lack(code) {
        return None;
    }
    let (who, grant) = (who(principal), grant(principal));
    Some(match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
            format!("{who} may not WRITE to topic {topic}: grant it by `{grant} --operation WRITE --topic {topic}`")
        }
        _ => format!(
            "{who} has neither WRITE on any topic nor IDEMPOTENT_WRITE on the cluster, so it gets no producer id: grant WRITE by `{grant} \
             --operation WRITE --topic {topic}` (before Apache Kafka 2.8 also IDEMPOTENT_WRITE by `{grant} --operation IdempotentWrite \
             --cluster`), or set enable.idempotence=false"
        ),
    })
}

fn who(principal: Option<&str>) -> &str {
    principal.unwrap_or("this client")
}

/// The beginning of a command that adds a rule.
fn grant(principal: Option<&str>) -> String {
    let principal = principal.map_or_else(|| "User:NAME".to_owned(), quoted);
    format!("kafka-acls.sh --add --allow-principal {principal}")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || ":._-@/=,+".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Option<&str> = Some("User:alice");
    const TOPIC: ErrorCode = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    const CLUSTER: ErrorCode = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;

    #[test]
    fn each_sentence_says_who_may_not_do_what_and_which_rule_helps() {
        let add = "`kafka-acls.sh --add --allow-principal User:alice";
        let seen = not_seen(TOPIC, ALICE, "orders");
        assert!(seen.starts_with("User:alice may not DESCRIBE topic orders, or it does not exist and User:alice may"));
        assert!(seen.contains(&format!("{add} --producer --topic orders`")), "{seen}");
        let written = not_written(TOPIC, ALICE, "orders").unwrap();
        let expected = format!("topic orders: grant it by {add} --operation WRITE --topic orders`");
        assert_eq!(written, format!("User:alice may not WRITE to {expected}"));
        let identified = not_written(CLUSTER, ALICE, "orders").unwrap();
        assert!(
            identified.starts_with("User:alice has neither WRITE on any topic nor IDEMPOTENT_WRITE on the cluster")
        );
        assert!(identified.contains(&format!("{add} --operation IdempotentWrite --cluster`")), "{identified}");
    }

    #[test]
    fn a_client_that_does_not_know_its_principal_is_called_this_client() {
        let written = not_written(TOPIC, None, "orders").unwrap();
        assert!(written.starts_with("this client may not WRITE to topic orders"), "{written}");
        assert!(written.contains("--allow-principal User:NAME --operation WRITE"), "{written}");
    }

    #[test]
    fn other_errors_keep_their_own_words() {
        assert_eq!(not_written(ErrorCode::MESSAGE_TOO_LARGE, ALICE, "orders"), None);
        let invalid = ErrorCode::INVALID_TOPIC_EXCEPTION;
        assert_eq!(not_seen(invalid, ALICE, "orders"), invalid.advice());
    }

    #[test]
    fn a_name_with_spaces_or_quotes_is_one_word_of_the_command() {
        for (name, word) in
            [("User:CN=shop,O=x", "User:CN=shop,O=x"), ("User:a b", "'User:a b'"), ("User:o'b", "'User:o'\\''b'")]
        {
            assert!(not_written(TOPIC, Some(name), "t").unwrap().contains(&format!("--allow-principal {word} --")));
        }
    }
}

//! Tokens from each kind of source, and what is said where there is none.

use std::{
    env, fs, process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::runtime::Handle;

use super::*;
use crate::{ProducerBuilder, sasl::jwt::unsigned};

const SASL: (&str, &str) = ("security.protocol", "SASL_PLAINTEXT");
const URL: &str = "sasl.oauthbearer.token.endpoint.url";

/// A token of alice's that is valid for so long.
fn jwt(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    unsigned(json!({"sub": "alice", "exp": now + seconds, "iat": now}).as_object().unwrap())
}

fn builder(properties: &[(&str, &str)]) -> ProducerBuilder {
    let sasl = [SASL, ("sasl.mechanism", "OAUTHBEARER")];
    ProducerBuilder::new("localhost:9092").properties(sasl.iter().chain(properties).copied())
}

async fn tokens(builder: ProducerBuilder) -> Tokens {
    Tokens::open(&builder.validate().unwrap()).await.unwrap()
}

/// The client's message, or why there is none.
async fn message(builder: ProducerBuilder) -> Result<String, String> {
    let credentials = tokens(builder).await.credentials().await.map_err(|why| why.to_string())?.unwrap();
    Ok(String::from_utf8(credentials.begin(1).1).unwrap())
}

fn source(answers: impl Fn(usize) -> Result<Token, TokenError> + Send + Sync + 'static) -> ProducerBuilder {
    let (asked, answers) = (AtomicUsize::new(0), Arc::new(answers));
    ProducerBuilder::new("localhost:9092").properties([SASL, ("sasl.login.retry.backoff.ms", "1")]).oauth_bearer(
        move || {
            let (number, answers) = (asked.fetch_add(1, Relaxed), Arc::clone(&answers));
            async move { answers(number) }
        },
    )
}

/// A file of its own for each test, which is removed with the machine's other temporary files.
fn file(name: &str, text: &str) -> (std::path::PathBuf, String) {
    let path = env::temp_dir().join(format!("milena-{}-{name}", process::id()));
    fs::write(&path, text).unwrap();
    let url = format!("file://{}", path.display());
    (path, url)
}

#[tokio::test]
async fn the_programs_own_source_gives_a_token_with_its_extensions_and_those_of_the_settings() {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required extension_b=\"c\";";
    let builder = source(|_| Token::jwt(jwt(60))?.extension("a", "b")).property("sasl.jaas.config", module);
    let message = message(builder).await.unwrap();
    assert!(
        message.starts_with("n,,\u{1}auth=Bearer ey") && message.ends_with("\u{1}a=b\u{1}b=c\u{1}\u{1}"),
        "{message:?}"
    );
}

#[tokio::test]
async fn a_source_that_has_no_token_is_named_with_its_reason() {
    let why = |builder| async { message(builder).await.unwrap_err() };
    let program = "the program's source of tokens: ";
    assert_eq!(why(source(|_| Err(TokenError::new("vault\nsealed")))).await, format!("{program}vault\u{fffd}sealed"));
    assert!(why(source(|_| panic!("never"))).await.contains("it panicked"));
    let expired = why(source(|_| Token::jwt(jwt(0)))).await;
    assert!(expired.contains("has expired by this machine's clock: check the clock"), "{expired}");
    let never = ProducerBuilder::new("localhost:9092").property(SASL.0, SASL.1).oauth_bearer(std::future::pending);
    let never = never.connection_setup_timeout(Duration::from_millis(1), Duration::from_millis(1));
    assert_eq!(why(never).await, format!("{program}no answer within 1 ms"));
}

#[tokio::test]
async fn a_file_is_read_without_blanks_around_the_token_and_what_is_wrong_with_it_names_it() {
    let (_, url) = file("token", &format!("  {}\n", jwt(60)));
    assert!(message(builder(&[(URL, &url)])).await.is_ok());
    for (name, text, expected) in [
        ("opaque", "opaque".to_owned(), "expected a JWT, which has three parts"),
        ("empty", String::new(), "expected a token, got nothing"),
        ("long", "x".repeat(600_000), "the token has 524288 bytes, expected at most 262144"),
    ] {
        let (path, url) = file(name, &text);
        let why = message(builder(&[(URL, &url)])).await.unwrap_err();
        assert!(why.starts_with(&format!("the file {}: {expected}", path.display())), "{why}");
    }
    let why = message(builder(&[(URL, "file:///not/there")])).await.unwrap_err();
    assert!(why.starts_with("the file /not/there: it cannot be read: No such file"), "{why}");
}

#[tokio::test]
async fn a_client_makes_its_own_tokens() {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\";";
    assert!(message(builder(&[("sasl.jaas.config", module)])).await.unwrap().starts_with("n,,\u{1}auth=Bearer ey"));
}

#[tokio::test]
async fn a_keeper_tells_each_failure_and_each_token_and_asks_again_when_it_is_told_to() {
    let answers = |number| match number {
        0 => Err(TokenError::new("first")),
        1 | 2 => Token::new("same", SystemTime::UNIX_EPOCH + Duration::from_secs(9_999_999_999)),
        _ => Token::jwt(jwt(60)),
    };
    let mut keeper = tokens(source(answers)).await.keep(&Handle::current());
    assert!(keeper.next().await.unwrap().unwrap_err().ends_with("first"));
    let first = keeper.next().await.unwrap().unwrap();
    keeper.renew();
    let second = keeper.next().await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the same token");
    keeper.renew();
    let third = keeper.next().await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &third) && &*third.username == "alice");
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_the_last_token_stays_while_it_is_wrong() {
    let (path, url) = file("changes", &jwt(60));
    let mut keeper = tokens(builder(&[(URL, &url)])).await.keep(&Handle::current());
    let first = keeper.next().await.unwrap().unwrap();
    fs::write(&path, "wrong").unwrap();
    assert!(keeper.next().await.unwrap().is_err());
    fs::write(&path, jwt(90)).unwrap();
    let next = loop {
        if let Ok(next) = keeper.next().await.unwrap() {
            break next;
        }
    };
    assert!(next.valid_until > first.valid_until);
}

#[tokio::test]
async fn without_a_task_the_last_token_is_used_until_it_is_due_or_refused() {
    let answers = |number| match number {
        0 => Token::jwt(jwt(3_600)),
        _ => Err(TokenError::new("down")),
    };
    let tokens = tokens(source(answers)).await;
    let first = tokens.credentials().await.unwrap().unwrap();
    let again = tokens.credentials().await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    tokens.forget().await;
    assert!(tokens.credentials().await.unwrap_err().ends_with("down"), "a broker refused it");
}

#[cfg(feature = "oidc")]
mod provider {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::{TcpListener, TcpStream},
        sync::mpsc,
        thread,
    };

    use super::*;

    /// A server that answers each request so, or never. Returns its port, and what it was asked.
    fn serve(answer: Option<String>) -> (u16, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, (asked, requests)) = (listener.local_addr().unwrap().port(), mpsc::channel());
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let _ = asked.send(request(&socket));
                match &answer {
                    Some(answer) => socket.write_all(answer.as_bytes()).unwrap_or_default(),
                    None => drop(socket.read(&mut [0])),
                }
            }
        });
        (port, requests)
    }

    /// Head and body of a request.
    fn request(socket: &TcpStream) -> String {
        let (mut reader, mut text) = (BufReader::new(socket), String::new());
        while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).is_ok_and(|read| read > 0) {}
        let len = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; len.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    fn response(head: &str, body: &str) -> Option<String> {
        Some(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    fn client(port: u16, more: &[(&str, &str)]) -> ProducerBuilder {
        let url = format!("http://127.0.0.1:{port}/token");
        let client = [
            (URL, &*url),
            ("sasl.oauthbearer.client.credentials.client.id", "alice"),
            ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
        ];
        builder(&[&client[..], more].concat())
    }

    #[tokio::test]
    async fn a_provider_is_asked_by_client_credentials() {
        let body = json!({"access_token": jwt(60), "expires_in": 300}).to_string();
        let (port, requests) = serve(response("200 OK\r\ncontent-type: application/json", &body));
        let credentials = tokens(client(port, &[("sasl.oauthbearer.scope", "a b")])).await.credentials().await;
        let valid_for = credentials.unwrap().unwrap().valid_until.unwrap() - std::time::Instant::now();
        assert!(valid_for > Duration::from_secs(200), "expires_in counts, whosever clock is right: {valid_for:?}");
        let request = requests.recv().unwrap().to_lowercase();
        assert!(request.starts_with("post /token http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: basic ywxpy2u6ahvudgvymg=="), "{request}");
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b"), "{request}");
    }

    #[tokio::test]
    async fn what_a_provider_does_wrong_is_said_with_its_url_and_without_a_secret() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let why = message(client(closed, &[])).await.unwrap_err();
        assert!(
            why.starts_with(&format!(
                "http://127.0.0.1:{closed}/token: cannot connect to 127.0.0.1:{closed}: Connection refused"
            )),
            "{why}"
        );
        let denied = json!({"error": "invalid_client", "error_description": "wrong secret"}).to_string();
        let long = json!({"access_token": "x".repeat(300_000)}).to_string();
        for (answer, expected) in [
            (
                response("401 Unauthorized", &denied),
                "it answered 401 Unauthorized: invalid_client (wrong secret); check client id, client secret and scope",
            ),
            (
                response("200 OK\r\ncontent-type: text/html", "<html>hunter2"),
                "it answered 200 OK, expected a token in JSON, got text/html: check",
            ),
            (response("200 OK", "{}"), "it answered 200 OK without an access_token: check"),
            (
                response("307 Temporary Redirect\r\nlocation: https://other/?a=hunter2", ""),
                "it answered 307 Temporary Redirect, and leads to https://other/: set",
            ),
            (response("200 OK", &long), "the token has 300000 bytes, expected at most 262144"),
            (response("200 OK", &"x".repeat(600_000)), "its answer cannot be read (at most 524288 bytes are)"),
            (
                response("200 OK", r#"{"access_token":"opaque"}"#),
                "expected a JWT, which has three parts with dots between them, got one part, as of an opaque token",
            ),
            (Some(String::new()), "it gave no answer in HTTP"),
            (Some("\u{15}\u{3}\u{1}".to_owned()), "it gave no answer in HTTP"),
        ] {
            let (port, _requests) = serve(answer);
            let why = message(client(port, &[])).await.unwrap_err();
            assert!(why.starts_with(&format!("http://127.0.0.1:{port}/token: {expected}")), "{expected}: {why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
        let (port, _requests) = serve(None);
        let why = message(client(port, &[("sasl.login.read.timeout.ms", "20")])).await.unwrap_err();
        assert!(why.ends_with("no answer within 20 ms (sasl.login.read.timeout.ms)"), "{why}");
    }

    #[tokio::test]
    async fn a_certificate_file_that_is_not_there_is_a_violation() {
        let settings = [
            (URL, "https://127.0.0.1:1/token"),
            ("sasl.oauthbearer.client.credentials.client.id", "alice"),
            ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "/not/there.pem"),
        ];
        let violations = Tokens::open(&builder(&settings).validate().unwrap()).await.unwrap_err();
        assert!(violations.concat().contains("/not/there.pem"), "{violations:?}");
    }
}

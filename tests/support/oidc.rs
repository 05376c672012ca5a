//! An OIDC provider: a token endpoint for one client, and the keys with which a broker checks its tokens.
//!
//! In: what it is to answer, which may change at any time. Out: tokens, signed with RS256 or not at all, and how often it was asked. The key is
//! made, and used, by `openssl`. It speaks just enough HTTP for one request on a connection.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// The client's id and secret.
pub const CLIENT: (&str, &str) = ("orders-service", "provider-secret");
/// For whom the tokens of [`Answer::Token`] are mostly.
pub const AUDIENCE: &str = "kafka";

/// What the provider answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A token for this audience that is valid for so many seconds, which may be negative, if the client has the secret.
    Token(i64, &'static str),
    /// Status, content type and body.
    Raw(&'static str, &'static str, String),
    /// It closes the connection.
    Nothing,
}

/// A provider. It runs until the process ends.
#[derive(Debug)]
pub struct Oidc {
    port: u16,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Oidc {
    /// Starts a provider that signs its tokens, or does not.
    ///
    /// # Panics
    /// When `openssl` cannot be started.
    #[must_use]
    pub fn start(is_signing: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (answer, asked) = (Arc::new(Mutex::new(Answer::Token(60, AUDIENCE))), Arc::new(AtomicUsize::new(0)));
        let provider = Self { port, answer: Arc::clone(&answer), asked: Arc::clone(&asked) };
        let key = is_signing.then(|| Key::make(port));
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let request = request(&socket);
                if request.starts_with("GET /jwks") {
                    respond(
                        &mut socket,
                        "200 OK",
                        "application/json",
                        &key.as_ref().map_or_else(String::new, Key::set),
                    );
                    continue;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tell(&mut socket, &request, &answer, key.as_ref());
            }
        });
        provider
    }

    /// Where tokens are.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// Where keys are.
    #[must_use]
    pub fn keys_url(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// How often a token was asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn tell(socket: &mut TcpStream, request: &str, answer: &Answer, key: Option<&Key>) {
    const JSON: &str = "application/json";
    let authorization = format!("authorization: basic {}", STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1)));
    let is_client = request.to_lowercase().contains(&authorization.to_lowercase());
    match answer {
        Answer::Token(..) if !is_client => {
            let body = r#"{"error":"invalid_client","error_description":"no such client, or another secret"}"#;
            respond(socket, "401 Unauthorized", JSON, body);
        }
        Answer::Token(seconds, audience) => {
            let token = token(CLIENT.0, *seconds, audience, key);
            respond(socket, "200 OK", JSON, &format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#));
        }
        Answer::Raw(status, content_type, body) => respond(socket, status, content_type, body),
        Answer::Nothing => {}
    }
}

/// Head and body of a request.
fn request(socket: &TcpStream) -> String {
    let (mut reader, mut text) = (BufReader::new(socket), String::new());
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).is_ok_and(|read| read > 0) {}
    let len = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap_or_default();
    text + &String::from_utf8_lossy(&body)
}

fn respond(socket: &mut TcpStream, status: &str, content_type: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
    // A client that does not wait for the answer misses it.
    socket.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).unwrap_or_default();
}

/// A token without a signature.
#[must_use]
pub fn unsigned_token(subject: &str, seconds: i64) -> String {
    token(subject, seconds, AUDIENCE, None)
}

fn token(subject: &str, seconds: i64, audience: &str, key: Option<&Key>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("before the end of time");
    let issued = now.min(now + seconds);
    let header = if key.is_some() { r#"{"alg":"RS256","kid":"1"}"# } else { r#"{"alg":"none"}"# };
    let payload = format!(
        r#"{{"iss":"tests","sub":"{subject}","aud":"{audience}","scope":"kafka","iat":{issued},"exp":{}}}"#,
        now + seconds
    );
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(key.sign(&signed)));
    format!("{signed}.{signature}")
}

/// A private key of RSA, in a file.
struct Key {
    path: PathBuf,
    modulus: String,
}

impl Key {
    fn make(port: u16) -> Self {
        let path = env::temp_dir().join(format!("milena-oidc-{}-{port}.pem", process::id()));
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", text(&path)], "");
        let printed = openssl(&["rsa", "-in", text(&path), "-noout", "-modulus"], "");
        let printed = String::from_utf8(printed).expect("hexadecimal digits");
        let digits = printed.trim().strip_prefix("Modulus=").expect("the modulus");
        let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16));
        let modulus: Vec<u8> = bytes.collect::<Result<_, _>>().expect("hexadecimal digits");
        Self { path, modulus: URL_SAFE_NO_PAD.encode(modulus) }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        openssl(&["dgst", "-sha256", "-sign", text(&self.path)], message)
    }

    /// The public key as a JSON Web Key Set.
    fn set(&self) -> String {
        let Self { modulus, .. } = self;
        format!(r#"{{"keys":[{{"kty":"RSA","use":"sig","alg":"RS256","kid":"1","n":"{modulus}","e":"AQAB"}}]}}"#)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn openssl(arguments: &[&str], input: &str) -> Vec<u8> {
    let mut command = Command::new("openssl");
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl can be started");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("openssl reads it");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

//! What a client and a broker say to each other to authenticate, damaged on its way; and `sasl.jaas.config`.
//!
//! Checks: with SCRAM neither believes the other unless both have the same password, whatever was changed; errors are short and printable; a
//! login module that is read is read again from what it was understood as.

use std::sync::LazyLock;

use super::input::Input;
use crate::{
    sasl::{
        Credentials, Mechanism, jaas,
        server::{Users, Verdict, Verification},
    },
    secret::Secret,
};

const PASSWORD: &str = "pencil";
/// More messages than any mechanism has.
const ROUNDS: usize = 4;
const LONGEST: usize = 400;

/// alice, with the right password; hashed once.
static USERS: LazyLock<Users> = LazyLock::new(|| {
    let mut users = Users::default();
    users.set("alice", PASSWORD, Mechanism::ALL);
    users
});

/// The target.
pub fn sasl(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() % 4 == 3 {
        login_module(&String::from_utf8_lossy(input.rest()));
    } else {
        believe_each_other(&mut input);
    }
}

fn believe_each_other(input: &mut Input<'_>) -> bool {
    let mechanism = input.one_of(Mechanism::ALL);
    let name = if input.yes() { "alice".into() } else { String::from_utf8_lossy(input.bytes()).into_owned() };
    let knows = input.yes();
    let credentials = Credentials::new(mechanism, &name, Secret::new(if knows { PASSWORD } else { "rubber" }));
    let (mut client, first) = credentials.begin(u64::from(input.byte()));
    let mut broker = Verification::new(mechanism, u64::from(input.byte()));
    let is_scram = mechanism != Mechanism::Plain;
    let mut message = first;
    for _ in 0..ROUNDS {
        damage(&mut message, input);
        let mut said = match broker.take(&USERS, 0, &message) {
            Err(denied) => return short(&denied.to_string()),
            Ok(Verdict::GoesOn(said)) => said,
            Ok(Verdict::Known(user, said)) => {
                assert!(&*user == "alice" && (knows || !is_scram), "{mechanism:?} lets {name:?} in");
                said
            }
        };
        damage(&mut said, input);
        match client.answer(&credentials, &said) {
            Err(error) => return short(&error.to_string()),
            Ok(Some(next)) => message = next,
            Ok(None) => {
                assert!(knows || !is_scram, "{mechanism:?} believes a broker that has another password");
                return true;
            }
        }
    }
    panic!("{mechanism:?} has no end");
}

/// Mostly leaves a message as it is; else changes a byte, cuts it, or puts another one in its place.
fn damage(message: &mut Vec<u8>, input: &mut Input<'_>) {
    match input.byte() % 8 {
        1 if !message.is_empty() => {
            let at = input.below(message.len().min(256));
            message[at] ^= input.byte();
        }
        2 => message.truncate(input.below(256)),
        3 => *message = input.bytes().to_vec(),
        _ => {}
    }
}

/// Returns false.
fn short(error: &str) -> bool {
    assert!(!error.is_empty() && error.len() <= LONGEST && !error.contains(char::is_control), "{error:?}");
    false
}

fn login_module(text: &str) {
    let module = match jaas::read(text) {
        Ok(module) => module,
        Err(expected) => {
            short(expected);
            return;
        }
    };
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let options = module.options.iter().map(|(name, value)| format!(" {}={}", quoted(name), quoted(value)));
    let again = format!("{} required{};", quoted(&module.class), options.collect::<String>());
    assert!(jaas::read(&again).is_ok_and(|read| read == module), "{again:?} is not read as {text:?} was");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undamaged_messages_let_in_whoever_knows_the_password_and_nobody_else() {
        for (number, mechanism) in (0..).zip(Mechanism::ALL) {
            for knows in [false, true] {
                let data = [number, 1, u8::from(knows), 7, 9];
                assert_eq!(believe_each_other(&mut Input::new(&data)), knows, "{mechanism:?}");
            }
        }
    }
}

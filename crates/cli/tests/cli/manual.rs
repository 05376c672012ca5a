//! Completions and manual pages are made for every command.

use crate::support::{Scratch, milena, run_in};

/// All commands, as the help tells them.
fn commands() -> Vec<String> {
    let help = String::from_utf8(milena(&["--help"]).expect(0).stdout).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_shell_completes_every_command() {
    let commands = commands();
    assert!(commands.len() > 10 && commands.contains(&"produce".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(milena(&["completions", shell]).expect(0).stdout).unwrap();
        for word in commands.iter().map(String::as_str).chain(["null-marker", "async-orders"]) {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    milena(&["completions", "tcsh"]).expect(2);
}

#[test]
#[cfg(unix)]
fn the_script_for_bash_is_one() {
    let (folder, script) = (Scratch::new(), milena(&["completions", "bash"]).expect(0).stdout);
    folder.write("script", &script);
    let checked = std::process::Command::new("bash").arg("-n").arg(folder.path().join("script")).status().unwrap();
    assert!(checked.success());
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Scratch::new();
    let ran = run_in(&folder, &["man", "."], b"").expect(0);
    assert_eq!(ran.lines().len(), folder.files().len());
    for command in commands() {
        let page = String::from_utf8(folder.read(&format!("milena-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{command}: {page}");
    }
    let produce = String::from_utf8(folder.read("milena-produce.1")).unwrap();
    assert!(produce.contains("null\\-marker"), "{produce}");
    assert!(folder.files().contains(&"milena-lab-retry.1".to_owned()), "{:?}", folder.files());
    let main = String::from_utf8(milena(&["man"]).expect(0).stdout).unwrap();
    assert!(main.contains("milena\\-produce(1)"), "{main}");
    let ran = run_in(&folder, &["man", "missing"], b"").expect(1);
    assert!(ran.stderr.contains("cannot write missing"), "{}", ran.stderr);
}

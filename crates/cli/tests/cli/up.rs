//! The node itself: starts, says so, and ends cleanly.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::node::samizdat;
use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];

fn up(home: &Path, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(cargo_bin!("samizdat"))
        .env_clear()
        .env("SAMIZDAT_HOME", home)
        .args(UP)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// The first line, and then nothing.
fn ready(out: &mut impl BufRead) -> Value {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn rest(out: &mut impl Read) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_first_line_says_where_everything_is() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = up(home.path(), &["--json"]);
    let row = ready(&mut out);
    assert_eq!(row["event"], "ready");
    assert_eq!(row["name"].as_str().unwrap().len(), 38);
    let api = row["api"].as_str().unwrap();
    assert!(api.starts_with("http://127.0.0.1:") && row["ui"].as_str().unwrap().starts_with(api));
    assert!(row["join"].is_string());
    samizdat(home.path(), &["stop"]).assert().success();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest(&mut out), "");
    assert!(!home.path().join("api.json").exists());
}

#[test]
fn signals_end_it_cleanly() {
    for signal in ["-INT", "-TERM"] {
        let home = tempfile::tempdir().unwrap();
        let (mut child, mut out) = up(home.path(), &["--json"]);
        ready(&mut out);
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!home.path().join("api.json").exists());
    }
}

#[test]
fn without_ui_there_is_no_link() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = up(home.path(), &["--json", "--no-ui"]);
    assert!(ready(&mut out)["ui"].is_null());
    samizdat(home.path(), &["stop"]).assert().success();
    child.wait().unwrap();
}

#[test]
fn people_are_told_what_to_do_next() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = up(home.path(), &[]);
    // Ready when the last line of the page is there.
    let page: Vec<String> = out.by_ref().lines().map(Result::unwrap).take_while(|line| !line.starts_with("Stop")).collect();
    let page = page.join("\n");
    for word in ["You are", "#token=", "--join", "samizdat invite", "samizdat send"] {
        assert!(page.contains(word), "{word} in {page}");
    }
    samizdat(home.path(), &["stop"]).assert().success();
    child.wait().unwrap();
}

#[test]
fn a_running_node_is_not_started_twice_where_there_is_no_display() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = up(home.path(), &["--json"]);
    ready(&mut out);
    samizdat(home.path(), &[]).assert().code(4);
    samizdat(home.path(), &["stop"]).assert().success();
    child.wait().unwrap();
}

#[test]
fn the_browser_gets_a_link_that_works_once_and_not_the_token() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut out) = up(home.path(), &["--json"]);
    let ui = ready(&mut out)["ui"].as_str().unwrap().to_owned();
    let (api, token) = ui.split_once("/#token=").unwrap();
    // A browser that notes what it was given.
    let browser = home.path().join("xdg-open");
    let (draft, note) = (home.path().join("draft"), home.path().join("note"));
    let script = format!("#!/bin/sh\necho \"$@\" > {0}\n/bin/mv {0} {1}\n", draft.display(), note.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let found = samizdat(home.path(), &["--json"]).env("DISPLAY", ":0").env("PATH", home.path()).assert().success();
    assert_eq!(found.get_output().stdout, b"{\"event\":\"opened\"}\n");
    while !note.exists() {
        std::thread::yield_now();
    }
    let link = fs::read_to_string(&note).unwrap();
    assert!(link.starts_with(&format!("{api}/open/")) && !link.contains(token), "{link}");
    samizdat(home.path(), &["stop"]).assert().success();
    child.wait().unwrap();
}

#[test]
fn a_vault_with_a_passphrase_opens_only_with_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("passphrase");
    fs::write(&file, "correct horse\nignored\n").unwrap();
    for _ in ["sealed", "opened"] {
        let (mut child, mut out) = up(home.path(), &["--json", "--passphrase-file", file.to_str().unwrap()]);
        ready(&mut out);
        samizdat(home.path(), &["stop"]).assert().success();
        assert!(child.wait().unwrap().success());
    }
    let hint = "samizdat: the vault has a passphrase: give it in SAMIZDAT_PASSPHRASE or with --passphrase-file\n";
    samizdat(home.path(), &UP).assert().code(4).stdout("").stderr(hint);
    samizdat(home.path(), &UP).env("SAMIZDAT_PASSPHRASE", "wrong").assert().code(4).stdout("");
}

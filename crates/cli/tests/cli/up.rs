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
fn the_browser_gets_a_private_page_and_neither_link_nor_token() {
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
    let home_of_the_page = fs::canonicalize(home.path()).unwrap();
    let found = samizdat(&home_of_the_page, &["--json"]).env("DISPLAY", ":0").env("PATH", home.path()).assert().success();
    assert_eq!(found.get_output().stdout, b"{\"event\":\"opened\"}\n");
    while !note.exists() {
        std::thread::yield_now();
    }
    // All that other users of this machine see.
    let arguments = fs::read_to_string(&note).unwrap();
    let file = Path::new(arguments.trim_end());
    assert_eq!(file.parent(), Some(home_of_the_page.as_path()));
    let page = fs::read_to_string(file).unwrap();
    let (_, link) = page.split_once("url=").unwrap();
    let (link, _) = link.split_once('"').unwrap();
    let code = link.strip_prefix(&format!("{api}/open/")).unwrap();
    assert!(!arguments.contains(code) && !arguments.contains(token) && !page.contains(token), "{arguments} {page}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    samizdat(home.path(), &["stop"]).assert().success();
    child.wait().unwrap();
    assert!(!file.exists(), "no page stays behind");
}

#[test]
fn a_vault_with_a_passphrase_opens_only_with_it() {
    let home = tempfile::tempdir().unwrap();
    // Not in the home: a folder that holds other files does not become one.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("passphrase");
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

#[test]
fn a_folder_with_other_files_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let thesis = home.path().join("tmp").join("important").join("thesis.txt");
    fs::create_dir_all(thesis.parent().unwrap()).unwrap();
    fs::write(&thesis, "years").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sentence =
        format!("samizdat: {} holds other files and no node: choose an empty folder, or another --home\n", home.path().display());
    samizdat(home.path(), &UP).assert().code(4).stdout("").stderr(sentence);
    samizdat(home.path(), &["passphrase", "--remove"]).assert().code(4);
    assert_eq!(fs::read_to_string(&thesis).unwrap(), "years");
    assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o755);
}

//! Exit codes and errors, for people and for programs.

use std::path::Path;

use crate::node::{Node, samizdat};
use samizdat_api::{ApiError, ErrorKind, LogCheck, Response};
use serde_json::Value;

const NOWHERE: &str = "/nonexistent/home";

const NEED_A_NODE: [&[&str]; 22] = [
    &["stop"],
    &["status"],
    &["id"],
    &["id", "list"],
    &["id", "new"],
    &["id", "mine", "--prefix", "a"],
    &["invite"],
    &["contact", "list"],
    &["contact", "accept", "x"],
    &["send", "bob", "hi"],
    &["post", "hi"],
    &["cancel", "x"],
    &["read"],
    &["rooms"],
    &["cluster", "list"],
    &["motion", "list", "nest"],
    &["vote", "abcd", "yes"],
    &["log", "stats"],
    &["log", "export", "/nonexistent/file"],
    &["node", "role"],
    &["node", "relays", "off"],
    &["net", "doctor"],
];

fn error(stderr: &[u8]) -> Value {
    let text = std::str::from_utf8(stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str::<Value>(text).unwrap()["error"].clone()
}

#[test]
fn without_a_node_every_command_says_how_to_start_one() {
    for arguments in NEED_A_NODE {
        samizdat(Path::new(NOWHERE), arguments)
            .assert()
            .code(5)
            .stdout("")
            .stderr("samizdat: no node is running in /nonexistent/home; start one with `samizdat up`\n");
        let out = samizdat(Path::new(NOWHERE), arguments).arg("--json").assert().code(5).stdout("").get_output().clone();
        assert_eq!(error(&out.stderr)["kind"], "no_node", "{arguments:?}");
    }
}

#[test]
fn a_node_that_was_killed_counts_as_none() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("api.json"), r#"{"api":"http://127.0.0.1:1","token":"t","pid":1}"#).unwrap();
    samizdat(home.path(), &["status"]).assert().code(5);
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["frobnicate"][..],
        &["send", "bob"],
        &["send", "bob", "hi", "--days", "2"],
        &["send", "bob", "hi", "--wait", "read"],
        &["read", "bob", "--room", "lobby"],
        &["contact"],
        &["up", "--api", "0.0.0.0:80"],
        &["up", "--listen", "here"],
        &["completions", "tcsh"],
    ] {
        samizdat(Path::new(NOWHERE), arguments).assert().code(2).stdout("");
        let out = samizdat(Path::new(NOWHERE), &["--json"]).args(arguments).assert().code(2).stdout("").get_output().clone();
        assert_eq!(error(&out.stderr)["kind"], "usage", "{arguments:?}");
    }
}

#[test]
fn a_program_is_told_which_arguments_are_missing_or_possible() {
    let missing = "the following required arguments were not provided:";
    for (arguments, said) in [
        (&["node", "role", "relay"][..], format!("{missing} <SWITCH>")),
        (&["contact", "session"], format!("{missing} <WHO>, <CHOICE>")),
        (&["node", "lan", "perhaps"], "invalid value 'perhaps' for '[LAN]' [possible values: on, off]".to_owned()),
    ] {
        let out = samizdat(Path::new(NOWHERE), &["--json"]).args(arguments).assert().code(2).stdout("").get_output().clone();
        assert_eq!(error(&out.stderr)["message"], said);
    }
}

#[test]
fn a_role_of_a_later_version_is_told_apart_from_a_typing_error_and_changes_nothing() {
    let node = Node::alice();
    for (role, switch) in [("custodian", "on"), ("custodian", "off"), ("mix", "on"), ("mix", "off")] {
        let arguments = ["node", "role", role, switch];
        node.samizdat(&arguments).assert().code(2).stdout("").stderr(
            "samizdat: this version has no such role yet: a node can be a relay (`samizdat node role relay on`) or an entry point \
             (`samizdat node entry`); nothing was changed\n",
        );
        let out = node.samizdat(&arguments).arg("--json").assert().code(2).stdout("").get_output().clone();
        assert_eq!(error(&out.stderr)["kind"], "usage");
    }
    node.samizdat(&["node", "role", "baker", "on"]).assert().code(2);
    assert!(node.asked().is_empty());
    let listed = node.prints(&["node", "role"]);
    assert!(listed.contains("relay") && !listed.contains("custodian") && !listed.contains("mix"), "{listed}");
    let help = node.prints(&["node", "role", "--help"]);
    assert!(help.contains("relay") && !help.contains("custodian") && !help.contains("mix"), "{help}");
}

#[test]
fn an_empty_message_is_wrong_usage() {
    let node = Node::alice();
    node.samizdat(&["send", "bob", " "]).assert().code(2);
    node.samizdat(&["send", "bob", "-"]).write_stdin("\n").assert().code(2);
    assert!(node.asked().is_empty());
}

#[test]
fn standard_input_must_be_text_of_a_bearable_length() {
    let node = Node::alice();
    node.samizdat(&["send", "bob", "-"]).write_stdin("x".repeat(300 * 1024)).assert().code(2);
    node.samizdat(&["send", "bob", "-"]).write_stdin(vec![0xff]).assert().code(2);
    assert!(node.asked().is_empty());
}

#[test]
fn every_kind_of_error_has_its_code() {
    let kinds = [
        (ErrorKind::Internal, 1, "internal"),
        (ErrorKind::Usage, 2, "usage"),
        (ErrorKind::NotFound, 3, "not_found"),
        (ErrorKind::Refused, 4, "refused"),
    ];
    for (kind, code, word) in kinds {
        let node = Node::new(move |_, _| Some(Err(ApiError::new(kind, "it did not work"))));
        node.samizdat(&["status"]).assert().code(code).stdout("").stderr("samizdat: it did not work\n");
        let out = node.samizdat(&["status", "--json"]).assert().code(code).stdout("").get_output().clone();
        assert_eq!(error(&out.stderr), serde_json::json!({"kind": word, "message": "it did not work"}));
    }
}

#[test]
fn what_is_not_there_is_3() {
    let node = Node::alice();
    node.samizdat(&["cancel", "m0"]).assert().code(3).stderr("samizdat: there is no \"m0\"\n");
    node.samizdat(&["read", "nobody"]).assert().code(3);
    node.samizdat(&["log", "import", "/nonexistent/slice"]).assert().code(3);
}

#[test]
fn a_damaged_log_is_an_error_with_its_list() {
    let node = Node::new(|_, _| Some(Ok(Response::LogCheck(LogCheck { checked: 2, bad: vec!["e1".into()] }))));
    node.samizdat(&["log", "verify", "--json"]).assert().code(1).stdout("{\"checked\":2,\"bad\":[\"e1\"]}\n");
}

#[test]
fn an_error_cannot_command_the_terminal() {
    let node = Node::new(|_, _| Some(Err(ApiError::refused("no \x1b[2J\nsamizdat: yes"))));
    node.samizdat(&["status"]).assert().code(4).stderr("samizdat: no  samizdat: yes\n");
}

#[test]
fn who_names_a_home_is_told_how_to_start_that_one() {
    let out = |home: &str| {
        let command = samizdat(Path::new(NOWHERE), &["--home", home, "status"]).assert().code(5).get_output().clone();
        String::from_utf8(command.stderr).unwrap()
    };
    assert_eq!(
        out("/nowhere/bob"),
        "samizdat: no node is running in /nowhere/bob; start one with `samizdat --home /nowhere/bob up`\n"
    );
    assert!(out("/nowhere/bob's").ends_with("`samizdat --home '/nowhere/bob'\\''s' up`\n"), "{}", out("/nowhere/bob's"));
    assert!(out(NOWHERE).ends_with("start one with `samizdat up`\n"));
}

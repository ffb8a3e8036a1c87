//! What the program says about itself.

use std::path::Path;

use crate::node::samizdat;
use insta::assert_snapshot;

fn help(arguments: &[&str]) -> String {
    let out = samizdat(Path::new("/nonexistent"), arguments).arg("--help").assert().success().get_output().clone();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_program() {
    assert_snapshot!("help", help(&[]));
}

#[test]
fn up() {
    assert_snapshot!("help_up", help(&["up"]));
}

#[test]
fn send() {
    assert_snapshot!("help_send", help(&["send"]));
}

#[test]
fn read() {
    assert_snapshot!("help_read", help(&["read"]));
}

#[test]
fn contact() {
    assert_snapshot!("help_contact", help(&["contact"]));
}

#[test]
fn clusters() {
    assert_snapshot!("help_cluster", help(&["cluster"]));
    assert_snapshot!("help_cluster_found", help(&["cluster", "found"]));
    assert_snapshot!("help_cluster_invite", help(&["cluster", "invite"]));
    assert_snapshot!("help_cluster_join", help(&["cluster", "join"]));
    assert_snapshot!("help_motion_open", help(&["motion", "open"]));
    assert_snapshot!("help_vote", help(&["vote"]));
}

#[test]
fn id() {
    assert_snapshot!("help_id", help(&["id"]));
}

#[test]
fn completions_need_no_node() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let out = samizdat(Path::new("/nonexistent"), &["completions", shell]).assert().success().get_output().clone();
        assert!(String::from_utf8(out.stdout).unwrap().contains("contact"), "{shell}");
    }
}

#[test]
fn manual_pages_need_no_node() {
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("man");
    samizdat(Path::new("/nonexistent"), &["man", man.to_str().unwrap()]).assert().success().stdout("");
    for page in ["samizdat.1", "samizdat-send.1", "samizdat-contact-add.1"] {
        assert!(man.join(page).exists(), "{page}");
    }
}

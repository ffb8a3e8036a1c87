//! What commands print: lines for people, rows for programs.

use crate::node::{CAROL, Node};
use insta::assert_snapshot;
use samizdat_api::{
    Answer, Request, SessionChoice,
    call::{ContactEdit, NodeEdit},
    meeting::Secret,
};
use serde_json::Value;

#[test]
fn status_for_people() {
    assert_snapshot!("status", Node::alice().prints(&["status"]));
}

#[test]
fn identities_for_people() {
    assert_snapshot!("id_list", Node::alice().prints(&["id", "list"]));
}

#[test]
fn contacts_for_people() {
    assert_snapshot!("contact_list", Node::alice().prints(&["contact", "list"]));
}

#[test]
fn contact_requests_for_people() {
    assert_snapshot!("contact_requests", Node::alice().prints(&["contact", "requests"]));
}

#[test]
fn contact_requests_for_programs() {
    assert_snapshot!("contact_requests_json", Node::alice().prints(&["contact", "requests", "--json"]));
}

#[test]
fn rooms_for_people() {
    assert_snapshot!("rooms", Node::alice().prints(&["rooms"]));
}

#[test]
fn log_for_people() {
    assert_snapshot!("log_stats", Node::alice().prints(&["log", "stats"]));
}

#[test]
fn entry_domains_for_people() {
    assert_snapshot!("entry_list", Node::alice().prints(&["entry", "list"]));
}

#[test]
fn a_proxy_is_named_as_an_argument_or_where_nobody_sees_it() {
    let node = Node::alice();
    let url = "socks5://me:secret@127.0.0.1:9050";
    for arguments in [["node", "proxy", url], ["node", "proxy", "-"]] {
        node.samizdat(&arguments).write_stdin(format!("{url}\n")).assert().success();
        let edit = NodeEdit { proxy: Some(Secret::new(url)), ..NodeEdit::default() };
        assert_eq!(node.asked().last(), Some(&Request::EditNode(edit)));
    }
    assert_eq!(node.prints(&["node", "proxy"]), "proxy  off\n  Off: others see your address.\n");
}

#[test]
fn the_local_network_is_told_when_one_says_so() {
    let node = Node::alice();
    for (word, lan) in [("on", true), ("off", false)] {
        node.samizdat(&["node", "lan", word]).assert().success();
        assert_eq!(node.asked().last(), Some(&Request::EditNode(NodeEdit { lan: Some(lan), ..NodeEdit::default() })));
    }
    node.samizdat(&["node", "lan", "perhaps"]).assert().code(2);
}

#[test]
fn an_operator_says_where_the_entry_stands_and_the_secret_is_not_shown() {
    let node = Node::alice();
    let file = node.home.path().join("key");
    std::fs::write(&file, "c2VjcmV0").unwrap();
    let file = file.to_str().unwrap();
    let set = ["node", "entry", "set", "entry.example", "--secret-file", file];
    for wrong in [&[][..], &["--server", "192.0.2.1:53", "--dyndns", "https://x"], &["--dyndns", "https://x"], &["--slots", "9"]] {
        node.samizdat(&set).args(wrong).assert().code(2);
    }
    let out = node.prints(&[&set[..], &["--server", "192.0.2.1:53", "--key", "k", "--slots", "2"]].concat());
    assert_eq!(out, "entry.example  The entry stands in entry.example.\n");
    let asked = node.asked();
    let Some(Request::SetOwnEntry(wish)) = asked.last() else { panic!("{asked:?}") };
    assert_eq!((wish.domain.as_str(), wish.secret.reveal(), wish.slots), ("entry.example", "c2VjcmV0", Some(2)));
    assert!(!format!("{asked:?}").contains("c2VjcmV0"));
    assert!(node.prints(&["node", "entry", "off"]).contains("no entry point"));
}

#[test]
fn who_adds_an_entry_domain_is_told_who_sees_it() {
    assert_snapshot!("entry_add", Node::alice().prints(&["entry", "add", "example.org"]));
}

#[test]
fn an_invitation_for_programs() {
    assert_snapshot!("invite_json", Node::alice().prints(&["invite", "--json", "--qr"]));
}

#[test]
fn an_invitation_as_qr_code() {
    assert_snapshot!("invite_qr", Node::alice().prints(&["invite", "--qr"]));
}

#[test]
fn roles_and_relays_for_people() {
    let node = Node::alice();
    let pages = [&["node", "role"][..], &["node", "role", "relay", "on"], &["node", "relays"], &["node", "relays", "off"]];
    assert_snapshot!("node", pages.map(|arguments| node.prints(arguments)).join("\n"));
}

#[test]
fn the_network_for_people() {
    let node = Node::alice();
    let pages = [&["net", "doctor"][..], &["net", "table"], &["net", "lookup", "bobs"]];
    assert_snapshot!("net", pages.map(|arguments| node.prints(arguments)).join("\n"));
    let out = node.samizdat(&["net", "lookup", "nobody"]).assert().code(3).get_output().clone();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "not found; 5 nodes asked, 2 hops\n");
}

#[test]
fn every_row_for_programs_is_one_object() {
    let node = Node::alice();
    for arguments in [
        &["status"][..],
        &["id"],
        &["id", "new", "--label", "x"],
        &["id", "list"],
        &["invite"],
        &["contact", "add", "samizdat:x", "--as", "bob"],
        &["contact", "list"],
        &["contact", "requests"],
        &["contact", "accept", "r1"],
        &["contact", "decline", "r1"],
        &["contact", "block", "r1"],
        &["contact", "unblock", "bob"],
        &["contact", "rename", "bob", "robert"],
        &["send", "bob", "hi"],
        &["post", "hi"],
        &["cancel", "m9"],
        &["read"],
        &["rooms"],
        &["node", "role"],
        &["node", "role", "relay", "on"],
        &["node", "relays"],
        &["net", "doctor"],
        &["net", "table"],
        &["net", "lookup", "bobs"],
        &["node", "lan"],
        &["node", "lan", "on"],
        &["node", "entry"],
        &["entry", "list"],
        &["entry", "add", "example.org"],
        &["entry", "remove", "example.org"],
        &["log", "stats"],
        &["log", "verify"],
    ] {
        let out = node.samizdat(&["--json"]).args(arguments).assert().success().stderr("").get_output().clone();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(!text.is_empty(), "{arguments:?}");
        for line in text.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn empty_lists_are_empty_for_programs_and_a_hint_for_people() {
    let node = Node::empty();
    for arguments in [&["contact", "list"][..], &["contact", "requests"], &["rooms"], &["read"], &["entry", "list"]] {
        node.samizdat(arguments).arg("--json").assert().success().stdout("").stderr("");
        let hint = node.prints(arguments);
        assert!(hint.lines().count() == 1 && hint.contains("samizdat"), "{hint}");
    }
}

#[test]
fn a_request_is_answered_by_id_or_by_who_asks() {
    let node = Node::alice();
    node.samizdat(&["contact", "accept", "r1"]).assert().success();
    assert_eq!(node.asked(), [Request::AnswerRequest { id: "r1".into(), answer: Answer::Accept }]);
}

#[test]
fn somebody_who_did_not_ask_can_be_blocked() {
    let node = Node::alice();
    node.samizdat(&["contact", "block", CAROL]).assert().success();
    let edit = Request::EditContact { who: CAROL.into(), edit: ContactEdit { blocked: Some(true), ..ContactEdit::default() } };
    assert_eq!(node.asked().last(), Some(&edit));
}

#[test]
fn a_contact_is_told_what_was_read_when_one_says_so() {
    let node = Node::alice();
    for (word, receipts) in [("on", true), ("off", false)] {
        node.samizdat(&["contact", "receipts", CAROL, word]).assert().success();
        let edit = ContactEdit { receipts: Some(receipts), ..ContactEdit::default() };
        assert_eq!(node.asked().last(), Some(&Request::EditContact { who: CAROL.into(), edit }));
    }
    node.samizdat(&["contact", "receipts", CAROL, "perhaps"]).assert().code(2);
}

#[test]
fn sessions_with_a_contact_are_chosen_by_word() {
    let node = Node::alice();
    for (word, choice) in [("off", SessionChoice::Off), ("relayed", SessionChoice::Relayed), ("direct", SessionChoice::Direct)] {
        node.samizdat(&["contact", "session", CAROL, word]).assert().success();
        let edit = ContactEdit { session: Some(choice), ..ContactEdit::default() };
        assert_eq!(node.asked().last(), Some(&Request::EditContact { who: CAROL.into(), edit }));
    }
    node.samizdat(&["contact", "session", CAROL, "on"]).assert().code(2);
}

#[test]
fn a_log_is_carried_from_node_to_node() {
    let node = Node::alice();
    let file = node.home.path().join("slice");
    let file = file.to_str().unwrap();
    let row: Value = serde_json::from_str(&node.prints(&["log", "export", file, "--json"])).unwrap();
    assert_eq!((row["bytes"].as_u64(), row["file"].as_str()), (Some(5), Some(file)));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "slice");
    assert_eq!(node.prints(&["log", "import", file]), "5 new, 2 known already, 0 refused\n");
}

#[test]
fn a_failed_export_leaves_nothing_behind() {
    let node = Node::alice();
    let file = node.home.path().join("nowhere/slice");
    node.samizdat(&["log", "export", file.to_str().unwrap()]).assert().code(3);
    let taken = node.home.path().join("folder");
    std::fs::create_dir(&taken).unwrap();
    node.samizdat(&["log", "export", taken.to_str().unwrap()]).assert().code(4);
    assert!(!node.home.path().join("folder.part").exists());
}

#[test]
fn stop_returns_when_the_node_is_gone() {
    let node = Node::alice();
    assert_eq!(node.prints(&["stop", "--json"]), "{\"stopped\":true}\n");
    node.samizdat(&["status"]).assert().code(5);
}

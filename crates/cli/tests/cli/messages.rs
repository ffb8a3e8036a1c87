//! Writing and reading.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use crate::node::{ALICE, BOB, Node, message, mining, news, other_identity};
use assert_cmd::cargo::cargo_bin;
use insta::assert_snapshot;
use samizdat_api::{ApiError, Destination, Event, Message, MessageState, Request, Response};
use serde_json::Value;

/// A node whose message m9 is `then` when it is asked for.
fn later(then: MessageState) -> Node {
    Node::new(move |_, request| match request {
        Request::Message { .. } => Some(Ok(Response::Message(Message { mine: true, ..message("m9", ALICE, "hi", then) }))),
        _ => None,
    })
}

fn spawn(node: &Node, arguments: &[&str]) -> Child {
    Command::new(cargo_bin!("samizdat"))
        .env_clear()
        .env("SAMIZDAT_HOME", node.home.path())
        .env("TZ", "UTC")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn until_asked(node: &Node, wanted: impl Fn(&Request) -> bool) {
    while !node.asked().iter().any(&wanted) {
        std::thread::yield_now();
    }
}

#[test]
fn a_message_is_written() {
    let node = Node::alice();
    let row: Value = serde_json::from_str(&node.prints(&["send", "bob", "hi", "--days", "3", "--json"])).unwrap();
    assert_eq!((row["id"].as_str(), row["state"].as_str()), (Some("m9"), Some("stamped")));
    let to = Destination::Who("bob".into());
    assert_eq!(node.asked(), [Request::Send { to, text: "hi".into(), days: Some(3) }]);
}

#[test]
fn a_message_comes_from_standard_input() {
    let node = Node::alice();
    node.samizdat(&["send", "bob", "-"]).write_stdin("two\nlines\n").assert().success();
    let to = Destination::Who("bob".into());
    assert_eq!(node.asked(), [Request::Send { to, text: "two\nlines".into(), days: None }]);
}

#[test]
fn a_message_may_begin_like_an_option() {
    let node = Node::alice();
    node.samizdat(&["send", "bob", "--maybe", "--json"]).assert().success();
    let to = Destination::Who("bob".into());
    assert_eq!(node.asked(), [Request::Send { to, text: "--maybe".into(), days: None }]);
}

#[test]
fn a_post_joins_its_room() {
    let node = Node::alice();
    node.samizdat(&["post", "hi", "--room", "garden"]).assert().success();
    let to = Destination::Room("garden".into());
    let asked = [Request::JoinRoom { room: "garden".into() }, Request::Send { to, text: "hi".into(), days: None }];
    assert_eq!(node.asked(), asked);
}

#[test]
fn a_wait_that_is_fulfilled_is_0() {
    let node = later(MessageState::Received);
    let row: Value = serde_json::from_str(&node.prints(&["send", "bob", "hi", "--wait", "published", "--json"])).unwrap();
    assert_eq!(row["state"], "received");
}

#[test]
fn a_wait_in_vain_prints_the_row_and_is_4() {
    let node = later(MessageState::Stamped);
    let arguments = ["send", "bob", "hi", "--wait", "received", "--timeout", "0", "--json"];
    let out = node.samizdat(&arguments).assert().code(4).get_output().clone();
    let row: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(row["state"], "stamped");
    let error: Value = serde_json::from_slice(&out.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "refused");
    let text = "samizdat: the message is stamped and was not received within 0 s; it stays in the outbox and goes on by itself\n";
    node.samizdat(&arguments[..7]).assert().code(4).stderr(text);
}

#[cfg(unix)]
#[test]
fn whoever_stops_waiting_is_told_that_the_message_goes_on() {
    let node = later(MessageState::Stamped);
    let child = spawn(&node, &["send", "bob", "hi", "--wait", "received", "--timeout", "3600", "--json"]);
    until_asked(&node, |request| matches!(request, Request::Message { .. }));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130));
    let row: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(row["id"], "m9");
    assert!(String::from_utf8(out.stderr).unwrap().contains("stays in the outbox"));
}

#[test]
fn messages_for_people() {
    assert_snapshot!("read", Node::alice().prints(&["read"]));
}

#[test]
fn messages_of_one_conversation_for_people() {
    assert_snapshot!("read_who", Node::alice().prints(&["read", "bob"]));
}

#[test]
fn messages_for_programs() {
    assert_snapshot!("read_json", Node::alice().prints(&["read", "bob", "--json"]));
}

#[test]
fn reading_marks_as_read_what_was_not() {
    let node = Node::alice();
    node.samizdat(&["read"]).assert().success();
    let marks: Vec<Request> = node.asked().into_iter().filter(|r| matches!(r, Request::MarkRead { .. })).collect();
    assert_eq!(marks, [Request::MarkRead { conversation: "c1".into(), up_to: Some("m2".into()) }]);
}

#[test]
fn a_message_cannot_command_the_terminal_or_forge_a_line() {
    let node = Node::new(|_, request| match request {
        Request::Messages(_) => {
            let evil = "x\x1b]0;owned\x07\x1b[2J\u{202e}y\n2026-11-21 14:04 bob: forged";
            let petname = Some("b\x1b[31mob\u{2066}".into());
            Some(Ok(Response::Messages(vec![Message { from_petname: petname, ..message("m1", BOB, evil, MessageState::Read) }])))
        }
        _ => None,
    });
    let text = "2026-11-21 14:03 bob: xy\n    2026-11-21 14:04 bob: forged\n";
    assert_eq!(node.prints(&["read", "bob"]), text);
}

#[test]
fn following_prints_each_message_once() {
    let old = message("m1", BOB, "old", MessageState::Read);
    let new = message("m2", BOB, "new", MessageState::Received);
    let listed = std::sync::Arc::new(std::sync::Mutex::new(vec![old.clone()]));
    let shown = listed.clone();
    let node = Node::new(move |_, request| match request {
        Request::Messages(_) => Some(Ok(Response::Messages(shown.lock().unwrap().clone()))),
        _ => None,
    });
    let mut child = spawn(&node, &["read", "bob", "--follow", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| {
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        row["id"].as_str().unwrap().to_owned()
    });
    assert_eq!(lines.next().unwrap(), "m1");
    listed.lock().unwrap().push(new.clone());
    node.handle.events.send(news(&old)).unwrap();
    node.handle.events.send(news(&new)).unwrap();
    assert_eq!(lines.next().unwrap(), "m2");
    until_asked(&node, |request| matches!(request, Request::MarkRead { .. }));
    node.handle.events.send(news(&new)).unwrap();
    // The program ends with the node, which has no more to say.
    drop(node);
    assert_eq!(lines.next(), None);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// A node with so many messages of Bob, m000 first, that pages as the real one does.
fn long_chat(count: usize) -> (Node, std::sync::Arc<std::sync::Mutex<Vec<Message>>>) {
    let many = (0..count).map(|i| message(&format!("m{i:03}"), BOB, "x", MessageState::Received)).collect();
    let all: std::sync::Arc<std::sync::Mutex<Vec<Message>>> = std::sync::Arc::new(std::sync::Mutex::new(many));
    let held = all.clone();
    let node = Node::new(move |_, request| match request {
        Request::Messages(query) => {
            let all = held.lock().unwrap();
            let known = |id: &Option<String>| id.as_ref().is_none_or(|id| all.iter().any(|m| m.id == *id));
            if !known(&query.since) || !known(&query.before) {
                return Some(Err(ApiError::not_found("there is no message with this id")));
            }
            let between = |m: &&Message| {
                query.since.as_ref().is_none_or(|id| m.id > *id) && query.before.as_ref().is_none_or(|id| m.id < *id)
            };
            let found: Vec<Message> = all.iter().filter(between).cloned().collect();
            let limit = query.limit.unwrap_or(200) as usize;
            let skip = if query.since.is_some() { 0 } else { found.len().saturating_sub(limit) };
            Some(Ok(Response::Messages(found.into_iter().skip(skip).take(limit).collect())))
        }
        _ => None,
    });
    (node, all)
}

fn ids(json: &str) -> Vec<String> {
    json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

fn marks(node: &Node) -> Vec<String> {
    let up_to = |request| if let Request::MarkRead { up_to, .. } = request { up_to } else { None };
    node.asked().into_iter().filter_map(up_to).collect()
}

#[test]
fn reading_since_a_message_drops_nothing_however_much_came() {
    let (node, _) = long_chat(461);
    let read = ids(&node.prints(&["read", "bob", "--since", "m000", "--json"]));
    assert_eq!((read.len(), read[0].as_str(), read[459].as_str()), (460, "m001", "m460"));
    assert_eq!(marks(&node), ["m200", "m400", "m460"]);
    assert_eq!(node.prints(&["read", "bob", "--since", "m460"]), "Nothing new.\n");
    node.samizdat(&["read", "bob", "--since", "gone"]).assert().code(3);
}

#[test]
fn reading_before_a_message_reaches_the_first_one() {
    let (node, _) = long_chat(300);
    let read = ids(&node.prints(&["read", "bob", "--json"]));
    assert_eq!((read.len(), read[0].as_str()), (200, "m100"));
    let older = ids(&node.prints(&["read", "bob", "--before", "m100", "--json"]));
    assert_eq!((older.len(), older[0].as_str(), older[99].as_str()), (100, "m000", "m099"));
    assert_eq!(marks(&node), ["m299", "m099"], "what was not printed is not marked");
}

#[test]
fn following_prints_all_of_a_burst_also_when_the_last_message_is_gone() {
    let (node, all) = long_chat(1);
    let mut child = spawn(&node, &["read", "bob", "--follow", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| ids(&line.unwrap()).remove(0));
    assert_eq!(lines.next().unwrap(), "m000");
    // Its author rewrote history, and much came while we were away.
    let burst: Vec<Message> = (1..450).map(|i| message(&format!("m{i:03}"), BOB, "x", MessageState::Received)).collect();
    *all.lock().unwrap() = burst.clone();
    node.handle.events.send(news(&burst[448])).unwrap();
    for i in 1..450 {
        assert_eq!(lines.next().unwrap(), format!("m{i:03}"));
    }
    drop(node);
    assert_eq!(lines.next(), None);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let node = Node::new(|_, request| match request {
        Request::Messages(_) => {
            let text = "x".repeat(10_000);
            let many = (0..200).map(|i| message(&format!("m{i}"), BOB, &text, MessageState::Read)).collect();
            Some(Ok(Response::Messages(many)))
        }
        _ => None,
    });
    let mut child = spawn(&node, &["read", "bob"]);
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn mining_waits_for_the_name() {
    let node = Node::new(|node, request| match request {
        Request::Mine { prefix, .. } => {
            node.events.send(Event::Mining { mining: mining(prefix) }).unwrap();
            node.events.send(Event::Mined { id: "other".into(), identity: None }).unwrap();
            node.events.send(Event::Mined { id: "s1".into(), identity: Some(other_identity()) }).unwrap();
            None
        }
        _ => None,
    });
    let row: Value = serde_json::from_str(&node.prints(&["id", "mine", "--prefix", "ca", "--json"])).unwrap();
    assert_eq!(row["name"], other_identity().name);
}

#[cfg(unix)]
#[test]
fn mining_ends_with_the_command_however_that_is_asked_to_end() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let node = Node::alice();
        let child = spawn(&node, &["id", "mine", "--prefix", "ca"]);
        until_asked(&node, |request| matches!(request, Request::Mine { .. }));
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code), "{signal}");
        assert!(node.asked().contains(&Request::CancelMine), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn who_is_refused_a_search_does_not_end_somebody_elses() {
    let (answer, is_answered) = mpsc::channel::<()>();
    // Bob searches already; Alice is interrupted before she hears so.
    let node = Node::new(move |_, request| match request {
        Request::Mine { .. } => {
            is_answered.recv().unwrap();
            Some(Err(ApiError::refused("a search is running already")))
        }
        _ => None,
    });
    let child = spawn(&node, &["id", "mine", "--prefix", "ca"]);
    until_asked(&node, |request| matches!(request, Request::Mine { .. }));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    answer.send(()).unwrap();
    // Which of the two ends the command does not matter.
    assert!(matches!(child.wait_with_output().unwrap().status.code(), Some(4 | 130)));
    assert!(!node.asked().contains(&Request::CancelMine));
}

#[test]
fn an_abandoned_search_is_ended_with_a_command() {
    let node = Node::alice();
    assert_eq!(node.prints(&["id", "mine", "--cancel", "--json"]), "{\"cancelled\":true}\n");
    assert_eq!(node.asked(), [Request::CancelMine]);
    node.samizdat(&["id", "mine", "--cancel", "--prefix", "ca"]).assert().code(2);
    node.samizdat(&["id", "mine"]).assert().code(2);
}

#[test]
fn a_post_is_received_by_nobody_in_particular() {
    let node = Node::alice();
    let refusal = "samizdat: nobody acknowledges a post in a room: wait for `published`\n";
    node.samizdat(&["post", "hi", "--wait", "received"]).assert().code(2).stdout("").stderr(refusal);
    assert!(node.asked().is_empty());
}

#[test]
fn a_wait_that_ends_with_the_node_is_no_timeout() {
    let node = Node::new(|_, request| match request {
        Request::Message { .. } => {
            Some(Ok(Response::Message(Message { mine: true, ..message("m9", ALICE, "hi", MessageState::Stamped) })))
        }
        _ => None,
    });
    let child = spawn(&node, &["send", "bob", "hi", "--wait", "published", "--timeout", "600", "--json"]);
    until_asked(&node, |request| matches!(request, Request::Message { .. }));
    drop(node);
    let out = child.wait_with_output().unwrap();
    let (row, error) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(out.status.code(), Some(5), "{error}");
    assert!(error.contains("the node has ended") && row.contains("\"m9\""), "{row} {error}");
}

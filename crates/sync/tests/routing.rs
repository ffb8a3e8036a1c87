//! Questions and answers of the routing as bytes, and what a second implementation would check itself against:
//! `vectors/routing.json`. `BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

use std::sync::Arc;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use samizdat_core::{
    NodeRecord, PeerId, PeerSecret,
    record::{Dual, NodeFields, RelayService, Roles, Via},
};
use samizdat_sync::{
    FrameError,
    limits::{ANSWER_MAX, CLOSER_MAX, QUESTION_MAX, VERIFIED_MAX},
    reach::{Check, CheckIn, Checked, CheckedIn},
    routing::{
        Answer, Key, Question,
        codec::{AnswerIn, QuestionIn, Verified},
    },
};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn record(n: u8, issued: u64) -> Arc<NodeRecord> {
    let fields = NodeFields {
        issued,
        lifetime_s: 7200,
        roles: Roles::default(),
        addrs: vec![format!("203.0.113.{n}:4001").parse().unwrap()],
        relay: None,
        via: Vec::new(),
    };
    Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
}

fn hidden(n: u8) -> Arc<NodeRecord> {
    let via = vec![Via { at: "198.51.100.1:443".parse().unwrap(), certificate: [8; 32] }];
    let fields = NodeFields { issued: NOW, lifetime_s: 3600, roles: Roles::default(), addrs: Vec::new(), relay: None, via };
    Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
}

fn target(n: u8) -> Key {
    Key::of(&PeerSecret([n; 32]).peer())
}

fn questions() -> Vec<(&'static str, Option<Arc<NodeRecord>>, Question)> {
    vec![
        ("find, by a node that can be dialled", Some(record(1, NOW)), Question::Find { target: target(2) }),
        ("find, by a node behind a router", None, Question::Find { target: target(2) }),
        ("store, by a node behind a router", None, Question::Store { record: hidden(3) }),
        ("store, by a node that can be dialled", Some(record(1, NOW)), Question::Store { record: record(1, NOW) }),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let nodes = |found, closer| Answer::Nodes { found, closer };
    vec![
        ("nobody", nodes(None, Vec::new())),
        ("the record at the position", nodes(Some(hidden(3)), vec![record(1, NOW), record(2, NOW)])),
        ("those closest to it", nodes(None, vec![record(1, NOW)])),
        ("stored", Answer::Stored(true)),
        ("not stored", Answer::Stored(false)),
    ]
}

/// Can port 4001 be dialled; and a relay as well?
fn checks() -> [Check; 2] {
    let relay = RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] };
    [Check { port: 4001, relay: None }, Check { port: 4001, relay: Some(relay) }]
}

/// Yes, from an IPv4 address; no, from an IPv6 address, but its relay.
fn checked() -> [Checked; 2] {
    let [v4, v6] = ["203.0.113.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
    [Checked { ip: v4, endpoint: true, relay: false }, Checked { ip: v6, endpoint: false, relay: true }]
}

#[test]
fn the_vectors_are_what_the_code_makes_and_takes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/routing.json");
    let position = |n: u8| {
        let peer = PeerSecret([n; 32]).peer();
        json!({ "peer": HEXLOWER.encode(&peer.0), "position": HEXLOWER.encode(&Key::of(&peer).to_bytes()) })
    };
    let (one, two) = (target(1), target(2));
    let asked = questions().into_iter().map(|(what, record, question)| {
        let bytes = QuestionIn::of(record.as_deref(), &question).encode();
        json!({ "what": what, "bytes": HEXLOWER.encode(&bytes) })
    });
    let answered = answers()
        .into_iter()
        .map(|(what, answer)| json!({ "what": what, "bytes": HEXLOWER.encode(&AnswerIn::of(&answer).encode()) }));
    let made = json!({
        "now": NOW,
        "positions": [position(1), position(2)],
        "shared_bits": one.shared_bits(two),
        "questions": asked.collect::<Vec<_>>(),
        "answers": answered.collect::<Vec<_>>(),
        "check": {
            "questions": checks().map(|check| HEXLOWER.encode(&CheckIn::of(check).encode())),
            "answers": checked().map(|checked| HEXLOWER.encode(&CheckedIn::of(checked).encode())),
        },
    });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, made);
    let bytes = |value: &Value| HEXLOWER.decode(value["bytes"].as_str().unwrap().as_bytes()).unwrap();
    for (kept, check) in kept["check"]["questions"].as_array().unwrap().iter().zip(checks()) {
        let bytes = HEXLOWER.decode(kept.as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(CheckIn::decode(&bytes).unwrap().check(), check);
    }
    for (kept, checked) in kept["check"]["answers"].as_array().unwrap().iter().zip(checked()) {
        let bytes = HEXLOWER.decode(kept.as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(CheckedIn::decode(&bytes).unwrap().checked(), checked);
    }
    let mut verified = Verified::default();
    for (kept, (what, record, question)) in kept["questions"].as_array().unwrap().iter().zip(questions()) {
        let read = QuestionIn::decode(&bytes(kept)).unwrap().verify(&mut verified, NOW);
        assert_eq!(read, Some((record, question)), "{what}");
    }
    for (kept, (what, answer)) in kept["answers"].as_array().unwrap().iter().zip(answers()) {
        assert_eq!(AnswerIn::decode(&bytes(kept)).unwrap().verify(&mut verified, NOW), answer, "{what}");
    }
}

#[test]
fn the_longest_messages_fit() {
    let mut longest = NodeFields::clone(hidden(1).fields());
    longest.addrs = (1..=4).map(|n| format!("[2001:db8::{n}]:65535").parse().unwrap()).collect();
    longest.addrs[0] = "203.0.113.7:65535".parse().unwrap();
    longest.via = vec![Via { at: Dual::of(longest.addrs.clone()).unwrap(), certificate: [255; 32] }; 3];
    let longest = Arc::new(NodeRecord::sign(&PeerSecret([1; 32]), longest).unwrap());
    let store = QuestionIn::of(Some(&longest), &Question::Store { record: longest.clone() }).encode();
    assert!(store.len() <= QUESTION_MAX && QuestionIn::decode(&store).is_ok());
    let nodes = Answer::Nodes { found: Some(longest.clone()), closer: vec![longest; CLOSER_MAX + 5] };
    let nodes = AnswerIn::of(&nodes).encode();
    assert!(nodes.len() <= ANSWER_MAX && AnswerIn::decode(&nodes).is_ok());
    assert_eq!(AnswerIn::decode(&vec![0; ANSWER_MAX + 1]), Err(FrameError::TooLong));
    assert_eq!(QuestionIn::decode(&vec![0; QUESTION_MAX + 1]), Err(FrameError::TooLong));
}

#[test]
fn a_record_that_is_none_is_left_out_and_the_others_stay() {
    let (good, old) = (record(1, NOW), record(2, NOW - 5 * 3600));
    let mut bytes =
        AnswerIn::of(&Answer::Nodes { found: Some(old.clone()), closer: vec![old, good.clone(), record(3, NOW)] }).encode();
    // The last byte is of the last signature.
    *bytes.last_mut().unwrap() ^= 1;
    let read = AnswerIn::decode(&bytes).unwrap().verify(&mut Verified::default(), NOW);
    assert_eq!(read, Answer::Nodes { found: None, closer: vec![good] });
    let store = QuestionIn::of(None, &Question::Store { record: record(2, NOW - 5 * 3600) });
    assert_eq!(store.verify(&mut Verified::default(), NOW), None);
    let find = Question::Find { target: target(9) };
    let asked = QuestionIn::of(Some(&record(2, NOW - 5 * 3600)), &find).verify(&mut Verified::default(), NOW);
    assert_eq!(asked, Some((None, find)));
}

#[test]
fn a_record_seen_before_is_the_same_one_and_expires_all_the_same() {
    let mut verified = Verified::default();
    let mut read =
        |now| match AnswerIn::of(&Answer::Nodes { found: Some(record(1, NOW)), closer: Vec::new() }).verify(&mut verified, now) {
            Answer::Nodes { found, .. } => found,
            Answer::Stored(_) => None,
        };
    let (one, two) = (read(NOW).unwrap(), read(NOW + 1).unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert!(read(NOW + 4 * 3600 + 1).is_none());
}

#[test]
fn not_all_records_ever_seen_are_remembered() {
    let mut verified = Verified::default();
    for n in 0..=VERIFIED_MAX as u64 {
        AnswerIn::of(&Answer::Nodes { found: Some(record(1, NOW + n)), closer: Vec::new() }).verify(&mut verified, NOW);
    }
    assert_eq!(verified.len(), VERIFIED_MAX);
}

#[test]
fn what_is_not_the_one_encoding_is_refused() {
    let find = QuestionIn::of(None, &Question::Find { target: Key::of(&PeerId([1; 32])) }).encode();
    assert_eq!(QuestionIn::decode(&[&find[..], &[0]].concat()), Err(FrameError::NotCanonical));
    assert_eq!(QuestionIn::decode(&[&[0x83, 0x18, 1], &find[2..]].concat()), Err(FrameError::NotCanonical));
    assert_eq!(QuestionIn::decode(&[&[0x83, 9], &find[2..]].concat()), Err(FrameError::UnknownType(9)));
    assert_eq!(AnswerIn::decode(&[0x83, 1, 0xf6, 0x98, 21]), Err(FrameError::OverBound));
    assert_eq!(AnswerIn::decode(&[0x82, 2, 2]), Err(FrameError::Malformed));
}

proptest! {
    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 1_u8..3) {
        for bytes in [bytes.clone(), [&[0x83, kind], &bytes[..]].concat()] {
            if let Ok(question) = QuestionIn::decode(&bytes) {
                prop_assert_eq!(question.encode(), bytes.clone());
            }
            if let Ok(answer) = AnswerIn::decode(&bytes) {
                prop_assert_eq!(answer.encode(), bytes);
            }
        }
    }
}

//! A crowd of strangers against a whole node: its memory is bounded, its person is answered, and who talks to her goes on.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use std::path::Path;

use lab_node::{Node, PATIENCE, befriend, public};
use samizdat_netlab::{
    Kind, Plan, Program,
    flood::{Strangers, crowd},
    limits::{CROWD_NETWORKS, FLOOD_KIB_MORE},
    permitted,
};
use serde_json::Value;

const STRANGERS: usize = 1000;

/// The key in an address for others to join, in hex instead of base32.
fn key(join: &str) -> String {
    let value = |letter: char| "abcdefghijklmnopqrstuvwxyz234567".find(letter).unwrap();
    let bits: String = join.split('@').next().unwrap().chars().map(|letter| format!("{:05b}", value(letter))).collect();
    let byte = |bits: &[u8]| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap();
    bits.as_bytes().chunks_exact(8).map(|bits| format!("{:02x}", byte(bits))).collect()
}

#[test]
fn a_whole_node_that_strangers_flood_stays_small_and_serves_its_person() {
    if !permitted("a whole node is flooded") {
        return;
    }
    let netlab = Path::new(env!("CARGO_BIN_EXE_samizdat")).with_file_name("netlab");
    assert!(netlab.exists(), "the lab's own program is built with the whole workspace");
    let lab = Plan::new().hosts(4).peer(Kind::Port).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    let alice = Node::joining(lab.peer(0).unwrap().station(), &[&carol.join, &dave.join, &erin.join]);
    befriend(&alice, &carol);
    carol.says(&alice.name, "before");
    let before = carol.process.most_resident_kib().unwrap();

    let station = lab.host(3).unwrap();
    let networks = lab.crowd(3, CROWD_NETWORKS).unwrap();
    let at = format!("{}:4001", carol.station.address().unwrap());
    let strangers = crowd(&Program::node(netlab), station, &networks, (&key(&carol.join), &at), STRANGERS).unwrap();
    // In the middle of it.
    carol.says(&alice.name, "so many people here");
    alice.row(&["send", &carol.name, "who are they?", "--days", "1"]);
    let came: Strangers = strangers.process.json(PATIENCE.saturating_mul(2)).unwrap();
    assert_eq!(came.came, STRANGERS as u64);
    let peers = |status: &Value| status["peers"].as_array().unwrap().len();
    // Nobody whom she had is pushed out for good.
    carol.until(&["status"], |status| (2..=12).contains(&peers(status)));
    alice.says(&carol.name, "they are gone");
    carol.says(&alice.name, "after");
    let read = carol.rows(&["read", &alice.name]);
    assert!(read.iter().any(|message| message["text"] == "who are they?"), "{read:?}");
    let most = carol.process.most_resident_kib().unwrap();
    println!("{} of {} let in; most memory {} MiB before, {} MiB after", came.let_in, came.came, before / 1024, most / 1024);
    assert!(most <= before + FLOOD_KIB_MORE, "{before} KiB before, {most} KiB");
}

//! Entry domains, and a name server that only says no: who is asked, for what, and what the person reads.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod people;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

use people::{Person, eventually};

/// Answers every question with SERVFAIL, and keeps the names.
fn refuser() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            heard.lock().unwrap().push(name(&packet[12..length]));
            packet[2] |= 0x80;
            packet[3] = packet[3] & 0xf0 | 2;
            socket.send_to(&packet[..length], from).unwrap();
        }
    });
    (addr, asked)
}

fn name(mut question: &[u8]) -> String {
    let mut labels = Vec::new();
    while question[0] != 0 {
        let (label, rest) = question[1..].split_at(question[0].into());
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        question = rest;
    }
    labels.join(".")
}

#[test]
fn dns_is_asked_only_by_who_is_alone_and_only_for_domains_that_were_added() {
    let (server, asked) = refuser();
    let server = server.to_string();
    let dave = Person::new("dave").start(&[]);
    let [mut alice, mut carol] = ["alice", "carol"].map(Person::new);
    alice.start_with(&["--resolver", &server]);
    let added = alice.json(&["entry", "add", "Entry.Example."]);
    assert_eq!((added["domain"].as_str(), added["looked_at"].as_u64()), (Some("entry.example"), None));
    assert_eq!(alice.code(&["entry", "add", "no domain"]), 2);
    // Carol has a neighbour, so nobody is asked for her.
    carol.start_with(&["--resolver", &server, "--join", &dave.join]);
    eventually("carol to meet dave", || (!carol.json(&["status"])["peers"].as_array().unwrap().is_empty()).then_some(()));
    carol.json(&["entry", "add", "carols.example"]);

    let row = eventually("a lookup", || Some(alice.json(&["entry", "list"])).filter(|row| row["looked_at"].is_u64()));
    assert_eq!(row["why"], "The lookup failed: the name servers cannot say anything about this domain.");
    // She may have looked again meanwhile.
    let told = alice.json(&["status"])["meeting"]["entries"][0].take();
    assert_eq!((&told["domain"], &told["why"]), (&row["domain"], &row["why"]));
    assert!(carol.json(&["entry", "list"])["looked_at"].is_null());
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|name| name == "_samizdat.entry.example"), "{asked:?}");

    alice.stop();
    alice.start_with(&["--resolver", &server]);
    assert_eq!(alice.json(&["entry", "list"])["domain"], "entry.example", "it is kept");
    alice.json(&["entry", "remove", "entry.example"]);
    assert!(alice.rows(&["entry", "list"]).is_empty());
    assert_eq!(alice.code(&["entry", "remove", "entry.example"]), 3);
}

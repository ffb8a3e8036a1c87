//! Faults in the laboratory: contacts that vanish, relays that lose packets and fall silent, a machine that sleeps and wakes up
//! elsewhere at another hour, a proxy as the only way out.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use lab_node::{Node, befriend, public};
use samizdat_netlab::watch::{Destination, Protocol, excepted};
use samizdat_netlab::{Kind, Lab, Link, Plan, Process, Station, permitted};
use serde_json::Value;

/// What each says before somebody moves, meanwhile, and afterwards.
const WORDS: usize = 5;

/// Says loudly that `test` is not run where `found` is nothing.
fn here<T>(test: &str, package: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: {test}: there is no {package} ***\n");
    }
    found
}

/// The library that tells a program another time; Debian has it in a folder for the kind of processor.
fn faketime() -> Option<String> {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())?;
    Some(library.display().to_string())
}

fn peer(lab: &Lab, k: usize) -> &Station {
    lab.peer(k).unwrap().station()
}

/// The relay through which a node is reached.
fn through(node: &Node<'_>) -> String {
    let found = node.until(&["node", "relays"], |relays| relays["through"][0].is_string());
    found["through"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_session_is_direct_while_both_agree_and_a_contact_who_punches_and_vanishes_is_met_again() {
    if !permitted("a direct session between two home networks") {
        return;
    }
    let lab = Plan::new().hosts(3).peer(Kind::Port).peer(Kind::Port).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    carol.relay();
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(peer(&lab, 1), &joins);
    let alice = Node::joining(peer(&lab, 0), &joins);
    [&alice, &bob].iter().for_each(|node| drop(through(node)));
    befriend(&alice, &bob);

    // Alice would, Bob would not.
    alice.row(&["contact", "session", "bob", "direct"]);
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
    alice.says("bob", "by the relay");
    assert!([&alice, &bob].iter().all(|node| node.row(&["status"]).unwrap()["sessions"][0]["path"] == "relayed"));

    // He would after all, and vanishes as soon as a packet of hers has found him.
    bob.row(&["contact", "session", &alice.name, "direct"]);
    alice.in_session("direct");
    let session = alice.row(&["status"]).unwrap()["sessions"][0].clone();
    // Two access links of 10 ms, there and back.
    assert!((40..5_000).contains(&session["rtt_ms"].as_u64().unwrap()), "{session}");
    let before = session["peer"].clone();
    let bob = bob.killed_and_started(&joins);
    alice.row(&["send", "bob", "to somebody who is gone", "--days", "1"]);
    let is_another = |status: &Value| status["sessions"][0]["path"] == "direct" && status["sessions"][0]["peer"] != before;
    alice.until(&["status"], is_another);
    bob.in_session("direct");
    bob.says(&alice.name, "here I am again");
    let read = bob.rows(&["read", &alice.name]);
    assert!(read.iter().any(|message| message["text"] == "to somebody who is gone"), "{read:?}");

    // One is enough to end it.
    alice.row(&["contact", "session", "bob", "relayed"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
    for node in [&carol, &dave, &erin, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

#[test]
fn a_session_follows_one_who_changes_the_network_and_no_message_is_lost() {
    if !permitted("a session of somebody who changes the network") {
        return;
    }
    let lab = Plan::new().hosts(3).roamer(Kind::Port, Kind::Port).peer(Kind::Port).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    carol.relay();
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(peer(&lab, 1), &joins);
    let alice = Node::joining(peer(&lab, 0), &joins);
    [&alice, &bob].iter().for_each(|node| drop(through(node)));
    befriend(&alice, &bob);
    bob.row(&["contact", "session", &alice.name, "direct"]);
    alice.row(&["contact", "session", "bob", "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("direct"));
    let since = |node: &Node<'_>| node.row(&["status"]).unwrap()["sessions"][0]["since"].clone();
    let before = since(&bob);

    // Both talk all the time; she moves in the middle.
    let both_say = |n: usize| {
        alice.row(&["send", "bob", &format!("alice {n}"), "--days", "1"]);
        bob.row(&["send", &alice.name, &format!("bob {n}"), "--days", "1"]);
    };
    (0..WORDS).for_each(both_say);
    lab.roam(0).unwrap();
    (WORDS..2 * WORDS).for_each(both_say);
    // Through the relay at first.
    let again = |status: &Value| status["sessions"][0]["since"].is_u64() && status["sessions"][0]["since"] != before;
    [&alice, &bob].iter().for_each(|node| drop(node.until(&["status"], again)));
    (2 * WORDS..3 * WORDS).for_each(both_say);
    alice.says("bob", "here I am");
    bob.says(&alice.name, "and I am where I was");
    for (node, who, from) in [(&bob, alice.name.as_str(), "alice"), (&alice, "bob", "bob")] {
        let texts = |rows: Vec<Value>| rows.into_iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let came = |n: usize| texts(node.rows(&["read", who])).iter().filter(|text| **text == format!("{from} {n}")).count();
        for n in 0..3 * WORDS {
            node.until(&["status"], |_| came(n) > 0);
            assert_eq!(came(n), 1, "{from} {n}");
        }
    }
    // Each comes by the log as well, once its stamp is found, and is not read twice.
    for node in [&alice, &bob] {
        node.until(&["status"], |status| ["waiting", "stamping", "stamped"].iter().all(|state| status["outbox"][state] == 0));
    }
    alice.says("bob", "after all");
    bob.says(&alice.name, "of it");
    for (node, who, from) in [(&bob, alice.name.as_str(), "alice"), (&alice, "bob", "bob")] {
        let rows = node.rows(&["read", who]);
        let came = |n: usize| rows.iter().filter(|message| message["text"] == format!("{from} {n}")).count();
        assert_eq!((0..3 * WORDS).map(came).collect::<Vec<_>>(), [1; 3 * WORDS], "{from}");
    }
    // What she sent in the first moment, from the address that she had, took her port at the new router: another leads out of that.
    [&alice, &bob].iter().for_each(|node| node.in_session("direct"));
    alice.says("bob", "straight again");
    let last = bob.rows(&["read", &alice.name]).into_iter().find(|message| message["text"] == "here I am").unwrap();
    assert_eq!(last["path"], "direct", "{last}");
    for node in [&carol, &dave, &erin, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

#[test]
fn a_session_goes_on_through_a_relay_that_drops_and_delays_and_when_that_falls_silent_through_the_next() {
    if !permitted("a relay that fails slowly") {
        return;
    }
    let lab = Plan::new().hosts(3).peer(Kind::Sym).peer(Kind::Sym).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    [&carol, &dave].iter().for_each(|node| node.relay());
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(peer(&lab, 1), &joins);
    let alice = Node::joining(peer(&lab, 0), &joins);
    [&alice, &bob].iter().for_each(|node| drop(through(node)));
    befriend(&alice, &bob);
    alice.row(&["contact", "session", "bob", "relayed"]);
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));

    // Frames overtake each other, one in twenty is lost.
    let relays = [&carol, &dave].map(|node| (node.station, format!("{}:4001", node.station.address().unwrap())));
    let bad = Link { delay: Duration::from_millis(50), jitter: Duration::from_millis(50), loss: 0.05, ..Link::WIRE };
    relays.iter().for_each(|(station, _)| lab.set_link(station.link(), bad).unwrap());
    alice.says("bob", "through thick and thin");
    relays.iter().for_each(|(station, _)| lab.set_link(station.link(), Link::slow(Duration::from_millis(10))).unwrap());

    let used = through(&bob);
    let (silent, _) = relays.iter().find(|(_, relay)| *relay == used).unwrap();
    let (_, other) = relays.iter().find(|(_, relay)| *relay != used).unwrap();
    lab.set_link(silent.link(), Link::CUT).unwrap();
    for node in [&alice, &bob] {
        node.until(&["node", "relays"], |relays| relays["through"][0] == other.as_str());
    }
    bob.says(&alice.name, "by another way");
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
}

#[test]
fn whoever_has_only_a_proxy_talks_through_it_and_sends_nothing_to_anybody_else() {
    let test = "a conversation through a proxy that works";
    let found = fs::exists(MICROSOCKS).unwrap().then_some(());
    if !permitted(test) || here(test, "microsocks", found).is_none() {
        return;
    }
    let lab = Plan::new().hosts(4).peer(Kind::Port).peer(Kind::Sym).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    carol.relay();
    let bob = Node::joining(peer(&lab, 1), &[&carol.join, &dave.join, &erin.join]);
    through(&bob);
    let join = bob.row(&["status"]).unwrap()["join"].as_str().unwrap().to_owned();

    let proxy = lab.host(3).unwrap();
    let at = SocketAddr::new(proxy.address().unwrap(), 1080);
    let _process = microsocks(proxy, at);
    let home = tempfile::tempdir().unwrap();
    let url = format!("socks5://alice:secret@{at}");
    let alice = Node::at_home(peer(&lab, 0), home, &["--join", &join, "--proxy", &url], &[]);
    through(&alice);
    befriend(&alice, &bob);
    bob.says(&alice.name, "so you got out");
    alice.says("bob", "and nobody saw more than the proxy");
    alice.row(&["contact", "session", "bob", "direct"]);
    bob.row(&["contact", "session", &alice.name, "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
    alice.says("bob", "nor more than the relay");

    let to_proxy = |to: &Destination| (to.protocol, to.address, to.port) == (Protocol::Tcp, at.ip(), at.port());
    let sent = lab.destinations(alice.station);
    assert!(sent.iter().any(to_proxy));
    assert_eq!(sent.into_iter().filter(|to| !to_proxy(to) && excepted(to).is_none()).collect::<Vec<_>>(), []);
}

const MICROSOCKS: &str = "/usr/bin/microsocks";

/// A SOCKS5 proxy for Alice, once it takes connections.
fn microsocks(station: &Station, at: SocketAddr) -> Process {
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let arguments = ["-i", &ip, "-p", &port, "-u", "alice", "-P", "secret"];
    let process = station.start(Command::new(MICROSOCKS).args(arguments).stderr(Stdio::null())).unwrap();
    // It says nothing.
    while station.namespace().enter(|| Ok(TcpStream::connect(at).is_err())).unwrap() {}
    process
}

#[test]
fn who_sleeps_and_wakes_up_in_another_network_at_another_hour_goes_on_and_nothing_is_lost() {
    let test = "a machine that sleeps and whose clock jumps";
    if !permitted(test) {
        return;
    }
    let Some(library) = here(test, "libfaketime", faketime()) else { return };
    let lab = Plan::new().hosts(3).roamer(Kind::Port, Kind::Port).peer(Kind::Sym).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    carol.relay();
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(peer(&lab, 1), &joins);
    through(&bob);
    let home = tempfile::tempdir().unwrap();
    let clock = home.path().join("clock").display().to_string();
    let jump = |by: &str| fs::write(&clock, by).unwrap();
    jump("+0");
    let fake = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ];
    let options = ["--join", &carol.join, "--join", &dave.join, "--join", &erin.join];
    let alice = Node::at_home(peer(&lab, 0), home, &options, &fake);
    befriend(&alice, &bob);
    bob.says(&alice.name, "good night");
    through(&alice);

    // The lid is closed for as long as it takes Bob to notice; a letter comes meanwhile. Only she is out of his reach otherwise.
    let is_relayed = |status: &Value| status["peers"].as_array().unwrap().iter().any(|peer| peer["path"] == "relayed");
    bob.until(&["status"], is_relayed);
    alice.process.freeze().unwrap();
    lab.roam(0).unwrap();
    bob.row(&["send", &alice.name, "while you slept"]);
    bob.until(&["status"], |status| !is_relayed(status));
    alice.process.thaw().unwrap();
    let arrives = |node: &Node<'_>, who: &str, text: &str| {
        node.until(&["status"], |_| node.rows(&["read", who]).iter().any(|message| message["text"] == text));
    };
    arrives(&alice, "bob", "while you slept");
    alice.says("bob", "good morning");

    // It believes that it is tomorrow: what comes is read all the same.
    jump("+1d");
    bob.row(&["send", &alice.name, "what day is it"]);
    arrives(&alice, "bob", "what day is it");
    // What she says is of tomorrow for everybody else, and she is told why nobody takes it.
    let early = alice.row(&["send", "bob", "from tomorrow"]).unwrap();
    alice.until(&["status"], |status| status["clock"].as_str().is_some_and(|why| why.contains("hours ahead of")));
    assert!(bob.rows(&["read", &alice.name]).iter().all(|message| message["text"] != "from tomorrow"), "{early}");
    // And today again, and yesterday, and today.
    for by in ["+0", "-1d", "+0"] {
        jump(by);
        alice.row(&["status"]);
    }
    arrives(&bob, &alice.name, "from tomorrow");
    alice.until(&["status"], |status| status["clock"].is_null());
    alice.says("bob", "today");
    bob.says(&alice.name, "so it is");
    for node in [&carol, &dave, &erin, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

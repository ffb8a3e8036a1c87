//! The local network in the laboratory: two nodes on one segment, without a router and without the internet, find each other and
//! talk; a third that was not told to show itself sends nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use std::process::Command;

use lab_node::{Node, befriend};
use samizdat_netlab::{
    Family, Lab, Plan, Station, permitted,
    watch::{Destination, Protocol},
};
use serde_json::Value;

/// The groups and the port of docs/protocol/lan.md.
const GROUPS: [&str; 2] = ["239.255.83.77", "ff02::8053:4d5a"];
const PORT: u16 = 29_874;

/// Hosts 0 and 3 of a lab are in one network.
fn segment(family: Family) -> Lab {
    Plan::new().hosts(4).family(family).build().unwrap()
}

fn ip(station: &Station, arguments: &[&str]) {
    let mut child = station.namespace().spawn(Command::new("ip").args(arguments)).unwrap();
    assert!(child.wait().unwrap().success(), "ip {arguments:?}");
}

fn called(lab: &Lab, station: &Station) -> bool {
    lab.destinations(station).iter().any(|seen| seen.protocol == Protocol::Udp && seen.port == PORT)
}

/// They meet, a message gets through, and nothing but calls to the group left for anybody else.
fn meet_and_talk(lab: &Lab, stations: [&Station; 2]) {
    let [alice, bob] = stations.map(|station| Node::start(station, &["--lan"]));
    [&alice, &bob].iter().for_each(|node| drop(node.until(&["status"], |status| status["peers"][0]["peer"].is_string())));
    let invite = bob.row(&["invite"]).unwrap();
    alice.row(&["contact", "add", invite["link"].as_str().unwrap(), "--as", "bob"]);
    alice.row(&["send", "bob", "over the cable", "--days", "1"]);
    bob.until(&["contact", "requests"], |request| request["text"] == "over the cable");
    for station in stations {
        assert!(called(lab, station));
        let calls = |to: &Destination| to.port == PORT && GROUPS.contains(&to.address.to_string().as_str());
        // Addresses of the machines' own making are not of the lab, and lie on its segment.
        let own = |to: &Destination| to.address.to_string().starts_with("169.254.");
        assert_eq!(lab.foreign(station).into_iter().filter(|to| !calls(to) && !own(to)).collect::<Vec<_>>(), []);
    }
}

#[test]
fn two_on_one_cable_find_each_other_and_who_did_not_say_so_is_silent() {
    if !permitted("two nodes on one cable find each other") {
        return;
    }
    let lab = segment(Family::V4);
    let [alice, dave, bob] = [0, 1, 3].map(|n| lab.host(n).unwrap());
    [alice, dave, bob].iter().for_each(|station| ip(station, &["route", "del", "default"]));
    // Dave is there all the time.
    let silent = Node::start(dave, &[]);
    meet_and_talk(&lab, [alice, bob]);
    assert!(silent.row(&["status"]).unwrap()["peers"].as_array().unwrap().is_empty());
    assert!(!called(&lab, dave), "who is not told to show himself does not");
    assert_eq!(lab.foreign(dave), []);
}

#[test]
fn addresses_that_machines_give_themselves_will_do() {
    if !permitted("two nodes find each other by link-local addresses alone") {
        return;
    }
    let lab = segment(Family::V4);
    let stations = [0, 3].map(|n| lab.host(n).unwrap());
    for (station, address) in stations.into_iter().zip(["169.254.7.8/16", "169.254.9.1/16"]) {
        ip(station, &["addr", "flush", "dev", "wan"]);
        ip(station, &["addr", "add", address, "dev", "wan"]);
    }
    meet_and_talk(&lab, stations);
}

#[test]
fn ipv6_alone_will_do() {
    if !permitted("two nodes find each other by IPv6 alone") {
        return;
    }
    let lab = segment(Family::V6);
    meet_and_talk(&lab, [0, 3].map(|n| lab.host(n).unwrap()));
}

/// Two on one cable who have these addresses and no others, and have met.
fn on_a_cable<'a>(lab: &'a Lab, addresses: [&[&str]; 2]) -> [Node<'a>; 2] {
    let stations = [0, 3].map(|n| lab.host(n).unwrap());
    for (station, addresses) in stations.into_iter().zip(addresses) {
        ip(station, &["addr", "flush", "dev", "wan"]);
        addresses.iter().for_each(|address| ip(station, &["addr", "add", address, "dev", "wan"]));
    }
    let nodes = stations.map(|station| Node::start(station, &["--lan"]));
    nodes.iter().for_each(|node| drop(node.until(&["status"], |status| status["peers"][0]["peer"].is_string())));
    let [alice, bob] = &nodes;
    befriend(alice, bob);
    nodes
}

#[test]
fn two_on_one_cable_have_a_session_while_both_allow_it_and_show_themselves() {
    if !permitted("a session of two on one cable, without a relay and without the internet") {
        return;
    }
    let lab = segment(Family::V4);
    let [alice, bob] = on_a_cable(&lab, [&["192.168.7.1/24"], &["192.168.7.2/24"]]);
    let no_session = |node: &Node<'_>| drop(node.until(&["status"], |status| status["sessions"].as_array().unwrap().is_empty()));

    // Through relays means none here; nobody is told an address before both allow it.
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    alice.row(&["contact", "session", "bob", "direct"]);
    alice.says("bob", "by the log");
    [&alice, &bob].iter().for_each(|node| no_session(node));
    bob.row(&["contact", "session", &alice.name, "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("lan"));
    let path = |node: &Node<'_>, who: &str, text: &str| {
        node.rows(&["read", who]).into_iter().find(|message| message["text"] == text).unwrap()["path"].clone()
    };
    // Both may have dialled: what has gone to and fro went by the connection that stays, and what comes now does so, too.
    alice.says("bob", "to");
    bob.says(&alice.name, "and fro");
    alice.says("bob", "hand to hand");
    assert_eq!((path(&alice, "bob", "hand to hand"), path(&bob, &alice.name, "hand to hand")), ("direct".into(), "direct".into()));

    // Who shows himself no longer takes the addresses along.
    bob.row(&["node", "lan", "off"]);
    [&alice, &bob].iter().for_each(|node| no_session(node));
    alice.says("bob", "by the log again");
    assert_eq!(path(&bob, &alice.name, "by the log again"), "cast");
    bob.row(&["node", "lan", "on"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("lan"));
    alice.row(&["contact", "session", "bob", "off"]);
    [&alice, &bob].iter().for_each(|node| no_session(node));
}

/// Beside an address of another kind, which leads nowhere here; iroh is silent of those of this kind then.
#[test]
fn a_session_takes_addresses_that_machines_give_themselves() {
    if !permitted("a session over link-local addresses") {
        return;
    }
    let lab = segment(Family::V4);
    let addresses: [&[&str]; 2] = [&["169.254.7.8/16", "203.0.113.77/32"], &["169.254.9.1/16", "203.0.113.78/32"]];
    let [alice, bob] = on_a_cable(&lab, addresses);
    alice.row(&["contact", "session", "bob", "direct"]);
    bob.row(&["contact", "session", &alice.name, "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("lan"));
    bob.says(&alice.name, "no router far and wide");
}

#[test]
fn a_session_on_a_cable_follows_who_gets_another_address() {
    if !permitted("a session on one cable whose one end gets another address") {
        return;
    }
    let lab = segment(Family::V4);
    let [alice, bob] = on_a_cable(&lab, [&["192.168.7.1/24"], &["192.168.7.2/24"]]);
    alice.row(&["contact", "session", "bob", "direct"]);
    bob.row(&["contact", "session", &alice.name, "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("lan"));
    let before = alice.row(&["status"]).unwrap()["sessions"][0]["since"].clone();
    alice.row(&["send", "bob", "before", "--days", "1"]);
    ip(bob.station, &["addr", "add", "192.168.7.9/24", "dev", "wan"]);
    ip(bob.station, &["addr", "del", "192.168.7.2/24", "dev", "wan"]);
    // Deleting the first takes the second along, where the system does not promote it.
    ip(bob.station, &["addr", "replace", "192.168.7.9/24", "dev", "wan"]);
    alice.row(&["send", "bob", "meanwhile", "--days", "1"]);
    let again = |status: &Value| status["sessions"][0]["path"] == "lan" && status["sessions"][0]["since"] != before;
    [&alice, &bob].iter().for_each(|node| drop(node.until(&["status"], again)));
    alice.says("bob", "after");
    bob.says(&alice.name, "what do you mean?");
    let read = |text: &str| bob.rows(&["read", &alice.name]).into_iter().filter(|message| message["text"] == text).count();
    for text in ["before", "meanwhile", "after"] {
        bob.until(&["status"], |_| read(text) > 0);
        assert_eq!(read(text), 1, "{text}");
    }
}

#[test]
fn the_switch_works_while_a_node_runs() {
    if !permitted("a node is told to show itself in the local network") {
        return;
    }
    let lab = segment(Family::V4);
    let [alice, bob] = [0, 3].map(|n| Node::start(lab.host(n).unwrap(), &[]));
    alice.row(&["node", "lan", "on"]);
    lab.await_destination(alice.station, |seen| seen.port == PORT).unwrap();
    assert!(!called(&lab, bob.station));
    bob.row(&["node", "lan", "on"]);
    alice.until(&["status"], |status| status["peers"][0]["path"].is_string());
    let off = alice.row(&["node", "lan", "off"]).unwrap();
    assert_eq!(off["on"], false);
    assert_eq!(alice.row(&["status"]).unwrap()["meeting"]["lan"]["on"], false);
}

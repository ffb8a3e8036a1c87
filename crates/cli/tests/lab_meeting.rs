//! In which order a node that is connected to nobody tries what it knows: whom it remembers, the places of a link, its entry domain,
//! and last who is near. Nobody of them answers but one who is near, and who is not what it says.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use lab_node::{Node, befriend};
use samizdat_netlab::{
    Plan, permitted,
    watch::{Destination, Protocol},
};

/// docs/protocol/lan.md
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 83, 77), 29_874);
/// Where a relay of somebody is said to be.
const PLACE: u16 = 4433;
/// Where somebody near is said to listen.
const NEAR: u16 = 7777;

/// The part of an invite link for one place (`samizdat_core::link`): 4, address and port in base32.
fn place(ip: Ipv4Addr, port: u16) -> String {
    let bytes = [&[4][..], &ip.octets(), &port.to_be_bytes()].concat();
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let letter = |five: &[u8]| {
        let five = format!("{:0<5}", std::str::from_utf8(five).unwrap());
        b"abcdefghijklmnopqrstuvwxyz234567"[usize::from_str_radix(&five, 2).unwrap()]
    };
    String::from_utf8(bits.as_bytes().chunks(5).map(letter).collect()).unwrap()
}

#[test]
fn who_is_alone_tries_whom_it_remembers_then_places_then_domains_and_last_who_is_near() {
    if !permitted("the order in which a node looks for others") {
        return;
    }
    // Hosts 0 and 3 are in one network.
    let lab = Plan::new().hosts(4).build().unwrap();
    let [here, bobs, nobody, near] = [0, 1, 2, 3].map(|n| lab.host(n).unwrap());
    let resolver = format!("{}:53", nobody.v4().unwrap());
    let options = ["--resolver", &resolver];
    let bob = Node::start(bobs, &[]);

    // Alone, Alice is given a link with a place, and a domain.
    let alice = Node::start(here, &options);
    let link = bob.row(&["invite"]).unwrap()["link"].as_str().unwrap().to_owned();
    let link = format!("{link}/{}", place(nobody.v4().unwrap(), PLACE));
    alice.row(&["contact", "add", &link, "--as", "bob"]);
    alice.row(&["entry", "add", "entry.example"]);
    let alice = alice.stopped_and_started(&["--join", &bob.join]);
    alice.until(&["status"], |status| status["peers"][0]["peer"].is_string());
    befriend(&alice, &bob);
    drop(bob);

    lab.forget_destinations(here);
    let _alice = alice.stopped_and_started(&[&options[..], &["--lan"]].concat());
    // Whoever is near says so as soon as she asks, and for all who ask.
    let socket = near.namespace().enter(|| Ok(UdpSocket::bind((near.v4().unwrap(), 0))?)).unwrap();
    // A key of nobody: the base point.
    let hello = [b"samizdat\x01\x58".as_slice(), &[0x66; 31], &NEAR.to_be_bytes()].concat();
    lab.await_destination(here, |to| (to.address, to.port) == (GROUP.0.into(), GROUP.1)).unwrap();
    socket.send_to(&hello, GROUP).unwrap();

    let is =
        |to: &Destination, ip: Ipv4Addr, protocol, port| (to.address, to.protocol, to.port) == (IpAddr::V4(ip), protocol, port);
    let last = |to: &Destination| is(to, near.v4().unwrap(), Protocol::Udp, NEAR);
    lab.await_destination(here, last).unwrap();
    let all = lab.destinations_in_order(here);
    let first = |ip: Ipv4Addr, protocol, port| all.iter().position(|to| is(to, ip, protocol, port));
    let tried = [
        first(bobs.v4().unwrap(), Protocol::Udp, 4001),
        first(nobody.v4().unwrap(), Protocol::Tcp, PLACE),
        first(nobody.v4().unwrap(), Protocol::Udp, 53),
        all.iter().position(last),
    ];
    assert!(tried.iter().all(Option::is_some) && tried.is_sorted(), "{tried:?} of {all:?}");
}

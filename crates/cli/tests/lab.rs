//! Real nodes in the laboratory: three on public hosts in three networks, two behind home routers. They find out who can be
//! dialled, a message gets through, and nobody talks to anything that is not the lab's.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use std::process::Stdio;

use lab_node::{Node, PATIENCE, samizdat};
use samizdat_netlab::watch::{Destination, Protocol, excepted};
use samizdat_netlab::{Kind, Plan, permitted};
use serde_json::Value;

#[test]
fn two_behind_routers_who_share_nothing_but_a_link_talk_and_reach_each_other_through_the_relay_of_somebody_who_agreed() {
    if !permitted("a relay by consent") {
        return;
    }
    let lab = Plan::new().hosts(3).peer(Kind::Sym).peer(Kind::Sym).build().unwrap();
    let [first, second, third] = [0, 1, 2].map(|n| lab.host(n).unwrap());
    let carol = Node::joining(first, &[]);
    let dave = Node::joining(second, &[&carol.join]);
    let erin = Node::joining(third, &[&carol.join, &dave.join]);
    [&carol, &dave, &erin].iter().for_each(|node| node.reach("reachable"));

    let role = carol.row(&["node", "role"]).unwrap();
    assert_eq!(
        (&role["role"], &role["on"], &role["announced"]),
        (&"relay".into(), &false.into(), &false.into()),
        "nobody is one unasked"
    );
    let role = carol.row(&["node", "role", "relay", "on"]).unwrap();
    assert_eq!((&role["on"], &role["tcp_port"], &role["udp_port"]), (&true.into(), &4001.into(), &4002.into()), "{role}");
    carol.until(&["node", "role"], |role| role["announced"] == true);
    assert!(carol.row(&["status"]).unwrap()["reach"]["verdict"] == "reachable");

    let bob = Node::unsettled(lab.peer(1).unwrap().station(), &[&carol.join, &dave.join, &erin.join]);
    let relay = format!("{}:4001", first.address().unwrap());
    let is_reached = |relays: &Value| relays["through"][0] == relay.as_str();
    bob.until(&["node", "relays"], is_reached);

    // Alice has nothing but Bob's link.
    let link = bob.row(&["invite"]).unwrap()["link"].as_str().unwrap().to_owned();
    assert!(link.len() < 120, "{link}");
    let alice = Node::unsettled(lab.peer(0).unwrap().station(), &[]);
    alice.row(&["contact", "add", &link, "--as", "bob"]);
    alice.row(&["send", "bob", "with nothing but your link", "--days", "1"]);
    let request = bob.until(&["contact", "requests"], |request| request["text"] == "with nothing but your link");
    assert_eq!(request["name"], alice.name.as_str());
    alice.until(&["node", "relays"], is_reached);
    let is_relayed = |status: &Value| status["peers"].as_array().unwrap().iter().any(|peer| peer["path"] == "relayed");
    // Only each other is out of reach otherwise.
    bob.until(&["status"], is_relayed);
    let status = alice.until(&["status"], is_relayed);
    let key = status["peers"].as_array().unwrap().iter().find(|peer| peer["path"] == "relayed").unwrap()["peer"].clone();
    let found = dave.until(&["net", "lookup", key.as_str().unwrap()], |found| found["node"]["via"][0] == relay.as_str());
    assert!(found["node"]["addrs"].as_array().unwrap().is_empty(), "behind a router: {found}");
    let knows_relay = |node: &Value| node["roles"][0] == "relay";
    alice.until(&["status"], |_| alice.rows(&["net", "table"]).iter().any(knows_relay));
    let findings = alice.rows(&["net", "doctor"]);
    assert!(findings.iter().all(|finding| finding["state"] != "bad"), "{findings:?}");

    // A session of the two, and only through the relay.
    bob.row(&["contact", "accept", &alice.name]);
    alice.row(&["contact", "session", "bob", "relayed"]);
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    for node in [&alice, &bob] {
        node.until(&["status"], |status| status["sessions"][0]["path"] == "relayed");
    }
    let answer = bob.row(&["send", &alice.name, "over the session", "--days", "1", "--wait", "received"]).unwrap();
    assert_eq!(answer["state"], "received");

    // Refused relays are left at once, and the one that is switched off is found out.
    bob.row(&["node", "relays", "off"]);
    bob.until(&["status"], |status| !is_relayed(status) && status["relays"]["through"].as_array().unwrap().is_empty());
    carol.row(&["node", "role", "relay", "off"]);
    alice.until(&["node", "relays"], |relays| relays["through"].as_array().unwrap().is_empty());
    dave.until(&["net", "table"], |_| dave.rows(&["net", "table"]).iter().all(|node| node["roles"].as_array().unwrap().is_empty()));
    for node in [&carol, &dave, &erin, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

#[test]
fn who_can_be_dialled_is_found_out_a_message_gets_through_and_nobody_else_is_contacted() {
    if !permitted("nodes behind routers write to each other") {
        return;
    }
    let lab = Plan::new().hosts(3).peer(Kind::Port).peer(Kind::Sym).build().unwrap();
    let [first, second, third] = [0, 1, 2].map(|n| lab.host(n).unwrap());
    let carol = Node::joining(first, &[]);
    let dave = Node::joining(second, &[&carol.join]);
    let erin = Node::joining(third, &[&carol.join, &dave.join]);
    let alice = Node::joining(lab.peer(0).unwrap().station(), &[&carol.join, &dave.join, &erin.join]);
    let bob = Node::joining(lab.peer(1).unwrap().station(), &[&carol.join, &dave.join, &erin.join]);

    [&carol, &dave, &erin].iter().for_each(|node| node.reach("reachable"));
    [&alice, &bob].iter().for_each(|node| node.reach("unreachable"));

    let invite = bob.row(&["invite"]).unwrap();
    alice.row(&["contact", "add", invite["link"].as_str().unwrap(), "--as", "bob"]);
    alice.row(&["send", "bob", "through two routers", "--days", "1"]);
    let request = bob.until(&["contact", "requests"], |request| request["text"] == "through two routers");
    assert_eq!(request["name"], alice.name.as_str());
    bob.row(&["contact", "accept", &alice.name]);
    let answer = bob.row(&["send", &alice.name, "and back", "--days", "1", "--wait", "received"]).unwrap();
    assert_eq!(answer["state"], "received");
    for node in [&carol, &dave, &erin, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

/// Nothing listens at the proxy's port: whoever thinks of another way now is seen.
#[test]
fn behind_a_proxy_no_packet_leaves_but_to_the_proxy() {
    if !permitted("a node behind a proxy talks to nobody else") {
        return;
    }
    let lab = Plan::new().hosts(2).peer(Kind::Port).build().unwrap();
    let [host, proxy] = [0, 1].map(|n| lab.host(n).unwrap());
    let carol = Node::joining(host, &[]);
    // Alice knows where Carol is, and a relay of hers.
    let join = format!("{},{}:443/{}", carol.join, host.v4().unwrap(), "a".repeat(52));
    let (home, alice) = (tempfile::tempdir().unwrap(), lab.peer(0).unwrap().station());
    let url = format!("socks5://{}:1080", proxy.v4().unwrap());
    let process = alice.start(samizdat(&home).args(["up", "--no-ui", "--join", &join, "--proxy", &url])).unwrap();
    let ready: Value = process.json(PATIENCE).unwrap();
    assert_eq!(ready["join"], "");

    // Though she adds a domain, nobody is asked by DNS; and nobody is called in the local network.
    let run = |arguments: &[&str]| {
        let child = alice.namespace().spawn(samizdat(&home).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = child.unwrap().wait_with_output().unwrap();
        serde_json::from_slice::<Value>(if output.status.success() { &output.stdout } else { &output.stderr }).unwrap()
    };
    assert_eq!(run(&["entry", "add", "entry.samizdat.test"])["domain"], "entry.samizdat.test");
    assert_eq!(run(&["node", "lan", "on"])["error"]["kind"], "refused");

    let to_proxy = |to: &Destination| to.protocol == Protocol::Tcp && to.address == proxy.address().unwrap() && to.port == 1080;
    for _ in 0..3 {
        lab.await_destination(alice, to_proxy).unwrap();
        let others: Vec<_> = lab.destinations(alice).into_iter().filter(|to| !to_proxy(to) && excepted(to).is_none()).collect();
        assert_eq!(others, []);
        lab.forget_destinations(alice);
    }
}

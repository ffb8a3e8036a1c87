//! Two versions of IP in the laboratory: Alice has IPv6 alone, Bob IPv4 alone, and Carol's relay speaks both.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod lab_node;

use lab_node::Node;
use samizdat_netlab::{Family, Kind, Plan, permitted};
use serde_json::Value;

#[test]
fn alice_who_has_ipv6_alone_and_bob_who_has_ipv4_alone_talk_through_a_relay_that_speaks_both() {
    if !permitted("IPv6 alone meets IPv4 alone") {
        return;
    }
    let plan = Plan::new().family(Family::Dual).hosts(6);
    let lab = plan.peer_of(Kind::Port, Family::V6).peer_of(Kind::Port, Family::V4).build().unwrap();
    let hosts = [0, 1, 2, 3, 4, 5].map(|n| lab.host(n).unwrap());
    let carol = Node::joining(hosts[0], &[]);
    // Two who see her over IPv4, two over IPv6, all in other networks than hers: that proves her relay in each of them.
    let [dave, erin] = [1, 2].map(|n| {
        let listen = format!("{}:4001", hosts[n].v4().unwrap());
        Node::at_home(hosts[n], tempfile::tempdir().unwrap(), &["--listen", &listen, "--join", &carol.join], &[])
    });
    let [frank, grace] = [4, 5].map(|n| {
        let listen = format!("[{}]:4001", hosts[n].v6().unwrap());
        Node::at_home(hosts[n], tempfile::tempdir().unwrap(), &["--listen", &listen, "--join", &carol.join], &[])
    });
    carol.relay();

    // A host has two addresses of each kind, and those are told from which it sends.
    let v4 = format!("{}:4001+[2001:db8:100::", hosts[0].v4().unwrap());
    let is_reached = |relays: &Value| relays["through"][0].as_str().is_some_and(|through| through.starts_with(&v4));
    let bob = Node::joining(lab.peer(1).unwrap().station(), &[&carol.join]);
    bob.until(&["node", "relays"], is_reached);

    // Alice has nothing but Bob's link.
    let link = bob.row(&["invite"]).unwrap()["link"].as_str().unwrap().to_owned();
    assert!(link.len() < 120, "{link}");
    let alice = Node::joining(lab.peer(0).unwrap().station(), &[]);
    alice.row(&["contact", "add", &link, "--as", "bob"]);
    alice.row(&["send", "bob", "from the other version of IP", "--days", "1"]);
    bob.until(&["contact", "requests"], |request| request["text"] == "from the other version of IP");
    alice.until(&["node", "relays"], is_reached);
    bob.row(&["contact", "accept", &alice.name]);

    alice.row(&["contact", "session", "bob", "relayed"]);
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
    alice.says("bob", "over the session");
    bob.says(&alice.name, "and back");
    for node in [&carol, &dave, &erin, &frank, &grace, &alice, &bob] {
        lab.assert_only_lab(node.station).unwrap();
    }
}

#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

use samizdat_core::record::{NodeFields, Roles};
use samizdat_core::{NodeRecord, PeerSecret};

use super::*;

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms }
}

fn node(n: u8) -> Arc<NodeRecord> {
    let addrs = vec![format!("198.51.{n}.1:4001").parse().unwrap()];
    let fields = NodeFields { issued: 1_800_000_000, lifetime_s: 3600, roles: Roles::default(), addrs, relay: None, via: vec![] };
    Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
}

fn reach(checkers: u8) -> Reach {
    let mut reach = Reach::new([7; 32], 4001);
    (1..=checkers).for_each(|n| reach.offer(&node(n)));
    reach
}

/// From where whoever was asked answers.
fn whence(ask: &Ask) -> Option<IpAddr> {
    match &ask.checker {
        Checker::Node(_, addr) => Some(addr.ip()),
        Checker::Neighbour(..) => None,
    }
}

fn step(reach: &mut Reach, ms: u64) -> Vec<Ask> {
    reach.step(at(ms));
    std::iter::from_fn(|| reach.poll()).collect()
}

fn says(endpoint: bool, relay: bool) -> Option<Checked> {
    Some(Checked { ip: "203.0.113.5".parse().unwrap(), endpoint, relay })
}

#[test]
fn two_networks_must_have_come_through() {
    let mut alice = reach(3);
    let asked = step(&mut alice, 0);
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].checker, asked[1].checker);
    alice.answered(asked[0].ticket, whence(&asked[0]), says(true, false), at(10));
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Asking, vec![]));
    alice.answered(asked[1].ticket, whence(&asked[1]), says(true, false), at(20));
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Reachable, vec!["203.0.113.5:4001".parse().unwrap()]));
}

#[test]
fn mallory_alone_proves_nothing_however_often_she_is_asked() {
    let mut alice = reach(1);
    assert_eq!(alice.verdict(), Verdict::Alone);
    assert!(step(&mut alice, 0).is_empty(), "one network is not enough to ask");
    // A second key in the same network is not another voice.
    alice.offer(&node(1));
    assert!(step(&mut alice, 1).is_empty());
}

#[test]
fn neighbours_can_be_asked_before_anybody_has_a_record() {
    let mut alice = reach(0);
    for n in 1..=2u8 {
        alice.offer_neighbour(PeerId([n; 32]), PeerAddr(vec![n]), format!("198.51.{n}.1").parse().unwrap());
        alice.offer_neighbour(PeerId([n; 32]), PeerAddr(vec![n]), format!("10.0.{n}.1").parse().unwrap());
    }
    for ask in step(&mut alice, 0) {
        alice.answered(ask.ticket, whence(&ask), says(true, false), at(1));
    }
    assert_eq!(alice.verdict(), Verdict::Reachable);
}

#[test]
fn where_nothing_listens_nobody_is_asked() {
    let mut alice = Reach::new([7; 32], 0);
    (1..=3).for_each(|n| alice.offer(&node(n)));
    assert!(step(&mut alice, 0).is_empty());
    assert_eq!(alice.next_timeout(), None);
}

#[test]
fn a_router_in_the_way_is_told() {
    let mut alice = reach(2);
    for ask in step(&mut alice, 0) {
        alice.answered(ask.ticket, whence(&ask), says(false, false), at(5));
    }
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Unreachable, vec![]));
}

#[test]
fn who_does_not_answer_is_replaced() {
    let mut alice = reach(3);
    let asked = step(&mut alice, 0);
    alice.answered(asked[0].ticket, whence(&asked[0]), says(true, false), at(5));
    assert_eq!(alice.next_timeout(), Some(PATIENCE_MS));
    let again = step(&mut alice, PATIENCE_MS);
    assert_eq!(again.len(), 2, "the silent one is gone, two others are there");
    assert!(again.iter().all(|ask| ask.checker != asked[1].checker));
    alice.answered(again[0].ticket, whence(&again[0]), says(true, false), at(PATIENCE_MS + 1));
    assert_eq!(alice.verdict(), Verdict::Reachable);
}

#[test]
fn the_last_two_are_asked_again_although_they_said_nothing() {
    let mut alice = reach(2);
    let asked = step(&mut alice, 0);
    asked.iter().for_each(|ask| alice.answered(ask.ticket, None, None, at(5)));
    assert_eq!((alice.verdict(), alice.next_timeout()), (Verdict::Asking, Some(5 + PATIENCE_MS)));
    for ask in step(&mut alice, 5 + PATIENCE_MS) {
        alice.answered(ask.ticket, whence(&ask), says(true, false), at(6 + PATIENCE_MS));
    }
    assert_eq!(alice.verdict(), Verdict::Reachable);
}

#[test]
fn a_relay_is_proven_by_itself_and_anew_when_it_changes() {
    let mut alice = reach(2);
    let relay = Some(RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] });
    alice.serve(Check { port: 4001, relay });
    for ask in step(&mut alice, 0) {
        assert_eq!(ask.check.relay, relay);
        alice.answered(ask.ticket, whence(&ask), says(true, true), at(1));
    }
    assert!(alice.relay_families().v4);
    alice.serve(Check { port: 4001, relay: None });
    assert!(!alice.relay_families().v4);
    assert_eq!(alice.verdict(), Verdict::Reachable, "the endpoint is where it was");
    alice.serve(Check { port: 4002, relay: None });
    assert_eq!(alice.verdict(), Verdict::Asking);
}

#[test]
fn a_relay_switched_on_later_is_looked_at_soon_and_by_two() {
    let mut alice = reach(2);
    for ask in step(&mut alice, 0) {
        alice.answered(ask.ticket, whence(&ask), says(true, false), at(1));
    }
    let relay = Some(RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] });
    alice.serve(Check { port: 4001, relay });
    assert!(!alice.relay_families().v4, "nobody has looked at it");
    let asked = step(&mut alice, 2);
    assert_eq!(asked.len(), 2);
    for ask in asked {
        alice.answered(ask.ticket, whence(&ask), says(true, true), at(3));
    }
    assert!(alice.relay_families().v4);
    assert!(alice.next_timeout().unwrap() > UNDECIDED_MS - 10);
}

#[test]
fn what_was_seen_long_ago_counts_no_more() {
    let mut alice = reach(2);
    for ask in step(&mut alice, 0) {
        alice.answered(ask.ticket, whence(&ask), says(true, false), at(1));
    }
    assert_eq!(alice.verdict(), Verdict::Reachable);
    let due = alice.next_timeout().unwrap();
    assert!(due <= DECIDED_MS);
    let asked = step(&mut alice, DECIDED_MS);
    assert_eq!(asked.len(), 1, "it is looked at again, by one");
    step(&mut alice, EVIDENCE_MS + 1);
    assert_ne!(alice.verdict(), Verdict::Reachable);
}

#[test]
fn two_who_lie_together_are_outvoted() {
    let mut alice = reach(6);
    let lie = |endpoint| Some(Checked { ip: "192.0.2.66".parse().unwrap(), endpoint, relay: false });
    for ask in step(&mut alice, 0) {
        alice.answered(ask.ticket, whence(&ask), lie(true), at(1));
    }
    // Mallory has two networks, and both were asked first.
    assert_eq!(alice.addrs(), ["192.0.2.66:4001".parse().unwrap()]);
    let mut now = DECIDED_MS;
    for asked in [1, 2] {
        let ask = step(&mut alice, now);
        assert_eq!(ask.len(), asked);
        ask.into_iter().for_each(|ask| alice.answered(ask.ticket, whence(&ask), says(true, false), at(now + 1)));
        now += DISPUTED_MS + 1;
    }
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Reachable, vec!["203.0.113.5:4001".parse().unwrap()]));
}

#[test]
fn as_long_as_as_many_say_one_thing_as_another_nothing_is_claimed() {
    let mut alice = reach(4);
    let lie = Some(Checked { ip: "192.0.2.66".parse().unwrap(), endpoint: true, relay: false });
    for ms in [0, UNDECIDED_MS] {
        for (n, ask) in step(&mut alice, ms).into_iter().enumerate() {
            alice.answered(ask.ticket, whence(&ask), if n == 0 { lie } else { says(true, false) }, at(ms + 1));
        }
    }
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Asking, vec![]));
}

const SIX: &str = "2001:db9::5";

fn node_of(n: u8, addrs: &[&str]) -> Arc<NodeRecord> {
    let addrs = addrs.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 4001)).collect();
    Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), NodeFields { addrs, ..node(n).fields().clone() }).unwrap())
}

#[test]
fn each_version_of_ip_is_proven_by_itself_and_the_relay_in_each() {
    let mut alice = reach(2);
    (11..=12).for_each(|n| alice.offer(&node_of(n, &[&format!("2001:db8:{n}::1")])));
    let relay = Some(RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] });
    alice.serve(Check { port: 4001, relay });
    let asked = step(&mut alice, 0);
    let (six, four): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|ask| matches!(&ask.checker, Checker::Node(_, addr) if addr.is_ipv6()));
    assert_eq!((six.len(), four.len()), (2, 2));
    four.iter().for_each(|ask| alice.answered(ask.ticket, whence(ask), says(true, true), at(1)));
    assert_eq!((alice.addrs().len(), alice.relay_families()), (1, Families { v4: true, v6: false }));
    let checked = |relay| Some(Checked { ip: SIX.parse().unwrap(), endpoint: true, relay });
    six.iter().for_each(|ask| alice.answered(ask.ticket, whence(ask), checked(false), at(1)));
    assert_eq!(alice.relay_families(), Families { v4: true, v6: false }, "a firewall lets one port through");
    assert_eq!(alice.addrs(), ["203.0.113.5:4001".parse().unwrap(), SocketAddr::new(SIX.parse().unwrap(), 4001)]);
    for ms in [DECIDED_MS, 2 * DECIDED_MS] {
        for ask in step(&mut alice, ms) {
            let six = matches!(&ask.checker, Checker::Node(_, addr) if addr.is_ipv6());
            alice.answered(ask.ticket, whence(&ask), if six { checked(true) } else { says(true, true) }, at(ms + 1));
        }
    }
    assert_eq!(alice.relay_families(), Families::BOTH);
}

#[test]
fn whoever_answers_over_the_other_version_of_ip_is_a_voice_there() {
    let mut alice = reach(0);
    (1..=2).for_each(|n| alice.offer(&node_of(n, &[&format!("198.51.{n}.1"), &format!("2001:db8:{n}::1")])));
    for ask in step(&mut alice, 0) {
        let Checker::Node(node, _) = &ask.checker else { continue };
        let over = node.fields().addrs[1].ip();
        let checked = Checked { ip: SIX.parse().unwrap(), endpoint: true, relay: false };
        alice.answered(ask.ticket, Some(over), Some(checked), at(1));
    }
    assert_eq!(alice.addrs(), [SocketAddr::new(SIX.parse().unwrap(), 4001)]);
    // Mallory speaks of a version of IP in which nobody knows her.
    let mut bob = reach(2);
    for ask in step(&mut bob, 0) {
        let checked = Checked { ip: SIX.parse().unwrap(), endpoint: true, relay: false };
        bob.answered(ask.ticket, Some("198.51.1.1".parse().unwrap()), Some(checked), at(1));
    }
    assert_eq!((bob.verdict(), bob.addrs()), (Verdict::Alone, vec![]));
    // That her records claim addresses there makes no witness of her.
    let mut carol = reach(0);
    (1..=4).for_each(|n| carol.offer(&node_of(n, &[&format!("198.51.{n}.1"), &format!("2001:db8:{n}::1")])));
    for ms in [0, UNDECIDED_MS, 2 * UNDECIDED_MS] {
        for ask in step(&mut carol, ms) {
            let checked = Checked { ip: SIX.parse().unwrap(), endpoint: true, relay: false };
            carol.answered(ask.ticket, Some("198.51.1.1".parse().unwrap()), Some(checked), at(ms + 1));
        }
    }
    assert_eq!(carol.addrs(), vec![]);
}

#[test]
fn a_version_of_ip_that_we_do_not_speak_is_tried_ever_more_seldom() {
    let mut alice = reach(2);
    (11..=40).for_each(|n| alice.offer(&node_of(n, &[&format!("2001:db8:{n}::1")])));
    let (mut in_vain, mut ms) = (0, 0);
    while ms < 6 * 3_600_000 {
        for ask in step(&mut alice, ms) {
            let six = matches!(&ask.checker, Checker::Node(_, addr) if addr.is_ipv6());
            in_vain += u32::from(six);
            alice.answered(ask.ticket, whence(&ask), if six { None } else { says(true, false) }, at(ms));
            // Others are heard of all the time.
            alice.offer(&node_of(41, &["2001:db8:41::1"]));
        }
        ms = alice.next_timeout().unwrap().max(ms + 1);
    }
    assert_eq!(alice.verdict(), Verdict::Reachable);
    assert!(in_vain < 80, "{in_vain}");
    // A neighbour in it shows that it works after all.
    alice.offer_neighbour(PeerId([50; 32]), PeerAddr(vec![1]), "2001:db8:50::1".parse().unwrap());
    assert!(step(&mut alice, ms).iter().any(|ask| matches!(&ask.checker, Checker::Node(_, addr) if addr.is_ipv6())));
}

#[test]
fn a_lie_about_where_we_are_is_dropped() {
    let mut alice = reach(2);
    for ask in step(&mut alice, 0) {
        let ip = "192.168.1.1".parse().unwrap();
        alice.answered(ask.ticket, whence(&ask), Some(Checked { ip, endpoint: true, relay: true }), at(1));
    }
    assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Alone, vec![]));
}

//! Nodes that find out whether they can be dialled, say so, and are found. The network is a function that carries questions.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use samizdat_chat::Chat;
use samizdat_core::record::{NodeFields, RelayOffer, RelayService, Role, Roles};
use samizdat_core::{NodeRecord, Now, PeerId, PeerSecret};
use samizdat_engine::{Chosen, Engine, Found, Input, Output, Verdict, Whom};
use samizdat_store::{Log, Vault};
use samizdat_sync::reach::{Check, CheckIn};

const PORT: u16 = 4001;

fn secret(n: u8) -> PeerSecret {
    PeerSecret([n; 32])
}

fn peer(n: u8) -> PeerId {
    secret(n).peer()
}

/// Each node is in a network of its own.
fn ip(n: u8) -> IpAddr {
    format!("198.51.{n}.1").parse().unwrap()
}

struct World {
    now: Now,
    nodes: BTreeMap<u8, Engine>,
    /// Nodes that nobody can dial.
    hidden: Vec<u8>,
    found: Vec<Found>,
    /// Through which relays each is reached.
    through: BTreeMap<u8, Vec<Chosen>>,
    /// Nodes that answer nobody.
    dead: Vec<u8>,
    /// What happens to the questions of node 1.
    line: Line,
    /// What node 1 found out about others that it probed.
    probed: Vec<(PeerId, Option<bool>)>,
}

/// What somebody's line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Works,
    /// Nothing over UDP: who is asked where he is does not hear it.
    NoUdp,
    /// The same, but those asked are neighbours through a relay.
    RelayOnly,
}

impl World {
    fn new(count: u8, hidden: &[u8]) -> Self {
        let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
        let nodes = (1..=count).map(|n| (n, engine(n, now))).collect();
        Self {
            now,
            nodes,
            hidden: hidden.to_vec(),
            found: Vec::new(),
            through: BTreeMap::new(),
            dead: Vec::new(),
            line: Line::Works,
            probed: Vec::new(),
        }
    }

    /// `a` dialled `b`.
    fn connect(&mut self, a: u8, b: u8) {
        for (here, there, dialed) in [(a, b, true), (b, a, false)] {
            let input = Input::Connected { peer: peer(there), addr: vec![there], dialed, ip: Some(ip(there)) };
            self.nodes.get_mut(&here).unwrap().handle(input, self.now);
        }
        self.settle();
    }

    /// Carries until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let outputs: Vec<(u8, Output)> = self
                .nodes
                .iter_mut()
                .flat_map(|(n, node)| std::iter::from_fn(|| node.poll_output()).map(|output| (*n, output)).collect::<Vec<_>>())
                .collect();
            if outputs.is_empty() {
                return;
            }
            outputs.into_iter().for_each(|(n, output)| self.output(n, output));
        }
    }

    fn output(&mut self, n: u8, output: Output) {
        let input = match output {
            Output::Ask { ticket, whom, question } => {
                let asked = match &whom {
                    Whom::Node(record) | Whom::NodeAt(record, _) => record.peer(),
                    Whom::Neighbour(peer, _) => *peer,
                };
                let at = if let Whom::NodeAt(_, at) = &whom { Some(at.ip()) } else { None };
                let whom = self.number(&asked);
                let line = if n == 1 { self.line } else { Line::Works };
                let heard = line != Line::NoUdp && !self.dead.contains(&whom);
                match heard.then(|| self.ask(n, whom, question)).flatten() {
                    Some(answer) => {
                        Input::Answered { ticket, from: (line == Line::Works).then(|| at.unwrap_or_else(|| ip(whom))), answer }
                    }
                    None => Input::AskFailed { ticket },
                }
            }
            Output::Send { peer: to, bytes } => {
                let to = self.number(&to);
                let input = Input::Frame { peer: peer(n), bytes };
                return self.nodes.get_mut(&to).unwrap().handle(input, self.now);
            }
            Output::Probed { peer, answered } => return self.probed.push((peer, answered)),
            Output::Found(found) => return self.found.push(found),
            Output::Standing => return self.say(n),
            Output::Relays(chosen) => return drop(self.through.insert(n, chosen)),
            _ => return,
        };
        self.nodes.get_mut(&n).unwrap().handle(input, self.now);
    }

    fn ask(&mut self, from: u8, whom: u8, question: Vec<u8>) -> Option<Vec<u8>> {
        let hidden = self.hidden.clone();
        let node = self.nodes.get_mut(&whom).unwrap();
        node.handle(Input::Asked { token: 1, peer: peer(from), from: Some(ip(from)), question }, self.now);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        let mut answer = None;
        for output in outputs {
            match output {
                Output::Reply { token: 1, answer: bytes } => answer = Some(bytes),
                Output::Check { token, peer: who, at, relay } => {
                    assert_eq!((who, at), (peer(from), SocketAddr::new(ip(from), PORT)), "only whoever asks is dialled");
                    let endpoint = !hidden.contains(&from);
                    self.nodes
                        .get_mut(&whom)
                        .unwrap()
                        .handle(Input::Checked { token, endpoint, relay: endpoint && relay.is_some() }, self.now);
                    let node = self.nodes.get_mut(&whom).unwrap();
                    answer = std::iter::from_fn(|| node.poll_output())
                        .find_map(|output| if let Output::Reply { answer, .. } = output { Some(answer) } else { None });
                }
                other => self.output(whom, other),
            }
        }
        answer
    }

    fn number(&self, of: &PeerId) -> u8 {
        *self.nodes.keys().find(|n| peer(**n) == *of).unwrap()
    }

    /// What the daemon does when the standing changes.
    fn say(&mut self, n: u8) {
        let node = self.nodes.get_mut(&n).unwrap();
        let addrs = node.standing().addrs.clone();
        let issued = self.now.unix_ms / 1000;
        let relay = node.standing().relay_families.v4.then(|| RelayOffer::on(relay(n), &addrs));
        let roles = relay.map_or(Roles::default(), |_| Roles::default().with(Role::Relay));
        let fields = NodeFields { issued, lifetime_s: 3600, roles, addrs, relay, via: Vec::new() };
        let record = (!fields.addrs.is_empty()).then(|| NodeRecord::sign(&secret(n), fields).unwrap());
        node.set_record(record, self.now);
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 1000 {
            self.now.mono_ms += 1000;
            self.now.unix_ms += 1000;
            for node in self.nodes.values_mut() {
                if node.next_timeout() <= self.now.mono_ms {
                    node.handle(Input::Timeout, self.now);
                }
                node.commit(self.now);
            }
            self.settle();
        }
    }
}

fn relay(n: u8) -> RelayService {
    RelayService { port: 443, discovery_port: 7842, certificate: [n; 32] }
}

fn engine(n: u8, now: Now) -> Engine {
    let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [n; 32]).unwrap();
    let mut engine = Engine::new(Log::in_memory(1 << 30).unwrap(), chat, [n; 32], peer(n), vec![n], now).unwrap();
    engine.serve(PORT, None, now);
    engine
}

#[test]
fn nodes_find_out_that_they_are_reachable_and_are_found() {
    let mut world = World::new(5, &[5]);
    for (a, b) in [(1, 2), (2, 3), (3, 4), (4, 1), (5, 1), (5, 3)] {
        world.connect(a, b);
    }
    world.pass(180_000);
    let verdicts: Vec<Verdict> = world.nodes.values().map(|node| node.standing().verdict).collect();
    assert_eq!(verdicts[..4], [Verdict::Reachable; 4]);
    assert_eq!(verdicts[4], Verdict::Unreachable, "behind a router, and told so");
    assert!(world.nodes[&5].standing().addrs.is_empty());
    assert!(world.nodes.values().all(|node| node.nodes(world.now).len() >= 2), "all know whom to ask");
    assert!(world.nodes.values().all(|node| node.nodes(world.now).iter().all(|record| record.peer() != peer(5))));

    let now = world.now;
    let lookup = world.nodes.get_mut(&5).unwrap().lookup(&peer(2), now).unwrap();
    world.settle();
    world.pass(10_000);
    let found = world.found.iter().find(|found| found.lookup == lookup).unwrap();
    assert_eq!(found.record.as_ref().unwrap().fields().addrs, [SocketAddr::new(ip(2), PORT)]);
}

#[test]
fn whoever_is_behind_a_router_finds_relays_and_whoever_is_not_uses_none() {
    let mut world = World::new(6, &[5, 6]);
    let now = world.now;
    for n in [2, 3, 5] {
        world.nodes.get_mut(&n).unwrap().serve(PORT, Some(relay(n)), now);
    }
    world.nodes.get_mut(&6).unwrap().allow_relays(false, now);
    for (a, b) in [(1, 2), (2, 3), (3, 4), (4, 1), (5, 1), (5, 4), (6, 1), (6, 4)] {
        world.connect(a, b);
    }
    world.pass(300_000);
    let through =
        |world: &World, n: u8| -> Vec<PeerId> { world.through.get(&n).into_iter().flatten().map(|relay| relay.peer).collect() };
    let mut relays = through(&world, 5);
    relays.sort();
    let mut expected = [peer(2), peer(3)];
    expected.sort();
    assert_eq!(relays, expected, "found through others, and not the one that nobody reaches: itself");
    assert!([1, 2, 3, 4].iter().all(|n| through(&world, *n).is_empty()), "who can be dialled needs none");
    assert!(through(&world, 6).is_empty(), "refused");

    // One of them withdraws.
    let now = world.now;
    world.nodes.get_mut(&2).unwrap().serve(PORT, None, now);
    world.settle();
    world.pass(30_000);
    let standing = world.nodes[&2].standing();
    assert!(standing.relay_families.is_empty() && standing.verdict == Verdict::Reachable);
}

#[test]
fn whoever_meets_only_somebody_who_hides_behind_a_relay_learns_of_relays_from_him() {
    let mut world = World::new(5, &[4, 5]);
    let now = world.now;
    world.nodes.get_mut(&2).unwrap().serve(PORT, Some(relay(2)), now);
    for (a, b) in [(1, 2), (2, 3), (3, 1), (4, 1), (4, 3)] {
        world.connect(a, b);
    }
    world.pass(180_000);
    // Nobody sees an address of whoever comes through a relay.
    let (now, input) = (world.now, Input::Connected { peer: peer(4), addr: Vec::new(), dialed: true, ip: None });
    world.nodes.get_mut(&5).unwrap().handle(input, now);
    world.settle();
    assert_eq!(world.nodes[&5].relays().1, 1);
}

#[test]
fn a_question_that_is_none_is_not_answered() {
    let mut world = World::new(2, &[]);
    for question in [vec![], vec![0; 2048], b"hello".to_vec()] {
        assert_eq!(world.ask(1, 2, question), None);
    }
    let mut check = CheckIn::of(Check { port: PORT, relay: None }).encode();
    check.push(0);
    assert_eq!(world.ask(1, 2, check), None);
}

#[test]
fn nobody_makes_us_dial_without_end_nor_through_a_relay() {
    let mut world = World::new(2, &[]);
    let question = CheckIn::of(Check { port: PORT, relay: None }).encode();
    let answered = (0..100).filter(|_| world.ask(1, 2, question.clone()).is_some()).count();
    assert_eq!(answered, 16);
    let node = world.nodes.get_mut(&2).unwrap();
    let later = Now { mono_ms: 120_000, ..world.now };
    node.handle(Input::Asked { token: 9, peer: peer(1), from: None, question: question.clone() }, later);
    assert!(node.poll_output().is_none_or(|output| !matches!(output, Output::Check { .. })));
    let nowhere = CheckIn::of(Check { port: 0, relay: None }).encode();
    node.handle(Input::Asked { token: 10, peer: peer(1), from: Some(ip(1)), question: nowhere }, later);
    assert!(node.poll_output().is_none());
}

/// Five who know each other; node 1 has neighbours whatever happens to its line.
fn keepers() -> World {
    let mut world = World::new(5, &[]);
    for (a, b) in [(1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (3, 4), (4, 5), (5, 2)] {
        world.connect(a, b);
    }
    world.pass(180_000);
    assert_eq!(world.nodes[&1].standing().verdict, Verdict::Reachable);
    world
}

/// What node 1 finds out about this record.
fn probe(world: &mut World, record: NodeRecord) -> Option<bool> {
    let peer = record.peer();
    world.probed.clear();
    world.nodes.get_mut(&1).unwrap().probe(record);
    world.settle();
    assert_eq!(world.probed.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [peer], "one answer to one probe");
    world.probed[0].1
}

fn record(world: &World, n: u8) -> NodeRecord {
    NodeRecord::clone(world.nodes[&n].record().unwrap())
}

#[test]
fn who_is_silent_while_others_answer_is_dead_and_who_answers_lives() {
    let mut world = keepers();
    let five = record(&world, 5);
    assert_eq!(probe(&mut world, five.clone()), Some(true));
    world.dead = vec![5];
    assert_eq!(probe(&mut world, five.clone()), Some(false));
    world.dead = vec![5, 2, 3];
    assert_eq!(probe(&mut world, five), Some(false), "one who answers will do");
}

#[test]
fn who_hears_nobody_where_they_are_served_does_not_take_them_for_dead() {
    let mut world = keepers();
    let five = record(&world, 5);
    for line in [Line::NoUdp, Line::RelayOnly] {
        world.line = line;
        // Through a relay Bob answers, and lives; what does not answer there is not judged.
        world.dead = if line == Line::RelayOnly { vec![5] } else { vec![] };
        assert_eq!(probe(&mut world, five.clone()), None, "{line:?}");
    }
    world.line = Line::Works;
    world.dead = vec![2, 3, 4, 5];
    assert_eq!(probe(&mut world, five.clone()), None, "nobody is left who could show that our line works");
    world.dead = vec![5];
    assert_eq!(probe(&mut world, five), Some(false), "it works again");
}

#[test]
fn who_is_served_in_another_version_of_ip_is_judged_only_by_those_who_hear_others_there() {
    let mut world = keepers();
    world.dead = vec![5];
    let five = record(&world, 5);
    let also_v6 = |n: u8, addrs: &[&str]| {
        let (addrs, issued) = (addrs.iter().map(|addr| addr.parse().unwrap()).collect(), five.fields().issued + 1);
        NodeRecord::sign(&secret(n), NodeFields { addrs, issued, ..five.fields().clone() }).unwrap()
    };
    let (v6, dual) = (also_v6(5, &["[2001:db8:5::1]:4001"]), also_v6(5, &["198.51.5.1:4001", "[2001:db8:5::1]:4001"]));
    assert_eq!(probe(&mut world, v6.clone()), None, "all others that are known have IPv4 alone");
    assert_eq!(probe(&mut world, dual.clone()), Some(false), "nobody else could show that IPv6 works, and IPv4 does");
    world.dead = vec![2, 3, 4, 5];
    assert_eq!(probe(&mut world, dual.clone()), None, "nobody shows that anything does");
    let now = world.now;
    let four = std::sync::Arc::new(also_v6(4, &["198.51.4.1:4001", "[2001:db8:4::1]:4001"]));
    world.dead = vec![5];
    world.nodes.get_mut(&1).unwrap().learn_node(&four, now);
    world.settle();
    let known: Vec<_> = world.nodes[&1].nodes(now).iter().map(|record| record.fields().addrs.clone()).collect();
    assert_eq!(probe(&mut world, dual.clone()), Some(false), "{known:?}");
    assert_eq!(probe(&mut world, v6.clone()), Some(false), "somebody is heard there");
    world.dead = vec![4, 5];
    assert_eq!(probe(&mut world, dual.clone()), None, "somebody else is known in IPv6, and is not heard there");
    world.dead = vec![5];
    let now = world.now;
    let families = |v4, v6| samizdat_core::record::Families { v4, v6 };
    world.nodes.get_mut(&1).unwrap().speak(families(true, false), now);
    assert_eq!(probe(&mut world, dual), Some(false), "who speaks no IPv6 checks what he can");
    assert_eq!(probe(&mut world, v6), None, "and what he cannot reach at all is not his to judge");
}

#[test]
fn a_probe_that_a_new_key_interrupts_says_nothing() {
    let mut world = keepers();
    let five = record(&world, 5);
    let now = world.now;
    let node = world.nodes.get_mut(&1).unwrap();
    node.probe(five);
    node.renew(peer(9), vec![9], now);
    let said = std::iter::from_fn(|| node.poll_output())
        .filter_map(|output| if let Output::Probed { peer, answered } = output { Some((peer, answered)) } else { None });
    assert_eq!(said.collect::<Vec<_>>(), [(peer(5), None)]);
}

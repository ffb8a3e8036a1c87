//! Stories of two nodes and a network that delivers in order; Mallory speaks to a machine directly.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use super::codec::Straight;
use super::*;
use crate::codec::PeerAddr;
use handshake::{ANSWER_LEN, HELLO_LEN};

const START_MS: u64 = 1_800_000_000_000;
const MALLORY: PeerId = PeerId([66; 32]);
const ALICE: usize = 0;
const BOB: usize = 1;

fn at(ms: u64) -> Now {
    Now { mono_ms: ms, unix_ms: START_MS + ms }
}

fn secret(n: u8) -> SessionSecret {
    SessionSecret::new([n; 32])
}

fn place(peer: PeerId) -> Place {
    Place { peer, addr: PeerAddr(peer.0[..4].to_vec()) }
}

/// Two machines, and links between them that have a number at each end.
struct World {
    nodes: [Contacts; 2],
    /// Their endpoints.
    keys: [BTreeMap<Way, PeerId>; 2],
    ends: BTreeMap<(usize, u64), (usize, u64)>,
    next: u64,
    wire: VecDeque<(usize, Output)>,
    seen: Vec<(usize, Output)>,
    /// Whether what comes is kept at once.
    keeps: bool,
    now: Now,
}

impl World {
    fn new() -> Self {
        let nodes = [Contacts::new([1; 32]), Contacts::new([2; 32])];
        let mut world = Self {
            nodes,
            keys: [BTreeMap::new(), BTreeMap::new()],
            ends: BTreeMap::new(),
            next: 0,
            wire: VecDeque::new(),
            seen: Vec::new(),
            keeps: true,
            now: at(0),
        };
        world.start(ALICE, Way::Relayed, 1);
        world.start(BOB, Way::Relayed, 2);
        world
    }

    fn start(&mut self, node: usize, way: Way, key: u8) {
        let key = PeerId([key; 32]);
        self.keys[node].insert(way, key);
        self.nodes[node].set_own(way, Some(key), self.now);
    }

    fn presence(&self, of: usize, direct: bool) -> Presence {
        let direct = self.keys[of].get(&Way::Direct).filter(|_| direct).map_or(Straight::No, |key| Straight::To(place(*key)));
        Presence { until_s: self.now.unix_ms / 1000 + 3600, relayed: place(self.keys[of][&Way::Relayed]), direct }
    }

    /// What `node` knows of the other.
    fn acquaint(&mut self, node: usize, secrets: &[SessionSecret], direct: bool, presence: Option<Presence>) {
        let contact = Contact { who: Who(9), secrets: secrets.to_vec(), direct, presence };
        self.nodes[node].set_contacts(vec![contact], self.now);
    }

    fn both(&mut self, direct: bool) {
        for node in [ALICE, BOB] {
            let presence = self.presence(1 - node, direct);
            self.acquaint(node, &[secret(7)], direct, Some(presence));
        }
    }

    fn collect(&mut self) {
        for node in [ALICE, BOB] {
            while let Some(output) = self.nodes[node].poll_output() {
                self.wire.push_back((node, output));
            }
        }
    }

    /// Lets everything happen that needs no time.
    fn settle(&mut self) {
        self.collect();
        while let Some((node, output)) = self.wire.pop_front() {
            self.seen.push((node, output.clone()));
            match output {
                Output::Dial { dial, way, to } => {
                    let other = 1 - node;
                    let there = self.keys[other].iter().find(|(_, key)| **key == to.peer).map(|(way, _)| *way);
                    let Some(there) = there else {
                        self.nodes[node].handle(Input::DialFailed { dial }, self.now);
                        continue;
                    };
                    self.next += 2;
                    let (ours, theirs) = (self.next, self.next + 1);
                    self.ends.insert((node, ours), (other, theirs));
                    self.ends.insert((other, theirs), (node, ours));
                    let binding = [u8::try_from(self.next).unwrap(); BINDING_LEN];
                    let (own, peer) = (self.keys[node][&way], to.peer);
                    self.nodes[node].handle(Input::Opened { link: ours, dial: Some(dial), way, peer, binding }, self.now);
                    self.nodes[other].handle(Input::Opened { link: theirs, dial: None, way: there, peer: own, binding }, self.now);
                }
                Output::Send { link, bytes } => {
                    if let Some((other, link)) = self.ends.get(&(node, link)).copied() {
                        self.nodes[other].handle(Input::Frame { link, bytes }, self.now);
                    }
                }
                Output::Close { link } => {
                    if let Some((other, theirs)) = self.ends.remove(&(node, link)) {
                        self.ends.remove(&(other, theirs));
                        self.nodes[other].handle(Input::Closed { link: theirs }, self.now);
                    }
                }
                Output::Envelope { link, .. } if self.keeps => self.nodes[node].handle(Input::Kept { link }, self.now),
                Output::Up(_) | Output::Switched(_) | Output::Down(_) | Output::Envelope { .. } | Output::Took { .. } => {}
            }
            self.collect();
        }
    }

    /// Until nothing is due within `ms`.
    fn run(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        self.settle();
        while let Some(next) = self.nodes.iter().filter_map(Contacts::next_timeout).min().filter(|next| *next <= end) {
            self.now = at(next.max(self.now.mono_ms));
            self.nodes.iter_mut().for_each(|node| node.handle(Input::Timeout, self.now));
            self.settle();
        }
        self.now = at(end);
    }

    /// The links by which these bytes came to a node.
    fn came(&self, node: usize, said: &[u8]) -> Vec<u64> {
        let link = |(at, output): &(usize, Output)| match output {
            Output::Envelope { link, bytes, .. } if *at == node && bytes == said => Some(*link),
            _ => None,
        };
        self.seen.iter().filter_map(link).collect()
    }

    fn session(&self, node: usize) -> Option<Session> {
        self.nodes[node].sessions().next()
    }

    /// The link that both have, seen from Alice.
    fn shared(&self) -> u64 {
        let (alice, bob) = (self.session(ALICE).unwrap().link, self.session(BOB).unwrap().link);
        assert_eq!(self.ends.get(&(ALICE, alice)), Some(&(BOB, bob)), "both hold the same connection");
        alice
    }

    fn count(&self, node: usize, what: &Output) -> usize {
        self.seen.iter().filter(|seen| seen.0 == node && seen.1 == *what).count()
    }

    fn dials(&self, node: usize) -> usize {
        self.seen.iter().filter(|(of, output)| *of == node && matches!(output, Output::Dial { .. })).count()
    }
}

#[test]
fn alice_finds_bob_and_they_exchange_envelopes() {
    let mut world = World::new();
    let presence = world.presence(BOB, false);
    world.acquaint(ALICE, &[secret(7)], false, Some(presence));
    world.acquaint(BOB, &[secret(7)], false, None);
    world.run(1000);
    world.shared();
    assert_eq!((world.dials(ALICE), world.dials(BOB)), (1, 0));
    assert!(world.nodes[BOB].send(Who(9), b"hello".to_vec()));
    world.settle();
    assert_eq!(world.came(ALICE, b"hello").len(), 1);
    assert_eq!(world.nodes[BOB].room(Who(9)), CONTACT_WINDOW, "it was taken");
    assert_eq!(world.count(BOB, &Output::Took { who: Who(9), bytes: b"hello".to_vec() }), 1);
    world.run(60_000);
    world.shared();
    assert_eq!(world.dials(ALICE), 1);
}

#[test]
fn crossed_dials_end_with_one_connection() {
    let mut world = World::new();
    world.both(false);
    // Both are due before either has heard of the other.
    world.now = at(1000);
    world.nodes.iter_mut().for_each(|node| node.handle(Input::Timeout, at(1000)));
    world.collect();
    assert_eq!(world.wire.len(), 2);
    world.settle();
    world.shared();
    assert_eq!(world.ends.len(), 2, "no other connection is left");
    for node in [ALICE, BOB] {
        assert_eq!((world.count(node, &Output::Up(Who(9))), world.count(node, &Output::Down(Who(9)))), (1, 0));
        assert!(world.nodes[node].links.len() == 1 && world.nodes[node].dials.is_empty());
    }
    assert_eq!(world.nodes[ALICE].links.values().next().unwrap().dialled, Some(Who(9)), "the lower key dialled it");
}

#[test]
fn whoever_is_an_epoch_behind_is_recognised() {
    for (alice, bob) in [(vec![secret(8), secret(7)], vec![secret(7)]), (vec![secret(7)], vec![secret(9), secret(8), secret(7)])] {
        let mut world = World::new();
        let presence = world.presence(BOB, false);
        world.acquaint(ALICE, &alice, false, Some(presence));
        world.acquaint(BOB, &bob, false, None);
        world.run(1000);
        world.shared();
    }
}

#[test]
fn a_session_outlives_a_new_epoch() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    let link = world.shared();
    let presence = world.presence(BOB, false);
    world.acquaint(ALICE, &[secret(8)], false, Some(presence));
    world.run(60_000);
    assert_eq!(world.shared(), link);
}

#[test]
fn a_node_that_was_started_again_takes_its_session_over() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    world.nodes[BOB] = Contacts::new([3; 32]);
    world.start(BOB, Way::Relayed, 5);
    let presence = world.presence(ALICE, false);
    world.acquaint(BOB, &[secret(7)], false, Some(presence));
    // Alice has not noticed yet.
    world.run(1000);
    world.shared();
    assert_eq!(world.session(ALICE).unwrap().peer, PeerId([5; 32]));
    assert_eq!(world.count(ALICE, &Output::Down(Who(9))), 0);
}

#[test]
fn a_direct_way_takes_the_place_of_a_relayed_one_where_both_allow_it() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    world.shared();
    world.start(ALICE, Way::Direct, 3);
    world.start(BOB, Way::Direct, 4);
    // Alice allows it and Bob has not told: nothing changes.
    let presence = world.presence(BOB, false);
    world.acquaint(ALICE, &[secret(7)], true, Some(presence));
    world.run(60_000);
    assert_eq!(world.nodes[ALICE].links.values().next().unwrap().way, Way::Relayed);
    world.both(true);
    world.run(60_000);
    world.shared();
    assert_eq!(world.nodes[ALICE].links.values().map(|link| link.way).collect::<Vec<_>>(), [Way::Direct]);
    // Bob takes it back: the direct connection ends at once, and a relayed one comes.
    let presence = world.presence(ALICE, true);
    world.acquaint(BOB, &[secret(7)], false, Some(presence));
    world.run(60_000);
    world.shared();
    assert_eq!(world.nodes[BOB].links.values().map(|link| link.way).collect::<Vec<_>>(), [Way::Relayed]);
}

#[test]
fn what_was_on_its_way_is_sent_again_on_the_link_that_stays() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    let link = world.shared();
    world.start(ALICE, Way::Direct, 3);
    world.start(BOB, Way::Direct, 4);
    world.settle();
    // The relay swallows what Alice says from now on.
    world.ends.remove(&(ALICE, link));
    assert!(world.nodes[ALICE].send(Who(9), b"lost".to_vec()));
    world.settle();
    world.both(true);
    world.run(1000);
    assert_eq!(world.came(BOB, b"lost").len(), 1);
    assert_eq!(world.nodes[ALICE].room(Who(9)), CONTACT_WINDOW);
}

#[test]
fn a_contact_who_takes_nothing_is_sent_no_more_than_the_window() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    let sent = (0..CONTACT_WINDOW + 5).filter(|_| world.nodes[ALICE].send(Who(9), b"x".to_vec())).count();
    assert_eq!((sent, world.nodes[ALICE].room(Who(9))), (CONTACT_WINDOW, 0));
    world.settle();
    assert_eq!(world.nodes[ALICE].room(Who(9)), CONTACT_WINDOW);
}

#[test]
fn what_is_not_kept_is_not_acknowledged_and_comes_again_after_a_crash() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    world.keeps = false;
    for said in [b"first", b"other"] {
        assert!(world.nodes[ALICE].send(Who(9), said.to_vec()));
    }
    world.settle();
    let link = world.came(BOB, b"first")[0];
    assert!(world.nodes[BOB].is_open(link));
    let took = |bytes: &[u8]| Output::Took { who: Who(9), bytes: bytes.to_vec() };
    assert_eq!((world.count(ALICE, &took(b"first")), world.nodes[ALICE].room(Who(9))), (0, CONTACT_WINDOW - 2));
    world.nodes[BOB].handle(Input::Kept { link }, world.now);
    world.settle();
    assert_eq!((world.count(ALICE, &took(b"first")), world.count(ALICE, &took(b"other"))), (1, 0));
    // He crashes before he has looked at the other, and is there again under another key.
    world.start(BOB, Way::Relayed, 5);
    world.both(false);
    world.settle();
    world.keeps = true;
    assert!(!world.nodes[BOB].is_open(link));
    world.nodes[BOB].handle(Input::Kept { link }, world.now);
    world.run(1000);
    assert_eq!(world.count(ALICE, &took(b"other")), 0, "whoever drives Alice hands it over again");
    assert_eq!(world.nodes[ALICE].room(Who(9)), CONTACT_WINDOW);
}

#[test]
fn whoever_says_more_than_the_window_without_waiting_is_hung_up_on() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    world.keeps = false;
    let link = world.session(BOB).unwrap().link;
    let said = |world: &mut World| {
        world.nodes[BOB].handle(Input::Frame { link, bytes: Frame::Envelope(b"x".to_vec()).encode() }, world.now);
    };
    (0..CONTACT_WINDOW).for_each(|_| said(&mut world));
    assert!(world.nodes[BOB].is_open(link));
    said(&mut world);
    assert!(!world.nodes[BOB].is_open(link));
    // Who says that something is kept that did not come is not believed.
    world.settle();
    world.nodes[BOB].handle(Input::Kept { link }, world.now);
    assert_eq!(world.nodes[BOB].poll_output(), None);
}

#[test]
fn who_is_not_there_is_dialled_ever_more_seldom_and_not_for_ever() {
    let mut world = World::new();
    let nowhere = Presence { relayed: place(MALLORY), ..world.presence(BOB, false) };
    world.acquaint(ALICE, &[secret(7)], false, Some(nowhere));
    world.run(60_000);
    assert!((4..=6).contains(&world.dials(ALICE)), "{}", world.dials(ALICE));
    world.run(2 * 3_600_000);
    let dials = world.dials(ALICE);
    assert!(dials < 20, "{dials}");
    world.run(3_600_000);
    assert_eq!(world.dials(ALICE), dials, "his word is out of date");
    let presence = world.presence(BOB, false);
    world.acquaint(ALICE, &[secret(7)], false, Some(presence));
    world.run(1000);
    assert_eq!(world.dials(ALICE), dials + 1, "at once when he tells where he is now");
}

#[test]
fn a_contact_who_is_let_go_is_closed_and_nobody_to_us() {
    let mut world = World::new();
    world.both(false);
    world.run(1000);
    world.nodes[ALICE].set_contacts(Vec::new(), world.now);
    world.settle();
    assert!(world.session(ALICE).is_none() && world.session(BOB).is_none());
    assert_eq!((world.count(ALICE, &Output::Down(Who(9))), world.count(BOB, &Output::Down(Who(9)))), (1, 1));
    world.run(60_000);
    assert!(world.session(BOB).is_none() && world.dials(BOB) > 1);
}

#[test]
fn who_says_that_they_are_nowhere_is_not_dialled_until_they_say_otherwise() {
    let mut world = World::new();
    let nowhere = Presence::decode(&Presence::nowhere().encode()).unwrap();
    assert!(nowhere.is_nowhere());
    world.acquaint(ALICE, &[secret(7)], false, Some(nowhere));
    world.run(3_600_000);
    // Nothing is due but the tags of tomorrow.
    let tomorrow = world.nodes[ALICE].book.next_tags(world.now);
    assert_eq!((world.dials(ALICE), world.nodes[ALICE].next_timeout()), (0, tomorrow));
    let presence = world.presence(BOB, false);
    world.acquaint(ALICE, &[secret(7)], false, Some(presence));
    world.acquaint(BOB, &[secret(7)], false, None);
    world.run(1000);
    world.shared();
}

/// What a machine says to somebody who dials it, in bytes and milliseconds since then, to the end.
fn trace(
    node: &mut Contacts,
    peer: PeerId,
    say: impl Fn(&mut Contacts, Option<&[u8]>) -> Option<Vec<u8>>,
) -> Vec<(u64, Option<usize>)> {
    let opened = Input::Opened { link: 1, dial: None, way: Way::Relayed, peer, binding: [5; BINDING_LEN] };
    node.handle(opened, at(0));
    let mut trace = Vec::new();
    let mut heard: Option<Vec<u8>> = None;
    let mut now = at(0);
    for step in 0..4 {
        if let Some(bytes) = say(node, heard.as_deref()) {
            node.handle(Input::Frame { link: 1, bytes }, now);
        }
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { bytes, .. } => {
                    trace.push((now.mono_ms, Some(bytes.len())));
                    heard = Some(bytes);
                }
                Output::Close { .. } => trace.push((now.mono_ms, None)),
                Output::Up(_) => trace.push((now.mono_ms, Some(0))),
                output => panic!("{output:?}"),
            }
        }
        now = if step == 0 { at(50) } else { at(node.next_timeout().unwrap_or(50).max(50)) };
        node.handle(Input::Timeout, now);
    }
    trace
}

fn alice_who_knows(secrets: &[SessionSecret]) -> Contacts {
    let mut alice = Contacts::new([1; 32]);
    alice.set_own(Way::Relayed, Some(PeerId([1; 32])), at(0));
    if !secrets.is_empty() {
        alice.set_contacts(vec![Contact { who: Who(9), secrets: secrets.to_vec(), direct: false, presence: None }], at(0));
    }
    alice
}

fn greeting(secrets: &[SessionSecret]) -> Greeted {
    let channel = Channel { binding: [5; BINDING_LEN], dialler: MALLORY, answerer: PeerId([1; 32]) };
    Greeted::new(secrets, channel, day(START_MS), [3; NONCE_LEN], [[4; 16]; CONTACT_TAGS])
}

#[test]
fn a_stranger_cannot_tell_a_wrong_key_from_nobody_home() {
    let hello = |secrets: &[SessionSecret]| greeting(secrets).hello().to_vec();
    let refused = [(0, Some(ANSWER_LEN)), (CONTACT_HANDSHAKE_MS, None)];
    // Mallory invents tags, or knows the right ones (which she cannot) and not the proof, and says anything after that.
    for (known, tags) in [(vec![], secret(7)), (vec![secret(7)], secret(8)), (vec![secret(7)], secret(7))] {
        let mut alice = alice_who_knows(&known);
        let seen =
            trace(&mut alice, MALLORY, |_, heard| Some(heard.map_or_else(|| hello(std::slice::from_ref(&tags)), |_| vec![1; 32])));
        assert_eq!(seen, refused, "{} keys", known.len());
        assert!(alice.links.is_empty() && alice.sessions().next().is_none());
    }
    // Who says nothing, or nothing that makes sense, is waited out as well.
    for junk in [None, Some(vec![1; HELLO_LEN + 1]), Some(vec![2; HELLO_LEN])] {
        for known in [vec![], vec![secret(7)]] {
            let seen = trace(&mut alice_who_knows(&known), MALLORY, |_, _| junk.clone());
            assert_eq!(seen, refused[1..]);
        }
    }
    // The same with the right key.
    let greeted = greeting(&[secret(7)]);
    let seen = trace(&mut alice_who_knows(&[secret(7)]), MALLORY, |_, heard| match heard {
        None => Some(greeted.hello().to_vec()),
        Some(answer) => greeted.finish(answer).map(|proof| proof.to_vec()),
    });
    assert_eq!(seen, [(0, Some(ANSWER_LEN)), (50, Some(0))]);
}

/// To make them takes the longer the more contacts there are, which the first stranger would see.
#[test]
fn the_tags_of_contacts_are_ready_before_a_stranger_comes() {
    let mut alice = alice_who_knows(&[secret(7)]);
    let mut days = BTreeSet::new();
    let mut now = at(0);
    while now.mono_ms < 3 * 24 * 3_600_000 {
        let there = |own: u8| {
            let channel = Channel { binding: [5; BINDING_LEN], dialler: MALLORY, answerer: PeerId([own; 32]) };
            let greeted = Greeted::new(&[secret(7)], channel, day(now.unix_ms), [3; NONCE_LEN], [[4; 16]; CONTACT_TAGS]);
            HelloIn::decode(greeted.hello()).unwrap()
        };
        assert!(alice.book.find(there(1).tags(), Way::Relayed).is_some(), "{now:?}");
        assert!(alice.book.find(there(2).tags(), Way::Relayed).is_none(), "{now:?}");
        days.insert(day(now.unix_ms));
        let next = alice.next_timeout().unwrap();
        assert!(next > now.mono_ms);
        now = at(next);
        alice.handle(Input::Timeout, now);
    }
    assert!(days.len() >= 3, "{days:?}");
    alice.set_own(Way::Relayed, Some(PeerId([2; 32])), now);
    assert!(alice.book.tags_are_ready());
    alice.set_contacts(Vec::new(), now);
    assert!(alice.book.tags_are_ready() && alice.book.next_tags(now).is_none());
}

#[test]
fn a_handshake_that_was_overheard_is_of_no_use_on_another_connection() {
    let greeted = greeting(&[secret(7)]);
    let mut alice = alice_who_knows(&[secret(7)]);
    for (link, binding) in [(1, [5; BINDING_LEN]), (2, [6; BINDING_LEN])] {
        alice.handle(Input::Opened { link, dial: None, way: Way::Relayed, peer: MALLORY, binding }, at(0));
        alice.handle(Input::Frame { link, bytes: greeted.hello().to_vec() }, at(0));
    }
    let mut answers = Vec::new();
    while let Some(Output::Send { bytes, .. }) = alice.poll_output() {
        answers.push(bytes);
    }
    let proof = greeted.finish(&answers[0]).unwrap();
    assert_eq!(greeted.finish(&answers[1]), None);
    alice.handle(Input::Frame { link: 2, bytes: proof.to_vec() }, at(0));
    assert!(alice.sessions().next().is_none());
    alice.handle(Input::Frame { link: 1, bytes: proof.to_vec() }, at(0));
    assert!(alice.sessions().next().is_some());
}

/// Mallory sends Alice back what she said herself.
#[test]
fn a_reflection_proves_nothing() {
    let mut world = World::new();
    let presence = Presence { relayed: place(MALLORY), ..world.presence(BOB, false) };
    world.acquaint(ALICE, &[secret(7)], false, Some(presence));
    let alice = &mut world.nodes[ALICE];
    alice.handle(Input::Timeout, at(1000));
    let Some(Output::Dial { dial, .. }) = alice.poll_output() else { panic!("no dial") };
    let binding = [5; BINDING_LEN];
    alice.handle(Input::Opened { link: 1, dial: Some(dial), way: Way::Relayed, peer: MALLORY, binding }, at(1000));
    alice.handle(Input::Opened { link: 2, dial: None, way: Way::Relayed, peer: MALLORY, binding }, at(1000));
    let Some(Output::Send { link: 1, bytes: hello }) = alice.poll_output() else { panic!("no hello") };
    assert_eq!(hello.len(), HELLO_LEN);
    alice.handle(Input::Frame { link: 2, bytes: hello }, at(1000));
    let Some(Output::Send { link: 2, bytes: answer }) = alice.poll_output() else { panic!("no answer") };
    alice.handle(Input::Frame { link: 1, bytes: answer }, at(1000));
    assert_eq!(alice.poll_output(), None, "to an impostor Alice says nothing more");
    assert!(alice.sessions().next().is_none());
    alice.handle(Input::Timeout, at(1000 + CONTACT_HANDSHAKE_MS));
    assert_eq!(alice.poll_output(), Some(Output::Close { link: 1 }));
}

#[test]
fn clocks_may_differ_around_midnight() {
    let midnight_ms = START_MS / 86_400_000 * 86_400_000 + 86_400_000;
    let now = |unix_ms| Now { mono_ms: 0, unix_ms };
    for (ours, found) in [(midnight_ms + 7_000_000, true), (midnight_ms + 8_000_000, false), (midnight_ms - 1, true)] {
        let mut alice = alice_who_knows(&[secret(7)]);
        let channel = Channel { binding: [5; BINDING_LEN], dialler: MALLORY, answerer: PeerId([1; 32]) };
        let greeted = Greeted::new(&[secret(7)], channel, day(midnight_ms - 1), [3; NONCE_LEN], [[4; 16]; CONTACT_TAGS]);
        let opened = Input::Opened { link: 1, dial: None, way: Way::Relayed, peer: MALLORY, binding: [5; BINDING_LEN] };
        alice.handle(opened, now(ours));
        alice.handle(Input::Frame { link: 1, bytes: greeted.hello().to_vec() }, now(ours));
        let Some(Output::Send { bytes, .. }) = alice.poll_output() else { panic!("no answer") };
        assert_eq!(greeted.finish(&bytes).is_some(), found);
    }
}

#[test]
fn no_more_links_are_held_than_the_bound() {
    let mut alice = alice_who_knows(&[secret(7)]);
    for link in 0..=CONTACT_LINKS_MAX as u64 {
        alice.handle(Input::Opened { link, dial: None, way: Way::Relayed, peer: MALLORY, binding: [5; BINDING_LEN] }, at(0));
    }
    assert_eq!(alice.poll_output(), Some(Output::Close { link: CONTACT_LINKS_MAX as u64 }));
    assert_eq!(alice.links.len(), CONTACT_LINKS_MAX);
}

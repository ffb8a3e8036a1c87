//! One node against peers that lie, flood or fall silent. Nothing they do may grow without bound, and the worst are dropped.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, Now, PeerId};
use samizdat_sync::codec::{Claim, End, Range, WantedId};
use samizdat_sync::limits::{ACTIVE_MAX, GREETING_MAX, PASSIVE_MAX, RIBLT_PREFIX, UNACKED_MAX, USELESS_MAX};
use samizdat_sync::networks::Network;
use samizdat_sync::riblt::{Sketch, Symbol};
use samizdat_sync::tree::{Bound, Entry};
use samizdat_sync::{Config, Frame, Gossip, HangupReason, Input, Output, PeerAddr};
use sha2::{Digest, Sha256};

fn hash(n: u64) -> [u8; 32] {
    Sha256::digest(n.to_le_bytes()).into()
}

fn peer(n: u64) -> PeerId {
    PeerId(hash(n + 1_000_000))
}

fn entry(n: u64) -> Entry {
    Entry::new(Hour(490_000 + (n / 1000) as u32), EnvelopeId(hash(n)))
}

fn addr(n: u64) -> PeerAddr {
    PeerAddr(n.to_be_bytes().to_vec())
}

/// A node with a clock that the test turns by hand.
struct Alice {
    gossip: Gossip,
    now: u64,
}

impl Alice {
    fn new() -> Self {
        Self { gossip: Gossip::new(Config::default(), [1; 32], PeerId([1; 32]), addr(0)), now: 1_000 }
    }

    fn holding(count: u64) -> Self {
        let mut alice = Self::new();
        alice.gossip.load((0..count).map(|n| (entry(n).hour, entry(n).id)));
        alice
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let now = Now { mono_ms: self.now, unix_ms: 0 };
        self.gossip.handle(input, now);
        std::iter::from_fn(|| self.gossip.poll_output()).collect()
    }

    fn frame(&mut self, from: PeerId, frame: &Frame) -> Vec<Output> {
        self.input(Input::Frame { peer: from, bytes: frame.encode() })
    }

    /// Somebody comes and becomes a neighbour, if there is room.
    fn meet(&mut self, n: u64) -> Vec<Output> {
        self.input(Input::Connected { peer: peer(n), addr: PeerAddr::default(), dialed: false, network: Network::Hidden });
        self.frame(peer(n), &Frame::Neighbor { urgent: true, addr: addr(n) })
    }

    /// Alice dials somebody who welcomes her.
    fn visit(&mut self, n: u64) -> Vec<Output> {
        self.input(Input::Connected { peer: peer(n), addr: addr(n), dialed: true, network: Network::Hidden });
        self.frame(peer(n), &Frame::Welcome)
    }

    /// Lets time pass, doing what is due.
    fn wait(&mut self, ms: u64) -> Vec<Output> {
        let end = self.now + ms;
        let mut outputs = Vec::new();
        while let Some(at) = self.gossip.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            outputs.extend(self.input(Input::Timeout));
        }
        self.now = end;
        outputs
    }

    fn neighbours(&self) -> usize {
        self.gossip.peers().count()
    }

    fn score(&self, n: u64) -> u32 {
        self.gossip.peers().find(|p| p.peer == peer(n)).map_or(u32::MAX, |p| p.score)
    }
}

fn frames(outputs: &[Output]) -> Vec<Frame> {
    let frames = outputs.iter().filter_map(|o| match o {
        Output::Send { bytes, .. } => Frame::decode(bytes).ok(),
        _ => None,
    });
    frames.collect()
}

fn hung_up(outputs: &[Output], n: u64, why: HangupReason) -> bool {
    outputs.contains(&Output::Hangup { peer: peer(n), reason: why })
}

fn session_of(outputs: &[Output]) -> u32 {
    let session = frames(outputs).into_iter().find_map(|f| match f {
        Frame::Open { session, .. } => Some(session),
        _ => None,
    });
    session.unwrap_or_default()
}

#[test]
fn junk_costs_the_connection_and_the_next_ones() {
    let mut alice = Alice::new();
    alice.meet(1);
    let mut last = Vec::new();
    for _ in 0..10 {
        alice.frame(peer(1), &Frame::Push { envelope: vec![0; 100] });
        last = alice.input(Input::Junk { peer: peer(1) });
    }
    assert!(hung_up(&last, 1, HangupReason::Misbehaved));
    let again = alice.input(Input::Connected { peer: peer(1), addr: PeerAddr::default(), dialed: false, network: Network::Hidden });
    assert!(hung_up(&again, 1, HangupReason::Misbehaved));
    alice.wait(11 * 60_000);
    alice.meet(1);
    assert_eq!(alice.neighbours(), 1);
}

#[test]
fn bytes_that_are_no_frame_cost_more() {
    let mut alice = Alice::new();
    alice.meet(1);
    alice.input(Input::Frame { peer: peer(1), bytes: vec![0xff; 10] });
    let last = alice.input(Input::Frame { peer: peer(1), bytes: Vec::new() });
    assert!(hung_up(&last, 1, HangupReason::Misbehaved));
}

#[test]
fn a_stranger_cannot_skip_the_greeting() {
    let mut alice = Alice::new();
    alice.input(Input::Connected { peer: peer(1), addr: PeerAddr::default(), dialed: false, network: Network::Hidden });
    let outputs = alice.frame(peer(1), &Frame::Push { envelope: vec![0; 100] });
    assert!(!outputs.iter().any(|o| matches!(o, Output::Candidates { .. })));
    assert_eq!(alice.neighbours(), 0);
}

#[test]
fn a_crowd_of_strangers_does_not_displace_chosen_or_settled_neighbours() {
    let mut alice = Alice::new();
    (1..=4).for_each(|n| {
        alice.visit(n);
    });
    (5..=6).for_each(|n| {
        alice.meet(n);
    });
    alice.wait(700_000);
    for n in 100..1100 {
        let outputs = alice.meet(n);
        assert!(alice.neighbours() <= ACTIVE_MAX);
        assert!(alice.gossip.remembered().len() <= PASSIVE_MAX + ACTIVE_MAX);
        if hung_up(&outputs, n, HangupReason::Full) {
            alice.input(Input::Disconnected { peer: peer(n) });
        }
        alice.now += 10;
    }
    let stayed = |n: u64| alice.gossip.peers().any(|p| p.peer == peer(n));
    // One of the two who came may have made room when there were more than six.
    assert!((1..=4).all(stayed));
    assert!((1..=6).filter(|n| stayed(*n)).count() >= 5);
}

#[test]
fn connections_that_never_greet_are_bounded_and_closed() {
    let mut alice = Alice::new();
    let mut closed = 0;
    for n in 0..200 {
        let outputs =
            alice.input(Input::Connected { peer: peer(n), addr: PeerAddr::default(), dialed: false, network: Network::Hidden });
        closed += outputs.iter().filter(|o| matches!(o, Output::Hangup { reason: HangupReason::Silent, .. })).count();
    }
    assert_eq!(closed, 200 - GREETING_MAX);
    let late = alice.wait(20_000);
    let silent = late.iter().filter(|o| matches!(o, Output::Hangup { reason: HangupReason::Silent, .. })).count();
    assert_eq!(silent, GREETING_MAX);
}

#[test]
fn made_up_peers_do_not_drive_out_those_that_worked() {
    let mut alice = Alice::new();
    (1..=5).for_each(|n| {
        alice.visit(n);
    });
    alice.input(Input::Disconnected { peer: peer(5) });
    for round in 0..200_u64 {
        alice.now += 6_000;
        let peers = (0..16).map(|n| (peer(10_000 + round * 16 + n), addr(n))).collect();
        let outputs = alice.frame(peer(1), &Frame::Shuffle { peers });
        for output in outputs {
            if let Output::Dial { peer, .. } = output {
                alice.input(Input::DialFailed { peer });
            }
        }
    }
    let remembered = alice.gossip.remembered();
    assert!(remembered.len() <= PASSIVE_MAX + ACTIVE_MAX);
    assert!((1..=5).all(|n| remembered.iter().any(|(p, _)| *p == peer(n))));
}

#[test]
fn announcing_what_does_not_exist_is_bounded_and_punished() {
    let mut alice = Alice::new();
    alice.meet(1);
    for n in 0..100 {
        let entries = (0..4096).map(|k| entry(n * 4096 + k)).collect();
        alice.frame(peer(1), &Frame::IHave { late: false, entries });
    }
    let outputs = alice.wait(10_000);
    let asked: usize = frames(&outputs).iter().map(|f| if let Frame::Ask { entries } = f { entries.len() } else { 0 }).sum();
    assert!(asked <= 1024, "{asked}");
    assert!(alice.score(1) > 0);
}

#[test]
fn a_peer_that_acknowledges_nothing_gets_a_bounded_amount() {
    let mut alice = Alice::holding(20_000);
    alice.meet(1);
    // An empty set: it lacks everything.
    let ranges = vec![Range { upper: Bound::End, claim: Claim::Print { count: 0, print: [0; 16] } }];
    let mut outputs = alice.frame(peer(1), &Frame::Open { session: 1, sketch: Sketch::default(), ranges });
    let mut sent = 0;
    while let Some(ids) = outputs.iter().find_map(|o| if let Output::Fetch { ids, .. } = o { Some(ids.clone()) } else { None }) {
        let envelopes: Vec<(EnvelopeId, Arc<[u8]>)> = ids.into_iter().map(|id| (id, vec![0; 600].into())).collect();
        sent += envelopes.len();
        outputs = alice.input(Input::Payloads { peer: peer(1), envelopes });
    }
    assert!((UNACKED_MAX..UNACKED_MAX + 64).contains(&sent), "{sent}");
    alice.wait(70_000);
    assert!(alice.score(1) > 0);
    assert!(!alice.wait(60_000).iter().any(|o| matches!(o, Output::Fetch { .. })));
}

#[test]
fn symbols_without_end_end() {
    let mut alice = Alice::holding(5_000);
    let mut outputs = alice.visit(1);
    let session = session_of(&outputs);
    let (mut start, mut sent) = (0, 0);
    for _ in 0..300 {
        let more = frames(&outputs).iter().find_map(|f| if let Frame::More { count, .. } = f { Some(*count) } else { None });
        let count = if start == 0 { 500 } else { more.unwrap_or(0) };
        if count == 0 {
            break;
        }
        let noise = |n: u32| {
            let mut bytes = [0; 44];
            bytes[..32].copy_from_slice(&hash(u64::from(n)));
            Symbol::from_bytes(&bytes)
        };
        let symbols = (start..start + count).map(noise).collect();
        outputs = alice.frame(peer(1), &Frame::Symbols { session, start, symbols });
        start += count;
        sent += 1;
    }
    assert_eq!(start as usize, RIBLT_PREFIX);
    assert!(sent < 60, "{sent}");
    // Ranges take over, and one who goes on with symbols is caught.
    assert!(frames(&outputs).iter().any(|f| matches!(f, Frame::Ranges { estimate: 0, .. })));
    let last = alice.frame(peer(1), &Frame::Symbols { session, start, symbols: vec![Symbol::from_bytes(&[1; 44])] });
    assert!(frames(&last).iter().any(|f| matches!(f, Frame::Close { end: End::Partial, .. })));
    assert_eq!(alice.score(1), 40);
}

#[test]
fn ranges_that_never_agree_end() {
    let mut alice = Alice::holding(5_000);
    let mut outputs = alice.visit(1);
    let session = session_of(&outputs);
    let mut rounds = 0;
    loop {
        let over = frames(&outputs).iter().any(|f| matches!(f, Frame::Close { .. }));
        if over {
            break;
        }
        rounds += 1;
        let claim = Claim::Print { count: 5_000, print: hash(rounds)[..16].try_into().unwrap() };
        let ranges = vec![Range { upper: Bound::End, claim }];
        outputs = alice.frame(peer(1), &Frame::Ranges { session, estimate: 0, ranges });
    }
    assert!(rounds <= 200);
    assert_eq!(alice.score(1), 40);
}

#[test]
fn promising_a_catch_up_and_not_sending_it_does_not_block_the_others() {
    let mut alice = Alice::new();
    let session = session_of(&alice.visit(1));
    alice.frame(peer(1), &Frame::Close { session, end: End::Complete, sending: u64::MAX });
    // Meanwhile she is busy.
    let busy = alice.visit(2);
    assert!(!frames(&busy).iter().any(|f| matches!(f, Frame::Open { .. })));
    let later = alice.wait(16_000);
    assert!(frames(&later).iter().any(|f| matches!(f, Frame::Open { .. })));
    assert!(alice.score(1) > 0);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    let mut alice = Alice::holding(100);
    alice.visit(1);
    let outputs = alice.wait(16_000);
    assert!(frames(&outputs).iter().any(|f| matches!(f, Frame::Close { end: End::Partial, .. })));
    assert!(alice.score(1) > 0);
}

#[test]
fn asking_for_what_was_never_held_is_harmless() {
    let mut alice = Alice::holding(100);
    let session = session_of(&alice.visit(1));
    let wanted = (0..4096).map(|n| WantedId { hour: Hour(n), start: [3; 8] }).collect();
    let outputs = alice.frame(peer(1), &Frame::Want { session, wanted });
    assert!(!outputs.iter().any(|o| matches!(o, Output::Fetch { .. })));
}

#[test]
fn pushing_only_what_is_held_is_noticed_when_chance_does_not_explain_it() {
    let mut alice = Alice::holding(1);
    alice.meet(1);
    let id = entry(0).id;
    for _ in 0..USELESS_MAX {
        alice.input(Input::Duplicate { peer: peer(1), id });
    }
    assert_eq!(alice.score(1), 0);
    for _ in 0..30 {
        alice.input(Input::Duplicate { peer: peer(1), id });
    }
    assert!(alice.score(1) >= 25);
}

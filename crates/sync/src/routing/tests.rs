//! Stories of a small network with a delay of 50 ms.
#![allow(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_core::{
    NodeRecord, Now, PeerId, PeerSecret,
    record::{NodeFields, Prefix, Roles, Via},
};

use super::*;
use crate::limits::{BUCKET_PER_PREFIX, QUESTIONS_PER_MINUTE, STORED_PER_PREFIX, TABLE_PER_PREFIX};

const START: u64 = 1_800_000_000;
const DELAY_MS: u64 = 50;

pub(super) fn secret(n: u32) -> PeerSecret {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    PeerSecret(seed)
}

/// What node `n` says at `unix_s`, in the network `net`.
pub(super) fn record_in(n: u32, net: [u8; 3], unix_s: u64) -> Arc<NodeRecord> {
    let [a, b, c] = net;
    let addrs = vec![format!("{a}.{b}.{c}.{}:4001", n % 250 + 1).parse().unwrap()];
    let fields = NodeFields { issued: unix_s, lifetime_s: 7200, roles: Roles::default(), addrs, relay: None, via: Vec::new() };
    Arc::new(NodeRecord::sign(&secret(n), fields).unwrap())
}

fn net(n: u32) -> [u8; 3] {
    let [_, a, b, c] = n.to_be_bytes();
    [20 + a, b, c]
}

pub(super) fn record(n: u32) -> Arc<NodeRecord> {
    record_in(n, net(n), START)
}

fn hidden(n: u32) -> Arc<NodeRecord> {
    hidden_at(n, START)
}

fn hidden_at(n: u32, issued: u64) -> Arc<NodeRecord> {
    let via = vec![Via { at: "9.9.9.9:443".parse().unwrap(), certificate: [1; 32] }];
    let fields = NodeFields { issued, lifetime_s: 7200, roles: Roles::default(), addrs: Vec::new(), relay: None, via };
    Arc::new(NodeRecord::sign(&secret(n), fields).unwrap())
}

fn peer(n: u32) -> PeerId {
    secret(n).peer()
}

fn at(ms: u64) -> Now {
    Now { mono_ms: ms, unix_ms: START * 1000 + ms }
}

fn router(n: u32) -> Router {
    Router::new(Config::default(), [u8::try_from(n % 251).unwrap(); 32], peer(n))
}

fn outputs(router: &mut Router) -> Vec<Output> {
    std::iter::from_fn(|| router.poll_output()).collect()
}

fn asked(router: &mut Router, from: u32, with: Option<Arc<NodeRecord>>, question: Question, now: Now) -> Vec<Output> {
    let prefix = with.as_ref().and_then(|record| record.prefix());
    router.handle(Input::Asked { token: Token(0), from: peer(from), from_prefix: prefix, record: with, question }, now);
    outputs(router)
}

/// Answers whatever is asked as a living node does that knows nobody.
fn all_live(router: &mut Router, now: Now) {
    while let Some(output) = router.poll_output() {
        if let Output::Ask { ticket, to, question, .. } = output {
            let answer = match question {
                Question::Find { .. } => Answer::Nodes { found: Some(to), closer: Vec::new() },
                Question::Store { .. } => Answer::Stored(true),
            };
            router.handle(Input::Answered { ticket, from_prefix: None, answer }, now);
        }
    }
}

type Liar = fn(&Town, Key) -> Option<Answer>;

#[derive(Default)]
struct Town {
    now_ms: u64,
    nodes: BTreeMap<PeerId, Router>,
    records: BTreeMap<PeerId, Arc<NodeRecord>>,
    liars: BTreeMap<PeerId, Liar>,
    queue: BTreeMap<(u64, u64), (PeerId, Input)>,
    from: BTreeMap<u64, (PeerId, Ticket)>,
    serial: u64,
    found: Vec<Output>,
    published: BTreeMap<PeerId, usize>,
}

impl Town {
    /// Nodes of which each knows the one before it.
    fn of(count: u32) -> Self {
        let mut town = Self::default();
        for n in 1..=count {
            town.join(n, record(n), n.saturating_sub(1));
            town.run(2_000);
        }
        town.run(60_000);
        town
    }

    fn join(&mut self, n: u32, own: Arc<NodeRecord>, by: u32) {
        let mut node = router(n);
        node.set_own(Some(Arc::clone(&own)), at(self.now_ms));
        node.publish(at(self.now_ms));
        if let Some(by) = self.records.get(&peer(by)) {
            node.learn(by, at(self.now_ms));
        }
        self.records.insert(peer(n), own);
        self.nodes.insert(peer(n), node);
        self.drain(peer(n));
    }

    fn node(&mut self, n: u32) -> &mut Router {
        self.nodes.get_mut(&peer(n)).unwrap()
    }

    fn lookup(&mut self, n: u32, target: Key) -> (Option<Arc<NodeRecord>>, Vec<Arc<NodeRecord>>) {
        let now = at(self.now_ms);
        self.node(n).lookup(target, now).unwrap();
        self.drain(peer(n));
        self.run(30_000);
        match self.found.pop() {
            Some(Output::Found { record, closest, .. }) => (record, closest),
            other => panic!("{other:?}"),
        }
    }

    fn push(&mut self, to: PeerId, input: Input) {
        self.serial += 1;
        self.queue.insert((self.now_ms + DELAY_MS, self.serial), (to, input));
    }

    fn drain(&mut self, who: PeerId) {
        let Some(node) = self.nodes.get_mut(&who) else { return };
        for output in outputs(node) {
            match output {
                Output::Ask { ticket, to, record, question } => {
                    self.serial += 1;
                    self.from.insert(self.serial, (who, ticket));
                    let from_prefix = self.records[&who].prefix();
                    let token = Token(self.serial);
                    self.push(to.peer(), Input::Asked { token, from: who, from_prefix, record, question });
                }
                Output::Reply { token, answer } => {
                    let (asker, ticket) = self.from.remove(&token.0).unwrap();
                    self.push(asker, Input::Answered { ticket, from_prefix: self.records[&who].prefix(), answer });
                }
                Output::Refuse { .. } => {}
                Output::Published { stored } => {
                    self.published.insert(who, stored);
                }
                found @ Output::Found { .. } => self.found.push(found),
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            let event = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timer = self.nodes.iter().filter_map(|(who, node)| Some((node.next_timeout()?, *who))).min();
            let Some(next) = event.into_iter().chain(timer.map(|(at, _)| at)).min().filter(|next| *next <= end) else { break };
            self.now_ms = self.now_ms.max(next);
            let now = at(self.now_ms);
            if event == Some(next) {
                let (who, input) = self.queue.pop_first().unwrap().1;
                if let (Some(lie), Input::Asked { token, question: Question::Find { target }, .. }) = (self.liars.get(&who), &input)
                    && *target != Key::of(&who)
                {
                    let (asker, ticket) = self.from.remove(&token.0).unwrap();
                    if let Some(answer) = lie(self, *target) {
                        self.push(asker, Input::Answered { ticket, from_prefix: self.records[&who].prefix(), answer });
                    }
                    continue;
                }
                if let Some(node) = self.nodes.get_mut(&who) {
                    node.handle(input, now);
                    self.drain(who);
                }
            } else if let Some((_, who)) = timer {
                self.nodes.get_mut(&who).unwrap().handle(Input::Timeout, now);
                self.drain(who);
            }
        }
        self.now_ms = end;
    }
}

#[test]
fn alice_finds_bob_and_carol_who_is_behind_a_router() {
    let mut town = Town::of(60);
    let carol = hidden(99);
    town.join(99, Arc::clone(&carol), 7);
    town.run(60_000);
    assert_eq!(town.published[&peer(99)], Config::default().k);
    assert_eq!(town.lookup(1, Key::of(&peer(40))).0, Some(record(40)));
    assert_eq!(town.lookup(1, Key::of(&peer(99))).0, Some(carol));
    assert!(town.nodes.values().all(|node| node.nodes(at(town.now_ms)).iter().all(|other| other.peer() != peer(99))));
}

#[test]
fn who_is_not_there_is_not_found_but_those_closest_are() {
    let mut town = Town::of(60);
    let nowhere = Key::of(&peer(1000));
    let (record, closest) = town.lookup(5, nowhere);
    let mut by_distance: Vec<PeerId> = town.nodes.keys().copied().filter(|who| *who != peer(5)).collect();
    by_distance.sort_by_key(|who| Key::of(who).distance(nowhere));
    by_distance.truncate(16);
    assert_eq!(record, None);
    assert_eq!(closest.iter().map(|record| record.peer()).collect::<Vec<_>>(), by_distance);
}

#[test]
fn bob_is_found_at_his_new_address_and_not_at_the_old_one() {
    let mut town = Town::of(40);
    let moved = record_in(20, [77, 1, 1], START + town.now_ms / 1000);
    let now = at(town.now_ms);
    town.node(20).set_own(Some(Arc::clone(&moved)), now);
    town.records.insert(peer(20), Arc::clone(&moved));
    town.drain(peer(20));
    town.run(30_000);
    assert_eq!(town.lookup(3, Key::of(&peer(20))).0, Some(moved));
}

#[test]
fn a_record_that_changes_while_it_is_published_waits_and_keeps_nobody_awake() {
    let mut town = Town::of(20);
    let now = at(town.now_ms);
    for seconds in [1, 2] {
        let own = record_in(5, net(5), START + town.now_ms / 1000 + seconds);
        town.records.insert(peer(5), Arc::clone(&own));
        town.node(5).set_own(Some(own), now);
    }
    assert!(town.node(5).next_timeout().unwrap() > now.mono_ms);
    town.drain(peer(5));
    town.run(30_000);
    assert_eq!(town.lookup(3, Key::of(&peer(5))).0, Some(Arc::clone(&town.records[&peer(5)])));
}

#[test]
fn those_who_lie_or_fall_silent_do_not_hide_bob() {
    let lies: [Liar; 3] = [
        |_, _| Some(Answer::Nodes { found: None, closer: Vec::new() }),
        |_, _| None,
        |town, _| {
            Some(Answer::Nodes { found: None, closer: town.liars.keys().map(|who| Arc::clone(&town.records[who])).collect() })
        },
    ];
    for lie in lies {
        let mut town = Town::of(60);
        let bob = Key::of(&peer(60));
        town.liars = (1..60).filter(|n| n % 5 == 0).map(|n| (peer(n), lie)).collect();
        for alice in [1, 2, 3, 4, 6, 7, 8, 9] {
            assert_eq!(town.lookup(alice, bob).0, Some(record(60)));
        }
    }
}

/// A search for node 2 that starts at six others, and the three that it asks first.
fn search() -> (lookup::Lookup, Vec<Arc<NodeRecord>>) {
    let start: Vec<_> = (10..16).map(record).collect();
    let (own, target) = (Key::of(&peer(1)), Key::of(&peer(2)));
    let mut lookup = lookup::Lookup::new(own, target, lookup::Wanted::Record, &Config::default(), &start, 0);
    let asked: Vec<_> = std::iter::from_fn(|| lookup.next()).collect();
    assert_eq!(asked.len(), 3, "one on each path");
    (lookup, asked)
}

#[test]
fn the_newer_record_counts_whoever_told_the_older_one() {
    let (mut lookup, asked) = search();
    lookup.answered(&asked[0].peer(), Some(hidden_at(2, START - 60)), &[], 10);
    assert!(lookup.next().is_none() && !lookup.is_over(11), "the others have not agreed");
    lookup.answered(&asked[1].peer(), Some(hidden(2)), &[], 20);
    lookup.failed(&asked[2].peer());
    while let Some(next) = lookup.next() {
        lookup.failed(&next.peer());
    }
    assert!(lookup.is_over(30));
    assert_eq!(lookup.outcome().record, Some(hidden(2)));
}

#[test]
fn whoever_does_not_agree_holds_nobody_up_for_long() {
    let (mut lookup, asked) = search();
    lookup.answered(&asked[0].peer(), Some(hidden(2)), &[], 10);
    assert!(lookup.next().is_none() && !lookup.is_over(1_509) && lookup.is_over(1_510));
}

#[test]
fn what_bob_says_of_himself_ends_the_search() {
    let (mut lookup, asked) = search();
    lookup.answered(&asked[0].peer(), Some(record_in(2, net(2), START - 60)), &[], 10);
    assert_eq!(lookup.next().map(|next| next.peer()), Some(peer(2)));
    assert!(lookup.next().is_none() && !lookup.is_over(11));
    lookup.answered(&peer(2), Some(record(2)), &[], 20);
    assert!(lookup.is_over(20));
    assert_eq!(lookup.outcome().record, Some(record(2)));
}

#[test]
fn a_record_of_somebody_else_is_no_find() {
    let (mut lookup, asked) = search();
    lookup.answered(&asked[0].peer(), Some(record(3)), &[], 10);
    assert!(lookup.outcome().record.is_none());
}

#[test]
fn one_answer_does_not_fill_a_bucket_with_accomplices() {
    let mut alice = router(1);
    alice.learn(&record(2), at(0));
    let Some(Output::Ask { ticket, .. }) = alice.poll_output() else { panic!("she asks whom she knows") };
    let closer = (100..116).map(record).collect();
    alice.handle(Input::Answered { ticket, from_prefix: None, answer: Answer::Nodes { found: Some(record(2)), closer } }, at(50));
    let asked = outputs(&mut alice).into_iter().filter(|output| matches!(output, Output::Ask { to, .. } if to.peer() != peer(2)));
    assert_eq!(asked.count(), crate::limits::HEARD_MAX);
}

#[test]
fn no_node_is_asked_on_two_paths() {
    let start: Vec<_> = (10..40).map(record).collect();
    let (own, target) = (Key::of(&peer(1)), Key::of(&peer(2)));
    let mut lookup = lookup::Lookup::new(own, target, lookup::Wanted::Closest, &Config::default(), &start[..1], 0);
    let mut asked = BTreeSet::new();
    while let Some(next) = lookup.next() {
        assert!(asked.insert(next.peer()));
        lookup.answered(&next.peer(), None, &start, 1);
    }
    assert!(lookup.is_over(2) && asked.len() >= 16);
}

#[test]
fn an_asker_gets_a_place_only_if_it_can_be_dialled_and_answers() {
    let mut alice = router(1);
    let find = || Question::Find { target: Key::of(&peer(9)) };
    let told = asked(&mut alice, 2, None, find(), at(0));
    assert!(matches!(&told[..], [Output::Reply { .. }]), "a node behind a router gets its answer: {told:?}");
    let told = asked(&mut alice, 3, Some(record(4)), find(), at(0));
    assert!(matches!(&told[..], [Output::Reply { .. }]), "the record of somebody else: {told:?}");
    let told = asked(&mut alice, 3, Some(record(3)), find(), at(0));
    let [Output::Reply { .. }, Output::Ask { ticket, to, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((to.peer(), alice.known()), (peer(3), 0));
    let again = asked(&mut alice, 3, Some(record(3)), find(), at(1));
    assert!(matches!(&again[..], [Output::Reply { .. }]), "once is enough: {again:?}");
    let answer = Answer::Nodes { found: Some(record(3)), closer: Vec::new() };
    alice.handle(Input::Answered { ticket: *ticket, from_prefix: None, answer }, at(2));
    assert_eq!(alice.known(), 1);
}

#[test]
fn mallorys_thousand_keys_of_one_network_get_few_places() {
    let mut alice = router(1);
    for n in 1000..2000 {
        let record = record_in(n, [66, 6, 6], START);
        // She has many addresses to ask from, but only one network.
        asked(&mut alice, n, Some(Arc::clone(&record)), Question::Find { target: Key::of(&peer(9)) }, at(u64::from(n) * 10_000));
        alice.learn(&record, at(u64::from(n) * 10_000));
        all_live(&mut alice, at(u64::from(n) * 10_000));
    }
    assert!((1..=TABLE_PER_PREFIX).contains(&alice.known()));
    let mut buckets = BTreeMap::<u32, usize>::new();
    for node in alice.nodes(at(0)) {
        *buckets.entry(Key::of(&peer(1)).shared_bits(Key::of(&node.peer()))).or_default() += 1;
    }
    assert!(buckets.values().all(|count| *count <= BUCKET_PER_PREFIX), "{buckets:?}");
}

#[test]
fn a_claimed_address_does_not_pass_for_a_network() {
    let mut alice = router(1);
    for n in 1000..1400 {
        alice.learn(&record(n), at(0));
        while let Some(output) = alice.poll_output() {
            if let Output::Ask { ticket, to, .. } = output {
                let answer = Answer::Nodes { found: Some(to), closer: Vec::new() };
                alice.handle(Input::Answered { ticket, from_prefix: Some(Prefix::V4([66, 6, 6])), answer }, at(0));
            }
        }
    }
    assert!((1..=TABLE_PER_PREFIX).contains(&alice.known()));
}

#[test]
fn an_expired_record_is_not_told() {
    let mut alice = router(1);
    let store = |record: &Arc<NodeRecord>| Question::Store { record: Arc::clone(record) };
    let stored = asked(&mut alice, 2, None, store(&hidden(2)), at(0));
    assert!(matches!(&stored[..], [Output::Reply { answer: Answer::Stored(true), .. }]), "{stored:?}");
    alice.learn(&record(3), at(0));
    all_live(&mut alice, at(0));
    // What is stored is forgotten after its lifetime, what was heard after the slack of clocks as well.
    let after = at(4 * 3_600_000 + 1_000);
    for (who, hours) in [(2, 2), (3, 4)] {
        let recalls = |ms| alice.recall(Key::of(&peer(who)), at(ms)).is_some();
        assert!(recalls(hours * 3_600_000) && !recalls(hours * 3_600_000 + 1_000));
    }
    let told = asked(&mut alice, 4, None, Question::Find { target: Key::of(&peer(3)) }, after);
    assert_eq!(
        told.iter().find(|output| matches!(output, Output::Reply { .. })),
        Some(&Output::Reply { token: Token(0), answer: Answer::Nodes { found: None, closer: Vec::new() } })
    );
    alice.handle(Input::Timeout, at(4 * 3_600_000 + 600_000));
    assert_eq!((alice.stored(), alice.known()), (0, 0));
}

#[test]
fn only_its_own_newest_record_is_stored_for_a_node() {
    let mut alice = router(1);
    let mut store = |from, record: Arc<NodeRecord>| match &asked(&mut alice, from, None, Question::Store { record }, at(0))[..] {
        [Output::Reply { answer: Answer::Stored(kept), .. }] => *kept,
        other => panic!("{other:?}"),
    };
    let older = record_in(2, net(2), START - 60);
    assert!(!store(3, record(2)), "somebody else's");
    assert!(store(2, Arc::clone(&older)) && store(2, record(2)) && store(2, record(2)));
    assert!(!store(2, older), "an older one");
}

#[test]
fn a_record_far_from_here_is_not_stored() {
    let mut alice = router(1);
    for n in 100..400 {
        alice.learn(&record(n), at(0));
        all_live(&mut alice, at(0));
    }
    let far = (1000..).find(|n| Key::of(&peer(1)).shared_bits(Key::of(&peer(*n))) == 0).unwrap();
    let near = (1000..).find(|n| Key::of(&peer(1)).shared_bits(Key::of(&peer(*n))) >= 8).unwrap();
    for (n, kept) in [(far, false), (near, true)] {
        let told = asked(&mut alice, n, None, Question::Store { record: hidden(n) }, at(0));
        assert_eq!(told[0], Output::Reply { token: Token(0), answer: Answer::Stored(kept) });
    }
}

#[test]
fn floods_are_bounded() {
    let mut alice = router(1);
    let mut replies = 0;
    for n in 0..1000 {
        // One network, a new key each time.
        let told = asked(
            &mut alice,
            n + 10,
            Some(record_in(n + 10, [66, 6, 6], START)),
            Question::Find { target: Key::of(&peer(9)) },
            at(5),
        );
        replies += told.iter().filter(|output| matches!(output, Output::Reply { .. })).count();
    }
    assert_eq!(replies, QUESTIONS_PER_MINUTE as usize);
    let mut alice = router(1);
    for n in 0..100 {
        asked(&mut alice, n + 10, None, Question::Store { record: hidden(n + 10) }, at(u64::from(n) * 1_000));
    }
    assert_eq!(alice.stored(), STORED_PER_PREFIX, "one relay");
    let mut alice = router(1);
    let lookups = (0..1000).filter(|n| alice.lookup(Key::of(&peer(*n)), at(0)).is_some()).count();
    assert_eq!(lookups, 1000, "who knows nobody is done at once");
    outputs(&mut alice);
    alice.learn(&record(2), at(0));
    all_live(&mut alice, at(0));
    let lookups = (100..1000).filter(|n| alice.lookup(Key::of(&peer(*n)), at(0)).is_some()).count();
    assert!(lookups <= crate::limits::LOOKUPS_MAX && outputs(&mut alice).len() <= crate::limits::QUESTIONS_MAX);
}

#[test]
fn our_own_connection_that_fails_empties_no_table() {
    let mut alice = router(1);
    for n in 100..200 {
        alice.learn(&record(n), at(0));
        all_live(&mut alice, at(0));
    }
    let known = alice.known();
    let mut now = 0;
    for n in 0..20 {
        alice.lookup(Key::of(&peer(n)), at(now));
        // Five minutes a lookup: all records hold to the end.
        let end = now + 300_000;
        while now < end {
            now = alice.next_timeout().unwrap().max(now);
            outputs(&mut alice);
            alice.handle(Input::Timeout, at(now));
        }
    }
    assert!(alice.known() + 16 >= known, "{} of {known}", alice.known());
}

#[test]
fn a_search_among_the_dead_ends() {
    let mut alice = router(1);
    alice.learn(&record(2), at(0));
    all_live(&mut alice, at(0));
    alice.lookup(Key::of(&peer(3)), at(1)).unwrap();
    let mut now = 1;
    while !outputs(&mut alice).iter().any(|output| matches!(output, Output::Found { record: None, .. })) {
        now = alice.next_timeout().unwrap().max(now);
        assert!(now < 60_000);
        alice.handle(Input::Timeout, at(now));
    }
}

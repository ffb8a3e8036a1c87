#![allow(clippy::arithmetic_side_effects)]

use samizdat_core::{
    PeerSecret,
    limits::RECORD_LIFETIME_MAX_S,
    record::{NodeFields, Role, Roles},
};

use super::*;
use crate::limits::CHECK_INTERVAL_MS;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const START_S: u64 = 1_800_000_000;
/// Nodes sign a new record as often as this.
const SIGN_EVERY: u64 = 30 * MINUTE;

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

struct Node {
    keeper: Keeper,
    alive: bool,
    clock_ms: i64,
    port: u16,
    said: Vec<Said>,
    looks: u32,
}

enum Event {
    Join(usize),
    Sign(usize),
    Tick(usize),
    Serve(usize, Output),
    Answer(usize, Input),
}

/// What DNS says to somebody who looks.
type Dns = Box<dyn Fn(usize, &[Txt]) -> Result<Vec<Txt>, PublishError>>;

/// A name server, nodes and the time.
struct World {
    at_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    rng: ChaCha8Rng,
    latency_ms: u64,
    zone: Vec<Txt>,
    most: usize,
    dns: Dns,
    /// Whom nobody can dial.
    deaf: Option<usize>,
    /// Whether nothing shows that the line of whoever gets no answer works.
    dark: bool,
    nodes: Vec<Node>,
    raced: u32,
}

fn secret(node: usize) -> PeerSecret {
    PeerSecret([u8::try_from(node).unwrap() + 1; 32])
}

fn peer(node: usize) -> PeerId {
    secret(node).peer()
}

fn honest() -> Dns {
    Box::new(|_, zone| Ok(zone.to_vec()))
}

impl World {
    fn new(seed: u64, slots: usize, nodes: usize) -> Self {
        let node = |i: usize| {
            let mut keeper_seed = [0; 32];
            keeper_seed[..8].copy_from_slice(&(seed * 1000 + i as u64).to_le_bytes());
            let keeper = Keeper::new(slots, keeper_seed, Now { mono_ms: 0, unix_ms: START_S * 1000 });
            Node { keeper, alive: true, clock_ms: 0, port: 4001, said: Vec::new(), looks: 0 }
        };
        Self {
            at_ms: 0,
            events: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            latency_ms: 200,
            zone: Vec::new(),
            most: 0,
            dns: honest(),
            deaf: None,
            dark: false,
            nodes: (0..nodes).map(node).collect(),
            raced: 0,
        }
    }

    /// Nodes that start at these times.
    fn join(&mut self, nodes: &[(usize, u64)]) {
        for (node, at_ms) in nodes {
            self.after(at_ms - self.at_ms, Event::Join(*node));
        }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.at_ms + ms, self.count), event);
    }

    fn now(&self, node: usize) -> Now {
        let unix_ms = (START_S * 1000 + self.at_ms).checked_add_signed(self.nodes[node].clock_ms).unwrap();
        Now { mono_ms: self.at_ms, unix_ms }
    }

    fn record(&self, node: usize) -> NodeRecord {
        let fields = NodeFields {
            issued: self.now(node).unix_ms / 1000,
            lifetime_s: RECORD_LIFETIME_MAX_S,
            roles: Roles::default().with(Role::Entry),
            addrs: vec![format!("203.0.113.{}:{}", node + 1, self.nodes[node].port).parse().unwrap()],
            relay: None,
            via: Vec::new(),
        };
        NodeRecord::sign(&secret(node), fields).unwrap()
    }

    fn tell(&mut self, node: usize, input: Input) {
        let now = self.now(node);
        self.nodes[node].keeper.input(input, now);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].keeper.output() {
            match output {
                Output::Say(said) => self.nodes[node].said.push(said),
                Output::Stopped => self.nodes[node].alive = false,
                output => {
                    let latency = self.rng.next_u64() % self.latency_ms;
                    self.after(latency, Event::Serve(node, output));
                }
            }
        }
        if let Some(at) = self.nodes[node].keeper.next_timeout() {
            self.after(at.saturating_sub(self.at_ms), Event::Tick(node));
        }
    }

    /// What the name server, or the node that is dialled, answers.
    fn serve(&mut self, node: usize, output: Output) -> Input {
        match output {
            Output::Look => {
                self.nodes[node].looks += 1;
                Input::Looked((self.dns)(node, &self.zone))
            }
            Output::Probe(record) => {
                let answered =
                    (0..self.nodes.len()).any(|i| peer(i) == record.peer() && self.nodes[i].alive && self.deaf != Some(i));
                Input::Probed { peer: record.peer(), answered: (answered || !self.dark).then_some(answered) }
            }
            Output::Swap(swap) => {
                if (self.dns)(node, &self.zone) == Err(PublishError::Unanswered) {
                    return Input::Swapped(Err(PublishError::Unanswered));
                }
                let sorted = |txts: &[Txt]| txts.iter().cloned().collect::<std::collections::BTreeSet<_>>();
                if sorted(&swap.seen) != sorted(&self.zone) {
                    self.raced += 1;
                    return Input::Swapped(Ok(Swapped::Raced));
                }
                self.zone.retain(|txt| !swap.remove.contains(txt));
                self.zone.extend(swap.add.iter().map(Txt::of));
                self.most = self.most.max(self.zone.len());
                Input::Swapped(Ok(Swapped::Done))
            }
            output => panic!("{output:?}"),
        }
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end_ms) {
            let ((at, _), event) = entry.remove_entry();
            self.at_ms = at;
            let (Event::Join(node) | Event::Sign(node) | Event::Tick(node) | Event::Serve(node, _) | Event::Answer(node, _)) =
                event;
            if !self.nodes[node].alive {
                continue;
            }
            match event {
                Event::Join(_) | Event::Sign(_) => {
                    self.tell(node, Input::Own(self.record(node)));
                    self.after(SIGN_EVERY, Event::Sign(node));
                }
                Event::Tick(_) => {
                    let now = self.now(node);
                    self.nodes[node].keeper.tick(now);
                    self.drain(node);
                }
                Event::Serve(_, output) => {
                    let input = self.serve(node, output);
                    let latency = self.rng.next_u64() % self.latency_ms;
                    self.after(latency, Event::Answer(node, input));
                }
                Event::Answer(_, input) => self.tell(node, input),
            }
        }
        self.at_ms = end_ms;
    }

    /// Whose entries users see, by the true time.
    fn entries(&self) -> Vec<usize> {
        let found = crate::text::select(&self.zone, START_S + self.at_ms / 1000);
        found.records.iter().map(|record| (0..self.nodes.len()).find(|i| peer(*i) == record.peer()).unwrap()).collect()
    }

    fn said(&self, node: usize, what: &Said) -> usize {
        self.nodes[node].said.iter().filter(|said| *said == what).count()
    }
}

#[test]
fn alice_dies_and_of_bob_and_carol_exactly_one_takes_her_place() {
    let mut raced = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, 1, 3);
        world.latency_ms = 40_000;
        world.join(&[(ALICE, 0), (BOB, 10 * MINUTE), (CAROL, 10 * MINUTE)]);
        world.run_until(HOUR);
        assert_eq!(world.entries(), [ALICE]);
        world.nodes[ALICE].alive = false;
        world.run_until(2 * HOUR);
        let took = [BOB, CAROL].map(|node| world.said(node, &Said::TookOver(peer(ALICE))));
        assert_eq!(took.iter().sum::<usize>(), 1, "seed {seed}");
        let winner = if took[0] == 1 { BOB } else { CAROL };
        assert_eq!(world.entries(), [winner], "seed {seed}");
        world.run_until(12 * HOUR);
        assert_eq!((world.entries(), world.zone.len(), world.most), (vec![winner], 1, 1), "seed {seed}");
        raced += world.raced;
    }
    assert!(raced > 0, "nobody ever raced");
}

#[test]
fn the_place_of_a_dead_node_is_taken_within_one_check_interval() {
    let mut slowest = 0;
    for seed in 0..200 {
        let mut world = World::new(seed, 1, 4);
        // As long as a dial may take that nobody answers.
        world.latency_ms = 5_000;
        world.join(&[(ALICE, 0), (BOB, 10 * MINUTE), (CAROL, 10 * MINUTE), (CAROL + 1, 10 * MINUTE)]);
        let died = HOUR + seed * 3_000;
        world.run_until(died);
        world.nodes[ALICE].alive = false;
        while world.entries() == [ALICE] {
            world.run_until(world.at_ms + 1000);
        }
        assert!(!world.entries().is_empty(), "seed {seed}");
        slowest = slowest.max(world.at_ms - died);
        world.run_until(world.at_ms + HOUR);
        let took = [BOB, CAROL, CAROL + 1].map(|node| world.said(node, &Said::TookOver(peer(ALICE))));
        assert_eq!((took.iter().sum::<usize>(), world.most), (1, 1), "seed {seed}");
    }
    assert!(slowest <= CHECK_INTERVAL_MS, "{slowest} ms");
}

#[test]
fn alice_keeps_her_entry_fresh_and_each_place_has_one_node() {
    let mut world = World::new(1, ENTRIES_MAX, ENTRIES_MAX + 4);
    (0..ENTRIES_MAX + 4).for_each(|node| world.join(&[(node, 0)]));
    world.run_until(HOUR);
    let holders = world.entries();
    for step in 6..=48 {
        world.run_until(step * 10 * MINUTE);
        assert_eq!(world.entries().len(), ENTRIES_MAX);
        for txt in &world.zone {
            let Slot::Holds(record) = txt.read(START_S + world.at_ms / 1000) else { panic!() };
            let last = record.fields().issued + u64::from(record.fields().lifetime_s);
            assert!(last > START_S + world.at_ms / 1000 + 600, "almost expired");
        }
    }
    let sorted = |mut nodes: Vec<usize>| {
        nodes.sort_unstable();
        nodes
    };
    assert_eq!(sorted(world.entries()), sorted(holders), "nobody who lives loses a place");
    assert_eq!(world.most, ENTRIES_MAX);
    let published: usize = (0..ENTRIES_MAX + 4).map(|node| world.said(node, &Said::Published)).sum();
    assert_eq!(published, ENTRIES_MAX);
}

#[test]
fn a_clock_that_jumps_takes_nobodys_place() {
    for jump in [6 * 3_600_000, -6 * 3_600_000] {
        let mut world = World::new(2, 1, 2);
        world.join(&[(ALICE, 0), (BOB, 10 * MINUTE)]);
        world.run_until(HOUR);
        world.nodes[BOB].clock_ms = jump;
        world.run_until(6 * HOUR);
        assert_eq!(world.entries(), [ALICE], "bob's clock is wrong, alice answers");
        world.nodes[BOB].clock_ms = 0;
        world.nodes[ALICE].clock_ms = jump;
        world.run_until(8 * HOUR);
        world.nodes[ALICE].clock_ms = 0;
        world.run_until(9 * HOUR);
        assert_eq!(world.entries(), [ALICE], "alice's clock is right again");
        assert!(world.nodes[BOB].said.iter().all(|said| matches!(said, Said::NoRecord | Said::Well)));
    }
}

#[test]
fn bob_who_sees_an_expired_entry_of_a_dead_node_asks_once() {
    let mut world = World::new(3, 1, 2);
    world.join(&[(ALICE, 0)]);
    world.run_until(MINUTE);
    world.nodes[ALICE].alive = false;
    world.join(&[(BOB, 6 * HOUR)]);
    world.run_until(6 * HOUR + 8 * MINUTE);
    assert_eq!(world.entries(), [BOB]);
}

#[test]
fn a_bad_moment_of_alice_is_not_her_death() {
    let mut world = World::new(4, 1, 2);
    world.join(&[(ALICE, 0), (BOB, 10 * MINUTE)]);
    for _ in 0..20 {
        world.run_until(world.at_ms + 20 * MINUTE);
        world.deaf = Some(ALICE);
        world.run_until(world.at_ms + MINUTE + MINUTE / 4);
        world.deaf = None;
    }
    assert_eq!((world.entries(), world.nodes[BOB].said.as_slice()), (vec![ALICE], [].as_slice()));
    world.deaf = Some(ALICE);
    world.run_until(world.at_ms + HOUR);
    assert_eq!(world.nodes[BOB].said, [Said::TookOver(peer(ALICE))]);
}

#[test]
fn who_cannot_tell_whether_alice_is_dead_looks_again_soon_and_says_so_once() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1, 2);
        world.join(&[(ALICE, 0), (BOB, 10 * MINUTE)]);
        world.run_until(HOUR);
        (world.nodes[ALICE].alive, world.dark) = (false, true);
        world.run_until(HOUR + 10 * MINUTE);
        let before = world.nodes[BOB].looks;
        world.run_until(HOUR + 20 * MINUTE);
        let looks = world.nodes[BOB].looks - before;
        assert!((9..=30).contains(&looks), "{looks}");
        assert_eq!((world.entries(), world.nodes[BOB].said.as_slice()), (vec![ALICE], [Said::Unsure].as_slice()));
        // Of what it finds out one in three tells nothing: she is replaced in time all the same.
        world.dark = false;
        let shown = world.at_ms;
        while world.entries() == [ALICE] {
            world.run_until(world.at_ms + 1000);
            world.dark = world.rng.next_u64().is_multiple_of(3);
        }
        assert!(world.at_ms - shown <= CHECK_INTERVAL_MS, "{} ms", world.at_ms - shown);
        world.run_until(world.at_ms + MINUTE);
        assert_eq!(world.nodes[BOB].said.last(), Some(&Said::TookOver(peer(ALICE))));
    }
}

#[test]
fn a_lying_dns_moves_nothing() {
    let mut world = World::new(5, 1, 3);
    world.join(&[(ALICE, 0)]);
    world.run_until(HOUR);
    let old = world.zone.clone();
    world.run_until(3 * HOUR);
    assert_ne!(world.zone, old);
    let lies: [Vec<Txt>; 4] = [
        Vec::new(),
        old,
        vec![Txt::from_strings([&b"v=samizdat1 AAAA"[..]])],
        world.zone.iter().cloned().chain([Txt::from_strings([&b"v=spf1 -all"[..]])]).collect(),
    ];
    world.join(&[BOB, CAROL].map(|node| (node, 3 * HOUR)));
    for lie in lies {
        let before = world.nodes[BOB].looks;
        world.dns = Box::new(move |who, zone| if who == ALICE { Ok(zone.to_vec()) } else { Ok(lie.clone()) });
        world.run_until(world.at_ms + 5 * HOUR);
        assert_eq!((world.entries(), world.zone.len()), (vec![ALICE], 1));
        let looks = world.nodes[BOB].looks - before;
        assert!(looks < 100, "lost races are repeated ever more slowly: {looks}");
    }
    assert!(world.nodes[BOB].said.is_empty());
    world.dns = Box::new(|_, _| Ok(vec![Txt::from_strings([&b"v=samizdat1 "[..]]); TXT_READ_MAX + 1]));
    world.run_until(world.at_ms + HOUR);
    assert_eq!(world.said(CAROL, &Said::Crowded), 1);
}

#[test]
fn a_dns_that_times_out_is_asked_ever_more_slowly_and_told_once() {
    let mut world = World::new(6, 1, 2);
    world.join(&[(ALICE, 0)]);
    world.run_until(MINUTE);
    assert_eq!(world.nodes[ALICE].said, [Said::Published]);
    world.dns = Box::new(|_, _| Err(PublishError::Unanswered));
    let before = world.nodes[ALICE].looks;
    world.run_until(5 * HOUR);
    let looks = world.nodes[ALICE].looks - before;
    assert!((10..50).contains(&looks), "{looks}");
    assert!(world.entries().is_empty(), "an entry that cannot be renewed expires");
    world.dns = honest();
    world.run_until(5 * HOUR + 30 * MINUTE);
    assert_eq!(world.entries(), [ALICE]);
    assert_eq!(world.nodes[ALICE].said, [Said::Published, Said::Trouble(PublishError::Unanswered), Said::Well]);
}

#[test]
fn an_operator_with_a_wrong_key_is_told_once() {
    let mut keeper = Keeper::new(1, [7; 32], Now::default());
    let world = World::new(7, 1, 1);
    let mut now = world.now(ALICE);
    keeper.input(Input::Own(world.record(ALICE)), now);
    let mut said = Vec::new();
    for _ in 0..20 {
        now.mono_ms = keeper.next_timeout().unwrap_or(now.mono_ms);
        keeper.tick(now);
        while let Some(output) = keeper.output() {
            match output {
                Output::Look => keeper.input(Input::Looked(Ok(Vec::new())), now),
                Output::Swap(_) => keeper.input(Input::Swapped(Err(PublishError::Key)), now),
                Output::Say(what) => said.push(what),
                output => panic!("{output:?}"),
            }
        }
    }
    assert_eq!(said, [Said::Trouble(PublishError::Key)]);
    assert!(now.mono_ms >= 19 * FAILURE_WAIT_MAX_MS / 2);
}

#[test]
fn alice_withdraws_when_she_stops_even_if_others_write_and_gives_up_when_dns_is_silent() {
    let mut world = World::new(8, 3, 3);
    world.join(&[ALICE, BOB, CAROL].map(|node| (node, 0)));
    world.run_until(HOUR);
    assert_eq!(world.entries().len(), 3);
    world.tell(ALICE, Input::Stop);
    world.tell(BOB, Input::Stop);
    world.run_until(HOUR + MINUTE);
    assert_eq!(world.entries(), [CAROL]);
    assert_eq!([ALICE, BOB].map(|node| world.said(node, &Said::Withdrawn)), [1, 1]);
    world.dns = Box::new(|_, _| Err(PublishError::Unanswered));
    world.tell(CAROL, Input::Stop);
    world.run_until(HOUR + 2 * MINUTE);
    assert!(!world.nodes[CAROL].alive);
    assert_eq!(world.said(CAROL, &Said::NotWithdrawn), 1);
}

#[test]
fn a_new_address_is_published_soon() {
    let mut world = World::new(9, 1, 1);
    world.join(&[(ALICE, 0)]);
    world.run_until(10 * MINUTE);
    world.nodes[ALICE].port = 5001;
    world.after(0, Event::Sign(ALICE));
    world.run_until(11 * MINUTE);
    let Slot::Holds(record) = world.zone[0].read(START_S) else { panic!() };
    assert_eq!((record.fields().addrs[0].port(), world.zone.len()), (5001, 1));
}

#[test]
fn what_is_no_entry_gives_way_and_what_is_not_ours_stays() {
    let mut world = World::new(10, 1, 1);
    let foreign = Txt::from_strings([&b"v=spf1 -all"[..]]);
    world.zone = vec![foreign.clone(), Txt::from_strings([&b"v=samizdat1 junk"[..]])];
    world.join(&[(ALICE, 0)]);
    world.run_until(MINUTE);
    assert_eq!((world.entries(), world.zone.len()), (vec![ALICE], 2));
    assert!(world.zone.contains(&foreign));
}

//! Two nodes with a session: gossip between them when the test wants it, endpoints for contacts that always work.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use samizdat_chat::{Answer, Chat, ContactEdit, Filter, Message, SessionChoice, State};
use samizdat_core::{EnvelopeId, Now, PeerId, stamp::Mint};
use samizdat_engine::{ContactInput, Engine, Input, Output, PeerAddr, Place, SessionState, Way};
use samizdat_store::{Log, Vault};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Bound endpoints have a key and an address.
type Endpoints = BTreeMap<Way, Place>;

struct World {
    nodes: Vec<Engine>,
    endpoints: [Endpoints; 2],
    /// Their numbers.
    bound: [BTreeMap<Way, u64>; 2],
    keys: u8,
    ends: BTreeMap<(usize, u64), (usize, u64)>,
    links: u64,
    /// How often each dialled the other's endpoint for contacts.
    dials: [usize; 2],
    gossip: bool,
    /// Whether one cannot reach the endpoints of the other.
    cut: bool,
    /// What each published.
    published: [usize; 2],
    /// Whether a relay is known.
    relays: bool,
    /// Whether stamps are found.
    mints: bool,
    minting: VecDeque<(usize, EnvelopeId, u64)>,
    /// All that Alice says as a node, questions too, and all that she says at her endpoints for contacts.
    said: [Vec<u8>; 2],
    now: Now,
}

fn peer(node: usize) -> PeerId {
    PeerId([u8::try_from(node).unwrap() + 1; 32])
}

impl World {
    /// With this for the vault of Bob.
    fn over(vault: Vault) -> Self {
        let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
        let node = |n: usize, vault| {
            let chat = Chat::open(vault, [n as u8; 32]).unwrap();
            Engine::new(Log::in_memory(1 << 30).unwrap(), chat, [n as u8 + 7; 32], peer(n), vec![1], now).unwrap()
        };
        let mut world = Self {
            nodes: vec![node(ALICE, Vault::in_memory(Chat::MIGRATIONS).unwrap()), node(BOB, vault)],
            endpoints: [Endpoints::new(), Endpoints::new()],
            bound: [BTreeMap::new(), BTreeMap::new()],
            keys: 10,
            ends: BTreeMap::new(),
            links: 0,
            dials: [0, 0],
            gossip: true,
            cut: false,
            published: [0, 0],
            relays: true,
            mints: true,
            minting: VecDeque::new(),
            said: [Vec::new(), Vec::new()],
            now,
        };
        world.connect();
        world.run(2_000);
        world
    }

    fn connect(&mut self) {
        for (from, to, dialed) in [(ALICE, BOB, true), (BOB, ALICE, false)] {
            self.nodes[from].handle(Input::Connected { peer: peer(to), addr: vec![1], dialed, ip: None }, self.now);
        }
    }

    /// The machines sleep for so many hours, and are awake for half a minute.
    fn sleep(&mut self, hours: u64) {
        self.now.unix_ms += hours * 3_600_000;
        self.run(30_000);
    }

    /// Alice and Bob know each other and want sessions; `choice` is Bob's.
    fn acquainted(choice: SessionChoice) -> Self {
        Self::acquainted_over(Vault::in_memory(Chat::MIGRATIONS).unwrap(), true, choice)
    }

    /// The same over this vault of Bob's, with a relay or without.
    fn acquainted_over(vault: Vault, relays: bool, choice: SessionChoice) -> Self {
        let mut world = Self { relays, ..Self::over(vault) };
        let link = world.command(BOB, |chat| chat.invite()).to_string();
        world.command(ALICE, |chat| chat.add_contact(&link, Some("bob")));
        let now = world.now;
        world.command(ALICE, |chat| chat.write("bob", "hello", 0, now));
        world.run(2_000);
        let name = world.name(ALICE);
        world.command(BOB, |chat| chat.answer(&name, Answer::Accept));
        world.run(2_000);
        world.choose(ALICE, SessionChoice::Direct);
        world.choose(BOB, choice);
        world
    }

    fn name(&self, node: usize) -> String {
        self.nodes[node].chat().identities().unwrap()[0].name.clone()
    }

    fn choose(&mut self, node: usize, choice: SessionChoice) {
        let who = self.name(1 - node);
        let edit = ContactEdit { session: Some(choice), ..ContactEdit::default() };
        self.command(node, |chat| chat.edit_contact(&who, &edit));
    }

    fn command<T>(&mut self, node: usize, f: impl FnOnce(&mut Chat) -> Result<T, samizdat_chat::ChatError>) -> T {
        let done = self.nodes[node].command(self.now, |chat, _| f(chat)).unwrap();
        self.settle();
        done
    }

    fn write(&mut self, node: usize, text: &str) -> Message {
        let (who, now) = (self.name(1 - node), self.now);
        self.command(node, |chat| chat.write(&who, text, 0, now))
    }

    fn state(&self, node: usize, message: &Message) -> State {
        self.nodes[node].chat().message(&message.id).unwrap().state
    }

    fn texts(&self, node: usize) -> Vec<String> {
        self.nodes[node].chat().messages(&Filter::default()).unwrap().into_iter().map(|message| message.text).collect()
    }

    fn ways(&self, node: usize) -> Vec<Way> {
        let place = |peer: &PeerId| self.endpoints[1 - node].iter().find(|(_, place)| place.peer == *peer).map(|(way, _)| *way);
        self.nodes[node].sessions().filter_map(|session| place(&session.peer)).collect()
    }

    fn session(&self, node: usize) -> SessionState {
        let chat = self.nodes[node].chat();
        self.nodes[node].session_state(chat.contacts().unwrap()[0].contact)
    }

    /// Everything between the endpoints for contacts breaks, and nobody was told where else they are.
    fn break_links(&mut self) {
        for (node, link) in std::mem::take(&mut self.ends).into_keys() {
            self.nodes[node].handle(Input::Contact(ContactInput::Closed { link }), self.now);
        }
        self.settle();
    }

    /// An endpoint ends, and what was connected to it.
    fn break_links_of(&mut self, node: usize, way: Way) {
        let Some(old) = self.endpoints[node].remove(&way) else { return };
        let other = 1 - node;
        let gone: Vec<u64> =
            self.nodes[other].sessions().filter(|session| session.peer == old.peer).map(|session| session.link).collect();
        for link in gone {
            if let Some((node, end)) = self.ends.remove(&(other, link)) {
                self.ends.remove(&(node, end));
                self.nodes[node].handle(Input::Contact(ContactInput::Closed { link: end }), self.now);
                self.nodes[other].handle(Input::Contact(ContactInput::Closed { link }), self.now);
            }
        }
    }

    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            quiet += 1;
            for node in [ALICE, BOB] {
                self.nodes[node].commit(self.now);
                while let Some(output) = self.nodes[node].poll_output() {
                    quiet = 0;
                    self.carry(node, output);
                }
            }
            let ready = self.mints && quiet > 0;
            if let Some((node, id, tries)) = ready.then(|| self.minting.pop_front()).flatten() {
                let mut mint = Mint::new(id, tries, 0);
                let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
                self.nodes[node].handle(Input::Stamped { id, nonce }, self.now);
                quiet = 0;
            }
        }
    }

    fn carry(&mut self, node: usize, output: Output) {
        let (other, now) = (1 - node, self.now);
        if node == ALICE {
            match &output {
                Output::Send { bytes, .. } | Output::Ask { question: bytes, .. } => self.said[0].extend(bytes),
                Output::ContactSend { bytes, .. } => self.said[1].extend(bytes),
                _ => {}
            }
        }
        match output {
            Output::Send { bytes, .. } if self.gossip => self.nodes[other].handle(Input::Frame { peer: peer(node), bytes }, now),
            Output::Dial { peer, .. } => self.nodes[node].handle(Input::DialFailed { peer }, now),
            Output::Ask { ticket, .. } => self.nodes[node].handle(Input::AskFailed { ticket }, now),
            Output::Mint { id, tries, .. } => {
                self.published[node] += 1;
                self.minting.push_back((node, id, tries));
            }
            Output::Hangup { peer } => panic!("{peer:?} was hung up on"),
            Output::ContactEndpoints { relayed, direct } => {
                for (way, wanted) in [(Way::Relayed, relayed), (Way::Direct, direct)] {
                    let bound = self.bound[node].remove(&way);
                    self.bound[node].extend(wanted.map(|number| (way, number)));
                    if wanted.is_some() && wanted != bound {
                        self.break_links_of(node, way);
                        self.keys += 1;
                        let addr = if self.relays || way == Way::Direct { vec![self.keys] } else { Vec::new() };
                        let place = Place { peer: PeerId([self.keys; 32]), addr: PeerAddr(addr) };
                        self.endpoints[node].insert(way, place.clone());
                        self.nodes[node].set_contact_endpoint(way, Some(place), now);
                    } else if wanted.is_none() && bound.is_some() {
                        self.endpoints[node].remove(&way);
                        self.nodes[node].set_contact_endpoint(way, None, now);
                    }
                }
            }
            Output::ContactDial { dial, way, to } => self.dial(node, dial, way, &to),
            Output::ContactSend { link, bytes } => {
                if let Some((other, link)) = self.ends.get(&(node, link)).copied() {
                    self.nodes[other].handle(Input::Contact(ContactInput::Frame { link, bytes }), now);
                }
            }
            Output::ContactClose { link } => {
                if let Some((other, link)) = self.ends.remove(&(node, link)) {
                    self.nodes[other].handle(Input::Contact(ContactInput::Closed { link }), now);
                }
            }
            _ => {}
        }
    }

    fn dial(&mut self, node: usize, dial: u64, way: Way, to: &Place) {
        let other = 1 - node;
        self.dials[node] += 1;
        let Some((there, _)) = self.endpoints[other].iter().find(|(_, place)| *place == to && !self.cut) else {
            return self.nodes[node].handle(Input::Contact(ContactInput::DialFailed { dial }), self.now);
        };
        self.links += 2;
        let (ours, theirs, binding) = (self.links, self.links + 1, [self.links as u8; 32]);
        self.ends.insert((node, ours), (other, theirs));
        self.ends.insert((other, theirs), (node, ours));
        let own = self.endpoints[node][&way].peer;
        let opened = ContactInput::Opened { link: theirs, dial: None, way: *there, peer: own, binding };
        self.nodes[other].handle(Input::Contact(opened), self.now);
        let opened = ContactInput::Opened { link: ours, dial: Some(dial), way, peer: to.peer, binding };
        self.nodes[node].handle(Input::Contact(opened), self.now);
    }

    fn run(&mut self, ms: u64) {
        let (end, start) = (self.now.mono_ms + ms, self.now);
        self.settle();
        while let Some(next) = self.nodes.iter().map(Engine::next_timeout).min().filter(|next| *next <= end) {
            let mono_ms = next.max(self.now.mono_ms);
            self.now = Now { mono_ms, unix_ms: start.unix_ms + mono_ms - start.mono_ms };
            self.nodes.iter_mut().for_each(|node| node.handle(Input::Timeout, self.now));
            self.settle();
        }
        self.now = Now { mono_ms: end, unix_ms: start.unix_ms + ms };
    }
}

#[test]
fn a_message_prefers_the_session_and_the_log_gets_it_later() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Relayed], vec![Way::Relayed]));
    // Nothing gets a stamp, and nobody gossips.
    (world.gossip, world.mints) = (false, false);
    let message = world.write(ALICE, "quick");
    assert_eq!(world.texts(BOB).last().unwrap(), "quick");
    assert_eq!(world.state(ALICE, &message), State::Received);
    let answer = world.write(BOB, "and back");
    assert_eq!(world.texts(ALICE).last().unwrap(), "and back");
    assert_eq!(world.state(BOB, &answer), State::Received);
    let held = world.nodes[BOB].held();
    (world.gossip, world.mints) = (true, true);
    world.run(120_000);
    assert!(world.nodes[BOB].held() > held);
    assert_eq!(world.nodes[ALICE].root(), world.nodes[BOB].root());
    assert_eq!(world.texts(BOB), world.texts(ALICE));
    for (node, message) in [(ALICE, &message), (BOB, &message), (BOB, &answer), (ALICE, &answer)] {
        assert!(world.nodes[node].chat().message(&message.id).unwrap().direct);
    }
}

#[test]
fn without_a_session_the_log_brings_it_and_a_session_brings_what_waits() {
    let mut world = World::acquainted(SessionChoice::Off);
    world.run(10_000);
    assert!(world.ways(ALICE).is_empty());
    let message = world.write(ALICE, "by the log");
    world.run(10_000);
    assert_eq!(world.state(ALICE, &message), State::Received);
    assert!([ALICE, BOB].iter().all(|node| !world.nodes[*node].chat().message(&message.id).unwrap().direct));
    // Where Alice is, Bob's node knows already: he had to choose only.
    (world.gossip, world.mints) = (false, false);
    let waits = world.write(ALICE, "waits");
    assert_eq!(world.state(ALICE, &waits), State::Stamping);
    world.choose(BOB, SessionChoice::Relayed);
    world.run(10_000);
    assert_eq!(world.state(ALICE, &waits), State::Received);
}

#[test]
fn addresses_are_told_where_both_want_it_and_withdrawn_with_their_endpoint() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    // Alice wants it, and has not even an endpoint to tell of while Bob does not.
    assert!([ALICE, BOB].iter().all(|node| !world.endpoints[*node].contains_key(&Way::Direct)));
    world.choose(BOB, SessionChoice::Direct);
    world.run(10_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
    world.choose(ALICE, SessionChoice::Relayed);
    assert!(!world.endpoints[ALICE].contains_key(&Way::Direct));
    world.run(180_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Relayed], vec![Way::Relayed]));
    world.choose(ALICE, SessionChoice::Off);
    world.run(1_000);
    assert!(world.ways(ALICE).is_empty() && world.ways(BOB).is_empty() && world.endpoints[ALICE].is_empty());
}

/// Each had just told that it allows it, and so told its address a minute later.
#[test]
fn two_who_choose_it_at_the_same_time_are_connected_directly_within_seconds() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.choose(ALICE, SessionChoice::Relayed);
    world.run(10_000);
    assert_eq!(world.ways(ALICE), [Way::Relayed]);
    // What they say of it crosses.
    for node in [ALICE, BOB] {
        let (who, now) = (world.name(1 - node), world.now);
        let edit = ContactEdit { session: Some(SessionChoice::Direct), ..ContactEdit::default() };
        world.nodes[node].command(now, |chat, _| chat.edit_contact(&who, &edit)).unwrap();
        world.nodes[node].commit(now);
    }
    world.run(5_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
}

/// Bob's node dies between the packet and the disk.
#[test]
fn what_a_crash_takes_before_it_is_on_the_disk_was_not_acknowledged_and_comes_again() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    (world.gossip, world.mints) = (false, false);
    let vault = world.nodes[BOB].chat().vault().copy().unwrap();
    let (who, now) = (world.name(BOB), world.now);
    let message = world.nodes[ALICE].command(now, |chat, _| chat.write(&who, "just before", 0, now)).unwrap();
    // Everything gets as far as Bob's machine, which looks at nothing.
    while let Some(output) = world.nodes[ALICE].poll_output() {
        world.carry(ALICE, output);
    }
    let said: Vec<Output> = std::iter::from_fn(|| world.nodes[BOB].poll_output()).collect();
    assert!(!said.iter().any(|output| matches!(output, Output::ContactSend { .. })), "{said:?}");
    assert_ne!(world.state(ALICE, &message), State::Received);

    let (log, _) = world.nodes.remove(BOB).into_stores();
    let chat = Chat::open(vault, [9; 32]).unwrap();
    world.nodes.push(Engine::new(log, chat, [99; 32], peer(BOB), vec![1], now).unwrap());
    world.endpoints[BOB].clear();
    world.bound[BOB].clear();
    world.break_links();
    world.run(10_000);
    assert_eq!(world.texts(BOB).iter().filter(|text| *text == "just before").count(), 1);
    assert_eq!(world.state(ALICE, &message), State::Received);
}

#[test]
fn what_the_disk_does_not_take_is_acknowledged_once_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Vault::open(dir.path(), None, Chat::MIGRATIONS, &mut ChaCha20Rng::from_seed([5; 32])).unwrap();
    let mut world = World::acquainted_over(open(), true, SessionChoice::Relayed);
    world.run(10_000);
    (world.gossip, world.mints) = (false, false);
    let other = open();
    other.conn().execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = world.write(ALICE, "wait for me");
    assert_eq!(world.nodes[BOB].next_timeout(), world.now.mono_ms + 1_000, "it tries again");
    assert_ne!(world.state(ALICE, &message), State::Received);
    other.conn().execute_batch("ROLLBACK").unwrap();
    world.run(2_000);
    assert_eq!((world.state(ALICE, &message), world.texts(BOB).last().unwrap().as_str()), (State::Received, "wait for me"));
}

/// Two machines on one cable: the only addresses are those of the direct endpoints.
#[test]
fn without_a_relay_they_are_connected_where_both_allow_it_straight() {
    let mut world = World::acquainted_over(Vault::in_memory(Chat::MIGRATIONS).unwrap(), false, SessionChoice::Relayed);
    world.run(30_000);
    let held = world.nodes[BOB].held();
    world.run(600_000);
    assert_eq!((world.nodes[BOB].held(), world.dials), (held, [0, 0]), "that Alice would is said once, and nobody can be dialled");
    assert!([ALICE, BOB].iter().all(|node| !world.endpoints[*node].contains_key(&Way::Direct)));
    world.choose(BOB, SessionChoice::Direct);
    world.run(30_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
    // Of the two, one is enough to end it, and to have it again.
    world.choose(BOB, SessionChoice::Relayed);
    world.run(30_000);
    assert!(world.ways(ALICE).is_empty() && world.ways(BOB).is_empty());
    assert!(!world.endpoints[ALICE].contains_key(&Way::Direct), "he told her, so she shows her address to nobody");
    let held = world.nodes[ALICE].held();
    world.run(600_000);
    assert_eq!(world.nodes[ALICE].held(), held, "and that once");
    world.choose(BOB, SessionChoice::Direct);
    world.run(120_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
}

#[test]
fn where_one_is_is_told_once_and_seldom() {
    let mut world = World::acquainted(SessionChoice::Off);
    world.run(10_000);
    let held = world.nodes[BOB].held();
    world.run(90_000);
    assert_eq!(world.nodes[BOB].held(), held, "nothing new, nothing told");
    // Her relay changes all the time.
    for n in 0..20u8 {
        let place = Place { addr: PeerAddr(vec![n]), ..world.endpoints[ALICE][&Way::Relayed].clone() };
        world.endpoints[ALICE].insert(Way::Relayed, place.clone());
        let now = world.now;
        world.nodes[ALICE].set_contact_endpoint(Way::Relayed, Some(place), now);
        world.run(60_000);
    }
    let told = world.nodes[BOB].held() - held;
    assert!((3..=6).contains(&told), "{told}");
}

#[test]
fn after_days_without_news_each_still_knows_where_the_other_is() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    // The machines sleep, and wake for some minutes each time, at the second with other keys both.
    for _ in 0..3 {
        world.now.unix_ms += 18 * 3_600_000;
        world.run(200_000);
        assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Open, SessionState::Open));
    }
    assert!(world.dials.iter().sum::<usize>() < 20, "{:?}", world.dials);
    world.break_links();
    world.run(2_000);
    assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Open, SessionState::Open));
}

#[test]
fn who_wants_no_sessions_any_more_says_so_and_is_not_dialled_until_they_do() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Open, SessionState::Open));
    world.choose(ALICE, SessionChoice::Off);
    world.run(10_000);
    assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Off, SessionState::Declined));
    let (dials, held) = (world.dials, world.nodes[ALICE].held());
    world.run(600_000);
    assert_eq!((world.dials, world.nodes[ALICE].held()), (dials, held), "nobody dials, nobody tells anything");
    world.choose(ALICE, SessionChoice::Relayed);
    world.run(10_000);
    assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Open, SessionState::Open));
}

#[test]
fn who_is_blocked_is_not_told() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    let (who, held) = (world.name(BOB), world.nodes[BOB].held());
    world.command(ALICE, |chat| chat.edit_contact(&who, &ContactEdit { blocked: Some(true), ..ContactEdit::default() }));
    world.run(60_000);
    assert_eq!((world.session(BOB), world.nodes[BOB].held()), (SessionState::Waiting, held));
}

/// What is left of some bytes without these.
fn without(mut bytes: Vec<u8>, all: &[Vec<u8>]) -> Vec<u8> {
    for what in all {
        while let Some(at) = bytes.windows(what.len()).position(|window| window == what) {
            bytes.drain(at..at + what.len());
        }
    }
    bytes
}

/// Bob is a neighbour of Alice's node and talks with her: he serves both endpoints, and sees every frame of both.
#[test]
fn who_serves_the_node_and_the_endpoint_for_contacts_finds_nothing_in_common_but_what_is_public() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(10_000);
    for n in 0..5 {
        world.write(ALICE, &format!("over the session {n}"));
    }
    world.run(60_000);
    let endpoint = world.endpoints[ALICE][&Way::Relayed].peer;
    let (log, name) = (world.nodes[ALICE].log(), world.name(ALICE));
    let ids: Vec<EnvelopeId> = log.entries().unwrap().into_iter().map(|(_, id)| id).collect();
    let envelopes: Vec<Vec<u8>> = log.get(&ids).unwrap().into_iter().flatten().map(|envelope| envelope.to_vec()).collect();
    // Envelopes are public, whichever way they come; a frame may carry one before it has its stamp.
    let [node, contact] = world.said.clone().map(|said| without(said, &envelopes));
    assert!(node.len() > 100 && contact.len() > 100, "{} and {} bytes", node.len(), contact.len());
    let has = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(!has(&node, &endpoint.0) && !has(&contact, &peer(ALICE).0), "neither names the other");
    let raw = name.parse::<samizdat_core::Name>().unwrap().0;
    for said in [&node, &contact] {
        assert!(!has(said, name.as_bytes()) && !has(said, &raw), "and neither names her");
    }
    let of_node: std::collections::BTreeSet<&[u8]> = node.windows(8).collect();
    // Zeros name nobody: there are some where a stamp will be.
    let both: Vec<&[u8]> = contact.windows(8).filter(|window| of_node.contains(window) && **window != [0; 8]).collect();
    assert_eq!(both, Vec::<&[u8]>::new());
}

/// A relay knew the endpoint from its start to its end.
#[test]
fn after_a_day_their_keys_are_others_and_the_session_goes_on() {
    let mut world = World::acquainted(SessionChoice::Direct);
    world.run(60_000);
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
    let keys =
        |world: &World| -> Vec<PeerId> { world.endpoints.iter().flat_map(|of| of.values().map(|place| place.peer)).collect() };
    let before = keys(&world);
    world.sleep(20);
    assert_eq!(keys(&world), before);
    world.sleep(8);
    world.run(120_000);
    let after = keys(&world);
    assert!(after.len() == 4 && after.iter().all(|key| !before.contains(key)));
    assert_eq!((world.ways(ALICE), world.ways(BOB)), (vec![Way::Direct], vec![Way::Direct]));
    assert!(world.dials.iter().sum::<usize>() < 20, "{:?}", world.dials);
    world.gossip = false;
    let message = world.write(ALICE, "under other keys");
    assert_eq!(world.state(ALICE, &message), State::Received);
}

#[test]
fn who_is_away_for_days_is_not_told_of_every_key_and_is_met_when_back() {
    let mut world = World::acquainted(SessionChoice::Relayed);
    world.run(60_000);
    assert_eq!(world.session(ALICE), SessionState::Open);
    for (node, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let now = world.now;
        world.nodes[node].handle(Input::Disconnected { peer: peer(other) }, now);
    }
    world.cut = true;
    world.break_links();
    world.sleep(30);
    let published = world.published;
    let mut keys = BTreeSet::from([world.endpoints[ALICE][&Way::Relayed].peer]);
    for _ in 0..18 {
        world.sleep(12);
        keys.insert(world.endpoints[ALICE][&Way::Relayed].peer);
    }
    let told = world.published[ALICE] - published[ALICE];
    assert!((1..=4).contains(&told), "{told}");
    assert!(keys.len() > 6, "{}", keys.len());
    // He comes back, and with that to another relay.
    world.cut = false;
    world.connect();
    let place = Place { addr: PeerAddr(vec![77]), ..world.endpoints[BOB][&Way::Relayed].clone() };
    world.endpoints[BOB].insert(Way::Relayed, place.clone());
    let now = world.now;
    world.nodes[BOB].set_contact_endpoint(Way::Relayed, Some(place), now);
    // After the pause that he keeps between two statements to somebody who does not answer.
    world.now.mono_ms += 6 * 3_600_000;
    world.run(120_000);
    assert_eq!((world.session(ALICE), world.session(BOB)), (SessionState::Open, SessionState::Open));
}

//! A node that takes another transport key: it misses nothing, and who serves it under both keys finds nothing in what it says
//! by which the two, or one of them and its name, belong together.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_chat::Chat;
use samizdat_core::{EnvelopeId, Name, Now, PeerId, stamp::Mint};
use samizdat_engine::{Engine, Input, Output};
use samizdat_store::{Log, Vault};

/// Shorter values than this may be equal by chance.
const WINDOW: usize = 8;
const STEP_MS: u64 = 250;

/// A number that looks as random as a key or an address does, and is the same in every run.
fn key(n: u8) -> PeerId {
    PeerId(std::array::from_fn(|at| n.wrapping_mul(167).wrapping_add((at as u8).wrapping_mul(91)) ^ (at as u8)))
}

fn addr(n: u8) -> Vec<u8> {
    key(n ^ 0x80).0[..18].to_vec()
}

/// Alice, Bob and Carol, who know Mallory and soon each other; and all that they say to her.
struct Parlour {
    now: Now,
    nodes: BTreeMap<PeerId, Engine>,
    said: BTreeMap<PeerId, Vec<Vec<u8>>>,
    mallory: PeerId,
    /// She alone pays for stamps, so that nobody waits for those of the others.
    alice: PeerId,
}

impl Parlour {
    fn new() -> Self {
        let mallory = key(9);
        let mut parlour = Self {
            now: Now { mono_ms: 0, unix_ms: 1_800_000_000_000 },
            nodes: BTreeMap::new(),
            said: BTreeMap::new(),
            mallory,
            alice: key(1),
        };
        for n in [1, 2, 3, 9] {
            let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [n; 32]).unwrap();
            let log = Log::in_memory(1 << 30).unwrap();
            let mut engine = Engine::new(log, chat, [n ^ 0x55; 32], key(n), addr(n), parlour.now).unwrap();
            if n != 9 {
                engine.learn(mallory, addr(9), true, parlour.now);
            }
            parlour.nodes.insert(key(n), engine);
        }
        parlour
    }

    fn engine(&mut self, of: PeerId) -> &mut Engine {
        self.nodes.get_mut(&of).unwrap()
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            self.now.mono_ms += STEP_MS;
            self.now.unix_ms += STEP_MS;
            for engine in self.nodes.values_mut() {
                engine.handle(Input::Timeout, self.now);
                engine.commit(self.now);
            }
            while self.carry() {}
        }
    }

    fn carry(&mut self) -> bool {
        let now = self.now;
        let outputs: Vec<(PeerId, Output)> = self
            .nodes
            .iter_mut()
            .flat_map(|(id, engine)| std::iter::from_fn(|| engine.poll_output()).map(|out| (*id, out)).collect::<Vec<_>>())
            .collect();
        let any = !outputs.is_empty();
        for (from, output) in outputs {
            match output {
                Output::Dial { peer, addr } if self.nodes.contains_key(&peer) => {
                    let called = Input::Connected { peer: from, addr: Vec::new(), dialed: false, ip: None };
                    self.engine(peer).handle(called, now);
                    self.engine(from).handle(Input::Connected { peer, addr, dialed: true, ip: None }, now);
                }
                Output::Dial { peer, .. } => self.engine(from).handle(Input::DialFailed { peer }, now),
                Output::Send { peer, bytes } => {
                    if peer == self.mallory {
                        self.said.entry(from).or_default().push(bytes.clone());
                    }
                    if let Some(engine) = self.nodes.get_mut(&peer) {
                        engine.handle(Input::Frame { peer: from, bytes }, now);
                    }
                }
                Output::Hangup { peer } => {
                    self.engine(from).handle(Input::Disconnected { peer }, now);
                    if let Some(engine) = self.nodes.get_mut(&peer) {
                        engine.handle(Input::Disconnected { peer: from }, now);
                    }
                }
                Output::Ask { ticket, .. } => self.engine(from).handle(Input::AskFailed { ticket }, now),
                Output::Mint { id, tries, .. } if from == self.alice => self.mint(from, id, tries),
                _ => {}
            }
        }
        self.nodes.values_mut().for_each(|engine| engine.commit(now));
        any
    }

    fn mint(&mut self, from: PeerId, id: EnvelopeId, tries: u64) {
        let now = self.now;
        let mut mint = Mint::new(id, tries, 0);
        let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
        self.engine(from).handle(Input::Stamped { id, nonce }, now);
    }

    /// As the daemon does it.
    fn rotate(&mut self, from: PeerId, to: u8) {
        let mut engine = self.nodes.remove(&from).unwrap();
        let (mallory, now) = (self.mallory, self.now);
        self.engine(mallory).handle(Input::Disconnected { peer: from }, now);
        engine.renew(key(to), addr(to), self.now);
        self.nodes.insert(key(to), engine);
        self.alice = key(to);
    }

    fn neighbours(&self, of: PeerId) -> usize {
        self.nodes[&of].peers().count()
    }

    fn envelopes(&self) -> Vec<Arc<[u8]>> {
        let log = self.nodes[&self.mallory].log();
        let ids: Vec<EnvelopeId> = log.entries().unwrap().into_iter().map(|(_, id)| id).collect();
        log.get(&ids).unwrap().into_iter().flatten().collect()
    }

    /// Everything that Mallory heard from somebody, but for what is public: envelopes, and where Bob, Carol and she are. That the
    /// same neighbours are told of again is so wherever there are no others.
    fn heard(&self, from: PeerId) -> Vec<u8> {
        // What others say of Alice is not hers.
        let alice: &[u8] = if [key(2), key(3)].contains(&from) { &[1, 5] } else { &[] };
        let nodes = [2, 3, 9].iter().chain(alice).copied().flat_map(|n| [key(n).0.to_vec(), addr(n)]);
        let public: Vec<Vec<u8>> = self.envelopes().iter().map(|envelope| envelope.to_vec()).chain(nodes).collect();
        let mut heard = Vec::new();
        for frame in &self.said[&from] {
            let mut rest = frame.clone();
            for value in &public {
                while let Some(at) = find(&rest, value) {
                    rest.drain(at..at + value.len());
                }
            }
            heard.extend(rest);
        }
        heard
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

fn windows(bytes: &[u8]) -> BTreeSet<&[u8]> {
    bytes.windows(WINDOW).collect()
}

#[test]
fn who_serves_a_node_under_two_keys_finds_nothing_in_common() {
    let mut parlour = Parlour::new();
    let [old, new, bob, carol, mallory] = [key(1), key(5), key(2), key(3), key(9)];
    parlour.pass(90_000);
    assert_eq!(parlour.neighbours(mallory), 3);
    assert!(parlour.nodes.values().all(|engine| engine.held() == 1), "Alice has announced her name");

    parlour.rotate(old, 5);
    parlour.pass(90_000);
    assert_eq!((parlour.neighbours(mallory), parlour.neighbours(new)), (3, 3), "they have met again");

    let (before, after) = (parlour.heard(old), parlour.heard(new));
    assert!(before.len() > 200 && after.len() > 200, "{} and {} bytes", before.len(), after.len());
    assert_eq!((find(&before, &new.0), find(&after, &old.0)), (None, None));
    assert_eq!((find(&before, &addr(5)), find(&after, &addr(1))), (None, None));
    // What both say everybody says.
    let anybody = [parlour.heard(bob), parlour.heard(carol)].concat();
    let (anybody, after) = (windows(&anybody), windows(&after));
    let both: Vec<_> = windows(&before).into_iter().filter(|window| after.contains(window) && !anybody.contains(window)).collect();
    assert_eq!(both, Vec::<&[u8]>::new());
}

#[test]
fn no_key_is_in_what_names_somebody_and_no_name_in_what_a_key_says() {
    let mut parlour = Parlour::new();
    let [old, new] = [key(1), key(5)];
    parlour.pass(30_000);
    let text = parlour.engine(old).chat().identities().unwrap()[0].name.clone();
    let name: Name = text.parse().unwrap();
    parlour.rotate(old, 5);
    parlour.pass(30_000);
    for said in [parlour.heard(old), parlour.heard(new)] {
        assert_eq!((find(&said, text.as_bytes()), find(&said, &name.0)), (None, None));
    }
    let envelopes = parlour.envelopes();
    assert!(!envelopes.is_empty());
    for envelope in envelopes {
        for id in [old, new] {
            assert_eq!((find(&envelope, &id.0), find(&envelope, &addr(1)), find(&envelope, &addr(5))), (None, None, None));
        }
    }
}

#[test]
fn what_was_written_under_the_old_key_is_published_under_the_new_one() {
    let mut parlour = Parlour::new();
    let (old, new, bob) = (key(1), key(5), key(2));
    parlour.pass(30_000);
    let lobby = "lobby";
    let now = parlour.now;
    // Nobody is there to take it: the key changes in the same breath.
    let written = parlour.engine(old).command(now, |chat, _| chat.post(lobby, "written before", 0, now)).unwrap();
    parlour.rotate(old, 5);
    parlour.pass(60_000);
    let state = parlour.engine(new).chat().message(&written.id).unwrap().state;
    assert_eq!(state, samizdat_chat::State::Published);
    let everybody = parlour.nodes[&bob].root();
    assert!(parlour.nodes.values().all(|engine| engine.root() == everybody));
}

//! A node that takes another transport key: it misses nothing, and who serves it under both keys finds nothing in what it says
//! by which the two, or one of them and its name, belong together.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use samizdat_chat::Chat;
use samizdat_core::record::{NodeFields, Roles};
use samizdat_core::{EnvelopeId, Name, NodeRecord, Now, PeerId, PeerSecret, stamp::Mint};
use samizdat_engine::{Engine, Input, Output, Verdict, Whom};
use samizdat_store::{Log, Vault};

/// Shorter values than this may be equal by chance.
const WINDOW: usize = 8;
const STEP_MS: u64 = 250;

fn secret(n: u8) -> PeerSecret {
    PeerSecret(std::array::from_fn(|at| n.wrapping_mul(167).wrapping_add((at as u8).wrapping_mul(91)) ^ (at as u8)))
}

fn key(n: u8) -> PeerId {
    secret(n).peer()
}

/// Each is in a network of its own; with another key Alice is in another one, too, for whoever sees her address needs nothing else.
fn place(n: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([198, 51, n, n ^ 0x5a]), 20_000 + u16::from(n) * 391)
}

fn addr(n: u8) -> Vec<u8> {
    key(n ^ 0x80).0[..18].to_vec()
}

/// Alice, Bob and Carol, who know Mallory and soon each other; and all that they say to her.
struct Parlour {
    now: Now,
    nodes: BTreeMap<PeerId, Engine>,
    said: BTreeMap<PeerId, Vec<Vec<u8>>>,
    /// Of that, how many questions to her, and how many answers.
    asked: BTreeMap<PeerId, (usize, usize)>,
    /// Who waits for an answer, with its own ticket.
    waiting: BTreeMap<u64, (PeerId, u64)>,
    token: u64,
    /// What each has signed of itself: public.
    records: Vec<(PeerId, Vec<u8>)>,
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
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            token: 0,
            records: Vec::new(),
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
            engine.serve(place(n).port(), None, parlour.now);
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
                    let [here, there] = [from, peer].map(|peer| Some(place_of(peer).ip()));
                    let called = Input::Connected { peer: from, addr: Vec::new(), dialed: false, ip: here };
                    self.engine(peer).handle(called, now);
                    self.engine(from).handle(Input::Connected { peer, addr, dialed: true, ip: there }, now);
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
                Output::Ask { ticket, whom, question } => self.ask(from, ticket, &whom, question),
                Output::Reply { token, answer } => self.answer(from, token, answer),
                // Strangers come through.
                Output::Check { token, .. } => {
                    self.engine(from).handle(Input::Checked { token, endpoint: true, relay: false }, now);
                }
                Output::Standing => self.sign(from),
                Output::Mint { id, tries, .. } if from == self.alice => self.mint(from, id, tries),
                _ => {}
            }
        }
        self.nodes.values_mut().for_each(|engine| engine.commit(now));
        any
    }

    fn ask(&mut self, from: PeerId, ticket: u64, whom: &Whom, question: Vec<u8>) {
        let now = self.now;
        let to = match whom {
            Whom::Node(record) | Whom::NodeAt(record, _) => record.peer(),
            Whom::Neighbour(peer, _) => *peer,
        };
        if !self.nodes.contains_key(&to) {
            return self.engine(from).handle(Input::AskFailed { ticket }, now);
        }
        if to == self.mallory {
            self.said.entry(from).or_default().push(question.clone());
            self.asked.entry(from).or_default().0 += 1;
        }
        self.token += 1;
        self.waiting.insert(self.token, (from, ticket));
        let (token, ip) = (self.token, Some(place_of(from).ip()));
        self.engine(to).handle(Input::Asked { token, peer: from, from: ip, question }, now);
    }

    fn answer(&mut self, from: PeerId, token: u64, answer: Vec<u8>) {
        let (asker, ticket) = self.waiting.remove(&token).unwrap();
        if asker == self.mallory {
            self.said.entry(from).or_default().push(answer.clone());
            self.asked.entry(from).or_default().1 += 1;
        }
        let (now, ip) = (self.now, Some(place_of(from).ip()));
        if let Some(engine) = self.nodes.get_mut(&asker) {
            engine.handle(Input::Answered { ticket, from: ip, answer }, now);
        }
    }

    /// What the daemon does when others have found out where it is.
    fn sign(&mut self, from: PeerId) {
        let addrs = self.nodes[&from].standing().addrs.clone();
        let fields = NodeFields {
            issued: self.now.unix_ms / 1000,
            lifetime_s: 3600,
            roles: Roles::default(),
            addrs,
            relay: None,
            via: Vec::new(),
        };
        let record = (!fields.addrs.is_empty()).then(|| NodeRecord::sign(&secret(number(from)), fields).unwrap());
        self.records.extend(record.iter().map(|record| (from, record.bytes().to_vec())));
        let now = self.now;
        self.engine(from).set_record(record, now);
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
        engine.serve(place(to).port(), None, self.now);
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

    /// Everything that Mallory heard from somebody, in pieces: without what is public, that is envelopes, and where others are. That
    /// the same neighbours are told of again is so wherever there are no others.
    fn heard(&self, from: PeerId) -> Vec<Vec<u8>> {
        // What others say of Alice is not hers, and what they say of themselves shows what everybody says.
        let nodes = || if [key(2), key(3)].contains(&from) { vec![1, 5] } else { vec![2, 3, 9] }.into_iter();
        let named = nodes().flat_map(|n| [key(n).0.to_vec(), addr(n)]);
        let records = self.records.iter().filter(|(of, _)| nodes().any(|n| key(n) == *of)).map(|(_, record)| record.clone());
        let envelopes = self.envelopes().into_iter().map(|envelope| envelope.to_vec());
        // Records first: keys are in them.
        let public = envelopes.chain(records).chain(named);
        public.fold(self.said[&from].clone(), |pieces, value| pieces.iter().flat_map(|piece| around(piece, &value)).collect())
    }
}

/// What lies before, between and after all places of something.
fn around(bytes: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = find(rest, value) {
        pieces.push(rest[..at].to_vec());
        rest = &rest[at + value.len()..];
    }
    pieces.push(rest.to_vec());
    pieces
}

fn number(of: PeerId) -> u8 {
    [1, 2, 3, 5, 9].into_iter().find(|n| key(*n) == of).unwrap()
}

fn place_of(peer: PeerId) -> SocketAddr {
    place(number(peer))
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

fn is_in(pieces: &[Vec<u8>], what: &[u8]) -> bool {
    pieces.iter().any(|piece| find(piece, what).is_some())
}

fn windows(pieces: &[Vec<u8>]) -> BTreeSet<&[u8]> {
    pieces.iter().flat_map(|piece| piece.windows(WINDOW)).collect()
}

/// That nothing is in what two say but what others say as well.
fn assert_nothing_in_common(before: &[Vec<u8>], after: &[Vec<u8>], anybody: &[Vec<u8>]) {
    for said in [before, after] {
        let length: usize = said.iter().map(Vec::len).sum();
        assert!(length > 200, "{length} bytes");
    }
    let (anybody, after) = (windows(anybody), windows(after));
    let both: Vec<_> = windows(before).into_iter().filter(|window| after.contains(window) && !anybody.contains(window)).collect();
    assert_eq!(both, Vec::<&[u8]>::new());
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
    assert!(!is_in(&before, &new.0) && !is_in(&after, &old.0));
    assert!(!is_in(&before, &addr(5)) && !is_in(&after, &addr(1)));
    // What both say everybody says.
    assert_nothing_in_common(&before, &after, &[parlour.heard(bob), parlour.heard(carol)].concat());
}

#[test]
fn who_is_asked_and_answered_by_a_node_under_two_keys_finds_nothing_in_common_either() {
    let mut parlour = Parlour::new();
    let [old, new, bob, carol] = [key(1), key(5), key(2), key(3)];
    parlour.pass(180_000);
    assert_eq!(parlour.nodes[&old].standing().verdict, Verdict::Reachable);
    parlour.rotate(old, 5);
    parlour.pass(180_000);
    assert_eq!(parlour.nodes[&new].standing().verdict, Verdict::Reachable);
    for alice in [old, new] {
        let (questions, answers) = parlour.asked[&alice];
        assert!(questions > 2 && answers > 2, "{questions} questions to Mallory and {answers} answers");
        assert!(parlour.records.iter().any(|(of, record)| *of == alice && is_in(&parlour.said[&alice], record)));
    }
    let (before, after) = (parlour.heard(old), parlour.heard(new));
    for (said, other) in [(&before, 5), (&after, 1)] {
        assert!(!is_in(said, &key(other).0) && !is_in(said, &addr(other)));
    }
    assert_nothing_in_common(&before, &after, &[parlour.heard(bob), parlour.heard(carol)].concat());
    // And none of it names her.
    let text = parlour.engine(new).chat().identities().unwrap()[0].name.clone();
    let name: Name = text.parse().unwrap();
    for said in [parlour.heard(old), parlour.heard(new)] {
        assert!(!is_in(&said, text.as_bytes()) && !is_in(&said, &name.0));
    }
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
        assert!(!is_in(&said, text.as_bytes()) && !is_in(&said, &name.0));
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

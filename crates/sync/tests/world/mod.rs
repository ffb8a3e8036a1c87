//! A network in memory with a virtual clock: every node is a [`Gossip`] with a toy engine around it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, Now, PeerId};
use samizdat_sync::draw::Draw;
use samizdat_sync::networks::Network;
use samizdat_sync::{Config, Gossip, Input, Output, PeerAddr};
use sha2::{Digest, Sha256};

/// Hour of the toy envelopes that nobody dates otherwise.
pub const HOUR: u32 = 490_000;

/// A toy envelope: its hour and anything.
pub fn envelope(hour: u32, text: &str) -> Arc<[u8]> {
    [&b"E"[..], &hour.to_be_bytes(), text.as_bytes()].concat().into()
}

pub fn id_of(bytes: &[u8]) -> EnvelopeId {
    EnvelopeId(Sha256::digest(bytes).into())
}

pub fn peer(n: usize) -> PeerId {
    let mut id = [0; 32];
    id[0] = (n * 37 % 251) as u8;
    id[24..].copy_from_slice(&(n as u64).to_be_bytes());
    PeerId(id)
}

pub fn addr(n: usize) -> PeerAddr {
    PeerAddr(format!("node-{n}").into_bytes())
}

pub type Spy = Box<dyn FnMut(usize, usize, &mut Vec<u8>)>;
type Log = BTreeMap<EnvelopeId, (Hour, Arc<[u8]>)>;

pub struct Node {
    pub gossip: Gossip,
    pub log: Log,
    pub up: bool,
    /// Whole envelopes that came in, needed or not.
    pub copies: u64,
    pub held: BTreeSet<EnvelopeId>,
    pub reconciled: Vec<(usize, usize)>,
    pub frames: u64,
    pub bytes_in: u64,
    started: u64,
    timer: Option<u64>,
}

enum Happening {
    Dialed { from: usize, to: usize },
    Frame { from: usize, to: usize, epoch: u64, bytes: Vec<u8> },
    Closed { at: usize, with: usize, epoch: u64 },
    Timer { node: usize },
}

pub struct World {
    pub now: u64,
    pub nodes: Vec<Node>,
    pub draw: Draw,
    pub latency: (u64, u64),
    /// In whose network a node is.
    pub place: fn(usize) -> Network,
    seed: u8,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    serial: u64,
    /// Open connections by their two ends, lower first.
    conns: BTreeMap<(usize, usize), u64>,
    last: BTreeMap<(usize, usize), u64>,
    parted: BTreeSet<usize>,
    numbers: BTreeMap<PeerId, usize>,
    /// Frames between honest nodes can be looked at or replaced here.
    pub spy: Option<Spy>,
}

impl World {
    pub fn new(count: usize, seed: u8) -> Self {
        let mut world = Self {
            now: 1_000,
            nodes: Vec::new(),
            draw: Draw::new([seed; 32]),
            latency: (20, 120),
            place: |_| Network::Hidden,
            seed,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            serial: 0,
            conns: BTreeMap::new(),
            last: BTreeMap::new(),
            parted: BTreeSet::new(),
            numbers: BTreeMap::new(),
            spy: None,
        };
        (0..count).for_each(|_| {
            world.add();
        });
        world
    }

    pub fn add(&mut self) -> usize {
        let n = self.nodes.len();
        let node = Node {
            gossip: self.machine(n),
            log: Log::new(),
            up: true,
            copies: 0,
            held: BTreeSet::new(),
            reconciled: Vec::new(),
            frames: 0,
            bytes_in: 0,
            started: self.now,
            timer: None,
        };
        self.nodes.push(node);
        self.numbers.insert(peer(n), n);
        n
    }

    fn machine(&mut self, n: usize) -> Gossip {
        let mut seed = [self.seed; 32];
        seed[..8].copy_from_slice(&(n as u64 + self.now * 1000).to_be_bytes());
        Gossip::new(Config::default(), seed, peer(n), addr(n))
    }

    pub fn clock(&self) -> Now {
        Now { mono_ms: self.now, unix_ms: u64::from(HOUR) * 3_600_000 + self.now }
    }

    /// Everybody joins by way of node 0.
    pub fn join_all(&mut self) {
        for n in 1..self.nodes.len() {
            self.learn(n, 0);
            self.run(50);
        }
    }

    pub fn learn(&mut self, node: usize, other: usize) {
        let now = self.clock();
        self.nodes[node].gossip.learn(peer(other), addr(other), true, now);
        self.drain(node);
    }

    pub fn publish(&mut self, node: usize, text: &str) -> EnvelopeId {
        self.publish_at(node, HOUR, text)
    }

    pub fn publish_at(&mut self, node: usize, hour: u32, text: &str) -> EnvelopeId {
        let bytes = envelope(hour, text);
        let id = id_of(&bytes);
        self.nodes[node].log.insert(id, (Hour(hour), Arc::clone(&bytes)));
        self.nodes[node].gossip.watch(Hour(hour), id);
        self.input(node, Input::Stored { hour: Hour(hour), id, bytes, from: None });
        id
    }

    /// Puts an envelope into a log as if it had been there before the start.
    pub fn preload(&mut self, node: usize, hour: u32, text: &str) -> EnvelopeId {
        let bytes = envelope(hour, text);
        let id = id_of(&bytes);
        self.nodes[node].log.insert(id, (Hour(hour), bytes));
        self.nodes[node].gossip.load([(Hour(hour), id)]);
        id
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes[node].up = false;
        let gone: Vec<(usize, usize)> = self.conns.keys().copied().filter(|(a, b)| *a == node || *b == node).collect();
        gone.into_iter().for_each(|ends| self.cut(ends));
    }

    /// Starts again with the log and the remembered peers, and nothing else.
    pub fn start(&mut self, node: usize) {
        let known = self.nodes[node].gossip.remembered();
        let mut machine = self.machine(node);
        machine.load(self.nodes[node].log.iter().map(|(id, (hour, _))| (*hour, *id)));
        let now = self.clock();
        self.nodes[node].gossip = machine;
        self.nodes[node].up = true;
        self.nodes[node].started = self.now;
        for (peer, addr) in known {
            self.nodes[node].gossip.learn(peer, addr, false, now);
        }
        self.drain(node);
    }

    /// Splits the network: these nodes reach only each other, and so do the others.
    pub fn part(&mut self, group: impl IntoIterator<Item = usize>) {
        self.parted = group.into_iter().collect();
        let cut: Vec<(usize, usize)> = self.conns.keys().copied().filter(|(a, b)| !self.reach(*a, *b)).collect();
        cut.into_iter().for_each(|ends| self.cut(ends));
    }

    pub fn heal(&mut self) {
        self.parted.clear();
    }

    /// Breaks some random connections.
    pub fn shake(&mut self, count: usize) {
        let ends: Vec<(usize, usize)> = self.conns.keys().copied().collect();
        self.draw.sample(ends, count).into_iter().for_each(|ends| self.cut(ends));
    }

    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(Reverse((at, serial))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            self.now = at;
            if let Some(happening) = self.happenings.remove(&serial) {
                self.happen(happening);
            }
        }
        self.now = end;
    }

    /// Runs until it is true, at most so long; tells whether it became true.
    pub fn run_until(&mut self, ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + ms;
        while self.now < end && !done(self) {
            self.run(100);
        }
        done(self)
    }

    pub fn has(&self, node: usize, id: &EnvelopeId) -> bool {
        self.nodes[node].log.contains_key(id)
    }

    pub fn everybody_has(&self, ids: &[EnvelopeId]) -> bool {
        self.nodes.iter().filter(|n| n.up).all(|n| ids.iter().all(|id| n.log.contains_key(id)))
    }

    pub fn everybody_agrees(&self) -> bool {
        let mut roots = self.nodes.iter().filter(|n| n.up).map(|n| n.gossip.root());
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    }

    pub fn degree(&self, node: usize) -> usize {
        self.nodes[node].gossip.peers().count()
    }

    /// Whether the neighbours of the neighbours, and so on, are all running nodes.
    pub fn is_connected(&self) -> bool {
        let up: BTreeSet<usize> = (0..self.nodes.len()).filter(|n| self.nodes[*n].up).collect();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<usize> = up.first().copied().into_iter().collect();
        while let Some(node) = todo.pop() {
            if seen.insert(node) {
                todo.extend(self.nodes[node].gossip.peers().filter_map(|p| self.numbers.get(&p.peer)));
            }
        }
        seen == up
    }

    pub fn input(&mut self, node: usize, input: Input) {
        let now = self.clock();
        self.nodes[node].gossip.handle(input, now);
        self.drain(node);
    }

    /// Sends a frame from one node to another outside the sender's machine.
    pub fn forge(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.send(from, to, bytes);
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        self.nodes[a].up && self.nodes[b].up && self.parted.contains(&a) == self.parted.contains(&b)
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    /// Frames between two nodes keep their order.
    fn arrival(&mut self, from: usize, to: usize) -> u64 {
        // A fixed base for the pair and a little jitter.
        let (a, b) = (from.min(to) as u64, from.max(to) as u64);
        let spread = self.latency.1 - self.latency.0;
        let base = self.latency.0 + (a * 7919 + b * 104_729) % (spread + 1);
        let at = (self.now + base + self.draw.below(5)).max(self.last.get(&(from, to)).copied().unwrap_or(0));
        self.last.insert((from, to), at);
        at
    }

    fn send(&mut self, from: usize, to: usize, mut bytes: Vec<u8>) {
        let Some(epoch) = self.conns.get(&(from.min(to), from.max(to))).copied() else { return };
        if let Some(spy) = &mut self.spy {
            spy(from, to, &mut bytes);
        }
        let at = self.arrival(from, to);
        self.at(at, Happening::Frame { from, to, epoch, bytes });
    }

    fn cut(&mut self, ends: (usize, usize)) {
        if self.conns.remove(&ends).is_some() {
            for (node, other) in [(ends.0, ends.1), (ends.1, ends.0)] {
                if self.nodes[node].up {
                    self.input(node, Input::Disconnected { peer: peer(other) });
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Dialed { from, to } => {
                let ends = (from.min(to), from.max(to));
                if !self.nodes[from].up || self.conns.contains_key(&ends) {
                } else if self.reach(from, to) {
                    self.serial += 1;
                    self.conns.insert(ends, self.serial);
                    let (near, far) = ((self.place)(from), (self.place)(to));
                    self.input(to, Input::Connected { peer: peer(from), addr: PeerAddr::default(), dialed: false, network: near });
                    self.input(from, Input::Connected { peer: peer(to), addr: addr(to), dialed: true, network: far });
                } else {
                    self.input(from, Input::DialFailed { peer: peer(to) });
                }
            }
            Happening::Frame { from, to, epoch, bytes } => {
                if self.conns.get(&(from.min(to), from.max(to))) == Some(&epoch) && self.nodes[to].up {
                    self.nodes[to].frames += 1;
                    self.nodes[to].bytes_in += bytes.len() as u64;
                    self.input(to, Input::Frame { peer: peer(from), bytes });
                }
            }
            Happening::Closed { at, with, epoch } => {
                let ends = (at.min(with), at.max(with));
                if self.conns.get(&ends) == Some(&epoch) {
                    self.cut(ends);
                }
            }
            Happening::Timer { node } => {
                if self.nodes[node].timer.is_some_and(|at| at <= self.now) && self.nodes[node].up {
                    self.nodes[node].timer = None;
                    self.input(node, Input::Timeout);
                }
            }
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].gossip.poll_output() {
            match output {
                Output::Send { peer, bytes } => {
                    let to = self.numbers[&peer];
                    self.send(node, to, bytes);
                }
                Output::Dial { peer, addr: given } => match self.numbers.get(&peer).copied() {
                    Some(to) if given == addr(to) => {
                        let at = self.arrival(node, to) + 30;
                        self.at(at, Happening::Dialed { from: node, to });
                    }
                    _ => self.input(node, Input::DialFailed { peer }),
                },
                Output::Hangup { peer, .. } => {
                    let with = self.numbers[&peer];
                    let epoch = self.conns.get(&(node.min(with), node.max(with))).copied();
                    let at = self.arrival(node, with);
                    if let Some(epoch) = epoch {
                        self.at(at, Happening::Closed { at: node, with, epoch });
                    }
                }
                Output::Candidates { peer, envelopes } => envelopes.into_iter().for_each(|bytes| self.verify(node, peer, bytes)),
                Output::Fetch { peer, ids } => {
                    let log = &self.nodes[node].log;
                    let envelopes = ids.iter().filter_map(|id| Some((*id, Arc::clone(&log.get(id)?.1)))).collect();
                    self.input(node, Input::Payloads { peer, envelopes });
                }
                Output::Held { ids, .. } => {
                    ids.iter().for_each(|id| self.nodes[node].gossip.unwatch(id));
                    self.nodes[node].held.extend(ids);
                }
                Output::Reconciled { sent, received, .. } => self.nodes[node].reconciled.push((sent, received)),
            }
        }
        let due = self.nodes[node].gossip.next_timeout().map(|at| at.max(self.now));
        if let Some(at) = due
            && self.nodes[node].timer.is_none_or(|timer| at < timer)
        {
            self.nodes[node].timer = Some(at);
            self.at(at, Happening::Timer { node });
        }
    }

    fn verify(&mut self, node: usize, from: PeerId, bytes: Vec<u8>) {
        self.nodes[node].copies += 1;
        let Some(&[b'E', a, b, c, d]) = bytes.first_chunk::<5>() else {
            return self.input(node, Input::Junk { peer: from });
        };
        let hour = Hour(u32::from_be_bytes([a, b, c, d]));
        let id = id_of(&bytes);
        if self.nodes[node].log.contains_key(&id) {
            return self.input(node, Input::Duplicate { peer: from, id });
        }
        let bytes: Arc<[u8]> = bytes.into();
        self.nodes[node].log.insert(id, (hour, Arc::clone(&bytes)));
        self.input(node, Input::Stored { hour, id, bytes, from: Some(from) });
    }
}

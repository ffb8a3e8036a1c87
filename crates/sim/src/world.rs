//! All nodes, what happens between them, and the one clock.

use std::collections::BTreeMap;

use samizdat_chat::{Chat, ChatError};
use samizdat_core::{EnvelopeId, Now, PeerId};
use samizdat_engine::{Engine, FileError, Input, Output};
use samizdat_store::{Log, OpenError, StoreError};
use samizdat_sync::{Frame, draw::Draw};
use sha2::{Digest, Sha256};

use crate::{
    author::{Author, mint},
    limits::{DIAL_TIMEOUT_MS, IDLE_TIMEOUT_MS, MINT_MS, UNIX_START_MS},
    network::{Network, Passage},
    node::{Node, random},
    queue::Queue,
    scenario::Link,
    vice::{Vice, kind},
};

/// Frame types of docs/protocol/sync.md.
const PUSH: u8 = 16;
const FILL: u8 = 21;

/// What came in at one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Envelopes pushed along the tree.
    pub pushed: u64,
    /// Envelopes sent because they were asked for.
    pub filled: u64,
}

/// What can go wrong in the simulator itself.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Conversations.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A log or vault in memory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A log in memory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A post on its way into its author's log.
    #[error(transparent)]
    File(#[from] FileError),
    /// A text that fits into no envelope.
    #[error("this text fits into no envelope")]
    Text,
    /// No thread to play on.
    #[error("the system gives no thread to play on")]
    Thread,
    /// No such node, or it does not run.
    #[error("node {0} does not run")]
    Node(usize),
}

#[derive(Debug)]
enum Event {
    Start(usize),
    Timer(usize),
    Dialed { from: usize, to: usize, peer: PeerId },
    DialFailed { from: usize, peer: PeerId },
    AskFailed { from: usize, ticket: u64 },
    Frame { from: usize, to: usize, epoch: u64, bytes: Vec<u8> },
    Closed { a: usize, b: usize, epoch: u64 },
    Stamped { node: usize, id: EnvelopeId, nonce: u64 },
}

/// A network of engines. Nodes are named by their numbers, from 0.
#[derive(Debug)]
pub struct World {
    now: u64,
    nodes: Vec<Node>,
    numbers: BTreeMap<PeerId, usize>,
    network: Network,
    queue: Queue<Event>,
    draw: Draw,
    authors: BTreeMap<usize, Author>,
    /// Which side of the partition each node is on.
    sides: Vec<bool>,
    stored: BTreeMap<EnvelopeId, BTreeMap<usize, u64>>,
    trace: Sha256,
}

impl World {
    /// An empty network.
    pub fn new(link: Link, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(seed.to_be_bytes()).for_each(|(to, from)| *to = from);
        let mut draw = Draw::new(bytes);
        let network = Network::new(link, Draw::new(random(&mut draw)));
        Self {
            now: 0,
            nodes: Vec::new(),
            numbers: BTreeMap::new(),
            network,
            queue: Queue::new(),
            draw,
            authors: BTreeMap::new(),
            sides: Vec::new(),
            stored: BTreeMap::new(),
            trace: Sha256::new(),
        }
    }

    /// A new node that knows these others and starts in so many milliseconds; its number.
    pub fn add(&mut self, known: &[usize], start_in_ms: u64) -> Result<usize, SimError> {
        let number = self.nodes.len();
        let mut node = Node::new(number, Draw::new(random(&mut self.draw)))?;
        node.known = known.iter().filter_map(|n| self.nodes.get(*n)).map(|n| (n.peer, n.addr.clone())).collect();
        self.numbers.insert(node.peer, number);
        self.nodes.push(node);
        self.sides.push(false);
        self.queue.push(self.now.saturating_add(start_in_ms), Event::Start(number));
        Ok(number)
    }

    /// Tells a node of another, from its next start on.
    pub fn introduce(&mut self, node: usize, other: usize) {
        let Some(known) = self.nodes.get(other).map(|node| (node.peer, node.addr.clone())) else { return };
        if let Some(node) = self.nodes.get_mut(node) {
            node.known.push(known);
        }
    }

    /// Lets virtual time pass.
    pub fn run(&mut self, ms: u64) -> Result<(), SimError> {
        self.run_to(self.now.saturating_add(ms))
    }

    /// Lets virtual time pass up to a moment.
    pub fn run_to(&mut self, end: u64) -> Result<(), SimError> {
        while let Some((at, event)) = self.queue.pop_until(end) {
            self.now = at;
            self.happen(event)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Lets time pass until something is so, at most so long; whether it became so.
    pub fn run_until(&mut self, ms: u64, so: impl Fn(&Self) -> bool) -> Result<bool, SimError> {
        const STEP_MS: u64 = 100;
        let end = self.now.saturating_add(ms);
        while self.now < end && !so(self) {
            self.run(STEP_MS)?;
        }
        Ok(so(self))
    }

    /// The virtual clock, milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node while it runs.
    pub fn engine(&self, node: usize) -> Option<&Engine> {
        self.nodes.get(node)?.engine()
    }

    /// Since when a node runs.
    pub fn running_since(&self, node: usize) -> Option<u64> {
        self.nodes.get(node).filter(|node| node.engine().is_some()).map(|node| node.since)
    }

    /// Whether a node is malicious.
    pub fn vice(&self, node: usize) -> Option<Vice> {
        self.nodes.get(node)?.vice
    }

    /// Makes a node malicious.
    pub fn tempt(&mut self, node: usize, vice: Vice) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.vice = Some(vice);
        }
    }

    /// Lets a node search for the stamps of what its person writes. Others never publish anything but [`Self::publish`].
    pub fn let_mint(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.mints = true;
        }
    }

    /// A post of the node's own, stamped and stored in its log now.
    pub fn publish(&mut self, node: usize, text: &str) -> Result<EnvelopeId, SimError> {
        let now = self.clock();
        self.engine(node).ok_or(SimError::Node(node))?;
        let draw = &mut self.draw;
        let author = self.authors.entry(node).or_insert_with(|| Author::new(random(draw)));
        let (id, bytes) = author.post(text, now)?;
        // A file with one envelope: the way in that needs no neighbour.
        let length = u32::try_from(bytes.len()).map_err(|_| SimError::Text)?;
        let file = [&b"samizdat log v1\n"[..], &length.to_be_bytes(), &bytes].concat();
        let mut imported = Ok(());
        self.drive(node, |engine, now| imported = engine.import(&mut &file[..], now).map(|_| ()))?;
        imported?;
        Ok(id)
    }

    /// Something that a node's person asks for.
    pub fn command<T>(
        &mut self,
        node: usize,
        ask: impl FnOnce(&mut Chat, &Log, Now) -> Result<T, ChatError>,
    ) -> Result<T, SimError> {
        let mut answer = None;
        self.drive(node, |engine, now| answer = Some(engine.command(now, |chat, log| ask(chat, log, now))))?;
        Ok(answer.ok_or(SimError::Node(node))??)
    }

    /// Starts a node that was stopped.
    pub fn start(&mut self, node: usize) -> Result<(), SimError> {
        let now = self.clock();
        if self.nodes.get_mut(node).map(|node| node.start(now)).transpose()? == Some(true) {
            self.drive(node, |_, _| ())?;
        }
        Ok(())
    }

    /// Starts a node in so many milliseconds.
    pub fn start_in(&mut self, node: usize, ms: u64) {
        self.queue.push(self.now.saturating_add(ms), Event::Start(node));
    }

    /// Ends a node in good order: its neighbours are told. It can be started again.
    pub fn stop(&mut self, node: usize) {
        if self.nodes.get_mut(node).is_some_and(|node| node.stop(true)) {
            let delay = self.network.delay();
            self.silence(delay, |a, b| a == node || b == node);
        }
    }

    /// Ends a node for ever, without a word.
    pub fn kill(&mut self, node: usize) {
        if self.nodes.get_mut(node).is_some_and(|node| node.stop(false)) {
            self.silence(IDLE_TIMEOUT_MS, |a, b| a == node || b == node);
        }
    }

    /// Gives a running node another transport key and address, as it does by itself once a day; its connections end.
    pub fn rotate(&mut self, number: usize) -> Result<(), SimError> {
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.engine().is_some()) else { return Ok(()) };
        let old = node.rotate();
        let (own, addr) = (node.peer, node.addr.clone());
        self.numbers.remove(&old);
        self.numbers.insert(own, number);
        for other in self.network.end_all(number) {
            self.input(other, Input::Disconnected { peer: old })?;
        }
        self.drive(number, |engine, now| engine.renew(own, addr, now))
    }

    /// Splits the network: these nodes and the others cannot reach each other.
    pub fn part(&mut self, apart: impl Fn(usize) -> bool) {
        self.sides = (0..self.nodes.len()).map(apart).collect();
        let sides = self.sides.clone();
        self.silence(IDLE_TIMEOUT_MS, |a, b| sides.get(a) != sides.get(b));
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        self.sides.iter_mut().for_each(|side| *side = false);
    }

    /// When each node stored an envelope.
    pub fn stored(&self, id: &EnvelopeId) -> Option<&BTreeMap<usize, u64>> {
        self.stored.get(id)
    }

    /// What came in at a node since [`Self::count_anew`].
    pub fn counts(&self, node: usize) -> Counts {
        self.nodes.get(node).map(|node| node.counts).unwrap_or_default()
    }

    /// Counts from zero.
    pub fn count_anew(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.counts = Counts::default());
    }

    /// Whether all running nodes for which `of` holds hold the same envelopes.
    pub fn converged(&self, of: impl Fn(usize) -> bool) -> bool {
        let chosen = (0..self.nodes.len()).filter(|n| of(*n));
        let mut roots = chosen.filter_map(|n| self.engine(n)).map(Engine::root);
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    }

    /// SHA-256 over who stored what and when, so far.
    pub fn trace_hash(&self) -> String {
        self.trace.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Chance for the one who tells the story.
    pub fn draw(&mut self) -> &mut Draw {
        &mut self.draw
    }

    fn clock(&self) -> Now {
        Now { mono_ms: self.now, unix_ms: UNIX_START_MS.saturating_add(self.now) }
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        a != b && self.sides.get(a) == self.sides.get(b) && self.engine(a).is_some() && self.engine(b).is_some()
    }

    fn silence(&mut self, after_ms: u64, chosen: impl Fn(usize, usize) -> bool) {
        for (a, b, epoch) in self.network.silence(chosen) {
            self.queue.push(self.now.saturating_add(after_ms), Event::Closed { a, b, epoch });
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), SimError> {
        match event {
            Event::Start(node) => self.start(node),
            Event::Timer(node) => {
                let now = self.now;
                if self.nodes.get_mut(node).is_some_and(|node| node.is_due(now)) {
                    self.input(node, Input::Timeout)?;
                }
                Ok(())
            }
            Event::Dialed { from, to, peer } => self.dialed(from, to, peer),
            Event::DialFailed { from, peer } => self.input(from, Input::DialFailed { peer }),
            Event::AskFailed { from, ticket } => self.input(from, Input::AskFailed { ticket }),
            Event::Frame { from, to, epoch, bytes } => {
                if self.network.is(from, to, epoch) {
                    self.arrived(from, to, bytes)
                } else {
                    Ok(())
                }
            }
            Event::Closed { a, b, epoch } => {
                if self.network.close(a, b, epoch) {
                    self.disconnected(a, b)?;
                    self.disconnected(b, a)?;
                }
                Ok(())
            }
            Event::Stamped { node, id, nonce } => self.input(node, Input::Stamped { id, nonce }),
        }
    }

    fn dialed(&mut self, from: usize, to: usize, peer: PeerId) -> Result<(), SimError> {
        let (Some(dialer), Some(called)) = (self.nodes.get(from), self.nodes.get(to)) else { return Ok(()) };
        let (dialer_id, called_id, addr) = (dialer.peer, called.peer, called.addr.clone());
        if !self.reach(from, to) || called_id != peer {
            let failed = Event::DialFailed { from, peer };
            self.queue.push(self.now.saturating_add(DIAL_TIMEOUT_MS), failed);
        } else if self.network.open(from, to) {
            self.input(to, Input::Connected { peer: dialer_id, addr: Vec::new(), dialed: false, ip: None })?;
            self.input(from, Input::Connected { peer: called_id, addr, dialed: true, ip: None })?;
        }
        Ok(())
    }

    fn disconnected(&mut self, node: usize, from: usize) -> Result<(), SimError> {
        let Some(peer) = self.nodes.get(from).map(|node| node.peer) else { return Ok(()) };
        self.input(node, Input::Disconnected { peer })
    }

    fn arrived(&mut self, from: usize, to: usize, bytes: Vec<u8>) -> Result<(), SimError> {
        let (Some(peer), Some(node)) = (self.nodes.get(from).map(|node| node.peer), self.nodes.get_mut(to)) else { return Ok(()) };
        let counts = &mut node.counts;
        counts.frames = counts.frames.saturating_add(1);
        counts.bytes = counts.bytes.saturating_add(bytes.len() as u64);
        match kind(&bytes) {
            PUSH => counts.pushed = counts.pushed.saturating_add(1),
            FILL => {
                if let Ok(Frame::Fill { envelopes }) = Frame::decode(&bytes) {
                    counts.filled = counts.filled.saturating_add(envelopes.len() as u64);
                }
            }
            _ => {}
        }
        self.input(to, Input::Frame { peer, bytes })
    }

    fn input(&mut self, node: usize, input: Input) -> Result<(), SimError> {
        self.drive(node, |engine, now| engine.handle(input, now))
    }

    fn drive(&mut self, number: usize, act: impl FnOnce(&mut Engine, Now)) -> Result<(), SimError> {
        let now = self.clock();
        let Some(node) = self.nodes.get_mut(number) else { return Ok(()) };
        let (outputs, stored) = node.drive(now, |engine| act(engine, now))?;
        for id in stored {
            self.trace.update(self.now.to_be_bytes());
            self.trace.update((number as u64).to_be_bytes());
            self.trace.update(id.0);
            self.stored.entry(id).or_default().entry(number).or_insert(self.now);
        }
        outputs.into_iter().for_each(|output| self.output(number, output));
        if let Some(at) = self.nodes.get_mut(number).and_then(|node| node.wake_at(self.now)) {
            self.queue.push(at, Event::Timer(number));
        }
        Ok(())
    }

    fn output(&mut self, from: usize, output: Output) {
        match output {
            Output::Send { peer, bytes } => {
                let now = self.clock();
                let Some(to) = self.numbers.get(&peer).copied() else { return };
                let frames = self.nodes.get_mut(from).map(|node| node.send(bytes, now)).unwrap_or_default();
                frames.into_iter().for_each(|bytes| self.send(from, to, bytes));
            }
            Output::Dial { peer, addr } => {
                let to = self.numbers.get(&peer).copied();
                let right = to.filter(|to| self.nodes.get(*to).is_some_and(|node| node.addr == addr));
                match right {
                    Some(to) => {
                        let at = self.now.saturating_add(self.network.delay());
                        self.queue.push(at, Event::Dialed { from, to, peer });
                    }
                    None => self.queue.push(self.now.saturating_add(DIAL_TIMEOUT_MS), Event::DialFailed { from, peer }),
                }
            }
            Output::Hangup { peer } => {
                let Some(with) = self.numbers.get(&peer).copied() else { return };
                // What was sent before still arrives.
                if let Passage::Arrives { at, epoch } = self.network.frame(from, with, 0, self.now) {
                    self.queue.push(at, Event::Closed { a: from, b: with, epoch });
                }
            }
            Output::Mint { id, tries, .. } if self.nodes.get(from).is_some_and(|node| node.mints) => {
                let nonce = mint(&id, tries);
                self.queue.push(self.now.saturating_add(MINT_MS), Event::Stamped { node: from, id, nonce });
            }
            // Here nobody can be asked but neighbours; `route` simulates the routing.
            Output::Ask { ticket, .. } => {
                self.queue.push(self.now.saturating_add(DIAL_TIMEOUT_MS), Event::AskFailed { from, ticket })
            }
            Output::Mint { .. }
            | Output::CancelMint { .. }
            | Output::Chat(_)
            | Output::Peers(_)
            | Output::Reply { .. }
            | Output::Check { .. }
            | Output::Found(_)
            | Output::Relays(_)
            | Output::Probed { .. }
            | Output::Standing
            | Output::ContactDial { .. }
            | Output::ContactSend { .. }
            | Output::ContactClose { .. }
            | Output::ContactEndpoints { .. }
            | Output::Session { .. } => {}
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        match self.network.frame(from, to, bytes.len(), self.now) {
            Passage::Arrives { at, epoch } => self.queue.push(at, Event::Frame { from, to, epoch, bytes }),
            Passage::Breaks { epoch } => {
                self.queue.push(self.now.saturating_add(IDLE_TIMEOUT_MS), Event::Closed { a: from, b: to, epoch });
            }
            Passage::Nowhere => {}
        }
    }
}

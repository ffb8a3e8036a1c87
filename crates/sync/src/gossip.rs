//! The composed machine: one node's part in spreading envelopes. Membership, broadcast, reconciliation and scores each
//! stay in their file; only here do they meet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, Now, PeerId};

use crate::broadcast::Broadcast;
use crate::codec::{End, Frame, PeerAddr, PeerAt};
use crate::draw::Draw;
use crate::event::{Input, Output, PeerStatus};
use crate::index::Index;
use crate::limits::{ANNOUNCED_FILLS_MAX, WATCH_MAX};
use crate::networks::{Network, Networks};
use crate::score::{Offence, Scores, Verdict};
use crate::sessions::{Event, Opening, Sessions};
use crate::transfer::Transfer;
use crate::tree::{Entry, Span};
use crate::view::{Act, View};

/// What may differ between nodes and networks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between reconciliations with a peer, milliseconds; it varies by a quarter.
    pub reconcile_period_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { reconcile_period_ms: 60_000 }
    }
}

/// One node's part in spreading envelopes. After every call that takes `now`, drain [`Self::poll_output`].
#[derive(Debug)]
pub struct Gossip {
    draw: Draw,
    index: Index,
    view: View,
    broadcast: Broadcast,
    sessions: Sessions,
    scores: Scores,
    neighbours: BTreeMap<PeerId, Neighbour>,
    watched: BTreeMap<EnvelopeId, Hour>,
    now_ms: u64,
    out: VecDeque<Output>,
}

#[derive(Debug, Default)]
struct Neighbour {
    transfer: Transfer,
    /// Envelopes of fills that the engine has not answered for yet.
    verifying: u64,
}

impl Gossip {
    /// A node that knows nobody and holds nothing. The seed must be secret.
    pub fn new(config: Config, seed: [u8; 32], own: PeerId, own_addr: PeerAddr) -> Self {
        Self {
            draw: Draw::new(seed),
            index: Index::default(),
            view: View::new(own, own_addr),
            broadcast: Broadcast::default(),
            sessions: Sessions::new(config.reconcile_period_ms),
            scores: Scores::default(),
            neighbours: BTreeMap::new(),
            watched: BTreeMap::new(),
            now_ms: 0,
            out: VecDeque::new(),
        }
    }

    /// Takes in what the log holds, at start.
    pub fn load(&mut self, entries: impl IntoIterator<Item = (Hour, EnvelopeId)>) {
        self.index.load(entries.into_iter().map(|(hour, id)| Entry::new(hour, id)));
    }

    /// How the networks are read out of addresses; before, these say nothing of networks.
    pub fn read_networks(&mut self, networks: Networks) {
        self.view.read_networks(networks);
    }

    /// The address told to peers from now on.
    pub fn set_own_addr(&mut self, addr: PeerAddr) {
        self.view.set_own_addr(addr);
    }

    /// From now on this node has another transport key and address. Its connections are gone; nothing is said to the peers of
    /// the old key, and to those of the new one nothing that only the old one knew.
    pub fn renew(&mut self, own: PeerId, addr: PeerAddr, now: Now) {
        self.now_ms = now.mono_ms;
        self.view.renew(own, addr);
        self.settle();
    }

    /// A peer to know: remembered, or named by the person (`trusted`). The trusted are dialled first and for ever; naming
    /// one again makes it due at once.
    pub fn learn(&mut self, peer: PeerId, addr: PeerAddr, trusted: bool, now: Now) {
        self.now_ms = now.mono_ms;
        self.view.learn(peer, addr, trusted, &mut self.draw);
        self.settle();
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now_ms = now.mono_ms;
        match input {
            Input::Connected { peer, addr, dialed, network } => self.connected(peer, addr, dialed, network),
            Input::DialFailed { peer } => self.view.dial_failed(peer, self.now_ms, &mut self.draw),
            Input::Disconnected { peer } => self.view.disconnected(peer, self.now_ms, &mut self.draw),
            Input::Frame { peer, bytes } => self.frame(peer, &bytes),
            Input::Stored { hour, id, bytes, from } => self.stored(Entry::new(hour, id), &bytes, from),
            Input::Duplicate { peer, id } => self.duplicate(peer, id),
            Input::Declined { peer, id } => self.declined(peer, id),
            Input::Junk { peer } => {
                self.verified(&peer);
                self.blame(peer, Offence::Junk);
                self.drained(peer);
            }
            Input::Removed { hour, id } => {
                self.index.remove(&Entry::new(hour, id));
            }
            Input::Payloads { peer, envelopes } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    let frames = neighbour.transfer.fetched(envelopes, self.now_ms);
                    frames.iter().for_each(|frame| self.send(peer, frame));
                }
            }
            Input::Timeout => {}
        }
        self.settle();
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call with [`Input::Timeout`], on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let machines = [self.view.next_timeout(), self.broadcast.next_timeout(), self.sessions.next_timeout()];
        let transfers = self.neighbours.values().filter_map(|n| n.transfer.next_timeout());
        machines.into_iter().flatten().chain(transfers).min()
    }

    /// Neighbours.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.view.active().map(|(peer, link)| PeerStatus {
            peer: *peer,
            since_ms: link.since_ms.unwrap_or(self.now_ms),
            score: self.scores.points(peer, self.now_ms),
            dialed: link.dialed,
        })
    }

    /// Peers to remember over a restart, the best first; at most 76.
    pub fn remembered(&self) -> Vec<PeerAt> {
        self.view.remembered()
    }

    /// Whether an envelope is held.
    pub fn contains(&self, hour: Hour, id: &EnvelopeId) -> bool {
        self.index.contains(hour, id)
    }

    /// Envelopes held.
    pub fn len(&self) -> usize {
        usize::try_from(self.index.len()).unwrap_or(usize::MAX)
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Fingerprint of the whole set.
    pub fn root(&self) -> [u8; 16] {
        self.index.root()
    }

    /// Reports [`Output::Held`] for this envelope whenever another node is found to hold it. At most 4096 are watched; more
    /// are ignored and false is returned.
    pub fn watch(&mut self, hour: Hour, id: EnvelopeId) -> bool {
        let room = self.watched.len() < WATCH_MAX;
        if room {
            self.watched.insert(id, hour);
        }
        room
    }

    /// No longer.
    pub fn unwatch(&mut self, id: &EnvelopeId) {
        self.watched.remove(id);
    }

    fn connected(&mut self, peer: PeerId, addr: PeerAddr, dialed: bool, network: Network) {
        match self.scores.verdict(&peer, self.now_ms) {
            Verdict::Banished(until) => self.view.banish(peer, until),
            _ => self.view.connected(peer, addr, dialed, network, self.now_ms, &mut self.draw),
        }
    }

    fn frame(&mut self, peer: PeerId, bytes: &[u8]) {
        let Some(link) = self.view.link(&peer) else { return };
        let active = link.since_ms.is_some();
        let Ok(frame) = Frame::decode(bytes) else { return self.blame(peer, Offence::InvalidFrame) };
        match frame {
            Frame::Join { .. }
            | Frame::Walk { .. }
            | Frame::Neighbor { .. }
            | Frame::Welcome
            | Frame::Disconnect { .. }
            | Frame::Shuffle { .. }
            | Frame::ShuffleReply { .. } => {
                if !self.view.handle(peer, frame, self.now_ms, &mut self.draw) {
                    self.blame(peer, Offence::InvalidFrame);
                }
            }
            _ if !active => self.blame(peer, Offence::InvalidFrame),
            Frame::Push { envelope } => self.out.push_back(Output::Candidates { peer, envelopes: vec![envelope] }),
            Frame::Fill { envelopes } => self.fill(peer, envelopes),
            Frame::IHave { late, entries } => self.digests(peer, late, entries),
            Frame::Ask { entries } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.transfer.add_first(entries.into_iter().map(Span::one));
                }
            }
            Frame::Ack { ids } => {
                self.delivered(peer, &ids);
                self.held(peer, ids);
            }
            Frame::Decline { ids } => self.delivered(peer, &ids),
            Frame::Nudge { root } => {
                if root != self.index.root() {
                    self.sessions.hurry(&peer, self.now_ms, &mut self.draw);
                }
            }
            Frame::Open { session, .. } if self.scores.verdict(&peer, self.now_ms) > Verdict::Good => {
                self.send(peer, &Frame::Close { session, end: End::Busy, sending: 0 });
            }
            Frame::Open { session, sketch, ranges } => {
                let opening = Opening { session, sketch, ranges, size: bytes.len() };
                let watched = self.watched_entries();
                let events = self.sessions.accept(peer, opening, &self.index, watched, self.now_ms, &mut self.draw);
                self.events(events);
            }
            Frame::Ranges { .. } | Frame::Symbols { .. } | Frame::More { .. } | Frame::Want { .. } | Frame::Close { .. } => {
                let frame = (frame, bytes.len());
                let events = self.sessions.handle(peer, frame, &self.index, self.now_ms, &mut self.draw);
                self.events(events);
            }
        }
    }

    fn stored(&mut self, entry: Entry, bytes: &Arc<[u8]>, from: Option<PeerId>) {
        let new = self.index.insert(entry);
        let filled = from.is_some_and(|peer| self.verified(&peer));
        if let Some(peer) = from {
            self.broadcast.ack(&peer, entry.id, self.now_ms);
        }
        if new && (!filled || self.broadcast.awaited(&entry.id)) {
            self.broadcast.spread(entry, bytes, from, self.now_ms, &mut self.draw);
        } else if new {
            // A long catch-up is not announced piece by piece: the neighbours compare sets when it is through.
            let caught_up = from.and_then(|peer| self.sessions.stored(&peer, self.now_ms)).unwrap_or(0);
            if caught_up <= ANNOUNCED_FILLS_MAX {
                self.broadcast.announce(entry, from, self.now_ms);
            } else {
                self.broadcast.arrived(&entry.id);
            }
        }
        from.into_iter().for_each(|peer| self.drained(peer));
    }

    fn duplicate(&mut self, peer: PeerId, id: EnvelopeId) {
        let filled = self.verified(&peer);
        self.broadcast.ack(&peer, id, self.now_ms);
        if !filled && self.broadcast.duplicate(&peer) {
            self.blame(peer, Offence::UselessDuplicate);
        }
        self.held(peer, [id]);
        self.drained(peer);
    }

    fn declined(&mut self, peer: PeerId, id: EnvelopeId) {
        let filled = self.verified(&peer);
        if !filled && self.broadcast.duplicate(&peer) {
            self.blame(peer, Offence::UselessDuplicate);
        }
        self.broadcast.arrived(&id);
        self.broadcast.decline(&peer, id, self.now_ms);
        self.sessions.declined(&peer, self.now_ms);
        self.held(peer, [id]);
        self.drained(peer);
    }

    /// The engine is through with one candidate of this peer; true if it was one of a fill.
    fn verified(&mut self, peer: &PeerId) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(peer) else { return false };
        let filled = neighbour.verifying > 0;
        neighbour.verifying = neighbour.verifying.saturating_sub(1);
        filled
    }

    /// When nothing of this peer waits for verification any more, a catch-up from it may be through.
    fn drained(&mut self, peer: PeerId) {
        if self.neighbours.get(&peer).is_some_and(|n| n.verifying == 0) {
            let events = self.sessions.drained(&peer, self.now_ms);
            self.events(events);
        }
    }

    fn fill(&mut self, peer: PeerId, envelopes: Vec<Vec<u8>>) {
        let count = envelopes.len() as u64;
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.verifying = neighbour.verifying.saturating_add(count);
        }
        self.sessions.filled(&peer, count);
        if count > 0 {
            self.out.push_back(Output::Candidates { peer, envelopes });
        }
    }

    fn digests(&mut self, peer: PeerId, late: bool, entries: Vec<Entry>) {
        self.held(peer, entries.iter().map(|e| e.id));
        if self.scores.verdict(&peer, self.now_ms) > Verdict::Good {
            return;
        }
        for entry in entries {
            if !self.index.contains(entry.hour, &entry.id) {
                self.broadcast.missing(entry, late, peer, self.now_ms);
            }
        }
    }

    fn delivered(&mut self, peer: PeerId, ids: &[EnvelopeId]) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            ids.iter().for_each(|id| neighbour.transfer.delivered(id, self.now_ms));
        }
    }

    fn held(&mut self, peer: PeerId, ids: impl IntoIterator<Item = EnvelopeId>) {
        let ids: Vec<EnvelopeId> = ids.into_iter().filter(|id| self.watched.contains_key(id)).collect();
        if !ids.is_empty() {
            self.out.push_back(Output::Held { peer, ids });
        }
    }

    fn watched_entries(&self) -> BTreeSet<Entry> {
        let entries = self.watched.iter().map(|(id, hour)| Entry::new(*hour, *id));
        entries.filter(|e| self.index.contains(e.hour, &e.id)).collect()
    }

    fn blame(&mut self, peer: PeerId, offence: Offence) {
        if let Verdict::Banished(until) = self.scores.blame(peer, offence, self.now_ms)
            && self.view.link(&peer).is_some()
        {
            self.view.banish(peer, until);
        }
    }

    fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match event {
                Event::Send(peer, frame) => self.send(peer, &frame),
                Event::Lacks(peer, spans) => {
                    if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                        neighbour.transfer.add(spans);
                    }
                }
                Event::Holds(peer, ids) => self.held(peer, ids),
                Event::Done(peer, outcome) => self.out.push_back(Output::Reconciled {
                    peer,
                    sent: usize::try_from(outcome.sending).unwrap_or(usize::MAX),
                    received: usize::try_from(outcome.receiving).unwrap_or(usize::MAX),
                    bytes: outcome.bytes,
                    rounds: outcome.frames,
                }),
                Event::Stalled(peer) => self.blame(peer, Offence::Stall),
                Event::Lied(peer) => self.blame(peer, Offence::ReconcileLie),
                Event::CaughtUp(source, count) if count > ANNOUNCED_FILLS_MAX => self.compare_with_others(source),
                Event::CaughtUp(..) => {}
            }
        }
    }

    /// After a long catch-up: those we dialled are compared with soon, the others are asked to.
    fn compare_with_others(&mut self, source: PeerId) {
        let root = self.index.root();
        let others: Vec<(PeerId, bool)> =
            self.view.active().map(|(p, link)| (*p, link.dialed)).filter(|(p, _)| *p != source).collect();
        for (peer, dialed) in others {
            if dialed {
                self.sessions.hurry(&peer, self.now_ms, &mut self.draw);
            } else {
                self.send(peer, &Frame::Nudge { root });
            }
        }
    }

    /// Lets every machine do what is due and passes on what they want.
    fn settle(&mut self) {
        loop {
            self.view.poll(self.now_ms, &mut self.draw);
            let acts = self.view.take_acts();
            if acts.is_empty() {
                break;
            }
            acts.into_iter().for_each(|act| self.act(act));
        }
        if self.sessions.next_timeout().is_some_and(|at| at <= self.now_ms) {
            let watched = self.watched_entries();
            let events = self.sessions.poll(&self.index, watched, self.now_ms, &mut self.draw);
            self.events(events);
        }
        self.broadcast.poll(self.now_ms);
        for peer in self.broadcast.take_stalled() {
            self.blame(peer, Offence::Unanswered);
        }
        for (peer, frame) in self.broadcast.take_frames() {
            self.send(peer, &frame);
        }
        self.pump();
        // A blame may have cost a neighbour.
        self.view.take_acts().into_iter().for_each(|act| self.act(act));
    }

    fn pump(&mut self) {
        let mut stalled = Vec::new();
        for (peer, neighbour) in &mut self.neighbours {
            if neighbour.transfer.stalled(self.now_ms) {
                stalled.push(*peer);
            }
            if let Some(ids) = neighbour.transfer.fetch(self.index.tree(), self.now_ms) {
                self.out.push_back(Output::Fetch { peer: *peer, ids });
            }
        }
        stalled.into_iter().for_each(|peer| self.blame(peer, Offence::Stall));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Send(peer, frame) => self.send(peer, &frame),
            Act::Dial(peer, addr) => self.out.push_back(Output::Dial { peer, addr }),
            Act::Hangup(peer, reason) => self.out.push_back(Output::Hangup { peer, reason }),
            Act::Up(peer) => {
                let dialed = self.view.link(&peer).is_some_and(|link| link.dialed);
                self.neighbours.insert(peer, Neighbour::default());
                self.broadcast.up(peer);
                self.sessions.up(peer, dialed, self.now_ms);
            }
            Act::Down(peer) => {
                self.neighbours.remove(&peer);
                self.broadcast.down(&peer);
                let events = self.sessions.down(&peer, self.now_ms);
                self.events(events);
            }
        }
    }

    fn send(&mut self, peer: PeerId, frame: &Frame) {
        self.out.push_back(Output::Send { peer, bytes: frame.encode() });
    }
}

//! Spreading what is new along a tree.
//!
//! After Plumtree (Leitão, Pereira, Rodrigues 2007): whole envelopes go to eager neighbours, to the lazy ones only their
//! digests. A copy that was not needed makes the link lazy; a digest of something that does not arrive makes it eager and
//! so repairs the tree. No frame counts hops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, PeerId};

use crate::codec::Frame;
use crate::draw::Draw;
use crate::limits::{ACKS_PENDING_MAX, DIGESTS_PENDING_MAX, IDS_PER_FRAME, MISSING_MAX, MISSING_PER_PEER, SOURCES_MAX};
use crate::tree::Entry;

/// Digests are gathered for so long.
const DIGEST_MS: u64 = 100;
/// Acks are gathered for so long after the first, which goes at once.
const ACK_MS: u64 = 25;
/// Wait for an envelope after its first digest, at least: the tree may still bring it.
const GRAFT_FIRST_MS: u64 = 1_000;
/// And at most so much longer. When a link of the tree breaks, all nodes behind it miss the same; the first of them that
/// asks repairs the tree for the others.
const GRAFT_SPREAD_MS: u64 = 500;
/// Wait if the tree will not bring it.
const GRAFT_LATE_MS: u64 = 100;
/// Wait after asking one source before asking the next.
const GRAFT_NEXT_MS: u64 = 3_000;
/// Of a hundred superfluous copies, so many prune the link that brought them.
const PRUNE_CHANCE: u64 = 25;
/// Pushes that were under way when a prune was sent are no offence.
const PRUNE_GRACE_MS: u64 = 10_000;

/// One node's part in the broadcast tree.
#[derive(Debug, Default)]
pub struct Broadcast {
    branches: BTreeMap<PeerId, Branch>,
    missing: BTreeMap<EnvelopeId, Missing>,
    due: BTreeSet<(u64, EnvelopeId)>,
    frames: Vec<(PeerId, Frame)>,
    stalled: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct Branch {
    eager: bool,
    pruned_ms: Option<u64>,
    digests: Vec<Entry>,
    late: Vec<Entry>,
    digests_ms: u64,
    acks: Vec<EnvelopeId>,
    acks_ms: u64,
    missing: usize,
}

#[derive(Debug)]
struct Missing {
    hour: Hour,
    due_ms: u64,
    first: PeerId,
    sources: Vec<PeerId>,
    asked: Option<PeerId>,
    late: bool,
}

impl Broadcast {
    /// A new neighbour, eager at first.
    pub fn up(&mut self, peer: PeerId) {
        let branch = Branch {
            eager: true,
            pruned_ms: None,
            digests: Vec::new(),
            late: Vec::new(),
            digests_ms: 0,
            acks: Vec::new(),
            acks_ms: 0,
            missing: 0,
        };
        self.branches.insert(peer, branch);
    }

    /// A neighbour is gone.
    pub fn down(&mut self, peer: &PeerId) {
        self.branches.remove(peer);
        self.frames.retain(|(to, _)| to != peer);
        for missing in self.missing.values_mut() {
            missing.sources.retain(|source| source != peer);
        }
    }

    /// Whether whole envelopes go to this neighbour.
    pub fn eager(&self, peer: &PeerId) -> bool {
        self.branches.get(peer).is_some_and(|b| b.eager)
    }

    /// A new envelope came along the tree, or was made here: on it goes.
    pub fn spread(&mut self, entry: Entry, bytes: &Arc<[u8]>, from: Option<PeerId>, now: u64) {
        self.arrived(&entry.id);
        for (peer, branch) in self.branches.iter_mut() {
            if Some(*peer) == from {
                branch.eager = true;
                branch.pruned_ms = None;
            } else if branch.eager {
                self.frames.push((*peer, Frame::Push { envelope: bytes.to_vec() }));
            } else {
                branch.announce(entry, false, now);
            }
        }
    }

    /// A new envelope came another way: the neighbours may lack it too, and the tree will not bring it.
    pub fn announce(&mut self, entry: Entry, from: Option<PeerId>, now: u64) {
        self.arrived(&entry.id);
        for (_, branch) in self.branches.iter_mut().filter(|(peer, _)| Some(**peer) != from) {
            branch.announce(entry, true, now);
        }
    }

    /// Whether the tree should have brought it and did not.
    pub fn awaited(&self, id: &EnvelopeId) -> bool {
        self.missing.get(id).is_some_and(|missing| !missing.late)
    }

    /// It is here; nobody needs to be asked.
    pub fn arrived(&mut self, id: &EnvelopeId) {
        if let Some(missing) = self.missing.remove(id) {
            self.due.remove(&(missing.due_ms, *id));
            if let Some(branch) = self.branches.get_mut(&missing.first) {
                branch.missing = branch.missing.saturating_sub(1);
            }
        }
    }

    /// A pushed copy was not needed; true if the peer should know better.
    ///
    /// Not every one prunes: two envelopes that cross the same cycle at once would each prune another link of it and so cut
    /// the tree. A link that is really superfluous brings the next copy soon.
    pub fn duplicate(&mut self, from: PeerId, now: u64, draw: &mut Draw) -> bool {
        let Some(branch) = self.branches.get_mut(&from) else { return false };
        if branch.eager && !draw.percent(PRUNE_CHANCE) {
            return false;
        }
        let late = branch.pruned_ms.is_some_and(|at| at.saturating_add(PRUNE_GRACE_MS) < now);
        if branch.eager || late {
            self.frames.push((from, Frame::Prune));
        }
        branch.eager = false;
        branch.pruned_ms.get_or_insert(now);
        late
    }

    /// The peer does not want whole envelopes.
    pub fn pruned(&mut self, peer: &PeerId) {
        if let Some(branch) = self.branches.get_mut(peer) {
            branch.eager = false;
        }
    }

    /// The peer wants whole envelopes.
    pub fn grafted(&mut self, peer: &PeerId) {
        if let Some(branch) = self.branches.get_mut(peer) {
            branch.eager = true;
            branch.pruned_ms = None;
        }
    }

    /// A peer holds what we lack; `late` if the tree will not bring it.
    pub fn missing(&mut self, entry: Entry, late: bool, peer: PeerId, now: u64, draw: &mut Draw) {
        let Some(branch) = self.branches.get_mut(&peer) else { return };
        if let Some(missing) = self.missing.get_mut(&entry.id) {
            if missing.sources.len() < SOURCES_MAX && !missing.sources.contains(&peer) {
                missing.sources.push(peer);
            }
            return;
        }
        if branch.missing >= MISSING_PER_PEER || self.missing.len() >= MISSING_MAX {
            return;
        }
        branch.missing = branch.missing.saturating_add(1);
        let wait = if late { GRAFT_LATE_MS } else { GRAFT_FIRST_MS.saturating_add(draw.below(GRAFT_SPREAD_MS)) };
        let due_ms = now.saturating_add(wait);
        let missing = Missing { hour: entry.hour, due_ms, first: peer, sources: vec![peer], asked: None, late };
        self.missing.insert(entry.id, missing);
        self.due.insert((due_ms, entry.id));
    }

    /// Tells the peer that an envelope it sent is stored.
    pub fn ack(&mut self, peer: &PeerId, id: EnvelopeId) {
        if let Some(branch) = self.branches.get_mut(peer)
            && branch.acks.len() < ACKS_PENDING_MAX
        {
            branch.acks.push(id);
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: u64) {
        for (peer, branch) in &mut self.branches {
            if branch.digests_ms <= now {
                for (late, digests) in [(false, &mut branch.digests), (true, &mut branch.late)] {
                    if !digests.is_empty() {
                        self.frames.push((*peer, Frame::IHave { late, entries: core::mem::take(digests) }));
                    }
                }
            }
            if !branch.acks.is_empty() && branch.acks_ms <= now {
                let ids = core::mem::take(&mut branch.acks);
                self.frames.push((*peer, Frame::Ack { ids }));
                branch.acks_ms = now.saturating_add(ACK_MS);
            }
        }
        let mut grafts: BTreeMap<PeerId, Vec<Entry>> = BTreeMap::new();
        while let Some((due_ms, id)) = self.due.first().copied()
            && due_ms <= now
        {
            self.due.pop_first();
            let Some(missing) = self.missing.get_mut(&id) else { continue };
            let Some(source) = missing.sources.pop() else {
                // Nobody is left to ask; reconciliation will find it if it exists.
                self.stalled.extend(missing.asked);
                self.arrived(&id);
                continue;
            };
            missing.asked = Some(source);
            missing.due_ms = now.saturating_add(GRAFT_NEXT_MS);
            self.due.insert((missing.due_ms, id));
            grafts.entry(source).or_default().push(Entry::new(missing.hour, id));
        }
        for (peer, entries) in grafts {
            self.grafted(&peer);
            for chunk in entries.chunks(IDS_PER_FRAME) {
                self.frames.push((peer, Frame::Graft { entries: chunk.to_vec() }));
            }
        }
    }

    /// Frames to send since the last call.
    pub fn take_frames(&mut self) -> Vec<(PeerId, Frame)> {
        core::mem::take(&mut self.frames)
    }

    /// Peers that announced what neither they nor anybody else sent.
    pub fn take_stalled(&mut self) -> BTreeSet<PeerId> {
        core::mem::take(&mut self.stalled)
    }

    /// When to call [`Self::poll`].
    pub fn next_timeout(&self) -> Option<u64> {
        let digests = self.branches.values().filter(|b| b.announces()).map(|b| b.digests_ms);
        let acks = self.branches.values().filter(|b| !b.acks.is_empty()).map(|b| b.acks_ms);
        digests.chain(acks).chain(self.due.first().map(|(at, _)| *at)).min()
    }

    /// Envelopes waited for.
    pub fn waiting(&self) -> usize {
        self.missing.len()
    }
}

impl Branch {
    fn announces(&self) -> bool {
        !self.digests.is_empty() || !self.late.is_empty()
    }

    fn announce(&mut self, entry: Entry, late: bool, now: u64) {
        if !self.announces() {
            self.digests_ms = now.saturating_add(DIGEST_MS);
        }
        let digests = if late { &mut self.late } else { &mut self.digests };
        if digests.len() < DIGESTS_PENDING_MAX {
            digests.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    const BOB: PeerId = PeerId([1; 32]);
    const CAROL: PeerId = PeerId([2; 32]);

    fn entry(n: u8) -> Entry {
        Entry::new(Hour(7), EnvelopeId([n; 32]))
    }

    fn with_neighbours() -> (Broadcast, Draw) {
        let mut broadcast = Broadcast::default();
        broadcast.up(BOB);
        broadcast.up(CAROL);
        (broadcast, Draw::new([1; 32]))
    }

    #[test]
    fn eager_neighbours_get_the_envelope_and_lazy_ones_its_digest() {
        let (mut broadcast, _) = with_neighbours();
        broadcast.pruned(&CAROL);
        broadcast.spread(entry(1), &vec![5].into(), None, 0);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Push { envelope: vec![5] })]);
        broadcast.poll(DIGEST_MS);
        assert_eq!(broadcast.take_frames(), [(CAROL, Frame::IHave { late: false, entries: vec![entry(1)] })]);
    }

    #[test]
    fn what_only_lazy_neighbours_have_is_asked_for_one_after_the_other() {
        let (mut broadcast, mut draw) = with_neighbours();
        broadcast.pruned(&BOB);
        broadcast.missing(entry(1), false, BOB, 0, &mut draw);
        broadcast.missing(entry(1), false, CAROL, 0, &mut draw);
        broadcast.poll(GRAFT_FIRST_MS - 1);
        assert!(broadcast.take_frames().is_empty());
        let first = GRAFT_FIRST_MS + GRAFT_SPREAD_MS;
        broadcast.poll(first);
        assert_eq!(broadcast.take_frames(), [(CAROL, Frame::Graft { entries: vec![entry(1)] })]);
        broadcast.poll(first + GRAFT_NEXT_MS);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Graft { entries: vec![entry(1)] })]);
        assert!(broadcast.eager(&BOB));
        broadcast.poll(first + 2 * GRAFT_NEXT_MS);
        assert!(broadcast.take_stalled().contains(&BOB));
        assert_eq!(broadcast.waiting(), 0);
    }

    #[test]
    fn what_arrives_meanwhile_is_not_asked_for() {
        let (mut broadcast, mut draw) = with_neighbours();
        broadcast.missing(entry(1), true, BOB, 0, &mut draw);
        broadcast.announce(entry(1), Some(CAROL), 10);
        broadcast.poll(60_000);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::IHave { late: true, entries: vec![entry(1)] })]);
    }

    #[test]
    fn the_first_ack_goes_at_once_and_the_next_ones_together() {
        let (mut broadcast, _) = with_neighbours();
        broadcast.ack(&BOB, entry(1).id);
        broadcast.poll(1_000);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Ack { ids: vec![entry(1).id] })]);
        (2..9).for_each(|n| {
            broadcast.ack(&BOB, entry(n).id);
            broadcast.poll(1_001);
        });
        assert!(broadcast.take_frames().is_empty());
        assert_eq!(broadcast.next_timeout(), Some(1_000 + ACK_MS));
        broadcast.poll(1_000 + ACK_MS);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Ack { ids: (2..9).map(|n| entry(n).id).collect() })]);
    }
}

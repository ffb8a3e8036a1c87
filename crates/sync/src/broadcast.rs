//! Spreading what is new: announced to all neighbours, asked for at once, pushed ahead to a few.
//!
//! A node that comes to hold an envelope tells its neighbours so, and those that lack it ask the first who told them; so
//! each gets one copy. Asking costs two more trips, so some neighbours are pushed the envelope unasked. Who had to ask has
//! seen meanwhile how many others announce the same: with nobody else, it is still new around here, and few of the pushes
//! will be superfluous. There is no tree to build and to mend, no frame counts hops, and what a node does with an envelope
//! does not depend on who wrote it. docs/adr/0006 compares this with Plumtree; the idea to feel the phase of the spreading
//! is from Karp, Schindelhauer, Shenker, Vöcking 2000 (Randomized Rumor Spreading).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, PeerId};

use crate::codec::Frame;
use crate::draw::Draw;
use crate::limits::{
    ACKS_PENDING_MAX, DIGESTS_PENDING_MAX, IDS_PER_FRAME, MISSING_MAX, MISSING_PER_PEER, SOURCES_MAX, USELESS_MAX,
};
use crate::tree::Entry;

/// Digests and acks go at once, then are gathered for so long.
const GATHER_MS: u64 = 25;
/// Wait before asking for what came in a catch-up elsewhere: more who have it will say so.
const LATE_MS: u64 = 100;
/// Wait after asking one source before asking the next.
const NEXT_MS: u64 = 2_000;
/// Neighbours pushed to by a node that had to ask and heard of nobody else who has it, or wrote it; half of the time one more.
const PUSHES_EARLY: usize = 3;
/// Neighbours pushed to by a node that was pushed to and has heard of nobody else who has it.
const PUSHES_ON: usize = 1;

/// What one node has to tell, and lacks.
#[derive(Debug, Default)]
pub struct Broadcast {
    neighbours: BTreeMap<PeerId, Neighbour>,
    missing: BTreeMap<EnvelopeId, Missing>,
    due: BTreeSet<(u64, EnvelopeId)>,
    frames: Vec<(PeerId, Frame)>,
    stalled: BTreeSet<PeerId>,
}

#[derive(Debug, Default)]
struct Neighbour {
    digests: Gathered<Entry>,
    late: Gathered<Entry>,
    acks: Gathered<EnvelopeId>,
    declined: Gathered<EnvelopeId>,
    missing: usize,
    useless: u64,
}

/// Sent together when `at_ms` has come.
#[derive(Debug)]
struct Gathered<T> {
    items: Vec<T>,
    at_ms: u64,
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
    /// A new neighbour.
    pub fn up(&mut self, peer: PeerId) {
        self.neighbours.insert(peer, Neighbour::default());
    }

    /// A neighbour is gone; what it was asked for is asked of the next.
    pub fn down(&mut self, peer: &PeerId) {
        self.neighbours.remove(peer);
        self.frames.retain(|(to, _)| to != peer);
        for (id, missing) in &mut self.missing {
            missing.sources.retain(|source| source != peer);
            if missing.asked.take_if(|asked| asked == peer).is_some() {
                self.due.remove(&(missing.due_ms, *id));
                missing.due_ms = 0;
                self.due.insert((missing.due_ms, *id));
            }
        }
    }

    /// A new envelope came while it spreads, or was made here: on it goes.
    pub fn spread(&mut self, entry: Entry, bytes: &Arc<[u8]>, from: Option<PeerId>, now: u64, draw: &mut Draw) {
        let (asked, have) = self.missing.get(&entry.id).map(|m| (m.asked, m.sources.clone())).unwrap_or_default();
        self.arrived(&entry.id);
        let pushes = match from {
            _ if !have.is_empty() => 0,
            Some(_) if asked != from => PUSHES_ON,
            _ => PUSHES_EARLY.saturating_add(usize::from(draw.percent(50))),
        };
        let mut lacking: Vec<PeerId> =
            self.neighbours.keys().filter(|peer| Some(**peer) != from && !have.contains(peer)).copied().collect();
        for _ in 0..pushes.min(lacking.len()) {
            let chosen = usize::try_from(draw.below(lacking.len() as u64)).unwrap_or(0);
            self.frames.push((lacking.swap_remove(chosen), Frame::Push { envelope: bytes.to_vec() }));
        }
        for peer in lacking {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.digests.add(entry, DIGESTS_PENDING_MAX, now);
            }
        }
        for neighbour in self.neighbours.values_mut() {
            neighbour.useless = neighbour.useless.saturating_sub(1);
        }
    }

    /// A new envelope came when it had long been spread: the neighbours may lack it too.
    pub fn announce(&mut self, entry: Entry, from: Option<PeerId>, now: u64) {
        self.arrived(&entry.id);
        for (_, neighbour) in self.neighbours.iter_mut().filter(|(peer, _)| Some(**peer) != from) {
            neighbour.late.add(entry, DIGESTS_PENDING_MAX, now);
        }
    }

    /// Whether it is asked for because it is spreading just now.
    pub fn awaited(&self, id: &EnvelopeId) -> bool {
        self.missing.get(id).is_some_and(|missing| !missing.late)
    }

    /// It is here; nobody needs to be asked.
    pub fn arrived(&mut self, id: &EnvelopeId) {
        if let Some(missing) = self.missing.remove(id) {
            self.due.remove(&(missing.due_ms, *id));
            if let Some(neighbour) = self.neighbours.get_mut(&missing.first) {
                neighbour.missing = neighbour.missing.saturating_sub(1);
            }
        }
    }

    /// A pushed copy was not needed; true if the peer pushes much more such than chance explains, measured by what is new.
    pub fn duplicate(&mut self, from: &PeerId) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(from) else { return false };
        neighbour.useless = neighbour.useless.saturating_add(1).min(USELESS_MAX.saturating_add(1));
        neighbour.useless > USELESS_MAX
    }

    /// A peer holds what we lack; `late` if it is not spreading just now.
    pub fn missing(&mut self, entry: Entry, late: bool, peer: PeerId, now: u64) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if let Some(missing) = self.missing.get_mut(&entry.id) {
            let known = missing.sources.contains(&peer) || missing.asked == Some(peer);
            if !known && missing.sources.len() < SOURCES_MAX {
                missing.sources.push(peer);
            }
            return;
        }
        if neighbour.missing >= MISSING_PER_PEER || self.missing.len() >= MISSING_MAX {
            return;
        }
        neighbour.missing = neighbour.missing.saturating_add(1);
        let due_ms = if late { now.saturating_add(LATE_MS) } else { now };
        let missing = Missing { hour: entry.hour, due_ms, first: peer, sources: vec![peer], asked: None, late };
        self.missing.insert(entry.id, missing);
        self.due.insert((due_ms, entry.id));
    }

    /// Tells the peer that an envelope it sent is stored.
    pub fn ack(&mut self, peer: &PeerId, id: EnvelopeId, now: u64) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.acks.add(id, ACKS_PENDING_MAX, now);
        }
    }

    /// Tells the peer that an envelope it sent is not kept here.
    pub fn decline(&mut self, peer: &PeerId, id: EnvelopeId, now: u64) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.declined.add(id, ACKS_PENDING_MAX, now);
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: u64) {
        for (peer, neighbour) in &mut self.neighbours {
            for (late, gathered) in [(false, &mut neighbour.digests), (true, &mut neighbour.late)] {
                if let Some(entries) = gathered.take(now) {
                    self.frames.push((*peer, Frame::IHave { late, entries }));
                }
            }
            if let Some(ids) = neighbour.acks.take(now) {
                self.frames.push((*peer, Frame::Ack { ids }));
            }
            if let Some(ids) = neighbour.declined.take(now) {
                self.frames.push((*peer, Frame::Decline { ids }));
            }
        }
        let mut questions: BTreeMap<PeerId, Vec<Entry>> = BTreeMap::new();
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
            missing.due_ms = now.saturating_add(NEXT_MS);
            self.due.insert((missing.due_ms, id));
            questions.entry(source).or_default().push(Entry::new(missing.hour, id));
        }
        for (peer, entries) in questions {
            for chunk in entries.chunks(IDS_PER_FRAME) {
                self.frames.push((peer, Frame::Ask { entries: chunk.to_vec() }));
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
        let gathered =
            self.neighbours.values().flat_map(|n| [n.digests.due(), n.late.due(), n.acks.due(), n.declined.due()]).flatten();
        gathered.chain(self.due.first().map(|(at, _)| *at)).min()
    }

    /// Envelopes waited for.
    pub fn waiting(&self) -> usize {
        self.missing.len()
    }
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), at_ms: 0 }
    }
}

impl<T> Gathered<T> {
    fn add(&mut self, item: T, max: usize, now: u64) {
        if self.items.is_empty() {
            self.at_ms = self.at_ms.max(now);
        }
        if self.items.len() < max {
            self.items.push(item);
        }
    }

    fn due(&self) -> Option<u64> {
        (!self.items.is_empty()).then_some(self.at_ms)
    }

    fn take(&mut self, now: u64) -> Option<Vec<T>> {
        let due = self.due()? <= now;
        due.then(|| {
            self.at_ms = now.saturating_add(GATHER_MS);
            core::mem::take(&mut self.items)
        })
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

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn with_neighbours(count: u8) -> (Broadcast, Draw) {
        let mut broadcast = Broadcast::default();
        (1..=count).for_each(|n| broadcast.up(peer(n)));
        (broadcast, Draw::new([1; 32]))
    }

    /// How many were pushed the envelope, and how many told of it.
    fn told(broadcast: &mut Broadcast, now: u64) -> (usize, usize) {
        broadcast.poll(now);
        let frames = broadcast.take_frames();
        let pushed = frames.iter().filter(|(_, f)| matches!(f, Frame::Push { .. })).count();
        (pushed, frames.iter().filter(|(_, f)| matches!(f, Frame::IHave { late: false, .. })).count())
    }

    #[test]
    fn an_author_does_what_one_does_that_had_to_ask_first() {
        let bytes: Arc<[u8]> = vec![5].into();
        let (mut author, mut draw) = with_neighbours(12);
        author.spread(entry(1), &bytes, None, 0, &mut draw);
        let (pushed, announced) = told(&mut author, 0);
        assert!((3..=4).contains(&pushed) && pushed + announced == 12);

        let (mut other, mut draw) = with_neighbours(13);
        other.missing(entry(1), false, BOB, 0);
        other.poll(0);
        assert_eq!(other.take_frames(), [(BOB, Frame::Ask { entries: vec![entry(1)] })]);
        other.spread(entry(1), &bytes, Some(BOB), 0, &mut draw);
        assert_eq!(told(&mut other, 0), (pushed, announced), "the same draw, the same deed");
    }

    #[test]
    fn who_was_pushed_to_pushes_to_one() {
        let (mut broadcast, mut draw) = with_neighbours(5);
        broadcast.spread(entry(1), &vec![5].into(), Some(BOB), 0, &mut draw);
        assert_eq!(told(&mut broadcast, 0), (1, 3));
    }

    #[test]
    fn where_others_have_it_nothing_is_pushed_and_they_are_told_nothing() {
        let (mut broadcast, mut draw) = with_neighbours(5);
        broadcast.missing(entry(1), false, BOB, 0);
        broadcast.poll(0);
        broadcast.missing(entry(1), false, CAROL, 50);
        broadcast.take_frames();
        broadcast.spread(entry(1), &vec![5].into(), Some(BOB), 100, &mut draw);
        assert_eq!(told(&mut broadcast, 100), (0, 3));
    }

    #[test]
    fn who_does_not_answer_is_passed_over() {
        let (mut broadcast, _) = with_neighbours(2);
        broadcast.missing(entry(1), false, BOB, 0);
        broadcast.poll(0);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Ask { entries: vec![entry(1)] })]);
        broadcast.missing(entry(1), false, CAROL, 1);
        broadcast.poll(NEXT_MS - 1);
        assert!(broadcast.take_frames().is_empty());
        broadcast.poll(NEXT_MS);
        assert_eq!(broadcast.take_frames(), [(CAROL, Frame::Ask { entries: vec![entry(1)] })]);
        broadcast.poll(2 * NEXT_MS);
        assert!(broadcast.take_stalled().contains(&CAROL));
        assert_eq!(broadcast.waiting(), 0);
    }

    #[test]
    fn who_leaves_is_passed_over_at_once() {
        let (mut broadcast, _) = with_neighbours(2);
        broadcast.missing(entry(1), false, BOB, 0);
        broadcast.missing(entry(1), false, CAROL, 0);
        broadcast.poll(0);
        let asked = broadcast.take_frames()[0].0;
        broadcast.down(&asked);
        broadcast.poll(1);
        let other = if asked == BOB { CAROL } else { BOB };
        assert_eq!(broadcast.take_frames(), [(other, Frame::Ask { entries: vec![entry(1)] })]);
        broadcast.down(&other);
        broadcast.poll(2);
        assert_eq!(broadcast.waiting(), 0);
        assert!(broadcast.take_stalled().is_empty(), "who left is not to blame");
    }

    #[test]
    fn what_arrives_meanwhile_is_not_asked_for() {
        let (mut broadcast, _) = with_neighbours(2);
        broadcast.missing(entry(1), true, BOB, 0);
        broadcast.announce(entry(1), Some(CAROL), 10);
        broadcast.poll(60_000);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::IHave { late: true, entries: vec![entry(1)] })]);
    }

    #[test]
    fn superfluous_pushes_are_measured_by_what_is_new() {
        let (mut broadcast, mut draw) = with_neighbours(2);
        for n in 0..10_000_u32 {
            let id = EnvelopeId([(n % 251) as u8; 32]);
            broadcast.spread(Entry::new(Hour(7), id), &vec![5].into(), Some(CAROL), 0, &mut draw);
            assert!(!broadcast.duplicate(&BOB), "slow, not wicked");
        }
        assert!((0..=USELESS_MAX).any(|_| broadcast.duplicate(&CAROL)));
    }

    #[test]
    fn the_first_ack_goes_at_once_and_the_next_ones_together() {
        let (mut broadcast, _) = with_neighbours(2);
        broadcast.ack(&BOB, entry(1).id, 1_000);
        broadcast.poll(1_000);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Ack { ids: vec![entry(1).id] })]);
        (2..9).for_each(|n| {
            broadcast.ack(&BOB, entry(n).id, 1_001);
            broadcast.poll(1_001);
        });
        assert!(broadcast.take_frames().is_empty());
        assert_eq!(broadcast.next_timeout(), Some(1_000 + GATHER_MS));
        broadcast.poll(1_000 + GATHER_MS);
        assert_eq!(broadcast.take_frames(), [(BOB, Frame::Ack { ids: (2..9).map(|n| entry(n).id).collect() })]);
    }
}

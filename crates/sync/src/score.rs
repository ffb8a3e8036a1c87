//! How much a peer has misbehaved lately. Points fade with time; many mean less attention, then none for a while.

use std::collections::BTreeMap;

use samizdat_core::PeerId;

use crate::limits::SCORES_MAX;

/// What a peer may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// An envelope that does not verify.
    Junk,
    /// Bytes that are no frame, or a frame out of turn.
    InvalidFrame,
    /// Far more superfluous pushes than chance explains.
    UselessDuplicate,
    /// An announced envelope that nobody sends. It may be stuck behind a catch-up on a slow line.
    Unanswered,
    /// Something promised that does not come.
    Stall,
    /// A reconciliation that contradicts itself or leads nowhere.
    ReconcileLie,
}

impl Offence {
    fn points(self) -> u64 {
        match self {
            Self::UselessDuplicate => 1,
            Self::Unanswered => 3,
            Self::Junk => 10,
            Self::Stall => 15,
            Self::ReconcileLie => 40,
            Self::InvalidFrame => 50,
        }
    }
}

/// How to treat a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Like everybody.
    Good,
    /// No favours: only what it sends is looked at.
    Throttled,
    /// Not at all until this time, on the monotonic clock.
    Banished(u64),
}

/// Points from which a peer is throttled.
const THROTTLE: u64 = 40;
/// Points from which it is dropped.
const BANISH: u64 = 100;
/// One point fades in this time.
const FADE_MS: u64 = 5_000;
/// How long a dropped peer is refused.
const REFUSE_MS: u64 = 600_000;

/// Points of many peers.
#[derive(Debug, Default)]
pub struct Scores {
    peers: BTreeMap<PeerId, Points>,
}

#[derive(Debug, Clone, Copy)]
struct Points {
    points: u64,
    at_ms: u64,
    until_ms: u64,
}

impl Scores {
    /// Writes down an offence.
    pub fn blame(&mut self, peer: PeerId, offence: Offence, now: u64) -> Verdict {
        let mut entry = self.faded(&peer, now);
        entry.points = entry.points.saturating_add(offence.points());
        if entry.points >= BANISH {
            entry.until_ms = now.saturating_add(REFUSE_MS);
        }
        if self.peers.len() >= SCORES_MAX && !self.peers.contains_key(&peer) {
            // The mildest goes; to fill the table with banished peers costs an attacker as many ids.
            let fate = |p: &PeerId| {
                let entry = self.faded(p, now);
                (entry.until_ms, entry.points)
            };
            let mildest = self.peers.keys().copied().min_by_key(fate);
            mildest.into_iter().for_each(|p| {
                self.peers.remove(&p);
            });
        }
        self.peers.insert(peer, entry);
        self.verdict(&peer, now)
    }

    /// How to treat the peer now.
    pub fn verdict(&self, peer: &PeerId, now: u64) -> Verdict {
        let entry = self.faded(peer, now);
        if entry.until_ms > now {
            Verdict::Banished(entry.until_ms)
        } else if entry.points >= THROTTLE {
            Verdict::Throttled
        } else {
            Verdict::Good
        }
    }

    /// Points of the peer now.
    pub fn points(&self, peer: &PeerId, now: u64) -> u32 {
        u32::try_from(self.faded(peer, now).points).unwrap_or(u32::MAX)
    }

    fn faded(&self, peer: &PeerId, now: u64) -> Points {
        let entry = self.peers.get(peer).copied().unwrap_or(Points { points: 0, at_ms: now, until_ms: 0 });
        // Whole points only, so that frequent looks do not stop the fading.
        let gone = now.saturating_sub(entry.at_ms) / FADE_MS;
        let at_ms = entry.at_ms.saturating_add(gone.saturating_mul(FADE_MS));
        Points { points: entry.points.saturating_sub(gone), at_ms, ..entry }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    const MALLORY: PeerId = PeerId([66; 32]);

    #[test]
    fn junk_throttles_then_banishes_and_time_forgives() {
        let mut scores = Scores::default();
        for _ in 0..3 {
            assert_eq!(scores.blame(MALLORY, Offence::Junk, 0), Verdict::Good);
        }
        assert_eq!(scores.blame(MALLORY, Offence::Junk, 0), Verdict::Throttled);
        for _ in 0..5 {
            scores.blame(MALLORY, Offence::Junk, 0);
        }
        assert_eq!(scores.blame(MALLORY, Offence::Junk, 0), Verdict::Banished(REFUSE_MS));
        assert_eq!(scores.verdict(&MALLORY, REFUSE_MS), Verdict::Good);
        assert_eq!(scores.points(&MALLORY, 10 * REFUSE_MS), 0);
    }

    #[test]
    fn rare_junk_is_forgiven_for_ever() {
        let mut scores = Scores::default();
        for minute in 0..1000 {
            assert_eq!(scores.blame(MALLORY, Offence::Junk, minute * 60_000), Verdict::Good);
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_banished() {
        let mut scores = Scores::default();
        scores.blame(MALLORY, Offence::InvalidFrame, 0);
        scores.blame(MALLORY, Offence::InvalidFrame, 0);
        for n in 0..5000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            scores.blame(PeerId(id), Offence::Junk, 1);
        }
        assert_eq!(scores.peers.len(), SCORES_MAX);
        assert!(matches!(scores.verdict(&MALLORY, 2), Verdict::Banished(_)));
    }
}

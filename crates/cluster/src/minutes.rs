//! The minutes of a cluster: what it decided, step by step, for those who were not there. A hash of them is part of what the group
//! agreed on, so whoever is let in need not believe who tells them.

use core::fmt;

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    audit::{Broken, Decision, Replay},
    cbor::{Malformed, Out, Wire, Written, array, exact, from_bytes, list, to_bytes, versioned, write_list},
    context::Context,
    done::Done,
    grounds::Grounds,
    ids::ClusterId,
    limits::{DECISIONS_MAX, PAYLOAD_MAX},
    roster::{Past, Roster},
};

const VERSION: u8 = 1;

/// Names all that was decided up to a state, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinutesHash(pub [u8; 32]);

impl MinutesHash {
    /// Of a cluster that has just been founded: `founded` is its past then.
    pub fn founded(cluster: &ClusterId, salt: &[u8; 32], founded: &Past) -> Self {
        let digest = Sha256::new().chain_update(b"samizdat founding v1\0").chain_update(cluster.0).chain_update(salt);
        Self(digest.chain_update(founded.encode()).finalize().into())
    }

    /// After a change of a state of `epoch` that rests on this; what rests on nothing is no decision.
    #[must_use]
    pub fn after(&self, epoch: u64, grounds: &Grounds) -> Self {
        if grounds.is_empty() {
            return *self;
        }
        let digest = Sha256::new().chain_update(b"samizdat minutes v1\0").chain_update(self.0).chain_update(epoch.to_be_bytes());
        Self(digest.chain_update(grounds.hash()).finalize().into())
    }
}

/// What was decided from some state on, and what was true there. Lawful.
#[derive(Clone, PartialEq, Eq)]
pub struct Minutes {
    salt: [u8; 32],
    /// Of what was decided before.
    before: MinutesHash,
    past: Past,
    done: Done,
    decisions: Vec<Decision>,
}

/// Minutes as somebody told them.
#[derive(Clone, PartialEq, Eq)]
pub struct MinutesIn(Minutes);

/// Where minutes must lead.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// Epoch of the state.
    pub epoch: u64,
    /// Its members.
    pub roster: &'a Roster,
    /// What its group agreed on.
    pub context: &'a Context,
}

/// Minutes that do not lead to where we are.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum WrongMinutes {
    /// A step does not follow.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// They end elsewhere.
    #[error(
        "the minutes that came with the invitation do not end in the state that we were let into: ask another member to invite you"
    )]
    Elsewhere,
}

impl Minutes {
    /// From a state on, which `context` and `past` describe.
    pub fn from(context: &Context, past: Past, done: Done) -> Self {
        Self { salt: context.salt, before: context.minutes, past, done, decisions: Vec::new() }
    }

    /// With what was decided next. Whoever adds has verified it.
    pub fn add(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }

    /// Of the cluster: ranks follow from it.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The epoch from which on they tell what was decided.
    pub fn since(&self) -> u64 {
        self.past.epoch()
    }

    /// Whether they begin with the founding, so that nothing need be believed.
    pub fn are_whole(&self, cluster: &ClusterId) -> bool {
        self.past.epoch() == 0
            && self.done == Done::default()
            && self.before == MinutesHash::founded(cluster, &self.salt, &self.past)
    }

    /// What was decided, in order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// To be replayed from their beginning.
    pub fn begin(&self, cluster: ClusterId) -> Replay {
        Replay::from(cluster, self.past.clone(), self.done.clone(), self.before)
    }

    /// The newest of them that fit into `most` bytes, at least what is true now.
    ///
    /// # Errors
    /// If they are broken.
    pub fn fitting(mut self, cluster: ClusterId, most: usize) -> Result<Self, Broken> {
        let mut replay = self.begin(cluster);
        let mut sizes = self.decisions.iter().map(|decision| to_bytes(decision).len());
        let mut over = to_bytes(&self).len().saturating_sub(most);
        let mut gone: usize = 0;
        while over > 0 {
            let Some((size, decision)) = sizes.next().zip(self.decisions.get(gone)) else { break };
            replay.decide(decision)?;
            over = over.saturating_sub(size);
            gone = gone.saturating_add(1);
        }
        if gone > 0 {
            self.decisions.drain(..gone);
            (self.past, self.done, self.before) = (replay.past().clone(), replay.done().clone(), *replay.minutes());
        }
        Ok(self)
    }

    /// To be sent, or kept.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// As it is sent.
    pub fn unverified(self) -> MinutesIn {
        MinutesIn(self)
    }
}

impl MinutesIn {
    /// Reads what somebody told, or what was kept.
    ///
    /// # Errors
    /// If it is no minutes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, PAYLOAD_MAX)
    }

    /// The only door: each step must be lawful, and all together lead to where the group is. What was before their beginning, if that is
    /// not the founding, has no other witness than who told. Returns the past of that state, and what was carried out, as well.
    ///
    /// # Errors
    /// If a step does not follow, or they end elsewhere.
    pub fn verify(self, end: &End<'_>) -> Result<(Minutes, Past, Done), WrongMinutes> {
        let mut replay = self.0.begin(end.cluster);
        self.0.decisions.iter().try_for_each(|decision| replay.decide(decision))?;
        replay.wait(end.epoch).map_err(|_| WrongMinutes::Elsewhere)?;
        let here = (replay.past().roster(), replay.past().charter()) == (end.roster, &end.context.charter)
            && (&self.0.salt, replay.minutes()) == (&end.context.salt, &end.context.minutes);
        if here { Ok((self.0, replay.past().clone(), replay.done().clone())) } else { Err(WrongMinutes::Elsewhere) }
    }

    /// What our own vault kept, which was verified when it came.
    pub fn kept(self) -> Minutes {
        self.0
    }
}

impl Wire for Decision {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u64(self.epoch)?;
        self.grounds.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 4)?;
        Some(Self { epoch: d.u64().ok()?, grounds: Grounds::read(d).filter(|grounds| !grounds.is_empty())? })
    }
}

impl Wire for Minutes {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?.bytes(&self.salt)?.bytes(&self.before.0)?;
        self.past.write(e)?;
        self.done.write(e)?;
        write_list(e, &self.decisions, |e, decision| decision.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        Some(Self {
            salt: exact(d)?,
            before: MinutesHash(exact(d)?),
            past: Past::read(d)?,
            done: Done::read(d)?,
            decisions: list(d, DECISIONS_MAX, Decision::read)?,
        })
    }
}

impl Wire for MinutesIn {
    fn write(&self, e: &mut Out) -> Written {
        self.0.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Minutes::read(d).map(Self)
    }
}

impl fmt::Debug for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} decisions since epoch {}", self.decisions.len(), self.since())
    }
}

impl fmt::Debug for MinutesIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;

//! The keys that members published for one epoch, which are what an anonymous message can hide among.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::slots::{BadSlots, Slots, SlotsId, SlotsIn, TwoSets};
use crate::{
    ids::{ClusterId, MemberId},
    limits::{RING_MAX, SETS_PER_MEMBER},
    roster::Roster,
};

/// Published keys of one epoch. What came in another order makes the same pool, as long as nobody cheats more than once.
#[derive(Debug, Clone)]
pub struct Pool {
    cluster: ClusterId,
    epoch: u64,
    roster: Roster,
    sets: BTreeMap<SlotsId, Slots>,
    of: BTreeMap<MemberId, Vec<SlotsId>>,
}

/// What became of published keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The first of this member.
    New,
    /// They were known.
    Known,
    /// The member had published others: nobody hides behind it any more, and here is the proof.
    Cheat(Box<TwoSets>),
    /// The member has cheated before: not kept.
    TooMany,
}

impl Pool {
    /// Empty; `roster` is that of `epoch`.
    pub fn new(cluster: ClusterId, epoch: u64, roster: Roster) -> Self {
        Self { cluster, epoch, roster, sets: BTreeMap::new(), of: BTreeMap::new() }
    }

    /// Takes what somebody published.
    ///
    /// # Errors
    /// If it does not count here.
    pub fn add(&mut self, slots: SlotsIn) -> Result<Published, BadSlots> {
        self.add_verified(slots.verify(&self.cluster, self.epoch, &self.roster)?)
    }

    /// The same for what is verified already: keys and signature are not looked at again, but whether it is for here.
    ///
    /// # Errors
    /// If it does not count here.
    pub fn add_verified(&mut self, slots: Slots) -> Result<Published, BadSlots> {
        slots.check_place(&self.cluster, self.epoch, &self.roster)?;
        let id = slots.id();
        if self.sets.contains_key(&id) {
            return Ok(Published::Known);
        }
        let of = self.of.entry(slots.member()).or_default();
        let proof = of.first().and_then(|first| self.sets.get(first)).map(|first| TwoSets::of(first, &slots));
        if of.len() >= SETS_PER_MEMBER {
            return Ok(Published::TooMany);
        }
        of.push(id);
        self.sets.insert(id, slots);
        Ok(proof.map_or(Published::New, |proof| Published::Cheat(Box::new(proof))))
    }

    /// How many members a message of ours would hide among, ourselves included.
    pub fn hides_among(&self) -> usize {
        self.honest().count().min(RING_MAX)
    }

    pub(super) fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(super) fn get(&self, id: &SlotsId) -> Option<&Slots> {
        self.sets.get(id)
    }

    /// The only keys of the member who has this one in `slot`.
    pub(super) fn owner(&self, slot: u8, key: &[u8; 32]) -> Option<SlotsId> {
        self.honest().find(|id| self.get(id).and_then(|slots| slots.key(slot)) == Some(key))
    }

    /// Whom to hide among: everybody who has not cheated, or as many as fit, drawn by `seed`; always with `ours`. Ascending.
    pub(super) fn choose(&self, ours: &SlotsId, seed: &[u8; 32]) -> Vec<SlotsId> {
        let mut others: Vec<SlotsId> = self.honest().filter(|id| id != ours).collect();
        others.sort_by_cached_key(|id| <[u8; 32]>::from(Sha256::new().chain_update(seed).chain_update(id.0).finalize()));
        others.truncate(RING_MAX.saturating_sub(1));
        others.push(*ours);
        others.sort_unstable();
        others
    }

    fn honest(&self) -> impl Iterator<Item = SlotsId> {
        self.of.values().filter_map(|of| match of[..] {
            [only] => Some(only),
            _ => None,
        })
    }
}

//! Counting what nobody can read: the sum of the ballots, which trustees open, and no ballot alone.

use std::collections::BTreeMap;

use elastic_elgamal::DiscreteLogTable;
use sha2::{Digest, Sha256};

use super::{
    ballot::{BadSecretBallot, SecretBallot, SecretBallotId, SecretBallotIn, TwoBallots},
    dealing::{Share, TrusteeSecret},
    group,
    opening::{BadOpening, Opening, OpeningIn},
    setup::{Heard, Key},
};
use crate::{
    ids::{MemberId, MemberSecret},
    limits::{BALLOTS_PER_VOTER, SECRET_BALLOTS_MIN},
};

/// The secret ballots on one motion, and what trustees opened of them. The same for everybody who has heard the same.
#[derive(Debug, Clone)]
pub struct Urn {
    key: Key,
    cast: BTreeMap<MemberId, BTreeMap<SecretBallotId, SecretBallot>>,
    openings: BTreeMap<MemberId, BTreeMap<CountId, Opening>>,
}

/// Which ballots are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountId(pub [u8; 32]);

/// Ballots that are counted, one of each voter, in the order of voters; and their sum for each option.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) id: CountId,
    pub(super) ballots: Vec<SecretBallotId>,
    pub(super) sums: Vec<group::Sum>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many named each option.
    pub counts: Vec<u64>,
    /// Whose ballots were counted.
    pub voters: Vec<MemberId>,
    /// Whether as many answered as the charter asks.
    pub passed: bool,
}

/// Why a trustee does not open the urn.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CannotOpen {
    /// It would show how somebody voted, or decide nothing.
    #[error("too few members voted: the result would not count, or would show how, so it is not opened")]
    TooFew,
    /// We are no trustee, or lack a share.
    #[error("we have no part of the key of this vote, or not all of it")]
    NoKey,
}

impl Urn {
    /// Empty.
    pub fn new(key: Key) -> Self {
        Self { key, cast: BTreeMap::new(), openings: BTreeMap::new() }
    }

    /// Under which key ballots are sealed.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Takes a ballot. Of two of one voter the one with the lower id counts, as of open ones.
    ///
    /// # Errors
    /// If it does not count.
    pub fn add(&mut self, ballot: SecretBallotIn) -> Result<Heard, BadSecretBallot> {
        let ballot = ballot.verify(&self.key)?;
        let before = self.cast.entry(ballot.voter()).or_default();
        if before.contains_key(&ballot.id()) {
            return Ok(Heard::Known);
        }
        let heard = if before.is_empty() { Heard::New } else { Heard::Cheat };
        before.insert(ballot.id(), ballot);
        if before.len() > BALLOTS_PER_VOTER {
            before.pop_last();
        }
        Ok(heard)
    }

    /// Who has voted.
    pub fn voters(&self) -> impl Iterator<Item = &MemberId> {
        self.cast.keys()
    }

    /// Whether everybody has who may, so that there is nothing to wait for.
    pub fn is_full(&self) -> bool {
        self.cast.len() == self.key.panel().electorate().len()
    }

    /// How many ballots are opened together at least: as many as the charter asks for, and never so few that it would show how
    /// they were cast.
    pub fn needed(&self) -> usize {
        self.key.panel().motion().needed().max(SECRET_BALLOTS_MIN)
    }

    /// Proofs against those who voted twice.
    pub fn cheats(&self) -> impl Iterator<Item = TwoBallots> {
        self.cast.values().filter_map(|ballots| {
            let mut ballots = ballots.values();
            Some(TwoBallots::of(ballots.next()?, ballots.next()?))
        })
    }

    /// Opens, as a trustee, what is in the urn: when it [is full](Self::is_full), or the motion is over. If a trustee of a lower
    /// rank has opened an urn with all that we know, then that one. Once for each motion, since two results tell the ballots by
    /// which they differ: the opening is kept, and put [back](Self::opened) into an urn that is built anew, which then yields it
    /// again. `seed` is fresh.
    ///
    /// # Errors
    /// If there is nothing to open, or nothing to open it with.
    pub fn open(&self, us: &MemberSecret, ours: &TrusteeSecret, shares: &[Share], seed: [u8; 32]) -> Result<Opening, CannotOpen> {
        if let Some(opening) = self.openings.get(&us.member()).and_then(|by| by.values().next()) {
            return Ok(opening.clone());
        }
        let count = self.joined().unwrap_or_else(|| self.count());
        if count.ballots.len() < self.needed() {
            return Err(CannotOpen::TooFew);
        }
        let trustee = self.key.ours(&us.member(), shares).ok_or(CannotOpen::NoKey)?;
        let mut coins = group::coins(b"samizdat opening v1\0", &[ours.seed(), &seed, &count.id.0]);
        let opened = count.sums.iter().flat_map(|sum| {
            let (share, proof) = trustee.decrypt_share(*sum, &mut coins);
            [share.to_bytes(), proof.to_bytes()].concat()
        });
        let opening = OpeningIn::sign(&self.key, &count, opened.collect(), us);
        opening.verify(self).map_err(|_| CannotOpen::NoKey)
    }

    /// Takes what a trustee opened.
    ///
    /// # Errors
    /// If it does not count, or not yet.
    pub fn opened(&mut self, opening: OpeningIn) -> Result<Heard, BadOpening> {
        let opening = opening.verify(self)?;
        let before = self.openings.entry(opening.trustee()).or_default();
        if before.contains_key(&opening.count()) {
            return Ok(Heard::Known);
        }
        let heard = if before.is_empty() { Heard::New } else { Heard::Cheat };
        before.insert(opening.count(), opening);
        if before.len() > BALLOTS_PER_VOTER {
            before.pop_last();
        }
        Ok(heard)
    }

    /// The result, once enough trustees have opened the same urn.
    pub fn verdict(&self) -> Option<Verdict> {
        let opened = self.openings.values().flat_map(BTreeMap::keys);
        let mut counts: Vec<&CountId> = opened.collect();
        counts.sort_unstable();
        counts.dedup();
        counts.into_iter().find_map(|id| self.verdict_of(id))
    }

    /// Whose ballots we know that the trustees left out of this result.
    pub fn left_out<'a>(&'a self, verdict: &'a Verdict) -> impl Iterator<Item = &'a MemberId> {
        self.voters().filter(|voter| !verdict.voters.contains(voter))
    }

    /// Acceptances and openings are kept by trustee; those of the result.
    pub(super) fn openings(&self) -> impl Iterator<Item = &Opening> {
        self.openings.values().flat_map(BTreeMap::values)
    }

    pub(super) fn ballots(&self) -> impl Iterator<Item = &SecretBallot> {
        self.cast.values().flat_map(BTreeMap::values)
    }

    /// All that is there.
    fn count(&self) -> Count {
        self.sum(self.cast.values().filter_map(|ballots| ballots.values().next()).collect())
    }

    /// What the trustee of the lowest rank opened that lacks nobody who is here.
    fn joined(&self) -> Option<Count> {
        let openings = self.key.panel().trustees().iter().filter_map(|one| self.openings.get(one));
        let mut known = openings.flat_map(BTreeMap::values).filter_map(|opening| self.find(opening.ballots()));
        known.find(|count| count.ballots.len() == self.cast.len())
    }

    /// The ballots of these names, which go by the beginnings of ids.
    pub(super) fn find(&self, names: &[[u8; 8]]) -> Option<Count> {
        let all: BTreeMap<&[u8], &SecretBallot> =
            self.cast.values().flatten().filter_map(|(id, ballot)| Some((id.0.get(..8)?, ballot))).collect();
        let ballots = names.iter().map(|name| all.get(&name[..]).copied()).collect::<Option<Vec<_>>>()?;
        let one_each = ballots.windows(2).all(|pair| pair.first().map(|one| one.voter()) < pair.last().map(|one| one.voter()));
        one_each.then(|| self.sum(ballots))
    }

    fn sum(&self, ballots: Vec<&SecretBallot>) -> Count {
        let ids: Vec<SecretBallotId> = ballots.iter().map(|ballot| ballot.id()).collect();
        let digest = Sha256::new().chain_update(b"samizdat count v1\0").chain_update(self.key.id().0);
        let id = CountId(ids.iter().fold(digest, |digest, id| digest.chain_update(id.0)).finalize().into());
        let nothing = vec![group::Sum::zero(); self.key.panel().options()];
        let sums = ballots.iter().fold(nothing, |sums, ballot| group::added(&sums, ballot.options()));
        Count { id, ballots: ids, sums }
    }

    fn verdict_of(&self, id: &CountId) -> Option<Verdict> {
        let panel = self.key.panel();
        let openings: Vec<&Opening> = self.openings.values().filter_map(|by| by.get(id)).collect();
        let count = self.find(openings.first()?.ballots())?;
        let table = DiscreteLogTable::new(0..=u64::try_from(count.ballots.len()).ok()?);
        let option = |(option, sum): (usize, &group::Sum)| {
            let shares = openings.iter().filter_map(|one| Some((panel.place(&one.trustee())?, *one.shares().get(option)?)));
            panel.params().combine_shares(shares)?.decrypt(*sum, &table)
        };
        let counts = count.sums.iter().enumerate().map(option).collect::<Option<Vec<u64>>>()?;
        let of = |id: &SecretBallotId| self.cast.iter().find(|(_, ballots)| ballots.contains_key(id)).map(|(voter, _)| *voter);
        let voters: Vec<MemberId> = count.ballots.iter().filter_map(of).collect();
        Some(Verdict { passed: voters.len() >= panel.motion().needed(), counts, voters })
    }
}

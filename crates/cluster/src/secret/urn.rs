//! Counting what nobody can read: the sum of the ballots, which trustees open, and no ballot alone.

use std::collections::BTreeMap;

use elastic_elgamal::DiscreteLogTable;
use sha2::{Digest, Sha256};

use super::{
    agree::{BadWord, DecisionIn, Pick, Subject},
    ballot::{BadSecretBallot, SecretBallot, SecretBallotId, SecretBallotIn, TwoBallots},
    dealing::{Share, TrusteeSecret},
    group,
    opening::{BadOpening, Opening, OpeningIn},
    setup::{Heard, Key},
};
use crate::{
    ids::{MemberId, MemberSecret},
    limits::{DECISIONS_PER_SUBJECT, KEPT_PER_MEMBER, SAID_PER_MEMBER, SECRET_BALLOTS_MIN},
};

/// The secret ballots on one motion, and what trustees opened of them. The same for everybody who has heard the same.
#[derive(Debug, Clone)]
pub struct Urn {
    key: Key,
    cast: BTreeMap<MemberId, BTreeMap<SecretBallotId, SecretBallot>>,
    decided: Vec<Pick>,
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
    /// How many named each option; of a decision how many said yes, and no.
    pub counts: Vec<u64>,
    /// Whose ballots were counted.
    pub voters: Vec<MemberId>,
    /// Whether as many answered as the charter asks; of a decision, whether as many said yes.
    pub passed: bool,
}

/// Why a trustee does not open the urn.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CannotOpen {
    /// It would show how somebody voted, or decide nothing.
    #[error("too few members voted: the result would not count, or would show how, so it is not opened")]
    TooFew,
    /// What is opened is not decided.
    #[error("the trustees have not agreed yet which ballots are opened")]
    NotAgreed,
    /// We are no trustee, or lack a share.
    #[error("we have no part of the key of this vote, or not all of it")]
    NoKey,
}

impl Urn {
    /// Empty.
    pub fn new(key: Key) -> Self {
        Self { key, cast: BTreeMap::new(), decided: Vec::new(), openings: BTreeMap::new() }
    }

    /// Under which key ballots are sealed.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Takes a ballot. Whoever is known to have voted twice is in no proposal; that of two the one counts that trustees agreed on before
    /// they knew of the other, may be.
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
        if before.len() < KEPT_PER_MEMBER {
            before.insert(ballot.id(), ballot);
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

    /// What a trustee proposes to open: a ballot of each of `due`, but for those who voted twice. Nothing if that is too little.
    pub fn proposal(&self, due: impl Fn(&MemberId) -> bool) -> Option<Pick> {
        let due = self.cast.iter().filter(|(voter, ballots)| ballots.len() == 1 && due(voter));
        let count = self.sum(due.filter_map(|(_, ballots)| ballots.values().next()).collect());
        (count.ballots.len() >= self.needed()).then(|| Pick { id: count.id.0, names: count.names() })
    }

    /// Whether a trustee can take what another one proposed: it knows all those ballots, they are enough, and nobody of `due` is left
    /// out but who voted twice.
    pub fn takes(&self, pick: &Pick, due: impl Fn(&MemberId) -> bool) -> bool {
        let Some(count) = self.picked(pick).filter(|count| count.ballots.len() >= self.needed()) else { return false };
        let cheated = |voter: &MemberId| self.cast.get(voter).is_some_and(|ballots| ballots.len() > 1);
        let voters: Vec<MemberId> = self.voters_of(&count).collect();
        self.key.panel().electorate().iter().all(|voter| !due(voter) || cheated(voter) || voters.contains(voter))
    }

    /// Whether the names are those of the id, and all is known that they name.
    pub fn fits(&self, pick: &Pick) -> bool {
        self.picked(pick).is_some()
    }

    /// Takes what the trustees decided to open.
    ///
    /// # Errors
    /// If it does not count, or not yet.
    pub fn agree(&mut self, decision: DecisionIn) -> Result<Heard, BadWord> {
        let decision = decision.verify(self.key.panel(), Subject::Count)?;
        if !self.fits(decision.pick()) {
            return Err(BadWord::Unheard);
        }
        if self.decided.contains(decision.pick()) {
            return Ok(Heard::Known);
        }
        if self.decided.len() < DECISIONS_PER_SUBJECT {
            self.decided.push(decision.pick().clone());
        }
        Ok(Heard::New)
    }

    /// Whether the trustees decided what is opened.
    pub fn is_agreed(&self) -> bool {
        !self.decided.is_empty()
    }

    /// Ballots that are to be opened whose voters cast others besides: who heard others first may lack them.
    pub fn doubled(&self) -> impl Iterator<Item = &SecretBallot> {
        let counts = self.decided.first().and_then(|pick| self.picked(pick)).map(|count| count.ballots).unwrap_or_default();
        let twice = self.cast.values().filter(|ballots| ballots.len() > 1);
        twice.flat_map(BTreeMap::values).filter(move |ballot| counts.contains(&ballot.id()))
    }

    /// Opens, as a trustee, what [was decided](Self::agree). Once for each motion, since two results tell the ballots by which they
    /// differ: the opening is kept, and put [back](Self::opened) into an urn that is built anew, which then yields it again. `seed` is
    /// fresh.
    ///
    /// # Errors
    /// If there is nothing to open, or nothing to open it with.
    pub fn open(&self, us: &MemberSecret, ours: &TrusteeSecret, shares: &[Share], seed: [u8; 32]) -> Result<Opening, CannotOpen> {
        if let Some(opening) = self.openings.get(&us.member()).and_then(|by| by.values().next()) {
            return Ok(opening.clone());
        }
        let count = self.decided.first().and_then(|pick| self.picked(pick)).ok_or(CannotOpen::NotAgreed)?;
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
        if before.len() > SAID_PER_MEMBER {
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

    pub(super) fn openings(&self) -> impl Iterator<Item = &Opening> {
        self.openings.values().flat_map(BTreeMap::values)
    }

    pub(super) fn ballots(&self) -> impl Iterator<Item = &SecretBallot> {
        self.cast.values().flat_map(BTreeMap::values)
    }

    fn picked(&self, pick: &Pick) -> Option<Count> {
        let (names, []) = pick.names.as_chunks() else { return None };
        self.find(names).filter(|count| count.id.0 == pick.id)
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
        let voters: Vec<MemberId> = self.voters_of(&count).collect();
        let decides = panel.motion().decides_in_secret();
        let enough = if decides { usize::try_from(*counts.first()?).ok()? } else { voters.len() };
        Some(Verdict { passed: enough >= panel.motion().needed(), counts, voters })
    }

    fn voters_of(&self, count: &Count) -> impl Iterator<Item = MemberId> {
        let of = |id: &SecretBallotId| self.cast.iter().find(|(_, ballots)| ballots.contains_key(id)).map(|(voter, _)| *voter);
        count.ballots.iter().filter_map(of)
    }
}

impl Count {
    /// By the beginnings of ids.
    pub(super) fn names(&self) -> Vec<u8> {
        self.ballots.iter().filter_map(|id| id.0.first_chunk::<8>()).flatten().copied().collect()
    }
}

#[cfg(test)]
impl Urn {
    /// Whatever these name, however few.
    pub(super) fn picked_by(&self, names: &[u8]) -> Pick {
        let count = self.find(names.as_chunks().0).unwrap();
        Pick { id: count.id.0, names: names.into() }
    }
}

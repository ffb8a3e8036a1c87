//! All of a secret vote, from which anybody who knows the members of then verifies its result, without having been there.

use core::fmt;

use minicbor::Decoder;

use super::{
    agree::{BadWord, DecisionIn},
    ballot::{BadSecretBallot, SecretBallotIn},
    dealing::{BadDealing, DealingIn},
    opening::{BadOpening, OpeningIn},
    panel::{NotSecret, Panel},
    setup::Setup,
    urn::{Urn, Verdict},
};
use crate::{
    cbor::{Malformed, Out, Wire, Written, from_bytes, list, to_bytes, versioned, write_list},
    ids::ClusterId,
    limits::{CAP_MAX, TRANSCRIPT_MAX, TRUSTEES_MAX},
    motion::{BadMotion, MotionIn},
    roster::Past,
};

const VERSION: u8 = 1;

/// A secret vote as told by somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct TranscriptIn {
    motion: MotionIn,
    dealings: Vec<DealingIn>,
    decision: DecisionIn,
    ballots: Vec<SecretBallotIn>,
    openings: Vec<OpeningIn>,
}

/// Why a transcript proves no result.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadTranscript {
    /// The motion was not in order.
    #[error(transparent)]
    Motion(#[from] BadMotion),
    /// It cannot be voted on in secret.
    #[error(transparent)]
    NotSecret(#[from] NotSecret),
    /// Part of the key.
    #[error(transparent)]
    Dealing(#[from] BadDealing),
    /// Part of the key.
    #[error(transparent)]
    Decision(#[from] BadWord),
    /// A ballot.
    #[error(transparent)]
    Ballot(#[from] BadSecretBallot),
    /// An opening.
    #[error(transparent)]
    Opening(#[from] BadOpening),
    /// Too few trustees agreed on a key.
    #[error("too few trustees agreed on a key for this vote")]
    NoKey,
    /// Too few trustees opened the same urn.
    #[error("too few trustees opened the result of this vote")]
    NotOpened,
}

impl TranscriptIn {
    /// Of a vote that was opened: what its result rests on, and nothing else.
    pub fn of(setup: &Setup, urn: &Urn) -> Option<Self> {
        let verdict = urn.verdict()?;
        let (panel, key) = (setup.panel(), urn.key());
        let dealings = key.dealings().iter().map(|id| Some(setup.dealing(id)?.unverified())).collect::<Option<_>>()?;
        let decision = setup.decision(key)?.unverified();
        let told = |count: &super::urn::CountId| urn.openings().filter(|one| one.count() == *count).count() >= panel.needed();
        let count = urn.openings().map(|one| one.count()).filter(told).min()?;
        let openings: Vec<_> = urn.openings().filter(|one| one.count() == count).take(panel.needed()).collect();
        let counted = urn.find(openings.first()?.ballots())?.ballots;
        let ballots = urn.ballots().filter(|ballot| counted.contains(&ballot.id())).map(|ballot| ballot.unverified()).collect();
        let openings = openings.into_iter().map(|opening| opening.unverified()).collect();
        let told = Self { motion: panel.motion().unverified(), dealings, decision, ballots, openings };
        (told.ballots.len() == verdict.voters.len()).then_some(told)
    }

    /// Reads a transcript.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, TRANSCRIPT_MAX)
    }

    /// To be kept, or sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// The ballots that were counted, by what it says.
    pub fn ballots(&self) -> &[SecretBallotIn] {
        &self.ballots
    }

    /// On what was voted, by what it says.
    pub fn motion(&self) -> &MotionIn {
        &self.motion
    }

    /// The result, proven: for a branch with this past, of a cluster that was founded with this salt.
    ///
    /// # Errors
    /// With the first reason why there is none.
    pub fn verify(&self, cluster: &ClusterId, past: &Past, salt: &[u8; 32]) -> Result<Verdict, BadTranscript> {
        let panel = Panel::of(self.motion.clone().verify(cluster, past)?, salt)?;
        let mut setup = Setup::new(panel);
        self.dealings.iter().try_for_each(|dealing| setup.deal(dealing.clone()).map(|_| ()))?;
        setup.agree(self.decision.clone())?;
        let mut urn = Urn::new(setup.key().ok_or(BadTranscript::NoKey)?);
        self.ballots.iter().try_for_each(|ballot| urn.add(ballot.clone()).map(|_| ()))?;
        self.openings.iter().try_for_each(|opening| urn.opened(opening.clone()).map(|_| ()))?;
        urn.verdict().ok_or(BadTranscript::NotOpened)
    }
}

impl Wire for TranscriptIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?;
        self.motion.write(e)?;
        write_list(e, &self.dealings, |e, one| one.write(e))?;
        self.decision.write(e)?;
        write_list(e, &self.ballots, |e, one| one.write(e))?;
        write_list(e, &self.openings, |e, one| one.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        Some(Self {
            motion: MotionIn::read(d)?,
            dealings: list(d, TRUSTEES_MAX, DealingIn::read)?,
            decision: DecisionIn::read(d)?,
            ballots: list(d, CAP_MAX.into(), SecretBallotIn::read)?,
            openings: list(d, TRUSTEES_MAX, OpeningIn::read)?,
        })
    }
}

impl fmt::Debug for TranscriptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ballots and {} openings of {:?}", self.ballots.len(), self.openings.len(), self.motion)
    }
}

#[cfg(test)]
impl TranscriptIn {
    /// Without the last of dealings, ballots, or openings.
    pub(super) fn drop_one(&mut self, part: usize) {
        match part {
            0 => drop(self.dealings.pop()),
            1 => drop(self.ballots.pop()),
            _ => drop(self.openings.pop()),
        }
    }
}

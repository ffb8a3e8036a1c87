//! What members say to all in a secret vote, of whatever kind.

use core::fmt;

use minicbor::Decoder;

use super::{
    agree::{DecisionIn, WordIn},
    ballot::SecretBallotIn,
    complaint::ComplaintIn,
    dealing::DealingIn,
    opening::OpeningIn,
};
use crate::{
    cbor::{Malformed, Out, Wire, Written},
    ids::{MemberId, MotionId},
};

/// One step of a secret vote, as received. What it says is verified by the door of each.
#[derive(Clone, PartialEq, Eq)]
pub enum StepIn {
    /// A trustee deals.
    Dealing(DealingIn),
    /// A trustee lacks shares.
    Complaint(ComplaintIn),
    /// A trustee says something so that all agree.
    Word(WordIn),
    /// A voter votes.
    Ballot(SecretBallotIn),
    /// A trustee opens the sum.
    Opening(OpeningIn),
    /// A trustee tells on what they agreed.
    Decision(DecisionIn),
}

/// Of what kind a step is; the numbers are the types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StepKind {
    /// [`StepIn::Dealing`]
    Dealing = 12,
    /// [`StepIn::Complaint`]
    Complaint = 13,
    /// [`StepIn::Word`]
    Word = 14,
    /// [`StepIn::Ballot`]
    Ballot = 15,
    /// [`StepIn::Opening`]
    Opening = 16,
    /// [`StepIn::Decision`]
    Decision = 17,
}

impl StepKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Dealing, Self::Complaint, Self::Word, Self::Ballot, Self::Opening, Self::Decision];

    /// Its number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

impl StepIn {
    /// Of what kind it is.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Dealing(_) => StepKind::Dealing,
            Self::Complaint(_) => StepKind::Complaint,
            Self::Word(_) => StepKind::Word,
            Self::Ballot(_) => StepKind::Ballot,
            Self::Opening(_) => StepKind::Opening,
            Self::Decision(_) => StepKind::Decision,
        }
    }

    /// In which vote it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        match self {
            Self::Dealing(one) => one.claimed_motion(),
            Self::Complaint(one) => one.claimed_motion(),
            Self::Word(one) => one.claimed_motion(),
            Self::Ballot(one) => one.claimed_motion(),
            Self::Opening(one) => one.claimed_motion(),
            Self::Decision(one) => one.claimed_motion(),
        }
    }

    /// Whose it says to be.
    pub fn claimed_author(&self) -> MemberId {
        match self {
            Self::Dealing(one) => one.claimed_trustee(),
            Self::Complaint(one) => one.claimed_trustee(),
            Self::Word(one) => one.claimed_trustee(),
            Self::Ballot(one) => one.claimed_voter(),
            Self::Opening(one) => one.claimed_trustee(),
            Self::Decision(one) => one.claimed_teller(),
        }
    }

    /// Of what its author says several, which this is: one of each is said. Words are told apart by subject, round and stage.
    pub fn turn(&self) -> u32 {
        match self {
            Self::Word(one) => {
                let (round, stage) = one.claimed_turn();
                u32::from_be_bytes([0, one.claimed_subject() as u8, round, stage as u8])
            }
            Self::Decision(one) => one.claimed_subject() as u32,
            Self::Dealing(_) | Self::Complaint(_) | Self::Ballot(_) | Self::Opening(_) => 0,
        }
    }

    /// To be kept.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Dealing(one) => one.encode(),
            Self::Complaint(one) => one.encode(),
            Self::Word(one) => one.encode(),
            Self::Ballot(one) => one.encode(),
            Self::Opening(one) => one.encode(),
            Self::Decision(one) => one.encode(),
        }
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// If it is no step of this kind.
    pub fn decode(kind: StepKind, bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(match kind {
            StepKind::Dealing => Self::Dealing(DealingIn::decode(bytes)?),
            StepKind::Complaint => Self::Complaint(ComplaintIn::decode(bytes)?),
            StepKind::Word => Self::Word(WordIn::decode(bytes)?),
            StepKind::Ballot => Self::Ballot(SecretBallotIn::decode(bytes)?),
            StepKind::Opening => Self::Opening(OpeningIn::decode(bytes)?),
            StepKind::Decision => Self::Decision(DecisionIn::decode(bytes)?),
        })
    }

    pub(crate) fn write(&self, e: &mut Out) -> Written {
        match self {
            Self::Dealing(one) => one.write(e),
            Self::Complaint(one) => one.write(e),
            Self::Word(one) => one.write(e),
            Self::Ballot(one) => one.write(e),
            Self::Opening(one) => one.write(e),
            Self::Decision(one) => one.write(e),
        }
    }

    pub(crate) fn read(d: &mut Decoder<'_>, kind: StepKind) -> Option<Self> {
        Some(match kind {
            StepKind::Dealing => Self::Dealing(Wire::read(d)?),
            StepKind::Complaint => Self::Complaint(Wire::read(d)?),
            StepKind::Word => Self::Word(Wire::read(d)?),
            StepKind::Ballot => Self::Ballot(Wire::read(d)?),
            StepKind::Opening => Self::Opening(Wire::read(d)?),
            StepKind::Decision => Self::Decision(Wire::read(d)?),
        })
    }
}

impl fmt::Debug for StepIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dealing(one) => one.fmt(f),
            Self::Complaint(one) => one.fmt(f),
            Self::Word(one) => one.fmt(f),
            Self::Ballot(one) => one.fmt(f),
            Self::Opening(one) => one.fmt(f),
            Self::Decision(one) => one.fmt(f),
        }
    }
}

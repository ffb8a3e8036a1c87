//! What members say to all in a secret vote, of whatever kind.

use core::fmt;

use minicbor::Decoder;

use super::{ballot::SecretBallotIn, complaint::ComplaintIn, dealing::DealingIn, opening::OpeningIn, setup::AcceptIn};
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
    /// A trustee says of which dealings the key is made.
    Accept(AcceptIn),
    /// A voter votes.
    Ballot(SecretBallotIn),
    /// A trustee opens the sum.
    Opening(OpeningIn),
}

/// Of what kind a step is; the numbers are the types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StepKind {
    /// [`StepIn::Dealing`]
    Dealing = 12,
    /// [`StepIn::Complaint`]
    Complaint = 13,
    /// [`StepIn::Accept`]
    Accept = 14,
    /// [`StepIn::Ballot`]
    Ballot = 15,
    /// [`StepIn::Opening`]
    Opening = 16,
}

impl StepKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Dealing, Self::Complaint, Self::Accept, Self::Ballot, Self::Opening];

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
            Self::Accept(_) => StepKind::Accept,
            Self::Ballot(_) => StepKind::Ballot,
            Self::Opening(_) => StepKind::Opening,
        }
    }

    /// In which vote it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        match self {
            Self::Dealing(one) => one.claimed_motion(),
            Self::Complaint(one) => one.claimed_motion(),
            Self::Accept(one) => one.claimed_motion(),
            Self::Ballot(one) => one.claimed_motion(),
            Self::Opening(one) => one.claimed_motion(),
        }
    }

    /// Whose it says to be.
    pub fn claimed_author(&self) -> MemberId {
        match self {
            Self::Dealing(one) => one.claimed_trustee(),
            Self::Complaint(one) => one.claimed_trustee(),
            Self::Accept(one) => one.claimed_trustee(),
            Self::Ballot(one) => one.claimed_voter(),
            Self::Opening(one) => one.claimed_trustee(),
        }
    }

    /// To be kept.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Dealing(one) => one.encode(),
            Self::Complaint(one) => one.encode(),
            Self::Accept(one) => one.encode(),
            Self::Ballot(one) => one.encode(),
            Self::Opening(one) => one.encode(),
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
            StepKind::Accept => Self::Accept(AcceptIn::decode(bytes)?),
            StepKind::Ballot => Self::Ballot(SecretBallotIn::decode(bytes)?),
            StepKind::Opening => Self::Opening(OpeningIn::decode(bytes)?),
        })
    }

    pub(crate) fn write(&self, e: &mut Out) -> Written {
        match self {
            Self::Dealing(one) => one.write(e),
            Self::Complaint(one) => one.write(e),
            Self::Accept(one) => one.write(e),
            Self::Ballot(one) => one.write(e),
            Self::Opening(one) => one.write(e),
        }
    }

    pub(crate) fn read(d: &mut Decoder<'_>, kind: StepKind) -> Option<Self> {
        Some(match kind {
            StepKind::Dealing => Self::Dealing(Wire::read(d)?),
            StepKind::Complaint => Self::Complaint(Wire::read(d)?),
            StepKind::Accept => Self::Accept(Wire::read(d)?),
            StepKind::Ballot => Self::Ballot(Wire::read(d)?),
            StepKind::Opening => Self::Opening(Wire::read(d)?),
        })
    }
}

impl fmt::Debug for StepIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dealing(one) => one.fmt(f),
            Self::Complaint(one) => one.fmt(f),
            Self::Accept(one) => one.fmt(f),
            Self::Ballot(one) => one.fmt(f),
            Self::Opening(one) => one.fmt(f),
        }
    }
}

//! Who holds the key of a secret vote together.

use elastic_elgamal::sharing::Params;

use crate::{
    ids::{MemberId, MotionId, rank},
    limits::{SECRET_VOTERS_MIN, TRUSTEES_MAX},
    motion::{Kind, Method, Motion},
    roster::Roster,
};

/// The answers to a decision: yes, which is the first, and no.
const YES_AND_NO: usize = 2;

/// The trustees of one motion. It follows from the motion and the salt of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    motion: Motion,
    trustees: Vec<MemberId>,
    options: usize,
}

/// Why a motion cannot be voted on in secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum NotSecret {
    /// It says so itself.
    #[error("this motion is voted on openly")]
    Open,
    /// Who says yes comes along.
    #[error("who goes into another cluster must be known, so this is voted on openly: those who say yes go")]
    Merge,
    /// Answers in an order.
    #[error("answers in an order of preference cannot be given in secret: ask for one option each")]
    Preference,
    /// Too few voters.
    #[error("with fewer than {SECRET_VOTERS_MIN} voters nothing would be secret: vote openly")]
    TooFew,
}

impl NotSecret {
    /// Whether so many can be asked this in secret.
    pub(crate) fn check(kind: &Kind, voters: usize) -> Result<(), Self> {
        match kind {
            Kind::Question { method: Method::Preference, .. } => Err(Self::Preference),
            Kind::Merge(_) => Err(Self::Merge),
            _ if voters < SECRET_VOTERS_MIN => Err(Self::TooFew),
            _ => Ok(()),
        }
    }
}

impl Panel {
    /// Of a motion, in the cluster that was founded with this salt.
    ///
    /// # Errors
    /// If the motion is voted on openly.
    pub fn of(motion: Motion, salt: &[u8; 32]) -> Result<Self, NotSecret> {
        let options = match &motion.fields().kind {
            _ if !motion.fields().secret => return Err(NotSecret::Open),
            Kind::Question { options, .. } => options.len(),
            _ => YES_AND_NO,
        };
        let voters = motion.electorate().len();
        let mut trustees: Vec<MemberId> = motion.electorate().iter().copied().collect();
        trustees.sort_by_cached_key(|member| rank(salt, motion.fields().epoch, member));
        trustees.truncate((voters / 2).saturating_add(1).min(TRUSTEES_MAX));
        Ok(Self { motion, trustees, options })
    }

    /// The motion.
    pub fn motion(&self) -> &Motion {
        &self.motion
    }

    /// Who holds the key: members with a vote, lowest rank first.
    pub fn trustees(&self) -> &[MemberId] {
        &self.trustees
    }

    /// How many of them are needed for a key and to open the result: more than two thirds. One fewer learn nothing.
    pub fn needed(&self) -> usize {
        self.trustees.len().saturating_mul(2).checked_div(3).unwrap_or(0).saturating_add(1)
    }

    /// How many can be done without.
    pub fn spare(&self) -> usize {
        self.trustees.len().saturating_sub(self.needed())
    }

    /// How many answers there are.
    pub fn options(&self) -> usize {
        self.options
    }

    pub(super) fn id(&self) -> MotionId {
        self.motion.id()
    }

    pub(super) fn electorate(&self) -> &Roster {
        self.motion.electorate()
    }

    pub(super) fn place(&self, trustee: &MemberId) -> Option<usize> {
        self.trustees.iter().position(|one| one == trustee)
    }

    /// There is at least one trustee, and at most as many are needed as there are.
    pub(super) fn params(&self) -> Params {
        Params::new(self.trustees.len(), self.needed())
    }
}

//! Ballots: what one member says to one motion, signed by the key of its leaf, so that anybody can count and nobody can deny.

use core::fmt;

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Malformed, Out, Wire, Written, array, exact, from_bytes, list, to_bytes, versioned, write_list},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{BALLOT_MAX, OPTIONS_MAX},
    motion::{Kind, Method, Motion},
};

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"samizdat ballot v1\0";

/// What somebody says to a motion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Yes or no.
    Decision(bool),
    /// Options of a question by their place from 0, the best first, none twice. What is left out is worse than all of them.
    Options(Vec<u8>),
}

/// A ballot as received.
#[derive(Clone, PartialEq, Eq)]
pub struct BallotIn {
    motion: MotionId,
    voter: MemberId,
    choice: Choice,
    signature: [u8; 64],
}

/// A ballot of somebody who may vote on its motion, and signed. There is no other way to one than [`BallotIn::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Ballot(BallotIn);

/// Why a ballot does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadBallot {
    /// For another motion.
    #[error("the ballot is for another motion")]
    OtherMotion,
    /// By somebody who may not vote.
    #[error("only those who were members when the motion was made vote on it, and nobody in their own case")]
    NotEntitled,
    /// No answer to what is asked.
    #[error("the ballot does not answer what the motion asks: say yes or no to a decision, and options, none twice, to a question")]
    WrongChoice,
    /// In the open, where votes are secret.
    #[error("the motion is voted on in secret: a ballot that everybody can read does not count")]
    NotSecret,
    /// That a secret vote passed, of a motion that is voted on openly, or that decides nothing.
    #[error("there is no secret vote to confirm: the motion is voted on openly, or is a question")]
    NothingToConfirm,
    /// Not signed by its voter.
    #[error("the ballot is not signed by the member whose it says it is")]
    Forged,
}

impl Choice {
    fn answers(&self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Options(chosen), Kind::Question { options, method, .. }) => {
                let most = if *method == Method::Plurality { 1 } else { options.len() };
                let twice =
                    chosen.iter().enumerate().any(|(i, option)| chosen.iter().skip(i.saturating_add(1)).any(|o| o == option));
                (1..=most).contains(&chosen.len()) && !twice && chosen.iter().all(|option| usize::from(*option) < options.len())
            }
            (Self::Decision(_), Kind::Question { .. }) | (Self::Options(_), _) => false,
            (Self::Decision(_), _) => true,
        }
    }
}

impl Ballot {
    /// A ballot of our own.
    ///
    /// # Errors
    /// If it would not count.
    pub fn cast(motion: &Motion, secret: &MemberSecret, choice: Choice) -> Result<Self, BadBallot> {
        if motion.fields().secret {
            return Err(BadBallot::NotSecret);
        }
        Self::sign(motion, secret, choice)
    }

    /// Our word that a decision has passed in a secret vote, for who has verified its result: a yes, signed, however we voted. With
    /// enough of them it is certified, as an open one is.
    ///
    /// # Errors
    /// If it would not count.
    pub fn confirm(motion: &Motion, secret: &MemberSecret) -> Result<Self, BadBallot> {
        if !motion.decides_in_secret() {
            return Err(BadBallot::NothingToConfirm);
        }
        Self::sign(motion, secret, Choice::Decision(true))
    }

    fn sign(motion: &Motion, secret: &MemberSecret, choice: Choice) -> Result<Self, BadBallot> {
        let signature = secret.sign(&signed(&motion.id(), &choice));
        BallotIn { motion: motion.id(), voter: secret.member(), choice, signature }.verify(motion)
    }

    /// For which motion.
    pub fn motion(&self) -> MotionId {
        self.0.motion
    }

    /// By whom.
    pub fn voter(&self) -> MemberId {
        self.0.voter
    }

    /// What it says.
    pub fn choice(&self) -> &Choice {
        &self.0.choice
    }

    /// The signature over it.
    pub fn signature(&self) -> &[u8; 64] {
        &self.0.signature
    }

    /// As received.
    pub fn unverified(&self) -> BallotIn {
        self.0.clone()
    }

    /// Of two ballots of one voter the lower counts. Signatures have no part in it: one could make as many as one likes.
    pub(crate) fn weight(&self) -> [u8; 32] {
        Sha256::new().chain_update(signed(&self.0.motion, &self.0.choice)).chain_update(self.0.voter.0).finalize().into()
    }
}

impl BallotIn {
    /// Reads a ballot.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, BALLOT_MAX)
    }

    /// What it says.
    pub fn claimed_choice(&self) -> &Choice {
        &self.choice
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// For which motion it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        self.motion
    }

    /// Whose it says to be.
    pub fn claimed_voter(&self) -> MemberId {
        self.voter
    }

    /// The only door to a [`Ballot`].
    ///
    /// # Errors
    /// If it does not count for `motion`.
    pub fn verify(self, motion: &Motion) -> Result<Ballot, BadBallot> {
        if self.motion != motion.id() {
            return Err(BadBallot::OtherMotion);
        }
        if !motion.electorate().contains(&self.voter) {
            return Err(BadBallot::NotEntitled);
        }
        // In secret nobody says openly how they vote, but then that it has passed.
        if motion.fields().secret && !(motion.decides_in_secret() && self.choice == Choice::Decision(true)) {
            return Err(BadBallot::NotSecret);
        }
        if !self.choice.answers(&motion.fields().kind) {
            return Err(BadBallot::WrongChoice);
        }
        self.check_signature()?;
        Ok(Ballot(self))
    }

    /// Whether it is by whom it says to be. That it counts is for [`Self::verify`] to say, with the motion.
    ///
    /// # Errors
    /// If somebody else made it.
    pub fn check_signature(&self) -> Result<(), BadBallot> {
        self.voter.verify(&signed(&self.motion, &self.choice), &self.signature).map_err(|_| BadBallot::Forged)
    }
}

/// Whether `signature` is `voter`'s under a yes to `motion`.
pub(crate) fn is_yes(motion: &MotionId, voter: &MemberId, signature: &[u8; 64]) -> bool {
    voter.verify(&signed(motion, &Choice::Decision(true)), signature).is_ok()
}

/// Voters and their signatures, as certificates and consents have them.
pub(crate) fn write_votes(e: &mut Out, votes: &[(MemberId, [u8; 64])]) -> Written {
    write_list(e, votes, |e, (voter, signature)| {
        e.array(2)?;
        voter.write(e)?;
        e.bytes(signature)?;
        Ok(())
    })
}

/// At most so many of them.
pub(crate) fn read_votes(d: &mut Decoder<'_>, most: usize) -> Option<Vec<(MemberId, [u8; 64])>> {
    list(d, most, |d| array(d, 2).and_then(|()| Some((MemberId::read(d)?, exact(d)?))))
}

fn signed(motion: &MotionId, choice: &Choice) -> Vec<u8> {
    [DOMAIN, &motion.0, &to_bytes(choice)].concat()
}

/// Two different ballots of one member for one motion. Anybody can check that it cheated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivocation {
    first: BallotIn,
    second: BallotIn,
}

impl Equivocation {
    pub(crate) fn of(first: &Ballot, second: &Ballot) -> Self {
        Self { first: first.unverified(), second: second.unverified() }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, BALLOT_MAX.saturating_mul(2).saturating_add(1))
    }

    /// To be shown to others.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who cheated in which motion, if that is proven.
    pub fn culprit(&self) -> Option<(MemberId, MotionId)> {
        let Self { first, second } = self;
        let same = (first.voter, first.motion) == (second.voter, second.motion) && first.choice != second.choice;
        let signed = || first.check_signature().is_ok() && second.check_signature().is_ok();
        (same && signed()).then_some((first.voter, first.motion))
    }
}

impl Wire for Equivocation {
    fn write(&self, e: &mut Out) -> Written {
        e.array(2)?;
        self.first.write(e)?;
        self.second.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        crate::cbor::array(d, 2)?;
        Some(Self { first: BallotIn::read(d)?, second: BallotIn::read(d)? })
    }
}

impl Wire for Choice {
    fn write(&self, e: &mut Out) -> Written {
        match self {
            Self::Decision(yes) => e.bool(*yes).map(|_| ()),
            Self::Options(options) => write_list(e, options, |e, option| e.u8(*option).map(|_| ())),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        if d.datatype().ok()? == minicbor::data::Type::Bool {
            return d.bool().ok().map(Self::Decision);
        }
        list(d, OPTIONS_MAX, |d| d.u8().ok()).map(Self::Options)
    }
}

impl Wire for BallotIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.voter.write(e)?;
        self.choice.write(e)?;
        e.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        let (motion, voter) = (MotionId::read(d)?, MemberId::read(d)?);
        Some(Self { motion, voter, choice: Choice::read(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for BallotIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} on {:?}", self.choice, self.voter, self.motion)
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{admit, circle, expel, motion, question, secret, vote};
    use proptest::prelude::*;

    #[test]
    fn a_ballot_counts_for_its_motion_only() {
        let past = circle(1..=3);
        let (first, other) = (motion(&past, 1, admit(9)), motion(&past, 1, admit(8)));
        let ballot = vote(&first, 2, Choice::Decision(true)).unverified();
        assert_eq!(BallotIn::decode(&ballot.encode()), Ok(ballot.clone()));
        assert!(ballot.clone().verify(&first).is_ok());
        assert_eq!(ballot.clone().verify(&other), Err(BadBallot::OtherMotion));
        let moved = BallotIn { motion: other.id(), ..ballot.clone() };
        assert_eq!(moved.verify(&other), Err(BadBallot::Forged));
        let turned = BallotIn { choice: Choice::Decision(false), ..ballot.clone() };
        assert_eq!(turned.verify(&first), Err(BadBallot::Forged));
        let stolen = BallotIn { voter: secret(1).member(), ..ballot };
        assert_eq!(stolen.verify(&first), Err(BadBallot::Forged));
    }

    #[test]
    fn neither_strangers_nor_the_subject_vote() {
        let motion = motion(&circle(1..=3), 1, expel(3));
        for who in [3, 9] {
            assert_eq!(Ballot::cast(&motion, &secret(who), Choice::Decision(false)), Err(BadBallot::NotEntitled));
        }
    }

    #[test]
    fn an_answer_fits_its_question() {
        let past = circle(1..=3);
        let (decision, one, order) = (
            motion(&past, 1, admit(9)),
            motion(&past, 1, question(Method::Plurality)),
            motion(&past, 1, question(Method::Preference)),
        );
        let taken = |motion: &Motion, choice: Choice| Ballot::cast(motion, &secret(1), choice).is_ok();
        let options = |options: &[u8]| Choice::Options(options.to_vec());
        assert!(taken(&decision, Choice::Decision(false)) && !taken(&decision, options(&[0])));
        assert!(!taken(&one, Choice::Decision(true)) && !taken(&order, Choice::Decision(true)));
        assert!(
            taken(&one, options(&[4]))
                && !taken(&one, options(&[5]))
                && !taken(&one, options(&[]))
                && !taken(&one, options(&[1, 2]))
        );
        assert!(taken(&order, options(&[4, 0, 1, 2, 3])) && taken(&order, options(&[2])));
        assert!(!taken(&order, options(&[2, 3, 2])) && !taken(&order, options(&[])) && !taken(&order, options(&[0, 5])));
    }

    #[test]
    fn two_ballots_prove_a_cheat_to_anybody() {
        let past = circle(1..=3);
        let first = motion(&past, 1, admit(9));
        let ballots = [(2, true), (2, false), (3, false)].map(|(who, yes)| vote(&first, who, Choice::Decision(yes)));
        let proof = Equivocation::of(&ballots[0], &ballots[1]);
        assert_eq!(proof.culprit(), Some((secret(2).member(), first.id())));
        assert_eq!(Equivocation::decode(&proof.encode()), Ok(proof.clone()));
        assert_eq!(Equivocation::of(&ballots[0], &ballots[0]).culprit(), None);
        assert_eq!(Equivocation::of(&ballots[0], &ballots[2]).culprit(), None);
        let other = vote(&motion(&past, 1, admit(8)), 2, Choice::Decision(false));
        assert_eq!(Equivocation::of(&ballots[0], &other).culprit(), None);
        let mut forged = proof;
        forged.second.signature[0] ^= 1;
        assert_eq!(forged.culprit(), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = (BallotIn::decode(&junk), Equivocation::decode(&junk));
            let motion = motion(&circle(1..=3), 1, question(Method::Preference));
            let mut like = vote(&motion, 2, Choice::Options(vec![3, 1])).unverified().encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(ballot) = BallotIn::decode(&like) {
                prop_assert_eq!(ballot.encode(), like);
            }
        }
    }
}

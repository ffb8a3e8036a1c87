//! Ballots that say who voted and not how, with a proof that they say one thing.

use core::fmt;

use elastic_elgamal::app::ChoiceParams;
use minicbor::Decoder;
use sha2::{Digest, Sha256};

use super::{
    group,
    setup::{Key, KeyId},
};
use crate::{
    cbor::{Malformed, Out, Wire, Written, array, blob, exact, from_bytes, to_bytes, versioned},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{OPTIONS_MAX, SECRET_BALLOT_MAX},
};

const VERSION: u8 = 1;

/// A secret ballot as received.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBallotIn {
    motion: MotionId,
    key: KeyId,
    voter: MemberId,
    /// Ciphertexts, proof of each, proof of all.
    sealed: [Vec<u8>; 3],
    signature: [u8; 64],
}

/// A ballot of one option exactly, by somebody who may vote. There is no other way to one than [`SecretBallotIn::verify`].
#[derive(Clone)]
pub struct SecretBallot {
    received: SecretBallotIn,
    /// 1 for the chosen option, 0 for the others, under the key of the vote.
    options: Vec<group::Sum>,
}

/// Names a secret ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretBallotId(pub [u8; 32]);

/// Why a secret ballot does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadSecretBallot {
    /// For another motion, or under another key.
    #[error("the secret ballot is for another motion or under another key")]
    OtherKey,
    /// By somebody who may not vote.
    #[error("only those who were members when the motion was made vote on it, and nobody in their own case")]
    NotEntitled,
    /// No such option.
    #[error("the motion has no such answer")]
    NoSuchOption,
    /// It may say nothing or several things, or was copied from somebody.
    #[error("the secret ballot does not prove that it is its voter's own and names one answer")]
    Unproven,
    /// Signed by somebody else.
    #[error("the secret ballot is not signed by the member whose it says it is")]
    Forged,
}

impl SecretBallot {
    /// A ballot of our own: for an option of the question by its place from 0. `seed` is fresh for each ballot; whoever has it can
    /// read the ballot.
    ///
    /// # Errors
    /// If it would not count.
    pub fn cast(key: &Key, secret: &MemberSecret, option: usize, seed: &[u8; 32]) -> Result<Self, BadSecretBallot> {
        let (motion, voter) = (key.panel().id(), secret.member());
        if option >= key.panel().options() {
            return Err(BadSecretBallot::NoSuchOption);
        }
        let answer = u64::try_from(option).unwrap_or(u64::MAX).to_be_bytes();
        let mut coins = group::coins(b"samizdat choice v1\0", &[seed, &key.id().0, &voter.0, &answer]);
        let sealed = group::Sealed::single(&params(key, &voter), option, &mut coins);
        let unsigned = SecretBallotIn { motion, key: key.id(), voter, sealed: group::sealed_bytes(&sealed), signature: [0; 64] };
        SecretBallotIn { signature: secret.sign(&unsigned.signed()), ..unsigned }.verify(key)
    }

    /// Its name.
    pub fn id(&self) -> SecretBallotId {
        self.received.id()
    }

    /// By whom.
    pub fn voter(&self) -> MemberId {
        self.received.voter
    }

    /// As received.
    pub fn unverified(&self) -> SecretBallotIn {
        self.received.clone()
    }

    pub(super) fn options(&self) -> &[group::Sum] {
        &self.options
    }
}

impl SecretBallotIn {
    /// Reads a ballot.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, SECRET_BALLOT_MAX)
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

    /// The only door to a [`SecretBallot`].
    ///
    /// # Errors
    /// If it does not count for the motion of `key`.
    pub fn verify(self, key: &Key) -> Result<SecretBallot, BadSecretBallot> {
        if (self.motion, self.key) != (key.panel().id(), key.id()) {
            return Err(BadSecretBallot::OtherKey);
        }
        if !key.panel().electorate().contains(&self.voter) {
            return Err(BadSecretBallot::NotEntitled);
        }
        self.check_signature()?;
        let sealed = group::sealed(&self.sealed).ok_or(BadSecretBallot::Unproven)?;
        let params = params(key, &self.voter);
        let options = sealed.verify(&params).map_err(|_| BadSecretBallot::Unproven)?;
        let seat = seat(key, &self.voter);
        let options = options.iter().map(|one| group::moved(one, &seat)).collect();
        Ok(SecretBallot { received: self, options })
    }

    fn check_signature(&self) -> Result<(), BadSecretBallot> {
        self.voter.verify(&self.signed(), &self.signature).map_err(|_| BadSecretBallot::Forged)
    }

    fn id(&self) -> SecretBallotId {
        SecretBallotId(Sha256::new().chain_update(self.signed()).chain_update(self.voter.0).finalize().into())
    }

    fn signed(&self) -> Vec<u8> {
        let [ciphertexts, ranges, sum] = &self.sealed;
        [&b"samizdat secret ballot v1\0"[..], &self.motion.0, &self.key.0, ciphertexts, ranges, sum].concat()
    }
}

/// Each voter has a key of its own to vote under, so that what one sealed is of no use to another: the key of the vote and a public
/// number.
fn params(key: &Key, voter: &MemberId) -> ChoiceParams<elastic_elgamal::group::Ristretto, elastic_elgamal::app::SingleChoice> {
    ChoiceParams::single(group::offset(key.keys().shared_key(), &seat(key, voter)), key.panel().options())
}

fn seat(key: &Key, voter: &MemberId) -> group::Secret {
    group::Secret::generate(&mut group::coins(b"samizdat seat v1\0", &[&key.id().0, &voter.0]))
}

/// Two secret ballots of one member under one key. Anybody can check that it cheated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoBallots {
    first: SecretBallotIn,
    second: SecretBallotIn,
}

impl TwoBallots {
    /// Whether two ballots prove something says [`Self::culprit`].
    pub fn new(first: SecretBallotIn, second: SecretBallotIn) -> Self {
        Self { first, second }
    }

    pub(super) fn of(first: &SecretBallot, second: &SecretBallot) -> Self {
        Self::new(first.unverified(), second.unverified())
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, SECRET_BALLOT_MAX.saturating_mul(2).saturating_add(1))
    }

    /// To be shown to others.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who cheated in which motion, if that is proven.
    pub fn culprit(&self) -> Option<(MemberId, MotionId)> {
        let Self { first, second } = self;
        let about = |ballot: &SecretBallotIn| (ballot.voter, ballot.motion, ballot.key);
        let differ = about(first) == about(second) && first.id() != second.id();
        (differ && first.check_signature().is_ok() && second.check_signature().is_ok()).then_some((first.voter, first.motion))
    }
}

impl Wire for TwoBallots {
    fn write(&self, e: &mut Out) -> Written {
        e.array(2)?;
        self.first.write(e)?;
        self.second.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 2)?;
        Some(Self { first: SecretBallotIn::read(d)?, second: SecretBallotIn::read(d)? })
    }
}

impl Wire for SecretBallotIn {
    fn write(&self, e: &mut Out) -> Written {
        let [ciphertexts, ranges, sum] = &self.sealed;
        e.array(8)?.u8(VERSION)?;
        self.motion.write(e)?;
        e.bytes(&self.key.0)?;
        self.voter.write(e)?;
        e.bytes(ciphertexts)?.bytes(ranges)?.bytes(sum)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 8, VERSION)?;
        let (motion, key, voter) = (MotionId::read(d)?, KeyId(exact(d)?), MemberId::read(d)?);
        let sealed = [blob(d, 64 * OPTIONS_MAX)?, blob(d, 64 * OPTIONS_MAX + 32)?, blob(d, 64)?];
        Some(Self { motion, key, voter, sealed, signature: exact(d)? })
    }
}

impl fmt::Debug for SecretBallotIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret ballot of {:?} on {:?}", self.voter, self.motion)
    }
}

impl fmt::Debug for SecretBallot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.received)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
impl SecretBallot {
    /// The same, moved to the key of another voter, as far as that is possible without knowing what it says.
    pub(super) fn moved(&self, key: &Key, secret: &MemberSecret) -> SecretBallotIn {
        let seat = seat(key, &secret.member());
        let moved = |one: &group::Sum| {
            let blinded = one.blinded_element() + one.random_element() * seat.expose_scalar();
            group::Sum::from_elements(*one.random_element(), blinded).to_bytes()
        };
        let mut received = self.unverified();
        received.sealed[0] = self.options.iter().flat_map(moved).collect();
        received.signed_by(secret)
    }
}

#[cfg(test)]
impl SecretBallotIn {
    /// With so many bytes more or fewer in one of its pieces.
    pub(super) fn resized(mut self, piece: usize, more: isize) -> Self {
        let bytes = &mut self.sealed[piece];
        bytes.resize(bytes.len().saturating_add_signed(more), 0);
        self
    }

    /// The same, as if somebody else had cast it.
    pub(super) fn signed_by(self, secret: &MemberSecret) -> Self {
        let unsigned = Self { voter: secret.member(), ..self };
        Self { signature: secret.sign(&unsigned.signed()), ..unsigned }
    }
}

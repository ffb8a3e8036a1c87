//! What a trustee took off the sum of all ballots, with the proof that it was that.

use core::fmt;

use elastic_elgamal::{VerifiableDecryption, group::Ristretto};
use minicbor::Decoder;

use super::{
    group,
    setup::Key,
    urn::{Count, CountId, Urn},
};
use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{CAP_MAX, OPENING_MAX, OPTIONS_MAX},
};

const VERSION: u8 = 1;

/// An opening as received.
#[derive(Clone, PartialEq, Eq)]
pub struct OpeningIn {
    motion: MotionId,
    count: CountId,
    /// The beginnings of the ids of the ballots, in the order of voters.
    ballots: Vec<[u8; 8]>,
    trustee: MemberId,
    shares: Vec<[u8; 96]>,
    signature: [u8; 64],
}

/// An opening by a trustee, of ballots that we know. There is no other way to one than [`OpeningIn::verify`].
#[derive(Clone)]
pub struct Opening {
    received: OpeningIn,
    shares: Vec<VerifiableDecryption<Ristretto>>,
}

/// Why an opening does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadOpening {
    /// For another motion.
    #[error("the opening is for another motion")]
    OtherMotion,
    /// By somebody who is no trustee.
    #[error("the opening is not by a trustee of this motion")]
    NotTrustee,
    /// Of ballots that we do not know, or not only once of each voter. They may come yet.
    #[error("the opening counts ballots that have not been heard yet: try again when they are")]
    Unheard,
    /// Too few.
    #[error("the opening counts so few ballots that it decides nothing, or would show how they were cast")]
    TooFew,
    /// What was taken off is not what the trustee's part of the key takes off.
    #[error("the opening does not prove that it is right")]
    Unproven,
    /// Signed by somebody else.
    #[error("the opening is not signed by the trustee whose it says it is")]
    Forged,
}

impl Opening {
    /// By whom.
    pub fn trustee(&self) -> MemberId {
        self.received.trustee
    }

    /// Of which ballots.
    pub fn count(&self) -> CountId {
        self.received.count
    }

    /// As received.
    pub fn unverified(&self) -> OpeningIn {
        self.received.clone()
    }

    pub(super) fn ballots(&self) -> &[[u8; 8]] {
        &self.received.ballots
    }

    /// One for each option.
    pub(super) fn shares(&self) -> &[VerifiableDecryption<Ristretto>] {
        &self.shares
    }
}

impl OpeningIn {
    /// Reads an opening.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, OPENING_MAX)
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
    pub fn claimed_trustee(&self) -> MemberId {
        self.trustee
    }

    pub(super) fn sign(key: &Key, count: &Count, shares: Vec<u8>, secret: &MemberSecret) -> Self {
        let ballots = count.names().as_chunks().0.to_vec();
        let (motion, trustee, shares) = (key.panel().id(), secret.member(), shares.as_chunks().0.to_vec());
        let unsigned = Self { motion, count: count.id, ballots, trustee, shares, signature: [0; 64] };
        Self { signature: secret.sign(&unsigned.signed()), ..unsigned }
    }

    /// The only door to an [`Opening`].
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, urn: &Urn) -> Result<Opening, BadOpening> {
        let (keys, panel) = (urn.key().keys(), urn.key().panel());
        if self.motion != panel.id() {
            return Err(BadOpening::OtherMotion);
        }
        let place = panel.place(&self.trustee).ok_or(BadOpening::NotTrustee)?;
        self.trustee.verify(&self.signed(), &self.signature).map_err(|_| BadOpening::Forged)?;
        if self.ballots.len() < urn.needed() {
            return Err(BadOpening::TooFew);
        }
        let count = urn.find(&self.ballots).filter(|count| count.id == self.count).ok_or(BadOpening::Unheard)?;
        if count.sums.len() != self.shares.len() {
            return Err(BadOpening::Unproven);
        }
        let one = |(bytes, sum): (&[u8; 96], &group::Sum)| {
            let (share, proof) = group::share(bytes)?;
            keys.verify_share(share, *sum, place, &proof).ok()
        };
        let shares = self.shares.iter().zip(&count.sums).map(one).collect::<Option<Vec<_>>>().ok_or(BadOpening::Unproven)?;
        Ok(Opening { received: self, shares })
    }

    fn signed(&self) -> Vec<u8> {
        let (ballots, shares) = (self.ballots.as_flattened(), self.shares.as_flattened());
        [&b"samizdat opening v1\0"[..], &self.motion.0, &self.count.0, ballots, shares].concat()
    }
}

impl Wire for OpeningIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(7)?.u8(VERSION)?;
        self.motion.write(e)?;
        e.bytes(&self.count.0)?.bytes(self.ballots.as_flattened())?;
        self.trustee.write(e)?;
        e.bytes(self.shares.as_flattened())?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 7, VERSION)?;
        let (motion, count) = (MotionId::read(d)?, CountId(exact(d)?));
        let (ballots, []) = d.bytes().ok()?.as_chunks() else { return None };
        let trustee = MemberId::read(d)?;
        let (shares, []) = d.bytes().ok()?.as_chunks() else { return None };
        let fits = ballots.len() <= CAP_MAX.into() && shares.len() <= OPTIONS_MAX;
        let signature = exact(d)?;
        fits.then(|| Self { motion, count, ballots: ballots.to_vec(), trustee, shares: shares.to_vec(), signature })
    }
}

impl fmt::Debug for OpeningIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opening of {} ballots on {:?} by {:?}", self.ballots.len(), self.motion, self.trustee)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.received)
    }
}

#[cfg(test)]
impl OpeningIn {
    /// With so many ballots and shares.
    pub(super) fn resized(mut self, ballots: usize, shares: usize) -> Self {
        self.ballots.truncate(ballots);
        self.shares.resize(shares, [0; 96]);
        self
    }

    /// The same, as if somebody else had opened it.
    pub(super) fn signed_by(self, secret: &MemberSecret) -> Self {
        let unsigned = Self { trustee: secret.member(), ..self };
        Self { signature: secret.sign(&unsigned.signed()), ..unsigned }
    }
}

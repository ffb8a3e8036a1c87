//! How trustees make a key that none of them knows: each deals a secret of its own, and the key is the sum of what was dealt.

use core::fmt;

use elastic_elgamal::{
    group::Ristretto,
    sharing::{ActiveParticipant, Dealer},
};
use minicbor::Decoder;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{group, panel::Panel};
use crate::{
    cbor::{Malformed, Out, Wire, Written, ascends, blob, exact, from_bytes, to_bytes, versioned},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{DEALING_MAX, SHARE_MAX, TRUSTEES_MAX},
};

const VERSION: u8 = 1;

/// What a trustee keeps secret: the seed of its own dealing, drawn for one motion.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TrusteeSecret([u8; 32]);

/// What a trustee dealt in public, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct DealingIn {
    motion: MotionId,
    trustee: MemberId,
    polynomial: Vec<u8>,
    proof: Vec<u8>,
    signature: [u8; 64],
}

/// A dealing of a trustee that it knows the secret of. There is no other way to one than [`DealingIn::verify`].
#[derive(Clone)]
pub struct Dealing {
    received: DealingIn,
    keys: group::Keys,
}

/// Names a dealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DealingId(pub [u8; 32]);

/// A part of a dealt secret, for one trustee alone: to be sent encrypted to it. As received.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ShareIn {
    #[zeroize(skip)]
    dealing: DealingId,
    #[zeroize(skip)]
    to: MemberId,
    secret: [u8; 32],
}

/// A part of a dealt secret that fits what was dealt in public.
#[derive(Clone, PartialEq, Eq)]
pub struct Share(ShareIn);

/// Why a dealing is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadDealing {
    /// For another motion.
    #[error("the part of the key is for another motion")]
    OtherMotion,
    /// By somebody who is no trustee.
    #[error("the part of the key is not by a trustee of this motion")]
    NotTrustee,
    /// Its author does not know the secret, or it is of the wrong size.
    #[error("the part of the key does not prove that its trustee knows it")]
    Unproven,
    /// Signed by somebody else.
    #[error("the part of the key is not signed by the trustee whose it says it is")]
    Forged,
}

/// Why a share is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadShare {
    /// Of another dealing, or not for us.
    #[error("the share is of another dealing, or for another trustee")]
    Elsewhere,
    /// It does not fit.
    #[error("the share does not fit what was dealt in public: its trustee is left out unless it sends the right one")]
    Wrong,
}

impl TrusteeSecret {
    /// From a seed that was drawn for this motion.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// What we deal: in public, and to each trustee alone, ourselves included. Always the same.
    ///
    /// # Errors
    /// If we are no trustee.
    pub fn deal(&self, panel: &Panel, secret: &MemberSecret) -> Result<(Dealing, Vec<(MemberId, ShareIn)>), BadDealing> {
        let mut coins = group::coins(b"samizdat dealer v1\0", &[&self.0, &panel.id().0, &secret.member().0]);
        let dealer = Dealer::<Ristretto>::new(panel.params(), &mut coins);
        let (polynomial, proof) = dealer.public_info();
        let polynomial = polynomial.iter().flat_map(|point| point.compress().to_bytes()).collect();
        let proof = group::possession_bytes(proof).ok_or(BadDealing::Unproven)?;
        let unsigned = DealingIn { motion: panel.id(), trustee: secret.member(), polynomial, proof, signature: [0; 64] };
        let dealing = DealingIn { signature: secret.sign(&unsigned.signed()), ..unsigned }.verify(panel)?;
        let share = |(place, to): (usize, &MemberId)| {
            let secret = dealer.secret_share_for_participant(place).expose_scalar().to_bytes();
            (*to, ShareIn { dealing: dealing.id(), to: *to, secret })
        };
        let shares = panel.trustees().iter().enumerate().map(share).collect();
        Ok((dealing, shares))
    }

    pub(super) fn seed(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Dealing {
    /// Its name.
    pub fn id(&self) -> DealingId {
        DealingId(Sha256::new().chain_update(self.received.signed()).chain_update(self.received.trustee.0).finalize().into())
    }

    /// By whom.
    pub fn trustee(&self) -> MemberId {
        self.received.trustee
    }

    /// As received.
    pub fn unverified(&self) -> DealingIn {
        self.received.clone()
    }

    pub(super) fn keys(&self) -> &group::Keys {
        &self.keys
    }
}

impl DealingIn {
    /// Reads a dealing.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, DEALING_MAX)
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

    /// The only door to a [`Dealing`].
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, panel: &Panel) -> Result<Dealing, BadDealing> {
        if self.motion != panel.id() {
            return Err(BadDealing::OtherMotion);
        }
        if panel.place(&self.trustee).is_none() {
            return Err(BadDealing::NotTrustee);
        }
        self.trustee.verify(&self.signed(), &self.signature).map_err(|_| BadDealing::Forged)?;
        let keys = group::dealt(panel.params(), &self.polynomial, &self.proof).ok_or(BadDealing::Unproven)?;
        Ok(Dealing { received: self, keys })
    }

    fn signed(&self) -> Vec<u8> {
        [&b"samizdat dealing v1\0"[..], &self.motion.0, &self.polynomial, &self.proof].concat()
    }
}

/// Ids one after the other, as they are sent and signed.
pub(super) fn flat(dealings: &[DealingId]) -> Vec<u8> {
    dealings.iter().flat_map(|id| id.0).collect()
}

/// The same from there: ascending, of as many dealings as there can be trustees.
pub(super) fn read_flat(ids: &[u8]) -> Option<Vec<DealingId>> {
    let (ids, []) = ids.as_chunks::<32>() else { return None };
    let dealings: Vec<DealingId> = ids.iter().copied().map(DealingId).collect();
    (dealings.len() <= TRUSTEES_MAX && ascends(&dealings)).then_some(dealings)
}

impl ShareIn {
    /// Reads a share.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, SHARE_MAX)
    }

    /// To be encrypted to its trustee.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Of which dealing it says to be.
    pub fn claimed_dealing(&self) -> DealingId {
        self.dealing
    }

    /// The only door to a [`Share`]: whether it is of this dealing, and for us.
    ///
    /// # Errors
    /// If it is of no use.
    pub fn verify(self, dealing: &Dealing, panel: &Panel, us: &MemberId) -> Result<Share, BadShare> {
        let place = panel.place(us).filter(|_| self.dealing == dealing.id() && self.to == *us).ok_or(BadShare::Elsewhere)?;
        let secret = group::Secret::from_bytes(&self.secret).ok_or(BadShare::Wrong)?;
        ActiveParticipant::new(dealing.keys().clone(), place, secret).map_err(|_| BadShare::Wrong)?;
        Ok(Share(self))
    }
}

impl Share {
    /// Of which dealing.
    pub fn dealing(&self) -> DealingId {
        self.0.dealing
    }

    /// To be kept in the vault.
    pub fn unverified(&self) -> ShareIn {
        self.0.clone()
    }

    pub(super) fn secret(&self) -> Option<group::Secret> {
        group::Secret::from_bytes(&self.0.secret)
    }
}

impl Wire for DealingIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.trustee.write(e)?;
        e.bytes(&self.polynomial)?.bytes(&self.proof)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        let (motion, trustee) = (MotionId::read(d)?, MemberId::read(d)?);
        let (polynomial, proof) = (blob(d, 32 * TRUSTEES_MAX)?, blob(d, 32 * (TRUSTEES_MAX + 1))?);
        Some(Self { motion, trustee, polynomial, proof, signature: exact(d)? })
    }
}

impl Wire for ShareIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u8(VERSION)?.bytes(&self.dealing.0)?;
        self.to.write(e)?;
        e.bytes(&self.secret)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 4, VERSION)?;
        Some(Self { dealing: DealingId(exact(d)?), to: MemberId::read(d)?, secret: exact(d)? })
    }
}

impl fmt::Debug for TrusteeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrusteeSecret(..)")
    }
}

impl fmt::Debug for ShareIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a share for {:?}", self.to)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.0)
    }
}

impl fmt::Debug for DealingIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dealing of {:?} for {:?}", self.trustee, self.motion)
    }
}

impl fmt::Debug for Dealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.received)
    }
}

#[cfg(test)]
impl DealingIn {
    /// With so many numbers more or fewer.
    pub(super) fn resized(mut self, polynomial: isize, proof: isize) -> Self {
        for (bytes, more) in [(&mut self.polynomial, polynomial), (&mut self.proof, proof)] {
            bytes.resize(bytes.len().saturating_add_signed(more.saturating_mul(32)), 0);
        }
        self
    }

    /// The same, as if somebody else had dealt it.
    pub(super) fn signed_by(self, secret: &MemberSecret) -> Self {
        let unsigned = Self { trustee: secret.member(), ..self };
        Self { signature: secret.sign(&unsigned.signed()), ..unsigned }
    }
}

#[cfg(test)]
impl ShareIn {
    pub(super) fn relabel(&mut self, dealing: DealingId) {
        self.dealing = dealing;
    }
}

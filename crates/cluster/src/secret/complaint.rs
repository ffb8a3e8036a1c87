//! Complaints: of whose dealing a trustee has no share that fits.

use core::fmt;

use minicbor::Decoder;

use super::{
    dealing::{DealingId, flat, read_flat},
    panel::Panel,
};
use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    ids::{MemberId, MemberSecret, MotionId},
    limits::COMPLAINT_MAX,
};

const VERSION: u8 = 1;

/// A complaint as received.
#[derive(Clone, PartialEq, Eq)]
pub struct ComplaintIn {
    motion: MotionId,
    trustee: MemberId,
    dealings: Vec<DealingId>,
    signature: [u8; 64],
}

/// A complaint of a trustee. Whether it is right only the two know whom it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint(ComplaintIn);

/// Why a complaint is not heard.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadComplaint {
    /// For another motion.
    #[error("the complaint is about another motion")]
    OtherMotion,
    /// By somebody who is no trustee.
    #[error("the complaint is not by a trustee of this motion")]
    NotTrustee,
    /// About so many that no key could be made without them.
    #[error("the complaint is about more trustees than can be done without")]
    TooMany,
    /// Signed by somebody else.
    #[error("the complaint is not signed by the trustee whose it says it is")]
    Forged,
}

impl Complaint {
    /// Of our own, as a trustee: about those dealings whose shares have not come or do not fit. All in one.
    ///
    /// # Errors
    /// If it would not be heard.
    pub fn sign(panel: &Panel, secret: &MemberSecret, about: impl IntoIterator<Item = DealingId>) -> Result<Self, BadComplaint> {
        let mut dealings: Vec<DealingId> = about.into_iter().collect();
        dealings.sort_unstable();
        dealings.dedup();
        let unsigned = ComplaintIn { motion: panel.id(), trustee: secret.member(), dealings, signature: [0; 64] };
        ComplaintIn { signature: secret.sign(&unsigned.signed()), ..unsigned }.verify(panel)
    }

    /// By whom.
    pub fn trustee(&self) -> MemberId {
        self.0.trustee
    }

    /// About what, ascending.
    pub fn dealings(&self) -> &[DealingId] {
        &self.0.dealings
    }

    /// As received.
    pub fn unverified(&self) -> ComplaintIn {
        self.0.clone()
    }
}

impl ComplaintIn {
    /// Reads a complaint.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, COMPLAINT_MAX)
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

    /// The only door to a [`Complaint`].
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, panel: &Panel) -> Result<Complaint, BadComplaint> {
        if self.motion != panel.id() {
            return Err(BadComplaint::OtherMotion);
        }
        if panel.place(&self.trustee).is_none() {
            return Err(BadComplaint::NotTrustee);
        }
        if self.dealings.len() > panel.spare() {
            return Err(BadComplaint::TooMany);
        }
        self.trustee.verify(&self.signed(), &self.signature).map_err(|_| BadComplaint::Forged)?;
        Ok(Complaint(self))
    }

    fn signed(&self) -> Vec<u8> {
        [&b"samizdat complaint v1\0"[..], &self.motion.0, &flat(&self.dealings)].concat()
    }
}

impl Wire for ComplaintIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.trustee.write(e)?;
        e.bytes(&flat(&self.dealings))?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        let (motion, trustee) = (MotionId::read(d)?, MemberId::read(d)?);
        let (dealings, signature) = (read_flat(d.bytes().ok()?)?, exact(d)?);
        (!dealings.is_empty()).then_some(Self { motion, trustee, dealings, signature })
    }
}

impl fmt::Debug for ComplaintIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} complains of {} dealings for {:?}", self.trustee, self.dealings.len(), self.motion)
    }
}

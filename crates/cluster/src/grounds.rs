//! What a change rests on: what members decided, and what each may do without asking.

use core::fmt;

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Out, Wire, Written, list, write_list},
    certificate::CertificateIn,
    comeback::ComebackIn,
    leave::LeaveIn,
    limits::{CERTIFICATES_MAX, COMEBACKS_MAX, LEAVES_MAX},
};

/// What makes a change lawful.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Motions that it carries out.
    pub certificates: Vec<CertificateIn>,
    /// Members that leave by it.
    pub leaves: Vec<LeaveIn>,
    /// Members that come back by it.
    pub comebacks: Vec<ComebackIn>,
}

impl Grounds {
    /// Whether there are none: such a change is of keys only.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.leaves.is_empty() && self.comebacks.is_empty()
    }

    /// What the Commit that rests on them is bound to, in its authenticated data: by the same Commit with others members would be in one
    /// state and differ in what was carried out.
    pub fn hash(&self) -> [u8; 32] {
        let mut e = Out::new(Vec::new());
        // Writing into a Vec cannot fail.
        let _ = e.array(3).map(|_| ()).and_then(|()| self.write(&mut e));
        Sha256::new().chain_update(b"samizdat grounds v1\0").chain_update(e.into_writer()).finalize().into()
    }

    /// Whether there are more than one change may have.
    pub(crate) fn are_too_many(&self) -> bool {
        self.certificates.len() > CERTIFICATES_MAX || self.leaves.len() > LEAVES_MAX || self.comebacks.len() > COMEBACKS_MAX
    }
}

/// Three elements of an array.
impl Wire for Grounds {
    fn write(&self, e: &mut Out) -> Written {
        write_list(e, &self.certificates, |e, certificate| certificate.write(e))?;
        write_list(e, &self.leaves, |e, leave| leave.write(e))?;
        write_list(e, &self.comebacks, |e, comeback| comeback.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            certificates: list(d, CERTIFICATES_MAX, CertificateIn::read)?,
            leaves: list(d, LEAVES_MAX, LeaveIn::read)?,
            comebacks: list(d, COMEBACKS_MAX, ComebackIn::read)?,
        })
    }
}

impl fmt::Debug for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, leaves, comebacks) = (self.certificates.len(), self.leaves.len(), self.comebacks.len());
        write!(f, "{certificates} certificates, {leaves} leave, {comebacks} come back")
    }
}

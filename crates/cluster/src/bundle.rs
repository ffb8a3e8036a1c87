//! A Commit with what makes it lawful. It travels in parts.

use core::fmt;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, blob, from_bytes, list, to_bytes, versioned, write_list},
    certificate::CertificateIn,
    leave::LeaveIn,
    limits::{CERTIFICATES_MAX, LEAVES_MAX, PAYLOAD_MAX},
};

const VERSION: u8 = 1;

/// A Commit with what makes it lawful.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The Commit, for the group.
    pub commit: Vec<u8>,
    /// Motions that it carries out.
    pub certificates: Vec<CertificateIn>,
    /// Members that leave by it.
    pub leaves: Vec<LeaveIn>,
}

impl Bundle {
    /// The payload to cut in parts.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what the parts make.
    ///
    /// # Errors
    /// If it is no bundle.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, PAYLOAD_MAX)
    }
}

impl Wire for Bundle {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u8(VERSION)?.bytes(&self.commit)?;
        write_list(e, &self.certificates, |e, certificate| certificate.write(e))?;
        write_list(e, &self.leaves, |e, leave| leave.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 4, VERSION)?;
        let commit = blob(d, PAYLOAD_MAX)?;
        Some(Self {
            commit,
            certificates: list(d, CERTIFICATES_MAX, CertificateIn::read)?,
            leaves: list(d, LEAVES_MAX, LeaveIn::read)?,
        })
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, leaves) = (self.certificates.len(), self.leaves.len());
        write!(f, "Commit of {} bytes, {certificates} certificates, {leaves} leave", self.commit.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leave::Leave,
        people::{CLUSTER, certificate, circle, expel, secret},
    };
    use proptest::prelude::*;

    fn good() -> Bundle {
        let certificates = vec![certificate(&circle(1..=3), 1, expel(3), 1..=2)];
        Bundle { commit: vec![1; 50], certificates, leaves: vec![Leave::sign(CLUSTER, &secret(2)).unverified()] }
    }

    #[test]
    fn a_bundle_survives_within_its_bounds() {
        assert_eq!(Bundle::decode(&good().encode()), Ok(good()));
        let bare = Bundle { commit: Vec::new(), certificates: Vec::new(), leaves: Vec::new() };
        assert_eq!(Bundle::decode(&bare.encode()), Ok(bare));
        let many = Bundle { leaves: vec![good().leaves[0].clone(); LEAVES_MAX + 1], ..good() };
        assert_eq!(Bundle::decode(&many.encode()), Err(Malformed));
        let many = Bundle { certificates: vec![good().certificates[0].clone(); CERTIFICATES_MAX + 1], ..good() };
        assert_eq!(Bundle::decode(&many.encode()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = Bundle::decode(&junk);
            let mut like = good().encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(bundle) = Bundle::decode(&like) {
                prop_assert_eq!(bundle.encode(), like);
            }
        }
    }
}

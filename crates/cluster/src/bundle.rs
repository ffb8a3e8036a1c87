//! A Commit with what makes it lawful. It travels in parts.

use core::fmt;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, blob, from_bytes, to_bytes, versioned},
    grounds::Grounds,
    limits::PAYLOAD_MAX,
};

const VERSION: u8 = 1;

/// A Commit with what makes it lawful.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The Commit, for the group.
    pub commit: Vec<u8>,
    /// What it rests on.
    pub grounds: Grounds,
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
        e.array(5)?.u8(VERSION)?.bytes(&self.commit)?;
        self.grounds.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        Some(Self { commit: blob(d, PAYLOAD_MAX)?, grounds: Grounds::read(d)? })
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commit of {} bytes, {:?}", self.commit.len(), self.grounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        comeback::Comeback,
        leave::Leave,
        limits::{CERTIFICATES_MAX, COMEBACKS_MAX, LEAVES_MAX},
        people::{CLUSTER, certificate, circle, expel, secret},
    };
    use proptest::prelude::*;

    fn good() -> Bundle {
        let certificates = vec![certificate(&circle(1..=3), 1, expel(3), 1..=2)];
        let leaves = vec![Leave::sign(CLUSTER, &secret(2)).unverified()];
        let comebacks = vec![Comeback::sign(CLUSTER, &secret(3), 1, [1; 32]).unverified()];
        Bundle { commit: vec![1; 50], grounds: Grounds { certificates, leaves, comebacks } }
    }

    #[test]
    fn a_bundle_survives_within_its_bounds() {
        assert_eq!(Bundle::decode(&good().encode()), Ok(good()));
        let bare = Bundle { commit: Vec::new(), grounds: Grounds::default() };
        assert_eq!(Bundle::decode(&bare.encode()), Ok(bare));
        let refused = |change: &dyn Fn(&mut Grounds)| {
            let mut many = good();
            change(&mut many.grounds);
            Bundle::decode(&many.encode()) == Err(Malformed)
        };
        assert!(refused(&|grounds| grounds.leaves = vec![grounds.leaves[0].clone(); LEAVES_MAX + 1]));
        assert!(refused(&|grounds| grounds.comebacks = vec![grounds.comebacks[0].clone(); COMEBACKS_MAX + 1]));
        assert!(refused(&|grounds| grounds.certificates = vec![grounds.certificates[0].clone(); CERTIFICATES_MAX + 1]));
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

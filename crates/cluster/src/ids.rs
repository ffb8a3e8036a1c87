//! Who and what is named in a cluster. None of these names converts into another, nor into those of `samizdat_core`.

use core::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use minicbor::Decoder;
use samizdat_core::identity::{BadSignature, IdentityKey, IdentitySecret};
use sha2::{Digest, Sha256};

use crate::cbor::{Out, Wire, Written, exact};

/// A cluster: random, drawn when it is founded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 32]);

/// A member: the signature key of its leaf (Ed25519), fresh for each membership and linked to no name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub [u8; 32]);

/// One epoch instance of a cluster's group. Two branches have different states at the same epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub [u8; 16]);

/// A motion: a hash of all that it says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MotionId(pub [u8; 32]);

/// The secret half of a [`MemberId`].
#[derive(Clone)]
pub struct MemberSecret(IdentitySecret);

/// Something typed that is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("this is not a whole id: it has 52 letters and digits, only a to z and 2 to 7")]
pub struct BadId;

impl MemberId {
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        IdentityKey(self.0).verify(message, signature)
    }
}

impl MemberSecret {
    /// From the seed of the leaf's signature key.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(IdentitySecret::from_seed(seed))
    }

    /// Whose it is.
    pub fn member(&self) -> MemberId {
        MemberId(self.0.key().0)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

impl fmt::Debug for MemberSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberSecret(..)")
    }
}

impl StateId {
    /// The state whose confirmation tag this is.
    pub fn of(confirmation_tag: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"samizdat state v1\0").chain_update(confirmation_tag).finalize();
        let mut id = [0; 16];
        id.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

/// Where `member` is in the order of leaders at the epoch of a parent, lowest first. `salt` is fixed when a cluster is founded and
/// the member's key before it is admitted, so nobody can choose a rank.
pub fn rank(salt: &[u8; 32], epoch: u64, member: &MemberId) -> [u8; 32] {
    let digest = Sha256::new().chain_update(b"samizdat rank v1\0").chain_update(salt);
    digest.chain_update(epoch.to_be_bytes()).chain_update(member.0).finalize().into()
}

fn lower(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn short(name: &str, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{name}:")?;
    bytes.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
}

macro_rules! id {
    ($type:ident, $name:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                short($name, &self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&lower(&self.0))
            }
        }

        impl Wire for $type {
            fn write(&self, e: &mut Out) -> Written {
                e.bytes(&self.0).map(|_| ())
            }

            fn read(d: &mut Decoder<'_>) -> Option<Self> {
                exact(d).map(Self)
            }
        }
    };
}

macro_rules! typed {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bytes = BASE32_NOPAD.decode(text.trim().to_ascii_uppercase().as_bytes()).map_err(|_| BadId)?;
                bytes.try_into().map(Self).map_err(|_| BadId)
            }
        }
    };
}

id!(ClusterId, "cluster");
id!(MemberId, "member");
id!(StateId, "state");
id!(MotionId, "motion");
typed!(ClusterId);
typed!(MemberId);
typed!(MotionId);

#[cfg(test)]
mod tests {
    #![allow(clippy::string_slice)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_writing_and_typing(bytes: [u8; 32]) {
            let id = MemberId(bytes);
            prop_assert_eq!(id.to_string().len(), 52);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(format!(" {} ", MotionId(bytes)).to_uppercase().parse(), Ok(MotionId(bytes)));
        }

        #[test]
        fn any_text_parses_without_panic(text in ".{0,80}") {
            let _ = text.parse::<MemberId>();
        }
    }

    #[test]
    fn half_an_id_is_none() {
        let text = MemberId([7; 32]).to_string();
        assert_eq!(text[..51].parse::<MemberId>(), Err(BadId));
        assert_eq!(text.replace('a', "1").parse::<MemberId>(), Err(BadId));
    }

    #[test]
    fn ranks_differ_by_salt_epoch_and_member() {
        let one = rank(&[1; 32], 5, &MemberId([2; 32]));
        assert_ne!(one, rank(&[2; 32], 5, &MemberId([2; 32])));
        assert_ne!(one, rank(&[1; 32], 6, &MemberId([2; 32])));
        assert_ne!(one, rank(&[1; 32], 5, &MemberId([3; 32])));
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        assert_eq!(format!("{:?}", MemberSecret::from_seed([1; 32])), "MemberSecret(..)");
        assert_eq!(format!("{:?}", MemberId([1; 32])), "member:01010101");
    }
}

//! Coming back after a time away: a member asks, under its own key, to be exchanged for itself with fresh keys. Nobody else can ask that
//! for it, or whoever had an old KeyPackage of a member could lock it out.

use core::fmt;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    ids::{ClusterId, MemberId, MemberSecret},
    limits::COMEBACK_MAX,
};

const VERSION: u8 = 1;

/// A statement that a member comes back, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct ComebackIn {
    cluster: ClusterId,
    member: MemberId,
    turn: u64,
    key_package: [u8; 32],
    signature: [u8; 64],
}

/// A member comes back. There is no other way to this than [`ComebackIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comeback(ComebackIn);

/// Why nobody comes back.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadComeback {
    /// To another cluster.
    #[error("the statement is about coming back to another cluster")]
    ForeignCluster,
    /// Somebody else said so.
    #[error("the statement that a member comes back is not signed by that member")]
    Forged,
}

impl Comeback {
    /// For ourselves. `turn` must be higher than in all statements before: one that is as old as one that was carried out, or older,
    /// counts no more.
    pub fn sign(cluster: ClusterId, secret: &MemberSecret, turn: u64, key_package: [u8; 32]) -> Self {
        let member = secret.member();
        let signature = secret.sign(&signed(&cluster, &member, turn, &key_package));
        Self(ComebackIn { cluster, member, turn, key_package, signature })
    }

    /// Who.
    pub fn member(&self) -> MemberId {
        self.0.member
    }

    /// Which of its statements.
    pub fn turn(&self) -> u64 {
        self.0.turn
    }

    /// The hash of the KeyPackage with which it is added.
    pub fn key_package(&self) -> [u8; 32] {
        self.0.key_package
    }

    /// As received.
    pub fn unverified(&self) -> ComebackIn {
        self.0.clone()
    }
}

impl ComebackIn {
    /// Reads a statement.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, COMEBACK_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who comes back, by what it says.
    pub fn claimed_member(&self) -> MemberId {
        self.member
    }

    /// Which of its statements, by what it says.
    pub fn claimed_turn(&self) -> u64 {
        self.turn
    }

    /// The only door to a [`Comeback`].
    ///
    /// # Errors
    /// If it is about another cluster, or somebody else's.
    pub fn verify(&self, cluster: &ClusterId) -> Result<Comeback, BadComeback> {
        if self.cluster != *cluster {
            return Err(BadComeback::ForeignCluster);
        }
        let signed = signed(cluster, &self.member, self.turn, &self.key_package);
        self.member.verify(&signed, &self.signature).map_err(|_| BadComeback::Forged)?;
        Ok(Comeback(self.clone()))
    }
}

fn signed(cluster: &ClusterId, member: &MemberId, turn: u64, key_package: &[u8; 32]) -> Vec<u8> {
    [&b"samizdat comeback v1\0"[..], &cluster.0, &member.0, &turn.to_be_bytes(), key_package].concat()
}

impl Wire for ComebackIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?;
        self.cluster.write(e)?;
        self.member.write(e)?;
        e.u64(self.turn)?.bytes(&self.key_package)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        let (cluster, member) = (ClusterId::read(d)?, MemberId::read(d)?);
        Some(Self { cluster, member, turn: d.u64().ok()?, key_package: exact(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for ComebackIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} comes back", self.member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{CLUSTER, member, secret};
    use proptest::prelude::*;

    #[test]
    fn nobody_comes_back_for_another_or_elsewhere_or_with_other_keys() {
        let back = Comeback::sign(CLUSTER, &secret(1), 5, [9; 32]).unverified();
        assert_eq!(ComebackIn::decode(&back.encode()), Ok(back.clone()));
        let verified = back.verify(&CLUSTER).unwrap();
        assert_eq!((verified.member(), verified.turn(), verified.key_package()), (member(1), 5, [9; 32]));
        let elsewhere = ClusterId([8; 32]);
        assert_eq!(back.verify(&elsewhere), Err(BadComeback::ForeignCluster));
        assert_eq!(ComebackIn { cluster: elsewhere, ..back.clone() }.verify(&elsewhere), Err(BadComeback::Forged));
        assert_eq!(ComebackIn { member: member(2), ..back.clone() }.verify(&CLUSTER), Err(BadComeback::Forged));
        assert_eq!(ComebackIn { turn: 6, ..back.clone() }.verify(&CLUSTER), Err(BadComeback::Forged));
        assert_eq!(ComebackIn { key_package: [8; 32], ..back }.verify(&CLUSTER), Err(BadComeback::Forged));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = ComebackIn::decode(&junk);
            let good = Comeback::sign(CLUSTER, &secret(1), 5, [9; 32]).unverified();
            let mut like = good.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(back) = ComebackIn::decode(&like) {
                prop_assert_eq!(back.encode(), like);
                prop_assert!(back == good || back.verify(&CLUSTER).is_err());
            }
        }
    }
}

//! Leaving: a statement that needs nobody's consent. Who has left comes back under another key only, so it holds for ever.

use core::fmt;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    ids::{ClusterId, MemberId, MemberSecret},
    limits::LEAVE_MAX,
};

const VERSION: u8 = 1;

/// A statement that somebody leaves, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaveIn {
    cluster: ClusterId,
    member: MemberId,
    signature: [u8; 64],
}

/// Somebody leaves. There is no other way to this than [`LeaveIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave(LeaveIn);

/// Why nobody leaves.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadLeave {
    /// Another cluster is left.
    #[error("the statement is about leaving another cluster")]
    ForeignCluster,
    /// Somebody else said so.
    #[error("the statement that a member leaves is not signed by that member")]
    Forged,
}

impl Leave {
    /// For ourselves.
    pub fn sign(cluster: ClusterId, secret: &MemberSecret) -> Self {
        let member = secret.member();
        Self(LeaveIn { cluster, member, signature: secret.sign(&signed(&cluster, &member)) })
    }

    /// Who.
    pub fn member(&self) -> MemberId {
        self.0.member
    }

    /// As received.
    pub fn unverified(&self) -> LeaveIn {
        self.0.clone()
    }
}

impl LeaveIn {
    /// Reads a statement.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, LEAVE_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who leaves, by what it says.
    pub fn claimed_member(&self) -> MemberId {
        self.member
    }

    /// The only door to a [`Leave`].
    ///
    /// # Errors
    /// If it is about another cluster, or somebody else's.
    pub fn verify(&self, cluster: &ClusterId) -> Result<Leave, BadLeave> {
        if self.cluster != *cluster {
            return Err(BadLeave::ForeignCluster);
        }
        self.member.verify(&signed(cluster, &self.member), &self.signature).map_err(|_| BadLeave::Forged)?;
        Ok(Leave(self.clone()))
    }
}

fn signed(cluster: &ClusterId, member: &MemberId) -> Vec<u8> {
    [&b"samizdat leave v1\0"[..], &cluster.0, &member.0].concat()
}

impl Wire for LeaveIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u8(VERSION)?;
        self.cluster.write(e)?;
        self.member.write(e)?;
        e.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 4, VERSION)?;
        Some(Self { cluster: ClusterId::read(d)?, member: MemberId::read(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for LeaveIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} leaves", self.member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{CLUSTER, member, secret};
    use proptest::prelude::*;

    #[test]
    fn nobody_leaves_for_another_or_elsewhere() {
        let leave = Leave::sign(CLUSTER, &secret(1)).unverified();
        assert_eq!(LeaveIn::decode(&leave.encode()), Ok(leave.clone()));
        assert_eq!(leave.verify(&CLUSTER).map(|leave| leave.member()), Ok(member(1)));
        assert_eq!(leave.verify(&ClusterId([8; 32])), Err(BadLeave::ForeignCluster));
        assert_eq!(LeaveIn { cluster: ClusterId([8; 32]), ..leave.clone() }.verify(&ClusterId([8; 32])), Err(BadLeave::Forged));
        assert_eq!(LeaveIn { member: member(2), ..leave }.verify(&CLUSTER), Err(BadLeave::Forged));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = LeaveIn::decode(&junk);
            let good = Leave::sign(CLUSTER, &secret(1)).unverified();
            let mut like = good.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(leave) = LeaveIn::decode(&like) {
                prop_assert_eq!(leave.encode(), like);
                prop_assert!(leave == good || leave.verify(&CLUSTER).is_err());
            }
        }
    }
}

//! Somebody says to a cluster, or to one of its members, which name is behind a member. Without this nothing links the two.

use core::fmt;

use minicbor::Decoder;
use samizdat_core::identity::{IdentityKey, IdentitySecret};

use crate::{
    cbor::{Out, Wire, Written, exact},
    ids::{ClusterId, MemberId},
};

/// A claim as received.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimIn {
    identity: IdentityKey,
    signature: [u8; 64],
}

/// A claim that its identity did not sign for this member.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the identity did not sign that it is this member")]
pub struct BadClaim;

impl ClaimIn {
    /// For a membership of our own: to all members, or `to` one. That one can show it to others, and cannot pass it off as said to all.
    pub fn sign(identity: &IdentitySecret, cluster: &ClusterId, member: &MemberId, to: Option<&MemberId>) -> Self {
        Self { identity: identity.key(), signature: identity.sign(&signed(cluster, member, to)) }
    }

    /// Whose key `member` has shown to be behind it, to all or `to` one.
    ///
    /// # Errors
    /// If it has not.
    pub fn verify(&self, cluster: &ClusterId, member: &MemberId, to: Option<&MemberId>) -> Result<IdentityKey, BadClaim> {
        self.identity.verify(&signed(cluster, member, to), &self.signature).map_err(|_| BadClaim)?;
        Ok(self.identity)
    }
}

fn signed(cluster: &ClusterId, member: &MemberId, to: Option<&MemberId>) -> Vec<u8> {
    match to {
        None => [&b"samizdat member v1\0"[..], &cluster.0, &member.0].concat(),
        Some(to) => [&b"samizdat member to one v1\0"[..], &cluster.0, &member.0, &to.0].concat(),
    }
}

impl Wire for ClaimIn {
    fn write(&self, e: &mut Out) -> Written {
        e.bytes(&self.identity.0)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Some(Self { identity: IdentityKey(exact(d)?), signature: exact(d)? })
    }
}

impl fmt::Debug for ClaimIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimIn(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{CLUSTER, member};

    #[test]
    fn a_claim_holds_for_one_member_of_one_cluster() {
        let alice = IdentitySecret::from_seed([40; 32]);
        let claim = ClaimIn::sign(&alice, &CLUSTER, &member(1), None);
        assert_eq!(claim.verify(&CLUSTER, &member(1), None), Ok(alice.key()));
        assert_eq!(claim.verify(&CLUSTER, &member(2), None), Err(BadClaim));
        assert_eq!(claim.verify(&ClusterId([8; 32]), &member(1), None), Err(BadClaim));
        let mallory = IdentitySecret::from_seed([41; 32]).key();
        assert_eq!(ClaimIn { identity: mallory, ..claim }.verify(&CLUSTER, &member(1), None), Err(BadClaim));
    }

    #[test]
    fn what_one_member_is_told_cannot_be_passed_off_as_said_to_all_or_to_another() {
        let alice = IdentitySecret::from_seed([40; 32]);
        let claim = ClaimIn::sign(&alice, &CLUSTER, &member(1), Some(&member(2)));
        assert_eq!(claim.verify(&CLUSTER, &member(1), Some(&member(2))), Ok(alice.key()));
        for to in [None, Some(&member(3)), Some(&member(1))] {
            assert_eq!(claim.verify(&CLUSTER, &member(1), to), Err(BadClaim));
        }
        let to_all = ClaimIn::sign(&alice, &CLUSTER, &member(1), None);
        assert_eq!(to_all.verify(&CLUSTER, &member(1), Some(&member(2))), Err(BadClaim));
    }
}

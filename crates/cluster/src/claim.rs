//! Somebody says to a cluster which name is behind a member. Without this nothing links the two.

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
    /// For a membership of our own.
    pub fn sign(identity: &IdentitySecret, cluster: &ClusterId, member: &MemberId) -> Self {
        Self { identity: identity.key(), signature: identity.sign(&signed(cluster, member)) }
    }

    /// Whose key `member` has shown to be behind it.
    ///
    /// # Errors
    /// If it has not.
    pub fn verify(&self, cluster: &ClusterId, member: &MemberId) -> Result<IdentityKey, BadClaim> {
        self.identity.verify(&signed(cluster, member), &self.signature).map_err(|_| BadClaim)?;
        Ok(self.identity)
    }
}

fn signed(cluster: &ClusterId, member: &MemberId) -> Vec<u8> {
    [&b"samizdat member v1\0"[..], &cluster.0, &member.0].concat()
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
        let claim = ClaimIn::sign(&alice, &CLUSTER, &member(1));
        assert_eq!(claim.verify(&CLUSTER, &member(1)), Ok(alice.key()));
        assert_eq!(claim.verify(&CLUSTER, &member(2)), Err(BadClaim));
        assert_eq!(claim.verify(&ClusterId([8; 32]), &member(1)), Err(BadClaim));
        let mallory = IdentitySecret::from_seed([41; 32]).key();
        assert_eq!(ClaimIn { identity: mallory, ..claim }.verify(&CLUSTER, &member(1)), Err(BadClaim));
    }
}

//! Who is a member, and who was in the states before: what motions refer to.

mod past;

use std::sync::Arc;

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Out, Wire, Written, ascends, list, write_list},
    ids::MemberId,
    limits::CAP_MAX,
};

pub use past::{Past, PastIn};

/// The members of one state. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster(Arc<[MemberId]>);

impl Roster {
    /// Of these members, in whatever order.
    pub fn of(members: impl IntoIterator<Item = MemberId>) -> Self {
        let mut members: Vec<MemberId> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        Self(members.into())
    }

    /// Names it: two rosters of the same members have the same hash.
    pub fn hash(&self) -> [u8; 32] {
        let start = Sha256::new().chain_update(b"samizdat roster v1\0");
        self.0.iter().fold(start, |digest, member| digest.chain_update(member.0)).finalize().into()
    }

    /// Whether this is a member.
    pub fn contains(&self, member: &MemberId) -> bool {
        self.0.binary_search(member).is_ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &MemberId> {
        self.0.iter()
    }

    /// With these as well.
    #[must_use]
    pub fn with(&self, members: impl IntoIterator<Item = MemberId>) -> Self {
        Self::of(self.0.iter().copied().chain(members))
    }

    /// Without those.
    #[must_use]
    pub fn without(&self, out: impl Fn(&MemberId) -> bool) -> Self {
        Self::of(self.0.iter().copied().filter(|member| !out(member)))
    }
}

impl Wire for Roster {
    fn write(&self, e: &mut Out) -> Written {
        write_list(e, &self.0, |e, member| member.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let members = list(d, CAP_MAX.into(), MemberId::read)?;
        (!members.is_empty() && ascends(&members)).then(|| Self(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(keys: &[u8]) -> impl Iterator<Item = MemberId> + '_ {
        keys.iter().map(|key| MemberId([*key; 32]))
    }

    proptest! {
        #[test]
        fn a_roster_is_a_set(keys: Vec<u8>, more: u8) {
            let roster = Roster::of(members(&keys));
            let reversed: Vec<u8> = keys.iter().rev().copied().collect();
            prop_assert_eq!(roster.hash(), Roster::of(members(&reversed)).hash());
            prop_assert!(members(&keys).all(|member| roster.contains(&member)));
            let member = MemberId([more; 32]);
            prop_assert!(roster.with([member]).contains(&member));
            prop_assert!(!roster.without(|m| *m == member).contains(&member));
            prop_assert_eq!(roster.iter().len(), roster.len());
        }
    }

    #[test]
    fn every_member_counts_in_the_hash() {
        let roster = Roster::of(members(&[1, 2]));
        assert_ne!(roster.hash(), roster.with(members(&[3])).hash());
        assert!(roster.without(|_| true).is_empty() && !roster.is_empty());
    }
}

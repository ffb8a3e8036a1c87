//! Keys that a group takes once only (RFC 9420, 12.2). Anybody can put the public key of another into a KeyPackage of theirs: a Commit
//! that adds both cannot be made.

use std::collections::BTreeSet;

use openmls::{key_packages::KeyPackage, prelude::tls_codec::Serialize as _};
use samizdat_cluster::{ClusterId, StateId};

use super::{
    error::{GroupError, KeyPackageError},
    group::Groups,
};

/// The keys of a KeyPackage that nobody else in a group may have, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKeys {
    encryption: Vec<u8>,
    init: Vec<u8>,
}

/// The keys that are taken, of members and of those who come with the next Commit.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    encryption: BTreeSet<Vec<u8>>,
    init: BTreeSet<Vec<u8>>,
}

impl OwnKeys {
    pub(super) fn of(package: &KeyPackage) -> Result<Self, KeyPackageError> {
        let encryption = package.leaf_node().encryption_key().tls_serialize_detached();
        let init = package.hpke_init_key().tls_serialize_detached();
        let malformed = |_| KeyPackageError::Malformed;
        Ok(Self { encryption: encryption.map_err(malformed)?, init: init.map_err(malformed)? })
    }
}

impl Taken {
    /// Whether all of `newcomers` have keys of their own, which are taken then; otherwise none of theirs are.
    pub fn take<'k>(&mut self, newcomers: impl IntoIterator<Item = &'k OwnKeys>) -> bool {
        let mut with = self.clone();
        let mut all = newcomers.into_iter();
        let fit = all.all(|OwnKeys { encryption, init }| {
            let free = encryption != init && !with.init.contains(encryption) && !with.encryption.contains(init);
            free && with.encryption.insert(encryption.clone()) && with.init.insert(init.clone())
        });
        if fit {
            *self = with;
        }
        fit
    }
}

impl Groups<'_> {
    /// The keys of the members of a state, also of those whom the next Commit removes.
    pub fn taken(&self, cluster: &ClusterId, state: &StateId) -> Result<Taken, GroupError> {
        self.in_state(cluster, state, |group, _| {
            let leaves = group.members().filter_map(|member| group.public_group().leaf(member.index));
            let keys = leaves.map(|leaf| leaf.encryption_key().tls_serialize_detached().map_err(GroupError::library));
            Ok(Taken { encryption: keys.collect::<Result<_, _>>()?, init: BTreeSet::new() })
        })
    }
}

//! What a member says to one other member of a state: encrypted to the leaf of that one, signed by the leaf of the author, bound to the
//! group (draft-ietf-mls-targeted-messages). Whoever is in the state can see for whom it is, and cannot read it.
//!
//! What does not tell its author is signed by no leaf: HPKE in base mode to the leaf of the reader, with an info that no encryption of
//! MLS has, since those begin with the length of a label.

use openmls::{
    group::MlsGroup,
    prelude::{
        LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, ProcessTargetedMessageError, TargetedMessageIn,
        tls_codec::{DeserializeBytes, Serialize, VLBytes},
    },
};
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    types::{HpkeCiphertext, HpkePrivateKey},
};
use samizdat_cluster::{ClusterId, MemberId, StateId};
use serde::Deserialize;

use super::{
    CIPHERSUITE,
    error::{GroupError, StateError},
    group::{Groups, Said, leaf_of, member_at},
    limits::MAX_CIPHERTEXT,
    provider::Provider,
    storage::Label,
};

/// Separates this encryption from all others to the keys of leaves.
const INFO: &[u8] = b"samizdat anonymous aside v1\0";
/// Length of an X-Wing encapsulation, bytes.
const ENCAPSULATION_LEN: usize = 1120;

/// A key pair of our own leaf or of our path in the tree, as the library keeps it.
#[derive(Deserialize)]
struct KeyPair {
    public_key: Key<VLBytes>,
    private_key: Key<HpkePrivateKey>,
}

#[derive(Deserialize)]
struct Key<T> {
    key: T,
}

impl Groups<'_> {
    /// Encrypts for one member of a state. Publish it only after the transaction is committed.
    pub fn encrypt_to(
        &self,
        cluster: &ClusterId,
        state: &StateId,
        us: &MemberId,
        to: &MemberId,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, GroupError> {
        let signer = self.signer_of(us)?;
        self.in_state(cluster, state, |group, provider| {
            let leaf = leaf_of(group, to)?;
            let message = group.create_targeted_message(provider, &signer, leaf, plaintext).map_err(GroupError::library)?;
            message.tls_serialize_detached().map_err(GroupError::library)
        })
    }

    /// Reads what a member said to us alone; what is for somebody else belongs elsewhere.
    pub fn decrypt_to_us(&self, cluster: &ClusterId, state: &StateId, ciphertext: &[u8]) -> Result<Said, GroupError> {
        let message = parse(ciphertext)?;
        self.in_state(cluster, state, |group, provider| {
            let processed = group.process_targeted_message(provider, &message).map_err(|error| match error {
                ProcessTargetedMessageError::StorageError(error) => GroupError::State(StateError::from(error)),
                ProcessTargetedMessageError::GroupIdMismatch
                | ProcessTargetedMessageError::EpochMismatch
                | ProcessTargetedMessageError::NotIntendedRecipient => GroupError::Elsewhere,
                error => GroupError::Invalid(error.into()),
            })?;
            let member = member_at(group, processed.sender_leaf_index()).ok_or(GroupError::NoMember)?;
            Ok(Said { member, plaintext: processed.application_data().to_vec() })
        })
    }

    /// Encrypts for one member of a state, and does not tell who did: encapsulation, then ciphertext.
    pub fn seal_to(&self, cluster: &ClusterId, state: &StateId, to: &MemberId, plaintext: &[u8]) -> Result<Vec<u8>, GroupError> {
        self.in_state(cluster, state, |group, provider| {
            let key = encryption_key(group, leaf_of(group, to)?)?;
            let info = info(cluster, group.epoch().as_u64(), to);
            let sealed = provider.crypto().hpke_seal(CIPHERSUITE.hpke_config(), key.as_slice(), &info, &[], plaintext);
            let HpkeCiphertext { kem_output, ciphertext } = sealed.map_err(GroupError::library)?;
            Ok([kem_output.as_slice(), ciphertext.as_slice()].concat())
        })
    }

    /// Reads what some member said to us alone.
    pub fn open_to_us(&self, cluster: &ClusterId, state: &StateId, sealed: &[u8]) -> Result<Vec<u8>, GroupError> {
        let (encapsulation, ciphertext) = sealed.split_at_checked(ENCAPSULATION_LEN).ok_or(GroupError::Malformed)?;
        let sealed = HpkeCiphertext { kem_output: encapsulation.to_vec().into(), ciphertext: ciphertext.to_vec().into() };
        self.in_state(cluster, state, |group, provider| {
            let own = member_at(group, group.own_leaf_index()).ok_or(GroupError::NoMember)?;
            let (private, info) = (own_private_key(group, provider)?, info(cluster, group.epoch().as_u64(), &own));
            let opened = provider.crypto().hpke_open(CIPHERSUITE.hpke_config(), &sealed, &private, &info, &[]);
            opened.map_err(|_| GroupError::Malformed)
        })
    }
}

fn info(cluster: &ClusterId, epoch: u64, to: &MemberId) -> Vec<u8> {
    [INFO, &cluster.0, &epoch.to_be_bytes(), &to.0].concat()
}

fn encryption_key(group: &MlsGroup, leaf: LeafNodeIndex) -> Result<VLBytes, GroupError> {
    let leaf = group.public_group().leaf(leaf).ok_or(GroupError::NoMember)?;
    let encoded = leaf.encryption_key().tls_serialize_detached().map_err(GroupError::library)?;
    VLBytes::tls_deserialize_exact_bytes(&encoded).map_err(GroupError::library)
}

/// The library uses this key itself and hands it to nobody, so it is read where it is kept.
fn own_private_key(group: &MlsGroup, provider: &Provider<'_, '_>) -> Result<HpkePrivateKey, GroupError> {
    let public = encryption_key(group, group.own_leaf_index())?;
    let at = (group.group_id(), group.epoch(), group.own_leaf_index().u32());
    let kept: Option<Vec<KeyPair>> = provider.storage.get(Label::EpochKeyPairs, &at).map_err(StateError::from)?;
    let found = kept.into_iter().flatten().find(|pair| pair.public_key.key == public);
    found.map(|pair| pair.private_key.key).ok_or_else(|| GroupError::library("no private key of our own leaf"))
}

fn parse(bytes: &[u8]) -> Result<TargetedMessageIn, GroupError> {
    if bytes.len() > MAX_CIPHERTEXT {
        return Err(GroupError::Malformed);
    }
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| GroupError::Malformed)?.extract() {
        MlsMessageBodyIn::TargetedMessage(message) => Ok(message),
        _ => Err(GroupError::Malformed),
    }
}

//! What a member says to one other member of a state: encrypted to the leaf of that one, signed by the leaf of the author, bound to the
//! group (draft-ietf-mls-targeted-messages). Whoever is in the state can see for whom it is, and cannot read it.

use openmls::prelude::{
    MlsMessageBodyIn, MlsMessageIn, ProcessTargetedMessageError, TargetedMessageIn,
    tls_codec::{DeserializeBytes, Serialize},
};
use samizdat_cluster::{ClusterId, MemberId, StateId};

use super::{
    error::{GroupError, StateError},
    group::{Groups, Said, leaf_of, member_at},
    limits::MAX_CIPHERTEXT,
};

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

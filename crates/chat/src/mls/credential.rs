//! Who stands behind an MLS leaf.
//!
//! The signing key of a leaf is fresh for every group that we found and for every KeyPackage that we announce, so that
//! signatures of two groups have nothing in common. The credential binds it to the identity: a CBOR array
//! `[1, identity key (32 bytes), signature (64 bytes)]`, the signature being the identity's over
//! `"samizdat leaf v1\0" || leaf key`. It travels as a BasicCredential (RFC 9420, 5.3) and is seen by members only, but
//! for the one inside an announced KeyPackage.

use samizdat_core::identity::{IdentityKey, IdentitySecret};

use super::limits::MAX_CREDENTIAL;

const LEAF_DOMAIN: &[u8] = b"samizdat leaf v1\0";
const VERSION: u8 = 1;

/// Why a leaf does not belong to the identity that it names.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CredentialError {
    /// Not the bytes that [`leaf_credential`] writes, or another version.
    #[error("the credential of a member is malformed")]
    Malformed,
    /// The identity did not sign this leaf key.
    #[error("the identity that a member claims did not sign its key")]
    Forged,
}

/// Writes the credential by which `identity` owns the leaf key `leaf`.
pub(super) fn leaf_credential(identity: &IdentitySecret, leaf: &[u8; 32]) -> Vec<u8> {
    encode(&identity.key(), &identity.sign(&signed(leaf)))
}

/// Checks that the identity named in `credential` signed the leaf key `leaf`, and returns it.
pub fn verify_leaf(credential: &[u8], leaf: &[u8]) -> Result<IdentityKey, CredentialError> {
    let (identity, signature) = decode(credential).ok_or(CredentialError::Malformed)?;
    let leaf = leaf.try_into().map_err(|_| CredentialError::Malformed)?;
    identity.verify(&signed(leaf), &signature).map_err(|_| CredentialError::Forged)?;
    Ok(identity)
}

fn signed(leaf: &[u8; 32]) -> Vec<u8> {
    [LEAF_DOMAIN, leaf].concat()
}

fn encode(identity: &IdentityKey, signature: &[u8; 64]) -> Vec<u8> {
    let mut out = minicbor::Encoder::new(Vec::with_capacity(MAX_CREDENTIAL));
    // Writing to a Vec cannot fail.
    let _ = out.array(3).and_then(|e| e.u8(VERSION)?.bytes(&identity.0)?.bytes(signature));
    out.into_writer()
}

fn decode(bytes: &[u8]) -> Option<(IdentityKey, [u8; 64])> {
    if bytes.len() > MAX_CREDENTIAL {
        return None;
    }
    let mut input = minicbor::Decoder::new(bytes);
    if input.array().ok()? != Some(3) || input.u8().ok()? != VERSION {
        return None;
    }
    let identity = IdentityKey(input.bytes().ok()?.try_into().ok()?);
    let signature = input.bytes().ok()?.try_into().ok()?;
    // One encoding per credential: CBOR would allow longer ones.
    (encode(&identity, &signature) == bytes).then_some((identity, signature))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_leaf_is_owned_by_the_identity_that_signed_it_and_by_nobody_else() {
        let alice = IdentitySecret::from_seed([1; 32]);
        let credential = leaf_credential(&alice, &[7; 32]);
        assert_eq!(credential.len(), 102);
        assert_eq!(verify_leaf(&credential, &[7; 32]), Ok(alice.key()));
        assert_eq!(verify_leaf(&credential, &[8; 32]), Err(CredentialError::Forged));
        assert_eq!(verify_leaf(&credential, &[7; 31]), Err(CredentialError::Malformed));

        let mallory = IdentitySecret::from_seed([2; 32]);
        let claimed = encode(&alice.key(), &mallory.sign(&signed(&[7; 32])));
        assert_eq!(verify_leaf(&claimed, &[7; 32]), Err(CredentialError::Forged));
    }

    proptest! {
        #[test]
        fn any_change_of_a_credential_is_noticed(at in 0usize..102, bit in 0u8..8) {
            let mut credential = leaf_credential(&IdentitySecret::from_seed([1; 32]), &[7; 32]);
            credential[at] ^= 1 << bit;
            prop_assert!(verify_leaf(&credential, &[7; 32]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            prop_assert!(verify_leaf(&bytes, &[7; 32]).is_err());
        }
    }
}

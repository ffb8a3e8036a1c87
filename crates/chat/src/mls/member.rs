//! The leaf of somebody in a cluster.
//!
//! Its signing key is the MemberId: fresh for the membership, the same as long as that lasts. Its credential is a CBOR
//! array `[2, nickname]` in a BasicCredential (RFC 9420, 5.3). No key of ours is above it, so two memberships of one person
//! have nothing in common.

use openmls::{
    extensions::ExtensionType,
    key_packages::KeyPackage as MlsKeyPackage,
    prelude::{BasicCredential, Capabilities, CredentialType, CredentialWithKey, MlsMessageOut, ProtocolVersion},
};
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::OpenMlsProvider;
use samizdat_cluster::MemberId;

use super::{
    CIPHERSUITE,
    error::{KeyPackageError, StateError},
    keys::{self, KeyPackageHash, LeafSigner},
    limits::MAX_NICK,
    provider::Provider,
    unique::OwnKeys,
};

const VERSION: u8 = 2;
/// The extension of the group's context that holds the charter. A private number (RFC 9420, 17.3).
pub(super) const CONTEXT: u16 = 0xFA01;

/// A KeyPackage of our own by which we ask to become a member.
#[derive(Debug, Clone)]
pub struct MemberKeys {
    /// The encoded public half, an MLSMessage of about 2.7 KiB.
    pub bytes: Vec<u8>,
    /// Its name.
    pub hash: KeyPackageHash,
    /// Who we shall be.
    pub member: MemberId,
}

/// What a KeyPackage of somebody who wants to become a member says, after all its signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedMember {
    /// Its name.
    pub hash: KeyPackageHash,
    /// Whose it is.
    pub member: MemberId,
    /// What they want to be called.
    pub nick: String,
    /// What nobody else in the group may have.
    pub keys: OwnKeys,
}

/// Where the keys of a membership are before it begins.
pub(super) fn namespace(member: &MemberId) -> Vec<u8> {
    [b"member".as_slice(), &member.0].concat()
}

pub(super) fn credential(signer: &LeafSigner, nick: &str) -> CredentialWithKey {
    let mut e = minicbor::Encoder::new(Vec::new());
    // Writing to a Vec cannot fail.
    let _ = e.array(2).and_then(|e| e.u8(VERSION)?.str(nick));
    CredentialWithKey { credential: BasicCredential::new(e.into_writer()).into(), signature_key: signer.public().as_slice().into() }
}

pub(super) fn nick(credential: &[u8]) -> Option<String> {
    let mut d = minicbor::Decoder::new(credential);
    if d.array().ok()? != Some(2) || d.u8().ok()? != VERSION {
        return None;
    }
    let nick = d.str().ok()?;
    let good = is_nick(nick) && d.position() == credential.len();
    good.then(|| nick.to_owned())
}

/// Whether it can be shown and typed.
pub(super) fn is_nick(nick: &str) -> bool {
    !nick.trim().is_empty() && nick.trim() == nick && nick.len() <= MAX_NICK && !nick.chars().any(char::is_control)
}

pub(super) fn make(provider: &Provider<'_, '_>, signer: &LeafSigner, nick: &str) -> Result<MemberKeys, StateError> {
    let bundle = MlsKeyPackage::builder()
        .key_package_lifetime(keys::unlimited())
        .leaf_node_capabilities(capabilities())
        .mark_as_last_resort()
        .build(CIPHERSUITE, provider, signer, credential(signer, nick))
        .map_err(StateError::library)?;
    let hash = keys::hash(bundle.key_package(), provider.crypto()).ok_or_else(|| StateError::library("no hash"))?;
    let bytes = MlsMessageOut::from(bundle.key_package().clone()).to_bytes().map_err(StateError::library)?;
    Ok(MemberKeys { bytes, hash, member: MemberId(signer.public()) })
}

pub(super) fn verify(bytes: &[u8], crypto: &CryptoProvider) -> Result<(MlsKeyPackage, InspectedMember), KeyPackageError> {
    let package = keys::parse(bytes).ok_or(KeyPackageError::Malformed)?;
    let package = package.validate(crypto, ProtocolVersion::Mls10).map_err(|e| KeyPackageError::Invalid(e.into()))?;
    if package.ciphersuite() != CIPHERSUITE {
        return Err(KeyPackageError::Suite);
    }
    let leaf = package.leaf_node();
    // Or no Commit could add it, whatever members decide.
    if !leaf.capabilities().extensions().contains(&ExtensionType::Unknown(CONTEXT)) {
        return Err(KeyPackageError::Malformed);
    }
    let nick = nick(leaf.credential().serialized_content()).ok_or(KeyPackageError::Malformed)?;
    let member = leaf.signature_key().as_slice().try_into().map(MemberId).map_err(|_| KeyPackageError::Malformed)?;
    let hash = keys::hash(&package, crypto).ok_or(KeyPackageError::Malformed)?;
    let keys = OwnKeys::of(&package)?;
    Ok((package, InspectedMember { hash, member, nick, keys }))
}

/// What a leaf of ours in a cluster can do.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::LastResort, ExtensionType::Unknown(CONTEXT)]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

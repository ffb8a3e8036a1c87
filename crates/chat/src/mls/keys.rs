//! The keys by which a leaf enters a group: KeyPackages (RFC 9420, 10) and the leaf's signing key.

use core::fmt;

use openmls::{
    key_packages::{KeyPackage as MlsKeyPackage, KeyPackageIn, Lifetime},
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, ExtensionType, MlsMessageBodyIn, MlsMessageIn,
        MlsMessageOut, ProtocolVersion, SignatureScheme, tls_codec::DeserializeBytes,
    },
};
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    signatures::{Signer, SignerError},
};
use samizdat_core::identity::{IdentityKey, IdentitySecret};
use zeroize::Zeroizing;

use super::{
    CIPHERSUITE,
    credential::{leaf_credential, verify_leaf},
    error::{KeyPackageError, StateError},
    limits::MAX_KEY_PACKAGE,
    provider::{Provider, Rand},
    storage::{Label, Storage, StorageError},
};

/// Names one KeyPackage: its KeyPackageRef (RFC 9420, 5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPackageHash(pub [u8; 32]);

impl fmt::Debug for KeyPackageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPackageHash(..)")
    }
}

/// A KeyPackage of our own, ready to be announced.
#[derive(Debug, Clone)]
pub struct KeyPackage {
    /// The encoded public half, an MLSMessage of about 2.7 KiB.
    pub bytes: Vec<u8>,
    /// Its name.
    pub hash: KeyPackageHash,
}

/// What a KeyPackage says, after all its signatures were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Its name.
    pub hash: KeyPackageHash,
    /// Whose it is.
    pub identity: IdentityKey,
}

/// Where the private halves of the KeyPackages of `identity` are. One namespace each, so that a Welcome for one of a
/// person's identities cannot be opened through another one, which would show that they belong together.
pub(super) fn key_namespace(identity: &IdentityKey) -> Vec<u8> {
    [b"keys".as_slice(), &identity.0].concat()
}

pub(super) fn make(provider: &Provider<'_, '_>, identity: &IdentitySecret) -> Result<KeyPackage, StateError> {
    let signer = LeafSigner::generate(provider.rand())?;
    let bundle = MlsKeyPackage::builder()
        .key_package_lifetime(unlimited())
        .leaf_node_capabilities(capabilities())
        .mark_as_last_resort()
        .build(CIPHERSUITE, provider, &signer, signer.credential(identity))
        .map_err(StateError::library)?;
    let hash = hash(bundle.key_package(), provider.crypto()).ok_or_else(|| StateError::library("no hash"))?;
    signer.store(&provider.storage, &hash.0)?;
    let bytes = MlsMessageOut::from(bundle.key_package().clone()).to_bytes().map_err(StateError::library)?;
    Ok(KeyPackage { bytes, hash })
}

pub(super) fn forget(storage: &Storage<'_>, hash: &KeyPackageHash) -> Result<(), StorageError> {
    storage.remove(Label::LeafSeed, &hash.0)?;
    // A KeyPackageRef cannot be made from its bytes; this is how it is encoded.
    storage.remove(Label::KeyPackage, &KeyPackageRef { value: Bytes { vec: &hash.0 } })
}

pub(super) fn verify(bytes: &[u8], crypto: &CryptoProvider) -> Result<(MlsKeyPackage, Inspected), KeyPackageError> {
    let package = parse(bytes).ok_or(KeyPackageError::Malformed)?;
    let package = package.validate(crypto, ProtocolVersion::Mls10).map_err(|e| KeyPackageError::Invalid(e.into()))?;
    if package.ciphersuite() != CIPHERSUITE {
        return Err(KeyPackageError::Suite);
    }
    let leaf = package.leaf_node();
    let identity = verify_leaf(leaf.credential().serialized_content(), leaf.signature_key().as_slice())?;
    let hash = hash(&package, crypto).ok_or(KeyPackageError::Malformed)?;
    Ok((package, Inspected { hash, identity }))
}

pub(super) fn parse(bytes: &[u8]) -> Option<KeyPackageIn> {
    if bytes.len() > MAX_KEY_PACKAGE {
        return None;
    }
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?.extract() {
        MlsMessageBodyIn::KeyPackage(package) => Some(package),
        _ => None,
    }
}

pub(super) fn hash(package: &MlsKeyPackage, crypto: &impl OpenMlsCrypto) -> Option<KeyPackageHash> {
    package.hash_ref(crypto).ok()?.as_slice().try_into().ok().map(KeyPackageHash)
}

/// What a leaf of ours can do. Short, since it is in every KeyPackage and every tree.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::LastResort]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

/// How long a KeyPackage is good is a matter of the announcement that carries it, and of [`forget`]. The library would
/// compare this field with a clock of its own, which a machine must not have.
pub(super) fn unlimited() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

/// The signing key of one leaf. Ed25519, as identities are, but never one of them.
pub(super) struct LeafSigner(IdentitySecret);

impl LeafSigner {
    pub(super) fn generate(rand: &Rand<'_>) -> Result<Self, StateError> {
        let seed = Zeroizing::new(rand.random_array().map_err(StateError::library)?);
        Ok(Self(IdentitySecret::from_seed(*seed)))
    }

    pub(super) fn credential(&self, identity: &IdentitySecret) -> CredentialWithKey {
        let leaf = self.0.key().0;
        CredentialWithKey {
            credential: BasicCredential::new(leaf_credential(identity, &leaf)).into(),
            signature_key: leaf.as_slice().into(),
        }
    }

    /// The public half: a MemberId.
    pub(super) fn public(&self) -> [u8; 32] {
        self.0.key().0
    }

    /// The secret itself, for what is signed outside of MLS.
    pub(super) fn secret(&self) -> &IdentitySecret {
        &self.0
    }

    pub(super) fn store(&self, storage: &Storage<'_>, key: &[u8]) -> Result<(), StateError> {
        Ok(storage.put(Label::LeafSeed, &key, self.0.seed())?)
    }

    pub(super) fn load(storage: &Storage<'_>, key: &[u8]) -> Result<Option<Self>, StateError> {
        let seed: Option<[u8; 32]> = storage.get(Label::LeafSeed, &key)?;
        Ok(seed.map(|seed| Self(IdentitySecret::from_seed(seed))))
    }
}

impl Signer for LeafSigner {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[derive(serde::Serialize)]
struct KeyPackageRef<'a> {
    value: Bytes<'a>,
}

#[derive(serde::Serialize)]
struct Bytes<'a> {
    vec: &'a [u8],
}

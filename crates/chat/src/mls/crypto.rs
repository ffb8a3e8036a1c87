//! The cryptography of the suite: libcrux, but for what draws randomness, and for what most of the time went into.
//!
//! libcrux asks the operating system for randomness inside HPKE, so a run could not be repeated from its seed. Sealing
//! is therefore done with the HPKE that `samizdat_core::seal` uses, under the caller's randomness; opening stays with
//! libcrux, and every Welcome and Commit of the tests goes from one to the other.
//!
//! Each message of a group has a signature, each proposal two, and each Commit hashes a tree: that is done as everywhere else in
//! this program, which takes a third of the time.

use hpke::{
    Deserializable, OpModeS, PskBundle, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing, setup_sender_with_rng,
    single_shot_seal_with_rng,
};
use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{
    crypto::{HpkeSealPskResolvedAadError, OpenMlsCrypto},
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair, KemOutput,
        SignatureScheme,
    },
};

use samizdat_core::IdentityKey;
use sha2::{Digest, Sha256};

use super::{CIPHERSUITE, provider::Rand};

/// Cryptography for one piece of work.
#[derive(Clone, Copy)]
pub(super) struct Crypto<'a, 'r> {
    pub(super) libcrux: &'a CryptoProvider,
    pub(super) rand: &'a Rand<'r>,
}

impl OpenMlsCrypto for Crypto<'_, '_> {
    fn supports(&self, suite: Ciphersuite) -> Result<(), CryptoError> {
        if suite == CIPHERSUITE { Ok(()) } else { Err(CryptoError::UnsupportedCiphersuite) }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![CIPHERSUITE]
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        is_ours(&config)?;
        let to = <XWing as hpke::Kem>::PublicKey::from_bytes(to).map_err(|_| CryptoError::SenderSetupError)?;
        let (encapsulation, ciphertext) = self
            .rand
            .with(|rng| {
                single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&OpModeS::Base, &to, info, plaintext, aad, rng)
            })
            .map_err(|_| CryptoError::InsufficientRandomness)?
            .map_err(|_| CryptoError::HpkeEncryptionError)?;
        Ok(HpkeCiphertext { kem_output: encapsulation.to_bytes().to_vec().into(), ciphertext: ciphertext.into() })
    }

    /// For one member of a group; opening is libcrux's, as above.
    fn hpke_seal_psk_resolved_aad<F, E>(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        plaintext: &[u8],
        psk: &[u8],
        psk_id: &[u8],
        aad: F,
    ) -> Result<HpkeCiphertext, HpkeSealPskResolvedAadError<E>>
    where
        F: FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    {
        let failed = HpkeSealPskResolvedAadError::CryptoError;
        is_ours(&config).map_err(failed)?;
        let to = <XWing as hpke::Kem>::PublicKey::from_bytes(to).map_err(|_| failed(CryptoError::SenderSetupError))?;
        let psk = PskBundle::new(psk, psk_id).map_err(|_| failed(CryptoError::SenderSetupError))?;
        let (encapsulation, mut sender) = self
            .rand
            .with(|rng| setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&OpModeS::Psk(psk), &to, info, rng))
            .map_err(|_| failed(CryptoError::InsufficientRandomness))?
            .map_err(|_| failed(CryptoError::SenderSetupError))?;
        let encapsulation = encapsulation.to_bytes().to_vec();
        let aad = aad(&encapsulation).map_err(HpkeSealPskResolvedAadError::AadBuildError)?;
        let ciphertext = sender.seal(plaintext, &aad).map_err(|_| failed(CryptoError::HpkeEncryptionError))?;
        Ok(HpkeCiphertext { kem_output: encapsulation.into(), ciphertext: ciphertext.into() })
    }

    fn hpke_open_psk(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
        psk: &[u8],
        psk_id: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.libcrux.hpke_open_psk(config, input, key, info, aad, psk, psk_id)
    }

    /// Only for joining from outside (RFC 9420, 12.4.3.2), which nobody does.
    fn hpke_setup_sender_and_export(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        Err(CryptoError::SenderSetupError)
    }

    /// Leaf keys are made by [`LeafSigner`](super::keys::LeafSigner).
    fn signature_key_gen(&self, _: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.libcrux.hkdf_extract(hash, salt, ikm)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.libcrux.hmac(hash, key, message)
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        self.libcrux.hkdf_expand(hash, prk, info, len)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match hash {
            HashType::Sha2_256 => Ok(Sha256::digest(data).to_vec()),
            _ => self.libcrux.hash(hash, data),
        }
    }

    fn aead_encrypt(&self, alg: AeadType, key: &[u8], data: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        #[cfg(feature = "watch")]
        super::watch::note(key, nonce, data, aad);
        self.libcrux.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(&self, alg: AeadType, key: &[u8], data: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.libcrux.aead_decrypt(alg, key, data, nonce, aad)
    }

    fn verify_signature(&self, alg: SignatureScheme, data: &[u8], key: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let (SignatureScheme::ED25519, Ok(key), Ok(signature)) = (alg, key.try_into(), signature.try_into()) else {
            return Err(CryptoError::InvalidSignature);
        };
        IdentityKey(key).verify(data, signature).map_err(|_| CryptoError::InvalidSignature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.libcrux.sign(alg, data, key)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.libcrux.hpke_open(config, input, key, info, aad)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        encapsulation: &[u8],
        key: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        self.libcrux.hpke_setup_receiver_and_export(config, encapsulation, key, info, context, len)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        self.libcrux.derive_hpke_keypair(config, ikm)
    }
}

fn is_ours(config: &HpkeConfig) -> Result<(), CryptoError> {
    let HpkeConfig(kem, kdf, aead) = CIPHERSUITE.hpke_config();
    let ours = config.0 == kem && config.1 == kdf && config.2 == aead;
    if ours { Ok(()) } else { Err(CryptoError::UnsupportedCiphersuite) }
}

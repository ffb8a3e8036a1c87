//! Keys of links that a quantum computer does not break: X25519MLKEM768 of TLS 1.3 (draft-ietf-tls-ecdhe-mlkem).
//!
//! Both parts are those of libraries; here is how they are put together, and nothing else. The share of the client is an
//! ML-KEM-768 encapsulation key and an X25519 key, the share of the server a ciphertext and an X25519 key, the secret both
//! secrets, ML-KEM always first. Whoever does not know it gets X25519: who we are is proven by Ed25519 alone in any case.

use std::ops::IndexMut;
use std::sync::{Arc, LazyLock};

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use rustls::crypto::ring::{self, kx_group::X25519};
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize, Zeroizing};

const ENCAPSULATION_KEY_LEN: usize = MlKem768PublicKey::len();
const CIPHERTEXT_LEN: usize = MlKem768Ciphertext::len();
const X25519_LEN: usize = 32;
const INVALID: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// The cryptography of every TLS connection of this crate: that of ring, with the hybrid before X25519.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let kx_groups: Vec<&'static dyn SupportedKxGroup> = vec![&X25519MlKem768, X25519];
        Arc::new(CryptoProvider { kx_groups, ..ring::default_provider() })
    });
    PROVIDER.clone()
}

#[derive(Debug)]
struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let (key, encapsulation_key) = mlkem768::generate_key_pair(*random::<64>()?).into_parts();
        let share = [encapsulation_key.as_slice(), classical.pub_key()].concat();
        Ok(Box::new(Started { key: Decapsulation(Box::new(key)), classical, share }))
    }

    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (encapsulation_key, theirs) = parts::<ENCAPSULATION_KEY_LEN>(client_share)?;
        let encapsulation_key = MlKem768PublicKey::from(encapsulation_key);
        if !mlkem768::validate_public_key(&encapsulation_key) {
            return Err(INVALID);
        }
        let classical = X25519.start_and_complete(theirs)?;
        let (ciphertext, secret) = mlkem768::encapsulate(&encapsulation_key, *random::<32>()?);
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [ciphertext.as_slice(), classical.pub_key.as_slice()].concat(),
            secret: join(Zeroizing::new(secret), &classical.secret),
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The client's side while it waits for the server's share.
struct Started {
    key: Decapsulation,
    classical: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let Self { key, classical, .. } = *self;
        let (ciphertext, theirs) = parts::<CIPHERTEXT_LEN>(server_share)?;
        let classical = classical.complete(theirs)?;
        // A wrong ciphertext gives a secret that nobody has, and the handshake fails on it.
        let secret = mlkem768::decapsulate(&key.0, &MlKem768Ciphertext::from(ciphertext));
        Ok(join(Zeroizing::new(secret), &classical))
    }

    /// The X25519 key is offered alone as well, so that whoever knows nothing else needs no second try.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(server_share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// Wiped when it goes; the library's own type is not.
struct Decapsulation(Box<MlKem768PrivateKey>);

impl Drop for Decapsulation {
    fn drop(&mut self) {
        IndexMut::index_mut(&mut *self.0, ..MlKem768PrivateKey::len()).zeroize();
    }
}

/// A share in its two parts, if it has their lengths.
fn parts<const N: usize>(share: &[u8]) -> Result<(&[u8; N], &[u8]), Error> {
    share.split_first_chunk::<N>().filter(|(_, classical)| classical.len() == X25519_LEN).ok_or(INVALID)
}

fn join(post_quantum: Zeroizing<[u8; 32]>, classical: &SharedSecret) -> SharedSecret {
    // Wiped by its type.
    SharedSecret::from([post_quantum.as_slice(), classical.secret_bytes()].concat())
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;

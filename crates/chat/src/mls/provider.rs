//! What OpenMLS asks its surroundings for: cryptography, randomness, storage.

use std::sync::Mutex;

use openmls_traits::{OpenMlsProvider, random::OpenMlsRand};
use rand_core::CryptoRng;

use super::{crypto::Crypto, storage::Storage};

/// The surroundings for one piece of work on one namespace.
pub(super) struct Provider<'a, 'r> {
    pub(super) crypto: Crypto<'a, 'r>,
    pub(super) storage: Storage<'a>,
}

impl<'a, 'r> OpenMlsProvider for Provider<'a, 'r> {
    type CryptoProvider = Crypto<'a, 'r>;
    type RandProvider = Rand<'r>;
    type StorageProvider = Storage<'a>;

    fn storage(&self) -> &Storage<'a> {
        &self.storage
    }

    fn crypto(&self) -> &Crypto<'a, 'r> {
        &self.crypto
    }

    fn rand(&self) -> &Rand<'r> {
        self.crypto.rand
    }
}

/// The caller's randomness, behind the shared reference that the library wants.
pub(super) struct Rand<'r>(Mutex<&'r mut (dyn CryptoRng + Send)>);

/// The source of randomness broke down while it was in use.
#[derive(Debug, thiserror::Error)]
#[error("the source of randomness broke down")]
pub(super) struct Broken;

impl<'r> Rand<'r> {
    pub(super) fn new(rng: &'r mut (dyn CryptoRng + Send)) -> Self {
        Self(Mutex::new(rng))
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut &'r mut (dyn CryptoRng + Send)) -> T) -> Result<T, Broken> {
        Ok(work(&mut *self.0.lock().map_err(|_| Broken)?))
    }
}

impl OpenMlsRand for Rand<'_> {
    type Error = Broken;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Broken> {
        let mut out = [0; N];
        self.with(|rng| rng.fill_bytes(&mut out))?;
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Broken> {
        let mut out = vec![0; len];
        self.with(|rng| rng.fill_bytes(&mut out))?;
        Ok(out)
    }
}

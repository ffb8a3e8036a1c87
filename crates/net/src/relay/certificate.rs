//! The certificate of a relay: self-signed, known by its hash, kept by whoever owns the node.

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use samizdat_core::record::{CERTIFICATE_HASH_LEN, certificate_hash};
use zeroize::Zeroizing;

use crate::hybrid;

/// The name in every certificate. It says nothing: clients compare hashes.
const SUBJECT: &str = "relay.invalid";

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    certificate: CertificateDer<'static>,
    key: Zeroizing<Vec<u8>>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The library could not make one.
    #[error("no certificate could be made")]
    Make,
    /// What was kept is not one.
    #[error("the kept certificate is broken")]
    Broken,
}

impl Certificate {
    /// A fresh one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, CertificateError> {
        let key = KeyPair::generate().map_err(|_| CertificateError::Make)?;
        let params = CertificateParams::new(vec![SUBJECT.to_owned()]).map_err(|_| CertificateError::Make)?;
        let certificate = params.self_signed(&key).map_err(|_| CertificateError::Make)?;
        Ok(Self { certificate: certificate.der().clone(), key: Zeroizing::new(key.serialize_der()) })
    }

    /// For the vault: the length of the certificate in 4 bytes, big-endian, the certificate, the key (PKCS #8).
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length = u32::try_from(self.certificate.len()).unwrap_or(u32::MAX).to_be_bytes();
        Zeroizing::new([&length[..], &self.certificate, &self.key].concat())
    }

    /// What [`Certificate::to_bytes`] made.
    ///
    /// # Errors
    /// When it did not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(CertificateError::Broken)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CertificateError::Broken)?;
        let (certificate, key) = rest.split_at_checked(length).ok_or(CertificateError::Broken)?;
        let made = Self { certificate: certificate.to_vec().into(), key: Zeroizing::new(key.to_vec()) };
        made.server_config()?;
        Ok(made)
    }

    /// What a node record says of it.
    pub fn hash(&self) -> [u8; CERTIFICATE_HASH_LEN] {
        certificate_hash(&self.certificate)
    }

    pub(crate) fn server_config(&self) -> Result<ServerConfig, CertificateError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_vec()));
        ServerConfig::builder_with_provider(hybrid::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| CertificateError::Broken)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(|_| CertificateError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_and_comes_back() {
        let made = Certificate::generate().unwrap();
        let back = Certificate::from_bytes(&made.to_bytes()).unwrap();
        assert_eq!(back.hash(), made.hash());
        assert_ne!(Certificate::generate().unwrap().hash(), made.hash());
    }

    #[test]
    fn a_broken_one_is_told() {
        let bytes = Certificate::generate().unwrap().to_bytes();
        for end in [0, 3, 4, 100, bytes.len().saturating_sub(1)] {
            assert_eq!(Certificate::from_bytes(&bytes[..end]).err(), Some(CertificateError::Broken), "{end}");
        }
    }
}

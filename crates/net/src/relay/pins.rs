//! Which certificate belongs to which relay. No authority is asked: a relay is who its hash says.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iroh_relay::tls::CaTlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use samizdat_core::record::{CERTIFICATE_HASH_LEN, certificate_hash};

use super::names::addr_of;
use crate::hybrid;
use crate::limits::PINS_MAX;

/// Hashes by the address at which they may be shown. Clones share the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    hashes: BTreeMap<(IpAddr, [u8; CERTIFICATE_HASH_LEN]), ()>,
    /// Oldest first, for what strangers told of.
    order: VecDeque<(IpAddr, [u8; CERTIFICATE_HASH_LEN])>,
}

impl Pins {
    /// From now on `hash` will do at `ip`. Of more than [`PINS_MAX`] the oldest are forgotten.
    pub(crate) fn add(&self, ip: IpAddr, hash: [u8; CERTIFICATE_HASH_LEN]) {
        let pin = (ip.to_canonical(), hash);
        let mut table = self.table();
        if table.hashes.insert(pin, ()).is_some() {
            table.order.retain(|held| *held != pin);
        }
        table.order.push_back(pin);
        while table.order.len() > PINS_MAX {
            if let Some(oldest) = table.order.pop_front() {
                table.hashes.remove(&oldest);
            }
        }
    }

    pub(crate) fn tls_config(&self) -> CaTlsConfig {
        verified_by(Some(self.clone()))
    }

    /// TLS that takes these certificates and no others.
    pub(crate) fn client_config(&self) -> Option<ClientConfig> {
        self.tls_config().client_config(hybrid::provider()).ok()
    }

    /// TLS with whoever answers, for those who know nothing but an address.
    pub(crate) fn whoever() -> Option<ClientConfig> {
        verified_by(None).client_config(hybrid::provider()).ok()
    }

    fn holds(&self, ip: IpAddr, certificate: &[u8]) -> bool {
        self.table().hashes.contains_key(&(ip.to_canonical(), certificate_hash(certificate)))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verified_by(pins: Option<Pins>) -> CaTlsConfig {
    CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| {
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier { pins: pins.clone(), provider });
        Ok::<_, io::Error>(verifier)
    }))
}

#[derive(Debug)]
struct Verifier {
    /// Without them, any certificate will do.
    pins: Option<Pins>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(pins) = &self.pins else { return Ok(ServerCertVerified::assertion()) };
        let ip = match server_name {
            ServerName::IpAddress(ip) => Some((*ip).into()),
            ServerName::DnsName(name) => addr_of(name.as_ref()).map(|addr| addr.ip()),
            _ => None,
        };
        let ip = ip.ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))?;
        if pins.holds(ip, end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_will_do_at_its_own_relay_only() {
        let pins = Pins::default();
        let [here, there]: [IpAddr; 2] = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap());
        pins.add(here, certificate_hash(b"a certificate"));
        assert!(pins.holds(here, b"a certificate") && !pins.holds(there, b"a certificate") && !pins.holds(here, b"another"));
        // Two relays at one address, on two ports.
        pins.add(here, certificate_hash(b"another"));
        assert!(pins.holds(here, b"a certificate") && pins.holds(here, b"another"));
        assert!(pins.holds("::ffff:203.0.113.1".parse().unwrap(), b"another"));
    }

    #[test]
    fn strangers_fill_no_memory_with_pins() {
        let pins = Pins::default();
        let ip: IpAddr = "203.0.113.1".parse().unwrap();
        for n in 0..2 * PINS_MAX {
            pins.add(ip, certificate_hash(&n.to_be_bytes()));
            pins.add(ip, certificate_hash(b"in use"));
        }
        assert!(pins.holds(ip, b"in use"));
        let table = pins.table();
        assert_eq!((table.hashes.len(), table.order.len()), (PINS_MAX, PINS_MAX));
    }
}

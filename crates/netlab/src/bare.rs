//! The bare engine: iroh by itself, as relay, listener and dialer, to compare our own nodes with. Each prints one JSON line when it
//! is ready, and the dialer one with what it measured.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures_util::StreamExt;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, NetReportConfig, RelayConfig, RelayMap, RelayMode, RelayUrl, TransportAddr,
    dns::{BoxIter, DnsError, DnsResolver, Resolver, TxtRecordData},
    endpoint::{Connection, PortmapperConfig, presets},
    tls::CaTlsConfig,
};
use iroh_relay::{RelayQuicConfig, server, tls::default_provider};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use samizdat_core::record::Dual;
use samizdat_netlab::{Outcome, Ready, RelayContact, limits::PATIENCE};
use sha2::{Digest, Sha256};

use crate::node::listen_ip;

const ALPN: &[u8] = b"samizdat-netlab-echo/0";
const WORD: &[u8] = b"hello";
/// What a relay is called where it cannot be named by its address.
const NAME: &str = "relay.invalid";

/// Runs a relay at these addresses of this machine until it is killed.
pub(crate) async fn relay(addresses: &[IpAddr]) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(addresses.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let address = listen_ip(addresses);
    let certificate = made.cert.der().clone();
    let cert = hash(&certificate);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(default_provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    // The plain one, which nobody needs, stays inside the machine.
    let mut relay = server::RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
    relay.tls = Some(server::TlsConfig::new((address, 0), server::CertConfig::Manual { server_config: tls }));
    let mut config = server::ServerConfig::default();
    config.relay = Some(relay);
    config.quic = Some(server::QuicConfig::new((address, 0)));
    let server = server::Server::spawn(config).await?;
    let (https, quic) = (server.https_addr().context("no HTTPS")?, server.quic_addr().context("no QUIC")?);
    let https = Dual::of(addresses.iter().map(|address| SocketAddr::new(*address, https.port()))).context("no address")?;
    ready(&RelayContact { https, quic: quic.port(), cert })?;
    std::future::pending().await
}

/// Echoes every stream until it is killed.
pub(crate) async fn listen(relay: RelayContact) -> Result<()> {
    let (endpoint, _) = endpoint(relay).await?;
    ready(&endpoint.id())?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            let (mut send, mut receive) = connection.accept_bi().await?;
            tokio::io::copy(&mut receive, &mut send).await?;
            send.finish()?;
            connection.closed().await;
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// Dials `to`, which has the same home relay, and prints how that went, after waiting up to `wait` for a direct path.
pub(crate) async fn dial(relay: RelayContact, to: EndpointId, wait: Duration) -> Result<()> {
    let (endpoint, url) = endpoint(relay).await?;
    let begun = Instant::now();
    let connection = limited(endpoint.connect(EndpointAddr::new(to).with_relay_url(url), ALPN)).await??;
    let connected_ms = millis(begun);
    let first_byte = async { limited(echo(&connection)).await?.map(|()| millis(begun)) };
    let direct = async { tokio::time::timeout(wait, direct(&connection)).await.ok().map(|()| millis(begun)) };
    let (first_byte_ms, direct_ms) = tokio::join!(first_byte, direct);
    let selected = connection.paths().iter().find(|path| path.is_selected()).map(|path| match path.remote_addr() {
        TransportAddr::Ip(address) => address.to_string(),
        TransportAddr::Relay(url) => url.to_string(),
        other => format!("{other:?}"),
    });
    let path = selected.unwrap_or_default();
    println!("{}", serde_json::to_string(&Outcome { connected_ms, first_byte_ms: first_byte_ms?, direct_ms, path })?);
    endpoint.close().await;
    Ok(())
}

/// Sends a word and waits for the first byte that comes back.
async fn echo(connection: &Connection) -> Result<()> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(WORD).await?;
    send.finish()?;
    receive.read_exact(&mut [0]).await?;
    Ok(())
}

/// Waits until packets go to the other's address, not by the relay.
async fn direct(connection: &Connection) {
    let mut paths = connection.paths_stream();
    while let Some(paths) = paths.next().await {
        if paths.iter().any(|path| path.is_selected() && path.is_ip()) {
            return;
        }
    }
    std::future::pending().await
}

/// An endpoint that knows one relay, and is there to be found.
async fn endpoint(relay: RelayContact) -> Result<(Endpoint, RelayUrl)> {
    // iroh-relay 1.4.1 cannot connect to an IPv6 address in a URL: the brackets get into the name for TLS.
    let https = relay.https.iter().find(has_route).unwrap_or(relay.https.first());
    let host = if https.is_ipv6() { NAME.to_owned() } else { https.ip().to_string() };
    let url: RelayUrl = format!("https://{host}:{}/", https.port()).parse()?;
    let pin = Arc::new(Trust { cert: relay.cert, provider: default_provider() });
    let verifier = move |_: Arc<CryptoProvider>| io::Result::Ok(Arc::clone(&pin) as Arc<dyn ServerCertVerifier>);
    // Where UDP is blocked, only these find the relay.
    let mut report = NetReportConfig::minimal();
    report.https_probes = true;
    let endpoint = Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Custom(RelayMap::empty()))
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(report)
        .ca_tls_config(CaTlsConfig::custom_server_cert_verifier(Arc::new(verifier)))
        .dns_resolver(DnsResolver::custom(Names { relay: https.ip() }))
        .bind()
        .await?;
    let config = RelayConfig::new(url.clone(), Some(RelayQuicConfig::new(relay.quic)));
    endpoint.insert_relay(url.clone(), Arc::new(config)).await;
    limited(endpoint.online()).await.context("the relay is not reached")?;
    Ok((endpoint, url))
}

/// Whether this machine speaks that version of IP. No packet is sent.
fn has_route(addr: &SocketAddr) -> bool {
    let from: IpAddr = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((from, 0)).and_then(|socket| socket.connect(addr)).is_ok()
}

async fn limited<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| anyhow!("nothing happened for {PATIENCE:?}"))
}

fn ready(contact: &impl ToString) -> Result<()> {
    println!("{}", serde_json::to_string(&Ready { contact: contact.to_string() })?);
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn hash(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Knows one name, and asks nobody.
#[derive(Debug, Clone, Copy)]
struct Names {
    relay: IpAddr,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<BoxIter<T>, DnsError>> + Send>>;

fn answer<T: Send + 'static>(known: Option<T>) -> Answer<T> {
    Box::pin(std::future::ready(Ok(Box::new(known.into_iter()) as BoxIter<T>)))
}

impl Resolver for Names {
    fn lookup_ipv4(&self, host: String) -> Answer<Ipv4Addr> {
        answer(match self.relay {
            IpAddr::V4(address) if host == NAME => Some(address),
            _ => None,
        })
    }

    fn lookup_ipv6(&self, host: String) -> Answer<Ipv6Addr> {
        answer(match self.relay {
            IpAddr::V6(address) if host == NAME => Some(address),
            _ => None,
        })
    }

    fn lookup_txt(&self, _: String) -> Answer<TxtRecordData> {
        answer(None)
    }

    fn clear_cache(&self) {}

    fn reset(&self) -> Box<dyn Resolver> {
        Box::new(*self)
    }
}

/// Trusts the one certificate that the relay was told to have, whoever signed it.
#[derive(Debug)]
struct Trust {
    cert: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match hash(end_entity) == self.cert {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_certificate_with_that_hash_is_trusted() {
        let [honest, mallory] = [0, 1].map(|_| {
            let made = rcgen::generate_simple_self_signed(["203.0.113.10".to_owned()]).unwrap();
            made.cert.der().clone()
        });
        let pin = Trust { cert: hash(&honest), provider: default_provider() };
        let name = ServerName::try_from("203.0.113.10").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::ZERO);
        assert!(pin.verify_server_cert(&honest, &[], &name, &[], now).is_ok());
        assert!(pin.verify_server_cert(&mallory, &[honest], &name, &[], now).is_err());
    }
}

//! Dialling somebody back who wants to know whether strangers can: from a socket of its own, under a key of its own, so that
//! neither his router nor ours has seen it before.

use std::net::SocketAddr;
use std::sync::Arc;

use iroh::endpoint::{NetReportConfig, PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use rustls::pki_types::ServerName;
use samizdat_core::PeerId;
use samizdat_core::record::CERTIFICATE_HASH_LEN;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::NetEvent;
use crate::hybrid;
use crate::limits::CHECK_PATIENCE;
use crate::peers::Peers;
use crate::question::ALPN;
use crate::relay::{self, Names, Pins};

impl Peers {
    pub(crate) fn check(
        self: &Arc<Self>,
        token: u64,
        peer: PeerId,
        at: SocketAddr,
        relay: Option<(SocketAddr, [u8; CERTIFICATE_HASH_LEN])>,
    ) {
        // Nobody is dialled from here but through the proxy, which proves nothing. Who asked will ask another.
        let Some(events) = self.events().filter(|_| !self.proxied) else { return };
        let peers = self.clone();
        self.runtime.spawn(async move {
            let relay_answers = async {
                match relay {
                    Some((at, certificate)) => timeout(CHECK_PATIENCE, relay_is_there(at, certificate)).await.ok().flatten(),
                    None => None,
                }
            };
            let both = async { tokio::join!(timeout(CHECK_PATIENCE, endpoint_is_there(peer, at)), relay_answers) };
            let Some((endpoint, relay)) = peers.while_open(both).await else { return };
            let checked = NetEvent::Checked { token, endpoint: endpoint.ok().flatten().is_some(), relay: relay.is_some() };
            let _ = events.send(checked).await;
        });
    }
}

impl Peers {
    pub(crate) fn introduce(self: &Arc<Self>, at: SocketAddr, unix_s: u64) {
        let Some(events) = self.events().filter(|_| !self.proxied) else { return };
        let peers = self.clone();
        self.runtime.spawn(async move {
            let fetched = peers.while_open(timeout(CHECK_PATIENCE, relay::fetch(at, unix_s))).await;
            let record = fetched.and_then(Result::ok).flatten().map(Box::new);
            let _ = events.send(NetEvent::Introduced { at, record }).await;
        });
    }
}

impl Peers {
    /// What comes of `work`, unless the node is closed before: then no packet is sent any more.
    async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.closed() => None,
            done = work => Some(done),
        }
    }
}

async fn endpoint_is_there(peer: PeerId, at: SocketAddr) -> Option<()> {
    let id = EndpointId::from_bytes(&peer.0).ok()?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).ok()?;
    let unspecified: SocketAddr = if at.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let endpoint = Endpoint::builder(presets::Minimal)
        .crypto_provider(hybrid::provider())
        .secret_key(SecretKey::from_bytes(&secret))
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .dns_resolver(Names::new(mpsc::channel(1).0).resolver())
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .clear_ip_transports()
        .bind_addr(unspecified)
        .ok()?
        .bind()
        .await
        .ok()?;
    let connected = endpoint.connect(EndpointAddr::from_parts(id, [TransportAddr::Ip(at)]), ALPN).await.ok();
    endpoint.close().await;
    connected.map(|_| ())
}

async fn relay_is_there(at: SocketAddr, certificate: [u8; CERTIFICATE_HASH_LEN]) -> Option<()> {
    let pins = Pins::default();
    pins.add(at.ip(), certificate);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(pins.client_config()?));
    let stream = TcpStream::connect(at).await.ok()?;
    connector.connect(ServerName::from(at.ip()), stream).await.ok().map(|_| ())
}

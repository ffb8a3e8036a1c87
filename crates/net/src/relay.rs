//! A relay for others, where the person or operator agreed: packets of peers that cannot reach each other, and their
//! address as seen from outside. What passes is encrypted between those peers; a relay sees who, when and how much.
//!
//! The protocol is that of iroh: WebSocket over HTTPS (TCP), and QUIC address discovery (UDP). The certificate is
//! self-signed; whoever comes knows its hash from the node record that names this relay.

mod certificate;
mod client;
mod connection;
mod deaths;
mod introduce;
mod names;
mod pins;
mod place;
mod places;
mod quota;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use iroh_relay::server::{QuicConfig, Server, ServerConfig};
use samizdat_core::NodeRecord;
use samizdat_core::record::RelayService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use certificate::{Certificate, CertificateError};
pub use places::RelayUse;

pub use client::RelayAt;
pub(crate) use client::{Ours, keep};
pub(crate) use deaths::watch as watch_deaths;
pub(crate) use introduce::fetch;
pub(crate) use names::{Doubt, Names, addr_of, addr_of_url, url};
pub(crate) use pins::Pins;
pub(crate) use place::{has_route, in_use, place, place_beside};

use crate::limits::RelayLimits;
use places::Places;

/// What a relay needs.
pub struct RelayConfig {
    /// Where HTTPS listens, TCP; port 0 any free one.
    pub listen: SocketAddr,
    /// Where address discovery listens, UDP; port 0 any free one.
    pub discovery: SocketAddr,
    /// The certificate that its node record names.
    pub certificate: Certificate,
    /// Quotas.
    pub limits: RelayLimits,
}

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The TCP port cannot be had.
    #[error("cannot listen on TCP {0}")]
    Tcp(SocketAddr, #[source] io::Error),
    /// The UDP port cannot be had.
    #[error("cannot listen on UDP {0}")]
    Udp(SocketAddr),
    /// The certificate is of no use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A running relay. Dropping it ends it and every connection through it.
pub struct Relay {
    service: RelayService,
    places: Arc<Places>,
    accepting: AbortHandle,
    record: watch::Sender<Vec<u8>>,
    _discovery: Server,
}

impl Relay {
    /// Begins to serve. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be had or the certificate is broken.
    pub async fn start(config: RelayConfig) -> Result<Self, RelayError> {
        let RelayConfig { listen, discovery, certificate, limits } = config;
        let tls = certificate.server_config()?;
        let listener = TcpListener::bind(listen).await.map_err(|error| RelayError::Tcp(listen, error))?;
        let port = listener.local_addr().map_err(|error| RelayError::Tcp(listen, error))?.port();
        let mut server = ServerConfig::default();
        let mut quic = QuicConfig::new(discovery);
        quic.server_config = Some(tls.clone());
        server.quic = Some(quic);
        let server = Server::spawn(server).await.map_err(|_| RelayError::Udp(discovery))?;
        let discovery_port = server.quic_addr().ok_or(RelayError::Udp(discovery))?.port();
        let places = Arc::new(Places::new(limits));
        let (record, shown) = watch::channel(Vec::new());
        let accepting = tokio::spawn(serve::run(listener, Arc::new(tls), places.clone(), shown)).abort_handle();
        let service = RelayService { port, discovery_port, certificate: certificate.hash() };
        Ok(Self { service, places, accepting, record, _discovery: server })
    }

    /// What the node record says of it.
    pub fn service(&self) -> RelayService {
        self.service
    }

    /// What newcomers are told who know nothing but this address: the record of this node, while it has one.
    pub fn show_record(&self, record: Option<&NodeRecord>) {
        self.record.send_replace(record.map(|record| record.bytes().to_vec()).unwrap_or_default());
    }

    /// How much it is used now.
    pub fn usage(&self) -> RelayUse {
        self.places.usage()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.places.close();
    }
}

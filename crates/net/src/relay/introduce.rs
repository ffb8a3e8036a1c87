//! Asking a relay of which nothing is known but its address who it is: how a newcomer with an invite link finds the network.
//!
//! Whoever stands between can answer as somebody else, and so can whoever made the link: what comes back is a stranger's record
//! like any other, and proves no more than that it belongs to the relay that was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use samizdat_core::NodeRecord;
use samizdat_core::limits::RECORD_MAX;
use samizdat_core::record::{CERTIFICATE_HASH_LEN, NodeRecordIn, certificate_hash};
use tokio::net::TcpStream;

use super::Pins;

/// Where a relay shows the record of its node.
pub(crate) const RECORD_PATH: &str = "/samizdat/record";

/// The record of the node whose relay serves HTTPS at `at`. `unix_s` is now, seconds since 1970.
pub(crate) async fn fetch(at: SocketAddr, unix_s: u64) -> Option<NodeRecord> {
    let (bytes, certificate) = ask(at).await?;
    let record = NodeRecordIn::decode(&bytes).ok()?.verify(unix_s).ok()?;
    is_of(&record, at, &certificate).then_some(record)
}

/// Whoever shows somebody else's record has not the certificate that it names.
fn is_of(record: &NodeRecord, at: SocketAddr, certificate: &[u8; CERTIFICATE_HASH_LEN]) -> bool {
    let fields = record.fields();
    fields.relay.is_some_and(|relay| relay.service.certificate == *certificate)
        && fields.relay_at().is_some_and(|dual| dual.has(at))
}

/// What is shown at [`RECORD_PATH`], and the hash of the certificate of whoever shows it.
async fn ask(at: SocketAddr) -> Option<(Bytes, [u8; CERTIFICATE_HASH_LEN])> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(Pins::whoever()?));
    let stream = TcpStream::connect(at).await.ok()?;
    let stream = connector.connect(ServerName::from(at.ip()), stream).await.ok()?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| certificate_hash(der))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(RECORD_PATH).header("host", at.to_string()).body(Empty::<Bytes>::new()).ok()?;
    let answer = async {
        let answer = sender.send_request(request).await.ok().filter(|answer| answer.status().is_success())?;
        let body = Limited::new(answer.into_body(), RECORD_MAX).collect().await.ok()?;
        Some(body.to_bytes())
    };
    // The connection must be driven until the answer is there, and no longer.
    tokio::select! {
        bytes = answer => Some((bytes?, certificate)),
        _ = connection => None,
    }
}

#[cfg(test)]
mod tests {
    use samizdat_core::PeerSecret;
    use samizdat_core::record::{NodeFields, RelayOffer, RelayService, Role, Roles};

    use super::*;
    use crate::limits::RelayLimits;
    use crate::{Certificate, Relay, RelayConfig};

    fn record(relay: RelayService) -> NodeRecord {
        let addrs: Vec<SocketAddr> = vec!["203.0.113.1:4001".parse().unwrap()];
        let relay = RelayOffer::on(relay, &addrs);
        let roles = Roles::default().with(Role::Relay);
        let fields = NodeFields { issued: 1_800_000_000, lifetime_s: 3600, roles, addrs, relay: Some(relay), via: vec![] };
        NodeRecord::sign(&PeerSecret([1; 32]), fields).unwrap()
    }

    #[tokio::test]
    async fn a_relay_says_who_it_is_while_it_has_a_record() {
        let certificate = Certificate::generate().unwrap();
        let loopback = "127.0.0.1:0".parse().unwrap();
        let config =
            RelayConfig { listen: loopback, discovery: loopback, certificate: certificate.clone(), limits: RelayLimits::default() };
        let relay = Relay::start(config).await.unwrap();
        let at = SocketAddr::new(loopback.ip(), relay.service().port);
        assert!(ask(at).await.is_none());
        let record = record(relay.service());
        relay.show_record(Some(&record));
        let (bytes, shown) = ask(at).await.unwrap();
        assert_eq!((bytes.as_ref(), shown), (record.bytes(), certificate.hash()));
        assert!(fetch(at, 1_800_000_000).await.is_none(), "it says that it is elsewhere");
        relay.show_record(None);
        assert!(ask(at).await.is_none());
    }

    #[test]
    fn mallory_cannot_show_carols_record_as_that_of_her_relay() {
        let carol = RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] };
        let at = |text: &str| text.parse().unwrap();
        assert!(is_of(&record(carol), at("203.0.113.1:443"), &[1; 32]));
        assert!(!is_of(&record(carol), at("203.0.113.1:443"), &[2; 32]), "another certificate");
        assert!(!is_of(&record(carol), at("203.0.113.2:443"), &[1; 32]), "another address");
        assert!(!is_of(&record(carol), at("203.0.113.1:444"), &[1; 32]), "another port");
    }
}

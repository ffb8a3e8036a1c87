//! The network shell of our nodes as relay, listener and dialler, bound as the daemon binds it. Each prints one JSON line when it is
//! ready, and the dialler one with what it measured.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use samizdat_core::{
    PeerId,
    record::{Dual, Via},
};
use samizdat_net::{Certificate, Config, Limits, Net, NetEvent, PathKind, PeerAddr, Relay, RelayAt, RelayConfig, RelayLimits};
use samizdat_netlab::{Outcome, Ready, RelayContact, limits::PATIENCE};
use tokio::sync::mpsc;

const WORD: &[u8] = b"hello";
/// How exactly it is known when packets went directly.
const LOOK: Duration = Duration::from_millis(1);

/// Runs a relay at these addresses of this machine until it is killed.
pub(crate) async fn relay(addresses: &[IpAddr]) -> Result<()> {
    let any = SocketAddr::new(listen_ip(addresses), 0);
    let certificate = Certificate::generate()?;
    let config = RelayConfig { listen: any, discovery: any, certificate, limits: RelayLimits::default() };
    let relay = Relay::start(config).await?;
    let service = relay.service();
    let https = Dual::of(addresses.iter().map(|address| SocketAddr::new(*address, service.port))).context("no address")?;
    ready(&RelayContact { https, quic: service.discovery_port, cert: service.certificate })?;
    std::future::pending().await
}

/// The one address, or every one of this machine.
pub(crate) fn listen_ip(addresses: &[IpAddr]) -> IpAddr {
    match addresses {
        [address] => *address,
        _ => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Echoes every frame until it is killed. With relays it is ready when one of them reaches it.
pub(crate) async fn listen(relays: &[RelayContact], limits: Limits) -> Result<()> {
    let mut node = Node::bind(relays, limits).await?;
    ready(&node.contact())?;
    while let Some(event) = node.events.recv().await {
        if let NetEvent::Frame { peer, bytes } = event {
            // He may have gone.
            let _ = node.net.send(peer, bytes);
        }
    }
    Ok(())
}

/// Dials `to`, which is reached through `relay`, and prints how that went, after waiting up to `wait` for a direct path.
pub(crate) async fn dial(relay: RelayContact, to: &str, wait: Duration) -> Result<()> {
    let mut node = Node::bind(std::slice::from_ref(&relay), Limits::default()).await?;
    let to = peer(to)?;
    let begun = Instant::now();
    node.net.dial(to, PeerAddr::with_relays([], &[via(&relay)]).as_bytes())?;
    node.until(|event| connected(event, to)).await?;
    let connected_ms = millis(begun);
    node.net.send(to, WORD.to_vec())?;
    let net = node.net.clone();
    let direct = async {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if net.paths().iter().any(|path| path.peer == to && path.kind != PathKind::Relayed) {
                return millis(begun);
            }
        }
    };
    let direct = tokio::time::timeout(wait, direct);
    let echo = async {
        node.until(|event| matches!(event, NetEvent::Frame { bytes, .. } if bytes == WORD)).await?;
        anyhow::Ok(millis(begun))
    };
    let (direct_ms, first_byte_ms) = tokio::join!(direct, echo);
    let path = net.paths().first().map(|path| format!("{:?}", path.kind).to_lowercase()).unwrap_or_default();
    println!(
        "{}",
        serde_json::to_string(&Outcome { connected_ms, first_byte_ms: first_byte_ms?, direct_ms: direct_ms.ok(), path })?
    );
    net.close().await;
    Ok(())
}

/// A node and what happens to it.
pub(crate) struct Node {
    pub(crate) net: Net,
    pub(crate) events: mpsc::Receiver<NetEvent>,
}

impl Node {
    /// One that is reached through the first of these relays, if there is one.
    pub(crate) async fn bind(relays: &[RelayContact], limits: Limits) -> Result<Self> {
        Self::bind_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), relays, limits).await
    }

    pub(crate) async fn bind_at(listen: SocketAddr, relays: &[RelayContact], limits: Limits) -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| anyhow!("the system gives no random bytes"))?;
        let (net, events) = Net::bind(Config { secret, listen, any_port: false, relays: true, proxy: None, limits }).await?;
        let mut node = Self { net, events };
        let relays: Vec<RelayAt> = relays.iter().map(relay_at).collect();
        if let Some(first) = relays.first() {
            node.net.use_relays(&relays);
            let net = node.net.clone();
            node.until(|_| net.reached_through().first().is_some_and(|via| via.at == first.at)).await?;
        }
        Ok(node)
    }

    /// What others need to know it by, besides its relays.
    pub(crate) fn contact(&self) -> String {
        HEXLOWER.encode(&self.net.peer_id().0)
    }

    /// Waits for an event like that; what comes before is of no interest.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&NetEvent) -> bool) -> Result<()> {
        let found = async {
            while let Some(event) = self.events.recv().await {
                if let NetEvent::DialFailed { .. } = event {
                    bail!("the dial failed");
                }
                if wanted(&event) {
                    return Ok(());
                }
            }
            bail!("the node ended")
        };
        tokio::time::timeout(PATIENCE, found).await.map_err(|_| anyhow!("nothing happened for {PATIENCE:?}"))?
    }
}

/// Who has this [`Node::contact`].
pub(crate) fn peer(contact: &str) -> Result<PeerId> {
    let key = HEXLOWER.decode(contact.as_bytes())?;
    Ok(PeerId(key.try_into().ok().context("a key has 32 bytes")?))
}

pub(crate) fn via(relay: &RelayContact) -> Via {
    Via { at: relay.https, certificate: relay.cert }
}

pub(crate) fn connected(event: &NetEvent, to: PeerId) -> bool {
    matches!(event, NetEvent::Connected { peer, .. } if *peer == to)
}

pub(crate) fn ready(contact: &impl ToString) -> Result<()> {
    println!("{}", serde_json::to_string(&Ready { contact: contact.to_string() })?);
    Ok(())
}

pub(crate) fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn relay_at(relay: &RelayContact) -> RelayAt {
    RelayAt { at: relay.https, discovery_port: relay.quic, certificate: relay.cert }
}

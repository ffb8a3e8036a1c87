//! Nodes on real loopback sockets, and a stranger who speaks raw QUIC.
#![allow(dead_code, unreachable_pub, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey};
use samizdat_core::PeerId;
use samizdat_net::{Config, DisconnectReason, Limits, Net, NetEvent, PeerAddr};
use tokio::sync::mpsc;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(300);
pub const LOOPBACK: &str = "127.0.0.1:0";

pub struct Node {
    pub net: Net,
    pub events: mpsc::Receiver<NetEvent>,
}

pub fn config(seed: u8, listen: &str, limits: Limits) -> Config {
    Config { secret: [seed; 32], listen: listen.parse().unwrap(), any_port: false, relays: true, proxy: None, limits }
}

/// Of one who gives up nobody because the machine is busy, neither at a hello nor at a goodbye.
pub fn patient() -> Limits {
    Limits { handshake: PATIENCE, linger: PATIENCE, ..Limits::default() }
}

pub async fn node(seed: u8, limits: Limits) -> Node {
    bind(config(seed, LOOPBACK, limits)).await
}

pub async fn bind(config: Config) -> Node {
    let (net, events) = Net::bind(config).await.unwrap();
    Node { net, events }
}

/// Two connected nodes; the first dialled.
pub async fn pair() -> (Node, Node) {
    let (mut alice, mut bob) = (node(1, patient()).await, node(2, patient()).await);
    alice.dial(&bob);
    assert!(alice.connected(&bob).await);
    assert!(!bob.connected(&alice).await);
    (alice, bob)
}

pub async fn soon<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("nothing happened for {PATIENCE:?}"))
}

impl Node {
    pub fn id(&self) -> PeerId {
        self.net.peer_id()
    }

    pub fn dial(&self, other: &Node) {
        self.net.dial(other.id(), other.net.local_addr().as_bytes()).unwrap();
    }

    /// What comes next but for changes of the own address.
    pub async fn next(&mut self) -> NetEvent {
        loop {
            match soon(self.events.recv()).await.unwrap() {
                NetEvent::Moved { .. } => {}
                event => return event,
            }
        }
    }

    /// Waits until the own address is as wished.
    pub async fn moved(&mut self, wished: impl Fn(&PeerAddr) -> bool) {
        while !wished(&self.net.local_addr()) {
            match soon(self.events.recv()).await.unwrap() {
                NetEvent::Moved { .. } => {}
                event => panic!("expected another address, got {event:?}"),
            }
        }
    }

    /// The next event must be the connection to `other`; returns whether this node dialled it.
    pub async fn connected(&mut self, other: &Node) -> bool {
        self.connected_to(other.id()).await
    }

    pub async fn connected_to(&mut self, other: PeerId) -> bool {
        match self.next().await {
            NetEvent::Connected { peer, dialed, .. } if peer == other => dialed,
            event => panic!("expected {other:?}, got {event:?}"),
        }
    }

    /// The next event must be the loss of `other`.
    pub async fn disconnected(&mut self, other: PeerId) -> DisconnectReason {
        match self.next().await {
            NetEvent::Disconnected { peer, reason } if peer == other => reason,
            event => panic!("expected {other:?} to go, got {event:?}"),
        }
    }

    pub async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            NetEvent::Frame { bytes, .. } => bytes,
            event => panic!("expected a frame, got {event:?}"),
        }
    }
}

/// Somebody with a QUIC stack and no manners.
pub struct Stranger {
    pub endpoint: Endpoint,
    pub id: PeerId,
}

impl Stranger {
    pub async fn new(seed: u8) -> Self {
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&[seed; 32]))
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr(LOOPBACK.parse::<SocketAddr>().unwrap())
            .unwrap()
            .bind()
            .await
            .unwrap();
        let id = PeerId(*endpoint.id().as_bytes());
        Self { endpoint, id }
    }

    pub async fn connect(&self, node: &Node, alpn: &[u8]) -> Option<Connection> {
        let id = EndpointId::from_bytes(&node.id().0).unwrap();
        let addr = node.net.local_addr().sockets().fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        soon(self.endpoint.connect(addr, alpn)).await.ok()
    }

    /// Connects and says a proper hello, then leaves the stream to the test.
    pub async fn greet(&self, node: &Node) -> (Connection, SendStream, RecvStream) {
        let connection = self.connect(node, b"samizdat/1").await.unwrap();
        let (mut send, recv) = connection.open_bi().await.unwrap();
        let hello = [&17u32.to_be_bytes()[..], &[1], &[7; 16]].concat();
        send.write_all(&hello).await.unwrap();
        (connection, send, recv)
    }
}

//! The iroh shell: an endpoint, connections to peers, frames of bytes. It knows nothing of envelopes or names.
//!
//! A peer is a [`PeerId`], the Ed25519 key of its endpoint; QUIC with TLS 1.3 proves it. Each connection carries one
//! stream of frames (`frame.rs` has the format). What the network does arrives as [`NetEvent`]s; per peer their order
//! is `Connected`, `Frame`s, one `Disconnected`. Every queue is bounded (`limits.rs`): an owner who does not read
//! events slows the senders down by QUIC flow control, a peer who does not read frames is cut.
//!
//! Nothing above DEBUG is logged here. The libraries below do name peers and addresses in their warnings, and their
//! spans carry peer ids: a log that people share must switch off [`LOG_TARGETS_BELOW`].

mod addr;
mod admission;
mod check;
mod contact;
mod endpoint;
mod frame;
mod home;
mod hybrid;
pub mod lan;
pub mod limits;
mod link;
mod links;
mod path;
mod peers;
mod proxy;
mod question;
mod relay;
#[doc(hidden)]
pub mod script;
mod silence;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use samizdat_core::record::{CERTIFICATE_HASH_LEN, Families, Via};
use samizdat_core::{NodeRecord, PeerId};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

pub use addr::{AddrError, JoinError, PeerAddr, format_join, parse_join};
pub use contact::{ContactEvent, Contacts, Endpoints, Way};
pub use lan::{Lan, Near};
pub use limits::{Limits, RelayLimits};
pub use path::{PathInfo, PathKind};
pub use proxy::{Proxy, ProxyError};

pub use relay::{Certificate, CertificateError, Relay, RelayAt, RelayConfig, RelayError, RelayUse};

use home::Home;
use links::Links;
use peers::Peers;
use proxy::Bridge;
use relay::Pins;

/// `tracing` targets of the libraries below this crate, whose messages and spans name peers and addresses.
pub const LOG_TARGETS_BELOW: [&str; 6] = ["iroh", "iroh_relay", "noq", "noq_proto", "noq_udp", "netwatch"];

/// What a node needs to meet others.
#[derive(Clone)]
pub struct Config {
    /// Ed25519 secret key of the transport identity.
    pub secret: [u8; 32],
    /// Where to listen, UDP. An unspecified address means every interface, IPv4 and IPv6; port 0 any free port, and another one when
    /// this machine moved and does not reach those directly any more whom it did.
    pub listen: SocketAddr,
    /// Whether another port will do when the one in `listen` is taken.
    pub any_port: bool,
    /// Whether relays may be used at all: those of [`Net::use_relays`] and those through which others are reached.
    pub relays: bool,
    /// Everything that leaves goes through this, which means through relays: then nothing listens, `listen` is of no account,
    /// nobody is dialled directly, and nobody is checked.
    pub proxy: Option<Proxy>,
    /// Bounds.
    pub limits: Limits,
}

/// What the network did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// A peer is there, by a dial of ours or of its own.
    Connected {
        /// Who.
        peer: PeerId,
        /// The address it is seen at.
        addr: PeerAddr,
        /// Whether the connection in use is the one this node dialled.
        dialed: bool,
    },
    /// A dial came to nothing and the peer is not connected by another way.
    DialFailed {
        /// Who was dialled.
        peer: PeerId,
    },
    /// A peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
    /// Somebody asks; [`Net::reply`] answers.
    Asked {
        /// Names the question.
        token: u64,
        /// Who.
        peer: PeerId,
        /// Where the question came from, unless something hides it.
        from: Option<IpAddr>,
        /// At most [`limits::QUESTION_MAX`] bytes.
        question: Vec<u8>,
    },
    /// The answer to [`Net::ask`].
    Answered {
        /// Names the question.
        ticket: u64,
        /// Where the answerer was reached, unless something hides it.
        from: Option<IpAddr>,
        /// At most [`limits::ANSWER_MAX`] bytes.
        answer: Vec<u8>,
    },
    /// What [`Net::check`] found out.
    Checked {
        /// Names the check.
        token: u64,
        /// The endpoint answered, and proved its key.
        endpoint: bool,
        /// The relay answered, with the right certificate.
        relay: bool,
    },
    /// What [`Net::introduce`] brought.
    Introduced {
        /// Where it was asked.
        at: SocketAddr,
        /// Who is there, if it is a relay.
        record: Option<Box<NodeRecord>>,
    },
    /// There will be no answer to [`Net::ask`].
    AskFailed {
        /// Names the question.
        ticket: u64,
    },
    /// This node can be dialled otherwise than before.
    Moved {
        /// How.
        addr: PeerAddr,
    },
    /// A peer sent 1 to [`limits::FRAME_MAX`] bytes.
    Frame {
        /// Who.
        peer: PeerId,
        /// What.
        bytes: Vec<u8>,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// By [`Net::hangup`] or [`Net::close`] here.
    HungUp,
    /// The peer ended it.
    Closed,
    /// The peer did not take or finish its frames fast enough.
    Stalled,
    /// The peer broke the framing.
    Misbehaved,
    /// No answer for [`Limits::idle`], or the network is gone.
    Lost,
    /// The peer came again, after a restart for instance; `Connected` follows.
    Replaced,
}

/// Why no node could be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The port is taken.
    #[error("UDP port {0} is in use by another program")]
    PortInUse(u16),
    /// The system did not give a socket for this address.
    #[error("cannot listen on UDP {0}")]
    Socket(SocketAddr, #[source] io::Error),
    /// The way to the proxy begins at a port of this machine.
    #[error("cannot listen on TCP 127.0.0.1 for the way to the proxy")]
    Bridge(#[source] io::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Why a dial was not begun; no event follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Not a [`PeerAddr`].
    #[error(transparent)]
    Addr(#[from] AddrError),
    /// No address in it leads to another node.
    #[error("there is no address to dial")]
    NoAddress,
    /// Not a public key.
    #[error("the peer id is not a key")]
    Peer,
    /// This node itself.
    #[error("a node cannot dial itself")]
    Own,
    /// [`Limits::dials`] are in progress.
    #[error("too many dials are in progress")]
    Busy,
    /// After [`Net::close`].
    #[error("this node is closed")]
    Closed,
}

/// Why a question was not asked; no event follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is nobody to ask.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Empty or larger than [`limits::QUESTION_MAX`].
    #[error("a question has 1 to {} bytes", limits::QUESTION_MAX)]
    Size,
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Not connected, or the connection is ending; `Disconnected` was or will be reported.
    #[error("the peer is not connected")]
    NotConnected,
    /// Empty or larger than [`limits::FRAME_MAX`].
    #[error("a frame has 1 to {} bytes", limits::FRAME_MAX)]
    Size,
    /// The queue was full; the peer is being cut and `Disconnected` follows.
    #[error("the peer does not keep up")]
    Stalled,
}

/// A node on the network. Clones are the same node; call [`Net::close`] to end it.
#[derive(Clone)]
pub struct Net {
    peers: Arc<Peers>,
    relays: Arc<watch::Sender<Vec<RelayAt>>>,
    in_use: watch::Receiver<Vec<Via>>,
}

impl Net {
    /// Binds the sockets and begins to accept peers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the sockets cannot be had.
    pub async fn bind(config: Config) -> Result<(Net, mpsc::Receiver<NetEvent>), BindError> {
        let Config { secret, listen, any_port, relays, proxy, limits } = config;
        let bridge = match proxy {
            Some(proxy) => Some(Bridge::open(proxy).await.map_err(BindError::Bridge)?),
            None => None,
        };
        let through = bridge.as_ref().map(Bridge::url).transpose().map_err(BindError::Bridge)?;
        let through = through.as_ref().map(|url| url.as_str());
        let (pins, proxied) = (relays.then(Pins::default), bridge.is_some());
        let (relays, wanted) = watch::channel(Vec::new());
        let (ours, in_use) = watch::channel(Vec::new());
        let home = Home { secret: Zeroizing::new(secret), listen, limits, pins: pins.clone(), proxied, wanted, in_use: ours };
        let mut bound = home.bind(listen, through).await;
        if any_port && listen.port() != 0 && bound.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            bound = home.bind(SocketAddr::new(listen.ip(), 0), through).await;
        }
        let bound = bound.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::PortInUse(listen.port()),
            _ => BindError::Socket(listen, error),
        })?;
        let life = getrandom::u64().map_err(|_| BindError::Random)?;
        let (events, receiver) = mpsc::channel(limits::EVENTS_MAX);
        if let Some(bridge) = bridge {
            tokio::spawn(bridge.run(bound.endpoint.closed()));
        }
        let peers = Peers::new(&bound, limits, life, pins, proxied, events.clone());
        tokio::spawn(home.keep(peers.clone(), bound, events.downgrade()));
        Ok((Net { peers, relays: Arc::new(relays), in_use }, receiver))
    }

    /// The transport key others know this node by.
    pub fn peer_id(&self) -> PeerId {
        self.peers.me
    }

    /// The port that is bound, to ask for it again after a restart; 0 where there is none.
    pub fn port(&self) -> u16 {
        self.peers.endpoint().and_then(|endpoint| endpoint.bound_sockets().first().map(SocketAddr::port)).unwrap_or(0)
    }

    /// Where others can dial this node: on this machine, in its networks, at the address that a relay saw, and through relays.
    pub fn local_addr(&self) -> PeerAddr {
        self.peers.endpoint().map_or(PeerAddr::new([]), |endpoint| endpoint::local_addr(&endpoint, &self.in_use.borrow()))
    }

    /// Keeps connected to one of these relays, the first that works, and moves to the next when it dies. Nothing happens where
    /// [`Config::relays`] is false.
    pub fn use_relays(&self, relays: &[RelayAt]) {
        self.relays.send_replace(relays.iter().take(limits::RELAYS_MAX).copied().collect());
    }

    /// Whether relays may be used from now on: ours, and those through which others are dialled. Connections that stand are not
    /// ended. Nothing changes where [`Config::relays`] is false.
    pub fn allow_relays(&self, allowed: bool) {
        self.peers.allow_relays(allowed);
        if !allowed {
            self.use_relays(&[]);
        }
    }

    /// The relays through which this node is reached: the one in use, if it is connected, and the one that would be next.
    pub fn reached_through(&self) -> Vec<Via> {
        self.in_use.borrow().clone()
    }

    /// Which versions of IP this machine has routes for; both where it has none at all for now, or where a proxy has them.
    pub fn families(&self) -> Families {
        if self.is_proxied() {
            return Families::BOTH;
        }
        // Addresses for documentation are as good as any: no packet is sent.
        let somewhere = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])];
        let routed = somewhere.into_iter().filter(|ip| relay::has_route(SocketAddr::new(*ip, 443)));
        Some(Families::of(routed)).filter(|families| !families.is_empty()).unwrap_or(Families::BOTH)
    }

    /// What a newcomer types to meet this node; empty while nobody could.
    pub fn join_string(&self) -> String {
        let addr = self.local_addr();
        if addr.as_bytes().is_empty() { String::new() } else { format_join(&self.peer_id(), &addr) }
    }

    /// Whether everything goes through [`Config::proxy`].
    pub fn is_proxied(&self) -> bool {
        self.peers.proxied
    }

    /// Begins to dial; `Connected` or `DialFailed` follows. Does nothing when the peer is connected or being dialled.
    ///
    /// # Errors
    /// When there is nothing to begin; then no event follows.
    pub fn dial(&self, peer: PeerId, addr: &[u8]) -> Result<(), DialError> {
        self.peers.dial(peer, &PeerAddr::decode(addr)?)
    }

    /// The same at one address.
    ///
    /// # Errors
    /// When there is nothing to begin; then no event follows.
    pub fn dial_at(&self, peer: PeerId, at: SocketAddr) -> Result<(), DialError> {
        self.peers.dial_at(peer, at)
    }

    /// Asks a node that need not be connected. `Answered` or `AskFailed` follows, with this `ticket`.
    ///
    /// # Errors
    /// When it was not asked; then no event follows.
    pub fn ask(&self, ticket: u64, peer: PeerId, addr: &PeerAddr, question: Vec<u8>) -> Result<(), AskError> {
        self.peers.ask(ticket, peer, addr, question)
    }

    /// Dials from a socket that never sent anything to `at` before, and the relay with its certificate, and ends what came of
    /// it at once. `Checked` follows.
    pub fn check(&self, token: u64, peer: PeerId, at: SocketAddr, relay: Option<(SocketAddr, [u8; CERTIFICATE_HASH_LEN])>) {
        self.peers.check(token, peer, at, relay);
    }

    /// Asks whoever serves HTTPS at `at` for the record of its node. `Introduced` follows, but behind a proxy nobody is asked. `unix_s` is now, seconds since 1970.
    pub fn introduce(&self, at: SocketAddr, unix_s: u64) {
        self.peers.introduce(at, unix_s);
    }

    /// Answers what was [`NetEvent::Asked`]. Too late, or too long, is as no answer.
    pub fn reply(&self, token: u64, answer: Vec<u8>) {
        self.peers.questions.reply(token, answer);
    }

    /// Queues a frame. Never blocks; a peer whose queue is full is cut.
    ///
    /// # Errors
    /// When the frame was not queued.
    pub fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), SendError> {
        self.peers.link(&peer).ok_or(SendError::NotConnected)?.push(frame)
    }

    /// Sends what is queued and ends the connection; `Disconnected` follows if there is one.
    pub fn hangup(&self, peer: PeerId) {
        if let Some(link) = self.peers.link(&peer) {
            link.end(DisconnectReason::HungUp);
        }
    }

    /// How each connected peer is reached now.
    pub fn paths(&self) -> Vec<PathInfo> {
        self.peers.open_links().iter().filter_map(|link| link.path()).collect()
    }

    /// Sends what is queued and ends every connection, within twice [`Limits::linger`].
    ///
    /// The receiver then ends after the last `Disconnected`, provided somebody reads it. The port is free soon after,
    /// whoever still holds a clone.
    pub async fn close(&self) {
        self.peers.close().await;
    }
}

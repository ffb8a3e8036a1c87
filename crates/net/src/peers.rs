//! Who is connected, who is being dialled, and which of two connections to the same peer stays.
//!
//! When two nodes dial each other at once, the one with the lower [`PeerId`] decides: it says hello on one connection
//! only and closes the other, and the higher one reports a peer only after that hello. So both keep the same
//! connection and none is ever reported and taken back. A held connection gives way only to a hello that its peer
//! sent after giving up that connection itself (its [`Ticket`] is later), for instance after a restart. That can be
//! told from the ticket because a node has one dial per peer at a time and draws its turn only when it holds no
//! connection to that peer, and as acceptor draws it only when it holds the one it accepts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iroh::endpoint::{Connection, ConnectionError, Incoming, IncomingAddr};
use iroh::{Endpoint, EndpointId, TransportAddr};
use samizdat_core::PeerId;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tracing::debug;

use crate::addr::PeerAddr;
use crate::admission::{Admission, Gate};
use crate::endpoint::{self, is_own};
use crate::frame::{self, ALPN, FrameError, Ticket};
use crate::home::Bound;
use crate::limits::Limits;
use crate::link::{DUPLICATE, Link, Streams};
use crate::links::Links;
use crate::question::{self, Questions};
use crate::relay::{self, Names, Pins};
use crate::{DialError, DisconnectReason, NetEvent};

/// What all tasks of one node share.
pub(crate) struct Peers {
    pub(crate) me: PeerId,
    /// None once the node is closed, so that its port is free although somebody may still hold the node.
    here: watch::Sender<Option<Here>>,
    pub(crate) questions: Questions,
    limits: Limits,
    pub(crate) runtime: tokio::runtime::Handle,
    gate: Gate,
    life: u64,
    /// Others are reached through relays and a proxy only.
    pub(crate) proxied: bool,
    /// Certificates of relays; none where relays are refused.
    pins: Option<Pins>,
    /// Whether relays may be used now.
    relays_allowed: AtomicBool,
    turns: AtomicU64,
    table: Mutex<Table>,
    /// A link was opened or given up.
    changed: Notify,
}

/// The endpoint in use, and what relays are called there.
#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) endpoint: Endpoint,
    names: Names,
}

struct Table {
    links: BTreeMap<PeerId, Arc<Link>>,
    /// At most one dial per peer; see [`Dial`].
    dialing: BTreeMap<PeerId, Dial>,
    /// `None` once the node is closed.
    events: Option<mpsc::Sender<NetEvent>>,
}

/// A dial in progress. It goes on when the peer connects by another way, because giving up could cross with being
/// chosen by the peer; a dial that is ordered when that other connection has gone again waits in `next`.
#[derive(Default)]
struct Dial {
    /// The owner was told of a connection since he ordered this dial.
    answered: bool,
    next: Option<Vec<TransportAddr>>,
}

/// The right to be the one connection to a peer. Dropping it gives the right back.
struct Claim {
    peers: Arc<Peers>,
    link: Arc<Link>,
}

/// A claimed connection whose hellos are exchanged.
struct Session {
    claim: Claim,
    streams: Streams,
    events: mpsc::Sender<NetEvent>,
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("another connection to this peer is used")]
    Duplicate,
    #[error("the peer could not be reached or is another one")]
    Unreachable,
    #[error("no hello in time")]
    TimedOut,
    #[error("this node is closed")]
    Closed,
    #[error(transparent)]
    Hello(#[from] FrameError),
}

impl Peers {
    pub(crate) fn new(
        bound: &Bound,
        limits: Limits,
        life: u64,
        pins: Option<Pins>,
        proxied: bool,
        events: mpsc::Sender<NetEvent>,
    ) -> Arc<Self> {
        Arc::new(Self {
            me: PeerId(*bound.endpoint.id().as_bytes()),
            here: watch::Sender::new(Some(Here::at(bound))),
            questions: Questions::default(),
            limits,
            runtime: tokio::runtime::Handle::current(),
            gate: Gate::default(),
            life,
            pins,
            relays_allowed: AtomicBool::new(true),
            proxied,
            turns: AtomicU64::new(0),
            table: Mutex::new(Table { links: BTreeMap::new(), dialing: BTreeMap::new(), events: Some(events) }),
            changed: Notify::new(),
        })
    }

    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.here.borrow().as_ref().map(|here| here.endpoint.clone())
    }

    /// The endpoint in use, and the one after it.
    pub(crate) fn watch_here(&self) -> watch::Receiver<Option<Here>> {
        self.here.subscribe()
    }

    /// Another endpoint serves from now on, and what stands at the one before ends. Does nothing, which is false, once the node is
    /// closed.
    pub(crate) fn move_to(&self, bound: &Bound) -> bool {
        let moved = self.here.send_if_modified(|here| here.as_mut().map(|here| *here = Here::at(bound)).is_some());
        self.open_links().iter().for_each(|link| link.end(DisconnectReason::Lost));
        moved
    }

    pub(crate) fn link(&self, peer: &PeerId) -> Option<Arc<Link>> {
        self.table().links.get(peer).cloned()
    }

    /// Where events go; none once the node is closed.
    pub(crate) fn events(&self) -> Option<mpsc::Sender<NetEvent>> {
        self.table().events.clone()
    }

    /// Starts a dial, unless one is in progress or the peer is connected.
    pub(crate) fn dial(self: &Arc<Self>, peer: PeerId, addr: &PeerAddr) -> Result<(), DialError> {
        self.dial_ways(peer, self.ways(addr))
    }

    /// The same at one address.
    pub(crate) fn dial_at(self: &Arc<Self>, peer: PeerId, at: SocketAddr) -> Result<(), DialError> {
        let own = self.proxied || self.endpoint().is_none_or(|endpoint| is_own(&endpoint, at));
        let ways = if own { Vec::new() } else { vec![TransportAddr::Ip(at)] };
        self.dial_ways(peer, ways)
    }

    fn dial_ways(self: &Arc<Self>, peer: PeerId, ways: Vec<TransportAddr>) -> Result<(), DialError> {
        let id = EndpointId::from_bytes(&peer.0).map_err(|_| DialError::Peer)?;
        if peer == self.me {
            return Err(DialError::Own);
        }
        if ways.is_empty() {
            return Err(DialError::NoAddress);
        }
        let mut table = self.table();
        let events = table.events.clone().ok_or(DialError::Closed)?;
        if table.links.get(&peer).is_some_and(|link| link.is_open()) {
            return Ok(());
        }
        if let Some(dial) = table.dialing.get_mut(&peer) {
            if std::mem::take(&mut dial.answered) {
                dial.next = Some(ways);
                self.changed.notify_waiters();
            }
            return Ok(());
        }
        if table.dialing.len() >= self.limits.dials {
            return Err(DialError::Busy);
        }
        table.dialing.insert(peer, Dial::default());
        self.runtime.spawn(self.clone().run_dial(peer, id, ways, events));
        Ok(())
    }

    /// What of an address leads to another node. Relays only where they may be used, and nothing else behind a proxy.
    pub(crate) fn ways(&self, addr: &PeerAddr) -> Vec<TransportAddr> {
        let endpoint = self.endpoint();
        let is_own = |socket: &SocketAddr| endpoint.as_ref().is_some_and(|endpoint| is_own(endpoint, *socket));
        let sockets = addr.sockets().filter(|socket| !self.proxied && !is_own(socket)).map(TransportAddr::Ip);
        let pins = self.pins.iter().filter(|_| self.relays_allowed.load(Ordering::Relaxed));
        let ours = endpoint.as_ref().and_then(relay::in_use);
        let relays = pins.flat_map(|pins| {
            addr.relays().filter_map(|via| {
                let at = relay::place_beside(via.at, self.proxied, ours);
                pins.add(at.ip(), via.certificate);
                relay::url(at).map(TransportAddr::Relay)
            })
        });
        sockets.chain(relays).collect()
    }

    /// Relays may be used from now on, or no longer, for dials to come.
    pub(crate) fn allow_relays(&self, allowed: bool) {
        self.relays_allowed.store(allowed, Ordering::Relaxed);
    }

    /// Takes in strangers until the endpoint is closed.
    pub(crate) async fn run_accept(self: Arc<Self>, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let from = match incoming.remote_addr() {
                IncomingAddr::Ip(socket) => Some(socket),
                _ => None,
            };
            let Some(admission) = self.gate.admit(from, &self.limits) else {
                debug!("refused a connection: full");
                incoming.refuse();
                continue;
            };
            if self.gate.handshakes() > self.limits.retry_from && !incoming.remote_addr_validated() {
                // He comes again with a token that proves his address; until then he holds no place.
                let _ = incoming.retry();
                continue;
            }
            self.runtime.spawn(self.clone().run_incoming(incoming, admission));
        }
    }

    /// Ends all links, lets what is queued leave, closes the endpoint. Takes at most twice `linger`.
    pub(crate) async fn close(&self) {
        let links: Vec<_> = {
            let mut table = self.table();
            table.events = None;
            table.links.values().cloned().collect()
        };
        self.changed.notify_waiters();
        links.iter().for_each(|link| link.end(DisconnectReason::HungUp));
        let all_gone = self.wait_until(|table| table.links.is_empty());
        let _ = timeout(self.limits.linger, all_gone).await;
        let here = self.here.send_replace(None);
        if let Some(here) = here {
            let _ = timeout(self.limits.linger, here.endpoint.close()).await;
        }
    }

    /// Returns once the node is closed, or is being so.
    pub(crate) async fn closed(&self) {
        self.wait_until(|table| table.events.is_none()).await;
    }

    async fn run_incoming(self: Arc<Self>, incoming: Incoming, mut admission: Admission) {
        let session = timeout(self.limits.handshake, async {
            let connection = incoming.await.map_err(|_| OpenError::Unreachable)?;
            if connection.alpn() == question::ALPN {
                self.be_asked(connection).await;
                return Ok(None);
            }
            self.open(connection, 0).await.map(Some)
        });
        match session.await.unwrap_or(Err(OpenError::TimedOut)) {
            Ok(None) => {}
            Ok(Some(session)) => {
                admission.settle();
                session.run(&self.limits).await;
            }
            Err(error) => debug!(%error, "an incoming connection came to nothing"),
        }
    }

    async fn run_dial(self: Arc<Self>, peer: PeerId, id: EndpointId, mut ways: Vec<TransportAddr>, events: mpsc::Sender<NetEvent>) {
        loop {
            match timeout(self.limits.handshake, self.connect_and_open(peer, id, ways)).await {
                Ok(Ok(session)) => return session.run(&self.limits).await,
                Ok(Err(OpenError::Duplicate)) => {
                    // The hello on the connection that is used instead may not have come through yet.
                    let settled = self.wait_until(|table| table.is_settled(&peer));
                    let _ = timeout(self.limits.handshake, settled).await;
                }
                Ok(Err(error)) => debug!(?peer, %error, "dial failed"),
                Err(_) => debug!(?peer, "dial timed out"),
            }
            let dial = self.table().end_dial(&peer);
            match dial {
                Dial { next: Some(next), .. } => ways = next,
                Dial { answered: true, .. } => return,
                Dial { answered: false, next: None } => {
                    let _ = events.send(NetEvent::DialFailed { peer }).await;
                    return;
                }
            }
        }
    }

    async fn connect_and_open(
        self: &Arc<Self>,
        peer: PeerId,
        id: EndpointId,
        ways: Vec<TransportAddr>,
    ) -> Result<Session, OpenError> {
        // A connection that is about to be reported as gone comes first.
        self.wait_until(|table| !table.links.get(&peer).is_some_and(|link| link.is_ending())).await;
        let turn = {
            let table = self.table();
            if table.links.contains_key(&peer) {
                return Err(OpenError::Duplicate);
            }
            self.next_turn()
        };
        let endpoint = self.endpoint().ok_or(OpenError::Closed)?;
        let connection = endpoint::connect(&endpoint, id, ways, ALPN).await.ok_or(OpenError::Unreachable)?;
        self.open(connection, turn).await
    }

    /// Makes a session of a connection, or closes it. `turn` is the one that was drawn for our dial.
    async fn open(self: &Arc<Self>, connection: Connection, turn: u64) -> Result<Session, OpenError> {
        let names = self.here.borrow().as_ref().ok_or(OpenError::Closed)?.names.clone();
        let link = Arc::new(Link::new(connection).doubting(names));
        let session = if link.dialed() { self.greet(&link, turn).await } else { self.answer(&link).await };
        if let Err(error) = &session {
            if is_duplicate(&link.connection) {
                return Err(OpenError::Duplicate);
            }
            let code = if matches!(error, OpenError::Duplicate) { DUPLICATE } else { 0u32.into() };
            link.connection.close(code, b"");
        }
        session
    }

    /// The dialler's part: hello, and wait for the answer. If the peer decides, its answer is the decision.
    async fn greet(self: &Arc<Self>, link: &Arc<Link>, turn: u64) -> Result<Session, OpenError> {
        let (mut send, mut recv) = link.connection.open_bi().await.map_err(|_| FrameError::Lost)?;
        let decided = if self.me < link.peer { Some(self.claim(link).await?) } else { None };
        let turn = if decided.is_some() { self.next_turn() } else { turn };
        frame::write_hello(&mut send, Ticket { life: self.life, turn }).await?;
        let _ = link.ticket.set(frame::read_hello(&mut recv).await?);
        let (claim, events) = match decided {
            Some(claimed) => claimed,
            None => self.claim(link).await?,
        };
        Ok(Session { claim, streams: Streams { send, recv }, events })
    }

    /// The acceptor's part. If the peer decides, its hello is the decision.
    async fn answer(self: &Arc<Self>, link: &Arc<Link>) -> Result<Session, OpenError> {
        let (mut send, mut recv) = link.connection.accept_bi().await.map_err(|_| FrameError::Lost)?;
        let _ = link.ticket.set(frame::read_hello(&mut recv).await?);
        let (claim, events) = self.claim(link).await?;
        let turn = self.next_turn();
        frame::write_hello(&mut send, Ticket { life: self.life, turn }).await?;
        Ok(Session { claim, streams: Streams { send, recv }, events })
    }

    /// Makes `link` the connection to its peer, after the one it supersedes, if any, has gone.
    async fn claim(self: &Arc<Self>, link: &Arc<Link>) -> Result<(Claim, mpsc::Sender<NetEvent>), OpenError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut table = self.table();
                let events = table.events.clone().ok_or(OpenError::Closed)?;
                match table.links.get(&link.peer) {
                    None => {
                        table.links.insert(link.peer, link.clone());
                        return Ok((Claim { peers: self.clone(), link: link.clone() }, events));
                    }
                    Some(held) if held.is_ending() => {}
                    Some(held) if link.supersedes(held) => held.end(DisconnectReason::Replaced),
                    Some(_) => return Err(OpenError::Duplicate),
                }
            }
            changed.await;
        }
    }

    async fn wait_until(&self, holds: impl Fn(&Table) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.table()) {
                return;
            }
            changed.await;
        }
    }

    fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links for Peers {
    fn open_links(&self) -> Vec<Arc<Link>> {
        self.table().links.values().filter(|link| link.is_open()).cloned().collect()
    }
}

impl Here {
    fn at(bound: &Bound) -> Self {
        Self { endpoint: bound.endpoint.clone(), names: bound.names.clone() }
    }
}

impl Table {
    /// Whether a dial need not wait for another connection to come through.
    fn is_settled(&self, peer: &PeerId) -> bool {
        self.events.is_none() || self.dialing.get(peer).is_none_or(|dial| dial.answered || dial.next.is_some())
    }

    /// Takes the dial out, unless it goes on with what is next.
    fn end_dial(&mut self, peer: &PeerId) -> Dial {
        match self.dialing.get_mut(peer) {
            Some(dial) if dial.next.is_some() => std::mem::take(dial),
            _ => self.dialing.remove(peer).unwrap_or(Dial { answered: true, next: None }),
        }
    }

    /// The owner is about to be told of a connection.
    fn answer_dial(&mut self, peer: &PeerId, by_this_dial: bool) {
        if by_this_dial {
            self.dialing.remove(peer);
        } else if let Some(dial) = self.dialing.get_mut(peer) {
            *dial = Dial { answered: true, next: None };
        }
    }
}

impl Session {
    /// Reports the peer, carries its frames, reports its end.
    async fn run(self, limits: &Limits) {
        let Self { claim, streams, events } = self;
        let link = &claim.link;
        let peer = link.peer;
        link.set_open();
        claim.peers.table().answer_dial(&peer, link.dialed());
        claim.peers.changed.notify_waiters();
        debug!(?peer, dialed = link.dialed(), "connected");
        let connected = NetEvent::Connected { peer, addr: link.remote_addr(), dialed: link.dialed() };
        let _ = events.send(connected).await;
        let reason = link.run(streams, &events, |bytes| NetEvent::Frame { peer, bytes }, limits).await;
        debug!(?peer, ?reason, "disconnected");
        let _ = events.send(NetEvent::Disconnected { peer, reason }).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.peers.table().links.remove(&self.link.peer);
        self.peers.changed.notify_waiters();
    }
}

fn is_duplicate(connection: &Connection) -> bool {
    matches!(connection.close_reason(), Some(ConnectionError::ApplicationClosed(close)) if close.error_code == DUPLICATE)
}

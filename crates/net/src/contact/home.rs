//! One endpoint for contacts, from its binding to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use iroh::endpoint::{Connection, Incoming, IncomingAddr};
use iroh::{Endpoint, EndpointId, TransportAddr, Watcher};
use netwatch::netmon::Monitor;
use samizdat_core::PeerId;
use samizdat_core::record::Via;
use samizdat_core::session::BINDING_LEN;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::debug;
use zeroize::Zeroizing;

use super::nearby::{is_near, near, shown};
use super::{ContactEvent, Endpoints, Shared, Wanted, Way};
use crate::DialError;
use crate::addr::PeerAddr;
use crate::admission::{Admission, Gate};
use crate::endpoint::{self, Listen};
use crate::limits::{DOUBTS_MAX, Limits};
use crate::link::{Link, Streams};
use crate::links::{Links, Met};
use crate::proxy::{Bridge, Proxy};
use crate::relay::{self, Doubt, Names, Ours, Pins, RelayAt};

/// Names the protocol in the TLS handshake.
const ALPN: &[u8] = b"samizdat/contact/1";
/// Names the keying material that both ends export.
const BINDING_LABEL: &[u8] = b"EXPORTER-samizdat-contact-1";

/// An endpoint that is bound.
pub(super) struct Home {
    way: Way,
    wish: Wish,
    secret: Zeroizing<[u8; 32]>,
    endpoint: Endpoint,
    pins: Pins,
    names: Names,
    proxied: bool,
    gate: Gate,
    limits: Limits,
}

/// What an endpoint was bound for: where that is another, so is the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    number: u64,
    turn: u64,
    /// Whether it shows itself in the local network, and dials there.
    nearby: bool,
    /// Counts the sockets under one key.
    sockets: u64,
}

/// What is said against relays, for whoever looks into it.
struct Doubts {
    told: mpsc::Sender<Doubt>,
    heard: mpsc::Receiver<Doubt>,
}

/// A connection whose stream is open.
type Opened = (Link, Streams, [u8; BINDING_LEN]);

/// Binds and ends endpoints as they are wanted, until nobody wants anything any more.
pub(super) async fn keep(shared: Arc<Shared>, mut wanted: watch::Receiver<Wanted>, turns: watch::Sender<u64>) {
    let mut sockets: u64 = 0;
    let (relays, _) = watch::channel(Vec::new());
    loop {
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = shared.stuck.notified() => sockets = sockets.saturating_add(1),
        }
        let Wanted { endpoints: Endpoints { relayed, direct }, nearby, proxy, listed, no_relays, turn } =
            wanted.borrow_and_update().clone();
        let relayed = relayed.filter(|_| !no_relays);
        let wishes = [(Way::Relayed, relayed, false, 0), (Way::Direct, direct, nearby, sockets)]
            .map(|(way, number, nearby, sockets)| (way, number.map(|number| Wish { number, turn, nearby, sockets })));
        let changed = wishes.map(|(way, wish)| (way, wish, shared.homes().get(&way).map(|home| home.wish)));
        let changed: Vec<_> = changed.into_iter().filter(|(_, wish, held)| wish != held).collect();
        // All that is not wanted any more is gone before anything else begins: what comes may be behind a proxy.
        let mut kept = BTreeMap::new();
        for (way, wish, _) in &changed {
            let old = shared.homes().remove(way);
            if let Some(old) = old {
                old.close().await;
                // Where only the sockets are others, everybody finds it by the same key.
                if *wish == Some(Wish { sockets, ..old.wish }) {
                    kept.insert(*way, old.secret.clone());
                }
            }
        }
        turns.send_replace(turn);
        // Not before: what goes through a relay ends through it.
        relays.send_replace(if no_relays { Vec::new() } else { listed });
        for (way, wish, _) in changed {
            let bound = match wish {
                Some(wish) => Home::bind(way, wish, kept.remove(&way), proxy.clone(), &shared).await,
                None => None,
            };
            match bound {
                Some((home, doubts)) => home.begin(doubts, &shared, relays.subscribe()),
                None => tell(&shared, ContactEvent::Gone { way }).await,
            }
        }
    }
}

async fn tell(shared: &Shared, event: ContactEvent) {
    if let Some(events) = shared.events() {
        let _ = events.send(event).await;
    }
}

impl Home {
    /// Under the given key, or else under one that is drawn.
    async fn bind(
        way: Way,
        wish: Wish,
        secret: Option<Zeroizing<[u8; 32]>>,
        proxy: Option<Proxy>,
        shared: &Shared,
    ) -> Option<(Arc<Self>, Doubts)> {
        let limits = &shared.limits;
        // Behind a proxy there is no address to show.
        let bridge = match proxy {
            Some(_) if way == Way::Direct => return None,
            Some(proxy) => Some(Bridge::open(proxy).await.ok()?),
            None => None,
        };
        let through = bridge.as_ref().map(Bridge::url).transpose().ok()?;
        let through = through.as_ref().map(|url| url.as_str());
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let mut secret = Zeroizing::new([0; 32]);
                getrandom::fill(secret.as_mut_slice()).ok()?;
                secret
            }
        };
        let pins = Pins::default();
        let listen = match way {
            Way::Relayed => Listen::Nowhere,
            Way::Direct => Listen::At(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
        };
        let (told, heard) = mpsc::channel(DOUBTS_MAX);
        let names = Names::new(told.clone());
        let bound = endpoint::build(&secret, listen, &[ALPN], limits, Some(&pins), &names, through).await;
        let endpoint = bound.inspect_err(|error| debug!(%error, "no endpoint for contacts")).ok()?;
        let proxied = bridge.is_some();
        if let Some(bridge) = bridge {
            tokio::spawn(bridge.run(endpoint.closed()));
        }
        // Through a relay everybody comes from nowhere: no neighbourhood has a share of its own.
        let per_prefix = if way == Way::Relayed { limits.inbound } else { limits.inbound_per_prefix };
        let limits = Limits { inbound_per_prefix: per_prefix, ..*limits };
        let home = Self { way, wish, secret, endpoint, pins, names, proxied, gate: Gate::default(), limits };
        Some((Arc::new(home), Doubts { told, heard }))
    }

    fn begin(self: Arc<Self>, doubts: Doubts, shared: &Arc<Shared>, mut relays: watch::Receiver<Vec<RelayAt>>) {
        shared.homes().insert(self.way, self.clone());
        relays.mark_changed();
        let (ours, in_use) = watch::channel(Vec::new());
        let (endpoint, pins) = (self.endpoint.clone(), self.pins.clone());
        let (dead, deaths) = watch::channel(None);
        let Doubts { told, heard } = doubts;
        // Looking at a relay means a connection beside the proxy.
        if !self.proxied {
            tokio::spawn(relay::watch_deaths(shared.clone(), endpoint.clone(), self.names.clone(), heard, in_use.clone(), dead));
        }
        let ours = Ours { endpoint, pins, proxied: self.proxied, in_use: ours, doubts: told };
        tokio::spawn(relay::keep(ours, relays, deaths));
        tokio::spawn(self.clone().tell_moves(shared.clone(), in_use));
        tokio::spawn(self.run_accept(shared.clone()));
    }

    pub(super) async fn close(&self) {
        // What takes longer goes on: given up half way, a connection to a relay would stay.
        let endpoint = self.endpoint.clone();
        let _ = timeout(self.limits.linger, tokio::spawn(async move { endpoint.close().await })).await;
    }

    /// What of an address leads to another endpoint of this kind. The relayed one has no sockets to dial from, and nobody makes us
    /// knock in our local network while that is switched off: `nearby` is for sockets, `near_relays` for relays.
    pub(super) fn ways(
        &self,
        peer: PeerId,
        addr: &PeerAddr,
        nearby: bool,
        near_relays: bool,
    ) -> Result<(EndpointId, Vec<TransportAddr>), DialError> {
        let id = EndpointId::from_bytes(&peer.0).map_err(|_| DialError::Peer)?;
        if peer.0 == *self.endpoint.id().as_bytes() {
            return Err(DialError::Own);
        }
        let reached = |socket: &SocketAddr| nearby || !is_near(socket.ip());
        let sockets = addr.sockets().filter(|socket| self.way == Way::Direct && reached(socket));
        let sockets = sockets.filter(|socket| !endpoint::is_own(&self.endpoint, *socket));
        let ours = relay::in_use(&self.endpoint);
        let relays = addr.relays().filter_map(|via| {
            let at = relay::place_beside(via.at, self.proxied, ours);
            if is_near(at.ip()) && !near_relays {
                return None;
            }
            self.pins.add(at.ip(), via.certificate);
            relay::url(at).map(TransportAddr::Relay)
        });
        let ways: Vec<TransportAddr> = sockets.map(TransportAddr::Ip).chain(relays).collect();
        if ways.is_empty() { Err(DialError::NoAddress) } else { Ok((id, ways)) }
    }

    pub(super) async fn dial(&self, (id, ways): (EndpointId, Vec<TransportAddr>)) -> Option<Opened> {
        let connection = endpoint::connect(&self.endpoint, id, ways, ALPN).await?;
        // The other end sees the stream with the first frame on it.
        let (send, recv) = connection.open_bi().await.ok()?;
        opened(connection, Streams { send, recv }, &self.names)
    }

    async fn run_accept(self: Arc<Self>, shared: Arc<Shared>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let from = match incoming.remote_addr() {
                IncomingAddr::Ip(socket) => Some(socket),
                _ => None,
            };
            let Some(admission) = self.gate.admit(from, &self.limits) else {
                debug!("refused a contact: full");
                incoming.refuse();
                continue;
            };
            tokio::spawn(self.clone().run_incoming(incoming, admission, shared.clone()));
        }
    }

    /// Whoever it is: a stranger who says nothing is let go after the same time as one who says something wrong.
    async fn run_incoming(self: Arc<Self>, incoming: Incoming, mut admission: Admission, shared: Arc<Shared>) {
        let coming = timeout(self.limits.handshake, async {
            let connection = incoming.await.ok()?;
            let (send, recv) = connection.accept_bi().await.ok()?;
            opened(connection, Streams { send, recv }, &self.names)
        });
        if let Ok(Some((link, streams, binding))) = coming.await {
            admission.settle();
            shared.run(link, streams, None, self.way, binding).await;
        }
    }

    /// Tells where this endpoint is, now and whenever that changes.
    async fn tell_moves(self: Arc<Self>, shared: Arc<Shared>, mut in_use: watch::Receiver<Vec<Via>>) {
        let peer = PeerId(*self.endpoint.id().as_bytes());
        let mut addrs = self.endpoint.watch_addr();
        let monitor = if self.wish.nearby { Monitor::new().await.ok() } else { None };
        let mut networks = monitor.as_ref().map(Monitor::interface_state);
        let mut told = None;
        let mut met = Met::default();
        loop {
            let near = networks.as_mut().map(|networks| near(&networks.get(), &self.endpoint.bound_sockets()));
            let addr = match self.way {
                Way::Relayed => PeerAddr::with_relays([], &in_use.borrow_and_update()),
                Way::Direct => shown(&self.endpoint, near.as_deref(), &in_use.borrow_and_update()),
            };
            // Those nearby iroh does not tell of.
            let (addr_of_all, near) = (self.endpoint.addr(), near.unwrap_or_default());
            let own: BTreeSet<IpAddr> = addr_of_all.ip_addrs().chain(&near).map(|socket| socket.ip().to_canonical()).collect();
            met.moved(shared.keep_only_from(&own));
            if told.as_ref() != Some(&addr) {
                tell(&shared, ContactEvent::Here { way: self.way, peer, addr: addr.clone() }).await;
                told = Some(addr);
            }
            let goes_on = tokio::select! {
                updated = addrs.updated() => updated.is_ok(),
                updated = async {
                    match &mut networks {
                        Some(networks) => networks.updated().await.is_ok(),
                        None => std::future::pending().await,
                    }
                } => updated,
                changed = in_use.changed() => changed.is_ok(),
                () = met.stuck(&*shared) => {
                    shared.stuck.notify_one();
                    true
                }
                () = self.endpoint.closed() => false,
            };
            if !goes_on {
                return;
            }
        }
    }
}

fn opened(connection: Connection, streams: Streams, names: &Names) -> Option<Opened> {
    let mut binding = [0; BINDING_LEN];
    connection.export_keying_material(&mut binding, BINDING_LABEL, b"").ok()?;
    Some((Link::new(connection).doubting(names.clone()), streams, binding))
}

//! Endpoints for contacts, apart from the one that meets strangers: other keys, other connections.
//!
//! One is reached through relays only and so shows nobody an address; the other shows addresses to whoever knows its key,
//! and is there only while somebody may know it. Each has a key of its own, drawn when it begins. Who is at the other end
//! of a connection, its owner finds out by what is said on it: here a connection has a number and carries frames.

mod home;
mod nearby;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use samizdat_core::PeerId;
use samizdat_core::session::BINDING_LEN;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::addr::PeerAddr;
use crate::limits::{self, Limits};
use crate::link::Link;
use crate::links::Links;
use crate::path::PathInfo;
use crate::proxy::Proxy;
use crate::relay::RelayAt;
use crate::{DialError, DisconnectReason, SendError};

use home::Home;

/// Which of the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Reached through relays only.
    Relayed,
    /// Shows its addresses.
    Direct,
}

/// Which endpoints there are to be. Another number is another endpoint, with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// The one that is reached through relays only.
    pub relayed: Option<u64>,
    /// The one that shows its addresses.
    pub direct: Option<u64>,
}

/// What happened at the endpoints for contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactEvent {
    /// An endpoint is there, or there under another address. Without a relay that of the relayed one is empty.
    Here {
        /// Which.
        way: Way,
        /// Its key.
        peer: PeerId,
        /// How it is dialled.
        addr: PeerAddr,
    },
    /// An endpoint is gone, or could not be had.
    Gone {
        /// Which.
        way: Way,
    },
    /// A connection stands, and both ends have proven their keys.
    Opened {
        /// Names it.
        link: u64,
        /// The [`Contacts::dial`] that led to it; none if they dialled.
        dial: Option<u64>,
        /// At which endpoint.
        way: Way,
        /// The other end.
        peer: PeerId,
        /// What its TLS exports: equal at both ends, and on no other connection.
        binding: [u8; BINDING_LEN],
    },
    /// A dial came to nothing.
    DialFailed {
        /// Which.
        dial: u64,
    },
    /// 1 to [`limits::FRAME_MAX`] bytes came.
    Frame {
        /// On which connection.
        link: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        link: u64,
    },
}

/// The endpoints for contacts; none at first. Clones are the same; call [`Contacts::close`] to end them.
#[derive(Clone)]
pub struct Contacts {
    shared: Arc<Shared>,
    wanted: Arc<watch::Sender<Wanted>>,
    /// The last turn that has been taken.
    turned: watch::Receiver<u64>,
}

/// What there is to be.
#[derive(Clone, Default)]
struct Wanted {
    endpoints: Endpoints,
    /// Whether the direct one may be dialled in the local network.
    nearby: bool,
    /// Everything goes through it, and there is no endpoint that shows addresses.
    proxy: Option<Proxy>,
    /// Relays of our own, the best first.
    listed: Vec<RelayAt>,
    /// No relay is used, whose ever it is, so there is no endpoint that is reached through relays only.
    no_relays: bool,
    /// Counts the proxies, and the times at which relays were refused: an endpoint is of one turn.
    turn: u64,
}

/// What all tasks share.
struct Shared {
    limits: Limits,
    runtime: tokio::runtime::Handle,
    homes: Mutex<BTreeMap<Way, Arc<Home>>>,
    links: Mutex<BTreeMap<u64, Arc<Link>>>,
    /// Somebody who was reached directly before this machine moved is not any more: the direct endpoint needs other sockets.
    stuck: Notify,
    last_link: AtomicU64,
    dials: AtomicU64,
    /// `None` once all is closed.
    events: Mutex<Option<mpsc::Sender<ContactEvent>>>,
}

impl Contacts {
    /// Must be called inside a tokio runtime. Binds nothing until [`Contacts::want`].
    /// With `proxy` everything goes through it, and there is no endpoint that shows addresses.
    pub fn start(limits: Limits, proxy: Option<Proxy>) -> (Self, mpsc::Receiver<ContactEvent>) {
        let (events, receiver) = mpsc::channel(limits::EVENTS_MAX);
        let shared = Arc::new(Shared {
            limits,
            runtime: tokio::runtime::Handle::current(),
            homes: Mutex::default(),
            links: Mutex::default(),
            stuck: Notify::new(),
            last_link: AtomicU64::new(0),
            dials: AtomicU64::new(0),
            events: Mutex::new(Some(events)),
        });
        let (wanted, wishes) = watch::channel(Wanted { proxy, ..Wanted::default() });
        let (turns, turned) = watch::channel(0);
        tokio::spawn(home::keep(shared.clone(), wishes, turns));
        (Self { shared, wanted: Arc::new(wanted), turned }, receiver)
    }

    /// These endpoints there are to be from now on. `Here` and `Gone` follow.
    pub fn want(&self, endpoints: Endpoints) {
        self.wanted.send_modify(|wanted| wanted.endpoints = endpoints);
    }

    /// Whether contacts who may have our addresses are told those in the local network as well, and are dialled there. The direct
    /// endpoint is another one from then on, since what was told cannot be taken back.
    pub fn show_nearby(&self, nearby: bool) {
        self.wanted.send_modify(|wanted| wanted.nearby = nearby);
    }

    /// From now on everything goes through this, or nothing through any. Returns when no endpoint from before is left; `Here` and
    /// `Gone` follow, and what was connected is closed.
    pub async fn use_proxy(&self, proxy: Option<Proxy>) {
        let mut turn = 0;
        self.wanted.send_modify(|wanted| {
            turn = wanted.turn.saturating_add(1);
            (wanted.proxy, wanted.turn) = (proxy, turn);
        });
        // After the end of all there is nothing to wait for.
        let _ = self.turned.clone().wait_for(|turned| *turned >= turn).await;
    }

    /// Whether relays are used, our own or those by which a contact is reached. From the moment in which they are not, no connection
    /// from before is left, for any may have had one beside it; `Here` and `Gone` follow.
    pub fn allow_relays(&self, allowed: bool) {
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.no_relays == allowed;
            wanted.no_relays = !allowed;
            wanted.turn = wanted.turn.saturating_add(u64::from(changed && !allowed));
            changed
        });
    }

    /// Each endpoint keeps connected to one of these relays, the first that works.
    pub fn use_relays(&self, relays: &[RelayAt]) {
        self.wanted.send_modify(|wanted| wanted.listed = relays.iter().take(limits::RELAYS_MAX).copied().collect());
    }

    /// Begins to dial; `Opened` or `DialFailed` follows, with this `dial`.
    ///
    /// # Errors
    /// When there is nothing to begin; then no event follows.
    pub fn dial(&self, dial: u64, way: Way, peer: PeerId, addr: &[u8]) -> Result<(), DialError> {
        let home = self.shared.homes().get(&way).cloned().ok_or(DialError::Closed)?;
        let events = self.shared.events().ok_or(DialError::Closed)?;
        let Wanted { nearby, listed, no_relays, .. } = self.wanted.borrow().clone();
        let near_relays = nearby::may_be_near(&listed, nearby);
        let addr = PeerAddr::decode(addr)?;
        let addr = if no_relays { PeerAddr::new(addr.sockets()) } else { addr };
        let to = home.ways(peer, &addr, nearby, near_relays)?;
        let place = Dialling::begin(&self.shared).ok_or(DialError::Busy)?;
        let shared = self.shared.clone();
        self.shared.runtime.spawn(async move {
            let opened = timeout(shared.limits.handshake, home.dial(to)).await.ok().flatten();
            drop(place);
            match opened {
                Some((link, streams, binding)) => shared.run(link, streams, Some(dial), way, binding).await,
                None => drop(events.send(ContactEvent::DialFailed { dial }).await),
            }
        });
        Ok(())
    }

    /// Queues a frame. Never blocks; a connection whose queue is full is cut.
    ///
    /// # Errors
    /// When the frame was not queued.
    pub fn send(&self, link: u64, frame: Vec<u8>) -> Result<(), SendError> {
        let link = self.shared.links().get(&link).cloned();
        link.ok_or(SendError::NotConnected)?.push(frame)
    }

    /// Sends what is queued and ends a connection; `Closed` follows if it was there.
    pub fn hangup(&self, link: u64) {
        if let Some(link) = self.shared.links().get(&link) {
            link.end(DisconnectReason::HungUp);
        }
    }

    /// How the other end of each connection is reached now.
    pub fn paths(&self) -> Vec<(u64, PathInfo)> {
        self.shared.links().iter().filter_map(|(id, link)| Some((*id, link.path()?))).collect()
    }

    /// Sends what is queued and ends everything, within twice [`Limits::linger`].
    pub async fn close(&self) {
        self.want(Endpoints::default());
        *self.shared.events.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.links().values().for_each(|link| link.end(DisconnectReason::HungUp));
        let homes = std::mem::take(&mut *self.shared.homes());
        let closing = homes.into_values().map(|home| tokio::spawn(async move { home.close().await }));
        for closed in closing.collect::<Vec<_>>() {
            let _ = closed.await;
        }
    }
}

impl Shared {
    /// Tells of a connection, carries its frames, tells of its end.
    async fn run(&self, link: Link, streams: crate::link::Streams, dial: Option<u64>, way: Way, binding: [u8; BINDING_LEN]) {
        let Some(events) = self.events() else { return };
        let (id, link) = (self.last_link.fetch_add(1, Ordering::Relaxed), Arc::new(link));
        self.links().insert(id, link.clone());
        link.set_open();
        let opened = ContactEvent::Opened { link: id, dial, way, peer: link.peer, binding };
        let _ = events.send(opened).await;
        link.run(streams, &events, |bytes| ContactEvent::Frame { link: id, bytes }, &self.limits).await;
        self.links().remove(&id);
        let _ = events.send(ContactEvent::Closed { link: id }).await;
    }

    fn events(&self) -> Option<mpsc::Sender<ContactEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn homes(&self) -> MutexGuard<'_, BTreeMap<Way, Arc<Home>>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links for Shared {
    fn open_links(&self) -> Vec<Arc<Link>> {
        self.links().values().cloned().collect()
    }
}

/// One of [`Limits::dials`] that may be under way.
struct Dialling(Arc<Shared>);

impl Dialling {
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let place = Self(shared.clone());
        let under_way = shared.dials.fetch_add(1, Ordering::Relaxed);
        usize::try_from(under_way).is_ok_and(|under_way| under_way < shared.limits.dials).then_some(place)
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.dials.fetch_sub(1, Ordering::Relaxed);
    }
}

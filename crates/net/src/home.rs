//! The endpoint that meets strangers, from its binding to its end, and the one that takes its place when it needs another port.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use iroh::{Endpoint, Watcher};
use samizdat_core::record::Via;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::debug;
use zeroize::Zeroizing;

use crate::addr::PeerAddr;
use crate::endpoint::{self, Listen};
use crate::limits::{DOUBTS_MAX, Limits};
use crate::links::{Links, Met};
use crate::peers::Peers;
use crate::relay::{self, Doubt, Names, Ours, Pins, RelayAt};
use crate::{NetEvent, frame, question};

/// What an endpoint is bound with, and how it is reached.
pub(crate) struct Home {
    pub(crate) secret: Zeroizing<[u8; 32]>,
    pub(crate) listen: SocketAddr,
    pub(crate) limits: Limits,
    /// Certificates of relays; none where relays are refused.
    pub(crate) pins: Option<Pins>,
    /// Everything goes through a proxy.
    pub(crate) proxied: bool,
    pub(crate) wanted: watch::Receiver<Vec<RelayAt>>,
    pub(crate) in_use: watch::Sender<Vec<Via>>,
}

/// An endpoint that nobody cares for yet.
pub(crate) struct Bound {
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Names,
    told: mpsc::Sender<Doubt>,
    heard: mpsc::Receiver<Doubt>,
}

impl Home {
    /// Binds an endpoint; `through` is the address of our bridge to a proxy.
    pub(crate) async fn bind(&self, listen: SocketAddr, through: Option<&str>) -> Result<Bound, io::Error> {
        let (told, heard) = mpsc::channel(DOUBTS_MAX);
        let names = Names::new(told.clone());
        let (at, alpns) = (Listen::At(listen), [frame::ALPN, question::ALPN]);
        let endpoint = endpoint::build(&self.secret, at, &alpns, &self.limits, self.pins.as_ref(), &names, through).await?;
        Ok(Bound { endpoint, names, told, heard })
    }

    /// Keeps an endpoint, and another one under the same key and at another port when this machine moved and does not reach those
    /// directly any more whom it did. Ends with the node.
    pub(crate) async fn keep(self, peers: Arc<Peers>, bound: Bound, events: mpsc::WeakSender<NetEvent>) {
        let mut endpoint = bound.endpoint.clone();
        let mut told = endpoint::local_addr(&endpoint, &[]);
        self.begin(&peers, bound);
        while self.tell_moves(&peers, &endpoint, &mut told, &events).await {
            match self.bind(self.listen, None).await {
                Ok(next) => {
                    let before = std::mem::replace(&mut endpoint, next.endpoint.clone());
                    if !peers.move_to(&next) {
                        return next.endpoint.close().await;
                    }
                    // Two under one key would be one too many for a relay.
                    let _ = timeout(self.limits.linger, before.close()).await;
                    self.in_use.send_replace(Vec::new());
                    self.begin(&peers, next);
                    debug!("another port");
                }
                Err(error) => debug!(%error, "no other port"),
            }
        }
    }

    fn begin(&self, peers: &Arc<Peers>, bound: Bound) {
        let Bound { endpoint, names, told: doubts, heard } = bound;
        tokio::spawn(peers.clone().run_accept(endpoint.clone()));
        if let Some(pins) = self.pins.clone() {
            let (dead, deaths) = watch::channel(None);
            // Looking at a relay means a connection beside the proxy.
            if !self.proxied {
                tokio::spawn(relay::watch_deaths(peers.clone(), endpoint.clone(), names, heard, self.in_use.subscribe(), dead));
            }
            let mut wanted = self.wanted.clone();
            wanted.mark_changed();
            tokio::spawn(relay::keep(
                Ours { endpoint, pins, proxied: self.proxied, in_use: self.in_use.clone(), doubts },
                wanted,
                deaths,
            ));
        }
    }

    /// Tells the owner of each change of what is `told`, until the endpoint needs another port, or, which is false, nobody owns it
    /// any more.
    async fn tell_moves(
        &self,
        peers: &Arc<Peers>,
        endpoint: &Endpoint,
        told: &mut PeerAddr,
        events: &mpsc::WeakSender<NetEvent>,
    ) -> bool {
        let mut addrs = endpoint.watch_addr();
        let mut in_use = self.in_use.subscribe();
        let mut met = Met::default();
        loop {
            let addr = endpoint::local_addr(endpoint, &in_use.borrow_and_update());
            let Some(events) = events.upgrade() else { return false };
            if addr != *told && events.send(NetEvent::Moved { addr: addr.clone() }).await.is_ok() {
                *told = addr;
            }
            drop(events);
            tokio::select! {
                updated = addrs.updated() => {
                    let own: BTreeSet<IpAddr> = endpoint.addr().ip_addrs().map(|socket| socket.ip().to_canonical()).collect();
                    met.moved(peers.keep_only_from(&own));
                    if updated.is_err() {
                        return false;
                    }
                }
                Ok(()) = in_use.changed() => {}
                // Where the port was asked for, others were told of it.
                () = met.stuck(&**peers), if self.listen.port() == 0 => return true,
                () = endpoint.closed() => return false,
            }
        }
    }
}

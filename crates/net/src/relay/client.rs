//! Our own relay: one at a time, the first of a list that works. Which one that is, and which would be next, is told to
//! others, so that they find us at the next one without being told again when the first dies.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use iroh::{Endpoint, RelayConfig, Watcher};
use iroh_relay::RelayQuicConfig;
use samizdat_core::record::{CERTIFICATE_HASH_LEN, Dual, Via};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{Doubt, Pins, has_route, place, url};
use crate::limits::{RELAY_LOST, RELAY_PATIENCE, VIA_MAX};

/// A relay that a node record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAt {
    /// Where its HTTPS listens.
    pub at: Dual,
    /// UDP port at which it tells who asks their address.
    pub discovery_port: u16,
    /// SHA-256 of its certificate (DER).
    pub certificate: [u8; CERTIFICATE_HASH_LEN],
}

impl RelayAt {
    fn via(&self) -> Via {
        Via { at: self.at, certificate: self.certificate }
    }
}

/// What the task works on.
pub(crate) struct Ours {
    pub(crate) endpoint: Endpoint,
    pub(crate) pins: Pins,
    /// Nothing is sent but through a proxy, so no relay is asked over UDP where we are.
    pub(crate) proxied: bool,
    /// The relay in use if it is connected, then those that come after it.
    pub(crate) in_use: watch::Sender<Vec<Via>>,
    /// Where to say that it was lost.
    pub(crate) doubts: mpsc::Sender<Doubt>,
}

/// Keeps one relay of `wanted` connected until the node is closed. `dead` says which was found to be.
pub(crate) async fn keep(ours: Ours, mut wanted: watch::Receiver<Vec<RelayAt>>, mut dead: watch::Receiver<Option<SocketAddr>>) {
    let mut status = ours.endpoint.home_relay_status();
    // The one in use is the first; one that failed goes to the end.
    let mut ways: VecDeque<Way> = VecDeque::new();
    let (mut connected, mut only) = (false, true);
    let mut patience: Option<Instant> = None;
    loop {
        let here = ways.front().map(|way| way.addr);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let before = ways.front().copied();
                // An only one was not preferred to any.
                let chosen = !std::mem::replace(&mut only, wanted.borrow().len() < 2);
                ways = all_ways(&wanted.borrow_and_update(), ours.proxied);
                // Nothing is broken off because its relay is known at another address, too, from now on.
                let same = before.and_then(|before| ways.iter().position(|way| way.is_the_same(&before)));
                match same.filter(|at| chosen || *at == 0) {
                    Some(goes_on) => ways.rotate_left(goes_on),
                    None => {
                        ours.change(here, ways.front()).await;
                        connected = false;
                    }
                }
                if !connected {
                    patience = ways.front().and_then(|_| Instant::now().checked_add(RELAY_PATIENCE));
                }
            }
            updated = status.updated() => {
                let Ok(homes) = updated else { return };
                let current = here.and_then(url);
                let now = homes.iter().any(|home| Some(home.url()) == current.as_ref() && home.is_connected());
                if now != connected && current.is_some() {
                    debug!(connected = now, "the relay in use");
                    connected = now;
                    patience = if now { None } else { Instant::now().checked_add(RELAY_LOST) };
                    if let Some(lost) = here.filter(|_| !now) {
                        // Who is about to look at another relay will look at this one, too, when it is asked for.
                        let _ = ours.doubts.try_send(Doubt::Lost(lost));
                    }
                }
            }
            Ok(()) = dead.changed() => {
                let found = *dead.borrow_and_update();
                if here.is_some() && here == found {
                    (connected, patience) = (false, Some(Instant::now()));
                }
            }
            () = async { sleep_until(patience.unwrap_or_else(Instant::now)).await }, if patience.is_some() => {
                // With a single one there is nothing to change to: iroh keeps trying.
                if ways.len() > 1 {
                    ways.rotate_left(1);
                    ours.change(here, ways.front()).await;
                }
                patience = if ways.len() > 1 { Instant::now().checked_add(RELAY_PATIENCE) } else { None };
            }
            () = ours.endpoint.closed() => return,
        }
        let mut via = Vec::new();
        for relay in ways.iter().filter(|_| connected).map(|way| way.relay.via()) {
            if via.len() < VIA_MAX && !via.contains(&relay) {
                via.push(relay);
            }
        }
        ours.in_use.send_if_modified(|told| {
            if *told == via {
                false
            } else {
                *told = via;
                true
            }
        });
    }
}

impl Ours {
    /// Uses `to` from now on, and what was used before no longer.
    async fn change(&self, from: Option<SocketAddr>, to: Option<&Way>) {
        if let Some(url) = from.and_then(url) {
            self.endpoint.remove_relay(&url).await;
        }
        if let Some((way, url)) = to.and_then(|way| Some((way, url(way.addr)?))) {
            self.pins.add(way.addr.ip(), way.relay.certificate);
            let quic = (!self.proxied).then(|| RelayQuicConfig::new(way.relay.discovery_port));
            self.endpoint.insert_relay(url.clone(), Arc::new(RelayConfig::new(url, quic))).await;
        }
    }
}

/// A relay at one of its addresses.
#[derive(Debug, Clone, Copy)]
struct Way {
    relay: RelayAt,
    addr: SocketAddr,
}

impl Way {
    fn is_the_same(&self, other: &Self) -> bool {
        let of = |way: &Self| (way.addr, way.relay.certificate, way.relay.discovery_port);
        of(self) == of(other)
    }
}

/// Each relay where this machine would use it; when all of these failed, those that have another address, at that.
fn all_ways(relays: &[RelayAt], proxied: bool) -> VecDeque<Way> {
    let first = relays.iter().map(|relay| Way { relay: *relay, addr: place(relay.at, proxied) });
    let others = relays.iter().flat_map(|relay| relay.at.iter().map(|addr| Way { relay: *relay, addr }));
    let others = others.filter(|way| way.addr != place(way.relay.at, proxied) && (proxied || has_route(way.addr)));
    first.chain(others).collect()
}

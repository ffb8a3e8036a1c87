//! Our own relay: one at a time, the first of a list that works. Which one that is, and which would be next, is told to
//! others, so that they find us at the next one without being told again when the first dies.

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
    let mut relays: Vec<RelayAt> = Vec::new();
    // Where the first is used.
    let mut here: Option<SocketAddr> = None;
    let mut connected = false;
    let mut patience: Option<Instant> = None;
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let new = wanted.borrow_and_update().clone();
                let current = relays.first().copied().filter(|current| new.contains(current));
                let rest = new.iter().filter(|relay| Some(**relay) != current).copied();
                let before = relays.first().copied();
                relays = current.into_iter().chain(rest).collect();
                if relays.first() != before.as_ref() {
                    here = ours.change(here, relays.first(), place).await;
                    connected = false;
                    patience = relays.first().and_then(|_| Instant::now().checked_add(RELAY_PATIENCE));
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
                if relays.len() > 1 {
                    relays.rotate_left(1);
                    here = ours.change(here, relays.first(), place).await;
                } else {
                    // With a single one there is at most another address of it to change to: iroh keeps trying.
                    here = ours.change(here, relays.first(), |at, _| other_place(at, here)).await;
                }
                let only = relays.first().is_none_or(|relay| relay.at.iter().count() == 1);
                patience = if relays.len() == 1 && only { None } else { Instant::now().checked_add(RELAY_PATIENCE) };
            }
            () = ours.endpoint.closed() => return,
        }
        let told = if connected { VIA_MAX } else { 0 };
        let via = relays.iter().map(RelayAt::via).take(told).collect();
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
    /// Uses `to` from now on, at the address that `place` chooses, which is returned, and what was used before no longer.
    async fn change(
        &self,
        from: Option<SocketAddr>,
        to: Option<&RelayAt>,
        place: impl FnOnce(Dual, bool) -> SocketAddr,
    ) -> Option<SocketAddr> {
        let at = to.map(|relay| place(relay.at, self.proxied));
        if at.is_some() && at == from {
            return at;
        }
        if let Some(url) = from.and_then(url) {
            self.endpoint.remove_relay(&url).await;
        }
        if let Some((relay, at, url)) = to.zip(at).and_then(|(relay, at)| Some((relay, at, url(at)?))) {
            self.pins.add(at.ip(), relay.certificate);
            let quic = (!self.proxied).then(|| RelayQuicConfig::new(relay.discovery_port));
            self.endpoint.insert_relay(url.clone(), Arc::new(RelayConfig::new(url, quic))).await;
        }
        at
    }
}

/// The address that is not used yet, if there is one and a route to it.
fn other_place(at: Dual, used: Option<SocketAddr>) -> SocketAddr {
    let other = at.iter().find(|addr| Some(*addr) != used && has_route(*addr));
    other.or(used.filter(|used| at.has(*used))).unwrap_or(at.first())
}

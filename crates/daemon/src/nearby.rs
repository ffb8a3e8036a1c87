//! The local network: whether this node tells it that it is here, and whom it finds there. Off until somebody switches it on,
//! since it shows presence.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use samizdat_api::{ApiError, Lan as Row};
use samizdat_core::PeerId;
use samizdat_net::{Lan, Near, Net};
use tracing::debug;

use crate::{
    convert,
    labels::{BESIDE_PROXY, LAN_OFF, LAN_ON},
    limits::{NEAR_ENOUGH, NEARBY_LAST_MS},
    meeting::{News, Tell},
    node::Node,
};

const LAN: &str = "lan";

/// Discovery while it is switched on.
pub(crate) struct Nearby {
    running: Option<Lan>,
    /// By the command line, for this run.
    asked: bool,
    held: Held,
}

/// Those nearby who wait until a node that is connected to nobody has tried all others: whom it remembers, places, entry domains.
#[derive(Debug, Default)]
pub(crate) struct Held {
    alone_since_ms: Option<u64>,
    near: BTreeMap<PeerId, SocketAddr>,
}

impl Held {
    /// Somebody is near.
    pub(crate) fn heard(&mut self, peer: PeerId, at: SocketAddr) {
        if self.near.len() < NEAR_ENOUGH || self.near.contains_key(&peer) {
            self.near.insert(peer, at);
        }
    }

    /// Whom to dial now.
    pub(crate) fn due(&mut self, neighbours: usize, now_ms: u64) -> BTreeMap<PeerId, SocketAddr> {
        if neighbours > 0 {
            self.alone_since_ms = None;
        } else if now_ms.saturating_sub(*self.alone_since_ms.get_or_insert(now_ms)) < NEARBY_LAST_MS {
            return BTreeMap::new();
        }
        std::mem::take(&mut self.near)
    }
}

impl Nearby {
    /// `kept` is what the vault says, `asked` what the command line does, for this run.
    pub(crate) fn load(kept: Option<Vec<u8>>, asked: bool, net: &Net, tell: &Tell) -> Self {
        let on = (asked || kept.as_deref() == Some(&[1])) && !net.is_proxied();
        Self { running: on.then(|| start(net, tell)).flatten(), asked, held: Held::default() }
    }

    pub(crate) fn kept(engine: &samizdat_engine::Engine) -> Result<Option<Vec<u8>>, samizdat_chat::ChatError> {
        engine.chat().kept(LAN)
    }

    /// The node has another key, and perhaps another port, or is behind a proxy or no longer.
    pub(crate) fn renew(&mut self, kept: Option<Vec<u8>>, net: &Net, tell: &Tell) {
        self.stop();
        *self = Self::load(kept, self.asked, net, tell);
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn row(&self) -> Row {
        let on = self.is_on();
        Row { on, why: if on { LAN_ON } else { LAN_OFF }.to_owned() }
    }
}

fn start(net: &Net, tell: &Tell) -> Option<Lan> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).ok()?;
    let tell = tell.clone();
    // Whoever is not taken in now is heard again later.
    Some(Lan::start(net, seed, move |near| drop(tell.try_send(News::Near(near)))))
}

impl Node {
    pub(crate) fn set_lan(&mut self, on: bool) -> Result<(), ApiError> {
        if on && self.is_proxied() {
            return Err(ApiError::refused(BESIDE_PROXY));
        }
        let now = self.clock.now();
        self.engine.command(now, |chat, _| chat.keep(LAN, &[on.into()])).map_err(convert::error)?;
        self.status_due = true;
        let Nearby { running, asked, held } = &mut self.meeting.nearby;
        held.near.clear();
        *asked &= on;
        if on != running.is_some() {
            *running = on.then(|| start(&self.net, &self.meeting.tell)).flatten();
        }
        self.contacts.show_nearby(running.is_some());
        if on == running.is_some() { Ok(()) } else { Err(ApiError::internal("the system gives no random bytes")) }
    }

    /// Somebody in the local network says that a node is there; the connection proves it, or does not come about.
    pub(crate) fn on_near(&mut self, near: Near) {
        self.meeting.nearby.held.heard(near.peer, near.at);
        self.dial_near();
    }

    pub(crate) fn dial_near(&mut self) {
        let neighbours = self.engine.peers().count();
        for (peer, at) in self.meeting.nearby.held.due(neighbours, self.clock.now().mono_ms) {
            let known = self.engine.peers().any(|status| status.peer == peer);
            if !known && neighbours < NEAR_ENOUGH && self.net.dial_at(peer, at).is_err() {
                debug!("a node nearby was not dialled");
            }
        }
    }
}

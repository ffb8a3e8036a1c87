//! Places in invite links: how a newcomer who knows nobody finds the network, and what we put into links of our own.

use std::net::SocketAddr;
use std::sync::Arc;

use samizdat_chat::Chat;
use samizdat_core::NodeRecord;
use samizdat_core::limits::LINK_PLACES_MAX;
use samizdat_core::link::InviteLink;
use samizdat_net::PeerAddr;
use tracing::debug;

use crate::limits::{PLACES_AGAIN_MS, PLACES_FIRST_MS, PLACES_MAX};
use crate::node::Node;

const PLACES: &str = "places";

/// Where relays were when somebody invited us.
pub(crate) struct Places {
    known: Vec<SocketAddr>,
    next_ms: u64,
}

impl Places {
    pub(crate) fn load(chat: &Chat) -> Self {
        let bytes = chat.kept(PLACES).ok().flatten().unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let known = text.lines().filter_map(|line| line.parse().ok()).take(PLACES_MAX).collect();
        Self { known, next_ms: PLACES_FIRST_MS }
    }

    /// Whether they are to be asked now; then they are.
    pub(crate) fn are_due(&mut self, neighbours: usize, now_ms: u64) -> bool {
        let due = !self.known.is_empty() && neighbours == 0 && now_ms >= self.next_ms;
        if due {
            self.next_ms = now_ms.saturating_add(PLACES_AGAIN_MS);
        }
        due
    }

    fn text(&self) -> String {
        self.known.iter().map(|place| format!("{place}\n")).collect()
    }
}

impl Node {
    /// Somebody gave us a link. Its places are kept, and asked at once if we know nobody: a link must not make a node that needs
    /// nothing show its address to whoever made it.
    pub(crate) fn note_places(&mut self, who: &str) {
        let Ok(link) = who.parse::<InviteLink>() else { return };
        let new = link.places.into_iter().filter(|place| !self.places.known.contains(place)).collect::<Vec<_>>();
        if new.is_empty() || !self.is_alone() {
            return;
        }
        self.places.known.splice(0..0, new);
        self.places.known.truncate(PLACES_MAX);
        self.places.next_ms = 0;
        let (text, now) = (self.places.text(), self.clock.now());
        if let Err(error) = self.engine.command(now, |chat, _| chat.keep(PLACES, text.as_bytes())) {
            debug!(%error, "places were not kept");
        }
        self.ask_places();
    }

    /// As long as nobody is connected, those who once were in links are asked for the way.
    pub(crate) fn ask_places(&mut self) {
        let now = self.clock.now();
        if self.places.are_due(self.engine.peers().count(), now.mono_ms) {
            self.places.known.iter().for_each(|place| self.net.introduce(*place, now.unix_ms / 1000));
        }
    }

    /// A relay said who it is.
    pub(crate) fn introduced(&mut self, record: NodeRecord) {
        let now = self.clock.now();
        let addr = PeerAddr::with_relays(record.fields().addrs.iter().copied(), &record.fields().via);
        self.engine.learn(record.peer(), addr.as_bytes().to_vec(), false, now);
        self.engine.learn_node(&Arc::new(record), now);
    }

    /// A link of ours with places of others: never our own, which would tell where we are to whoever holds the link.
    pub(crate) fn with_places(&mut self, link: InviteLink) -> InviteLink {
        InviteLink { places: self.engine.some_relays(LINK_PLACES_MAX), ..link }
    }

    fn is_alone(&self) -> bool {
        self.engine.peers().next().is_none()
    }
}

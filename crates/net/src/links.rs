//! The connections of an endpoint, for whoever sees relays and addresses come and go.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use samizdat_core::PeerId;
use tokio::time::{Instant, sleep};

use crate::DisconnectReason;
use crate::limits::PUNCHED_AGAIN;
use crate::link::Link;

/// Whatever holds connections.
pub(crate) trait Links: Send + Sync + 'static {
    /// Those that carry frames.
    fn open_links(&self) -> Vec<Arc<Link>>;

    /// Whether one goes through this relay.
    fn uses_relay(&self, relay: SocketAddr) -> bool {
        self.open_links().iter().any(|link| link.relay() == Some(relay))
    }

    /// Gives up all that go through a relay that is dead, so that their owner dials again.
    fn leave_relay(&self, relay: SocketAddr) {
        let through = self.open_links().into_iter().filter(|link| link.relay() == Some(relay));
        through.for_each(|link| link.end(DisconnectReason::Lost));
    }

    /// Gives up all whose own end was at none of these addresses, so that their owner dials again; tells with whom.
    fn keep_only_from(&self, own: &BTreeSet<IpAddr>) -> BTreeSet<PeerId> {
        // Between two networks there is none, and nothing to be gained.
        if own.is_empty() {
            return BTreeSet::new();
        }
        let moved = self.open_links().into_iter().filter(|link| link.has_moved(own));
        moved.map(|link| (link.end(DisconnectReason::Lost), link.peer).1).collect()
    }

    /// Whether one of these is connected only through a relay; `None` as long as none is connected.
    fn any_relayed(&self, peers: &BTreeSet<PeerId>) -> Option<bool> {
        let links = self.open_links().into_iter().filter(|link| peers.contains(&link.peer));
        links.map(|link| link.relay().is_some()).reduce(|one, other| one || other)
    }
}

/// Those who were reached directly before this machine moved, and since when that may be so again.
///
/// For a third of a second after a move iroh sends from the address that was, and a router translates that as well (docs/netlab.md):
/// the port of the socket is then taken, towards each of them, by an address that nobody has. Only another port leads out of that.
#[derive(Debug, Default)]
pub(crate) struct Met(Option<(Instant, BTreeSet<PeerId>)>);

impl Met {
    /// These have to be met anew.
    pub(crate) fn moved(&mut self, peers: BTreeSet<PeerId>) {
        if !peers.is_empty() {
            self.0 = Some((Instant::now(), peers));
        }
    }

    /// Returns, once for each move, when one of them should long be reached directly again and is not.
    pub(crate) async fn stuck(&mut self, links: &impl Links) {
        while let Some((since, peers)) = &mut self.0 {
            sleep(PUNCHED_AGAIN.saturating_sub(since.elapsed())).await;
            match links.any_relayed(peers) {
                // As long as none of them is back, there is nothing to be seen.
                None => *since = Instant::now(),
                Some(relayed) => {
                    self.0 = None;
                    if relayed {
                        return;
                    }
                }
            }
        }
        std::future::pending().await
    }
}

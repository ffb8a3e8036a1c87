//! Finding out that a relay has died, long before the connections through it do. When iroh connects to one again that we use, or
//! says that it lost ours, or when a connection through it falls silent, we look ourselves: who takes a connection lives.

use std::net::SocketAddr;
use std::sync::Arc;

use iroh::Endpoint;
use samizdat_core::record::Via;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::{Doubt, Names, place_beside};
use crate::limits::{RELAY_LOOK, RELAY_QUEUE_DRAINED};
use crate::links::Links;

/// Looks at every relay of `doubts` that matters, until the endpoint is closed, and tells of those that are dead.
pub(crate) async fn watch<L: Links>(
    links: Arc<L>,
    endpoint: Endpoint,
    names: Names,
    mut doubts: mpsc::Receiver<Doubt>,
    in_use: watch::Receiver<Vec<Via>>,
    dead: watch::Sender<Option<SocketAddr>>,
) {
    let mut drain = interval(RELAY_QUEUE_DRAINED);
    drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            doubt = doubts.recv() => {
                let (relay, alive) = match doubt {
                    None => return,
                    Some(Doubt::Lost(relay)) => (relay, takes_connections(relay).await),
                    Some(Doubt::Asked(relay)) => {
                        // iroh looks at the one in use now and then, and says when it loses it.
                        let ours = in_use.borrow().first().is_some_and(|via| via.at.has(relay));
                        if !names.was_dead(relay) && (ours || !links.uses_relay(relay)) {
                            continue;
                        }
                        (relay, takes_connections(relay).await)
                    }
                    Some(Doubt::Silent(relay)) => {
                        let other = in_use.borrow().iter().find(|via| !via.at.has(relay)).map(|via| place_beside(via.at, false, Some(relay)));
                        let Some(other) = other.filter(|_| links.uses_relay(relay)) else { continue };
                        let (alive, other_lives) = tokio::join!(takes_connections(relay), takes_connections(other));
                        // Where neither answers, it is our own network that is down, and there is nothing to change to.
                        if !alive && !other_lives {
                            continue;
                        }
                        (relay, alive)
                    }
                };
                if alive {
                    names.raise(relay);
                } else {
                    debug!("a relay is dead");
                    names.bury(relay);
                    links.leave_relay(relay);
                    dead.send_replace(Some(relay));
                }
            }
            _ = drain.tick(), if names.any_dead() => {
                // Who waits for an answer goes on waiting, beyond the time after which iroh empties its queue.
                if let Ok(resolver) = endpoint.dns_resolver() {
                    resolver.reset();
                }
            }
            () = endpoint.closed() => return,
        }
    }
}

async fn takes_connections(relay: SocketAddr) -> bool {
    matches!(timeout(RELAY_LOOK, TcpStream::connect(relay)).await, Ok(Ok(_)))
}

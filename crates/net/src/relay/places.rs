//! Who may use our relay, how many of them and how much: counted from the TCP connection to the end of the relayed one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iroh::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::quota::{Quotas, Sender};
use crate::admission::{Admission, Gate};
use crate::limits::RelayLimits;

/// How much a relay is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayUse {
    /// Peers that are reached through it.
    pub peers: usize,
    /// Connections that it turned away since it began.
    pub refused: u64,
}

/// All places of one relay.
#[derive(Debug)]
pub(crate) struct Places {
    gate: Gate,
    limits: RelayLimits,
    table: Mutex<Table>,
    quotas: Mutex<Quotas>,
    began: Instant,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    refused: u64,
    /// Connections that have not asked to be relayed yet.
    waiting: BTreeMap<u64, Admission>,
    /// Those that have, by the number that the relay gave them.
    relayed: BTreeMap<ConnectionKey, (EndpointId, Admission)>,
}

/// `ConnectionId` has no order, but a text.
type ConnectionKey = String;

impl Places {
    pub(crate) fn new(limits: RelayLimits) -> Self {
        let quotas = Mutex::new(Quotas::new(&limits));
        let closed = watch::Sender::new(false);
        Self { gate: Gate::default(), limits, table: Mutex::default(), quotas, began: Instant::now(), closed }
    }

    /// A place for a connection from `socket`, by its number.
    pub(crate) fn enter(&self, socket: SocketAddr) -> Option<u64> {
        let admission = self.gate.admit(Some(socket), &self.limits.gate());
        let mut table = self.table();
        let Some(admission) = admission else {
            table.refused = table.refused.saturating_add(1);
            return None;
        };
        table.next = table.next.saturating_add(1);
        let number = table.next;
        table.waiting.insert(number, admission);
        Some(number)
    }

    /// The connection ended, or is in the hands of the relay, which keeps its place.
    pub(crate) fn leave(&self, number: u64) {
        self.table().waiting.remove(&number);
    }

    /// For how long nothing more is read from somebody who has just sent so many bytes.
    pub(crate) fn spend(&self, sender: Sender, bytes: usize) -> Duration {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(quotas.spend(sender, bytes, now))
    }

    pub(crate) fn limits(&self) -> &RelayLimits {
        &self.limits
    }

    pub(crate) fn usage(&self) -> RelayUse {
        let table = self.table();
        RelayUse { peers: table.relayed.len(), refused: table.refused }
    }

    /// Tells every connection to end.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, peer: EndpointId, connection: ConnectionId, number: u64) -> bool {
        let mut table = self.table();
        let Some(mut admission) = table.waiting.remove(&number) else { return false };
        let held = table.relayed.values().filter(|(other, _)| *other == peer).count();
        if *self.closed.borrow() || held >= self.limits.per_peer {
            table.refused = table.refused.saturating_add(1);
            return false;
        }
        admission.settle();
        table.relayed.insert(connection.to_string(), (peer, admission));
        true
    }
}

/// The door for one connection, asked once there is proof of who the peer is.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) places: Arc<Places>,
    pub(crate) number: u64,
}

impl AccessControl for Door {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        if self.places.admit(request.endpoint_id(), request.connection_id(), self.number) {
            Access::Allow
        } else {
            Access::Deny { reason: Some("this relay has no room for you".to_owned()) }
        }
    }

    fn on_disconnect(&self, _peer: EndpointId, connection: ConnectionId) {
        self.places.table().relayed.remove(&connection.to_string());
    }
}

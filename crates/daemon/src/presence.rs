//! What this node says of itself to strangers, as far as others have found it to be so; and the questions that find it out.

use samizdat_core::record::{NodeFields, RECORD_LIFETIME_S, RelayOffer, Role, Roles};
use samizdat_core::{NodeRecord, Now, PeerSecret};
use samizdat_engine::{Standing, Whom};
use samizdat_net::PeerAddr;
use tracing::debug;
use zeroize::Zeroizing;

use crate::node::Node;

/// Between two records that say the same. Each holds twice as long, so that one may come late.
const RENEW_MS: u64 = RECORD_LIFETIME_S as u64 * 1000 / 2;

/// The record of this node.
pub(crate) struct Presence {
    secret: PeerSecret,
    /// What the last one said, but for the time.
    said: Option<NodeFields>,
    /// When that was.
    said_at: Now,
    changed: bool,
}

impl Presence {
    pub(crate) fn new(secret: PeerSecret) -> Self {
        Self { secret, said: None, said_at: Now::default(), changed: false }
    }

    /// Whether the record says that a relay runs here.
    pub(crate) fn announces_relay(&self) -> bool {
        self.said.as_ref().is_some_and(|fields| fields.relay.is_some())
    }

    /// The transport key.
    pub(crate) fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.0)
    }

    /// Whether the last record is old by either clock: the one stands still while the machine sleeps, the other jumps. A record
    /// from the future is believed by nobody.
    fn is_old(&self, now: Now) -> bool {
        let by_mono = now.mono_ms.saturating_sub(self.said_at.mono_ms) >= RENEW_MS;
        let by_unix = now.unix_ms.checked_sub(self.said_at.unix_ms).is_none_or(|age| age >= RENEW_MS);
        by_mono || by_unix
    }

    /// Something that the record says may have changed.
    pub(crate) fn hurry(&mut self) {
        self.changed = true;
    }
}

impl Node {
    /// Signs a record anew when it is due. A node that nobody can dial has none.
    pub(crate) fn renew_record(&mut self) {
        let now = self.clock.now();
        let due = self.presence.is_old(now);
        if !std::mem::take(&mut self.presence.changed) && !due {
            return;
        }
        let Standing { addrs, relay_families, .. } = self.engine.standing();
        // Only what others came through to is announced.
        let relay = self.roles.service().map(|service| RelayOffer { service, families: *relay_families });
        let relay = relay.filter(|relay| !relay.families.is_empty());
        let fields = NodeFields {
            issued: 0,
            lifetime_s: RECORD_LIFETIME_S,
            roles: self.meeting.keeping.roles(relay.map_or(Roles::default(), |_| Roles::default().with(Role::Relay))),
            addrs: addrs.clone(),
            relay,
            via: self.net.reached_through(),
        };
        let says = Some(fields).filter(|fields| !fields.addrs.is_empty() || !fields.via.is_empty());
        if says == self.presence.said && !due {
            return;
        }
        self.presence.said_at = now;
        if says.is_none() && self.presence.said.is_none() {
            return;
        }
        let sign = |fields| NodeRecord::sign(&self.presence.secret, NodeFields { issued: now.unix_ms / 1000, ..fields });
        let record = says.clone().and_then(|fields| sign(fields).inspect_err(|error| debug!(%error, "no record")).ok());
        if let Some(relay) = self.roles.relay() {
            relay.show_record(record.as_ref());
        }
        self.presence.said = says;
        self.engine.set_record(record, now);
    }

    /// Whether somebody could be asked.
    pub(crate) fn ask(&self, ticket: u64, whom: Whom, question: Vec<u8>) -> bool {
        let (peer, addr) = match whom {
            Whom::Node(record) => {
                let fields = record.fields();
                (record.peer(), Some(PeerAddr::with_relays(fields.addrs.iter().copied(), &fields.via)))
            }
            Whom::NodeAt(record, addr) => (record.peer(), Some(PeerAddr::new([addr]))),
            Whom::Neighbour(peer, addr) => (peer, PeerAddr::decode(&addr).ok()),
        };
        addr.is_some_and(|addr| self.net.ask(ticket, peer, &addr, question).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_record_is_renewed_in_time_after_sleep_and_when_the_clock_was_wrong() {
        let said_at = Now { mono_ms: 5000, unix_ms: 1_800_000_000_000 };
        let presence = Presence { said_at, ..Presence::new(PeerSecret([7; 32])) };
        let after = |mono_ms, unix_ms| presence.is_old(Now { mono_ms: said_at.mono_ms.saturating_add(mono_ms), unix_ms });
        let in_ms = |ms| said_at.unix_ms.saturating_add(ms);
        assert!(!after(0, in_ms(0)) && !after(60_000, in_ms(60_000)));
        assert!(after(RENEW_MS, in_ms(RENEW_MS)));
        assert!(after(10, in_ms(DAY_MS)), "the machine slept for a day");
        assert!(after(60_000, in_ms(0).saturating_sub(DAY_MS)), "the clock was a day ahead, and is right again");
        assert!(presence.is_old(Now { mono_ms: said_at.mono_ms, unix_ms: 0 }));
    }
}

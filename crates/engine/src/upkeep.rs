//! What has to be done from time to time.

use std::collections::BTreeSet;

use samizdat_core::{EnvelopeId, Hour, Now};
use samizdat_sync::Input as GossipInput;

use crate::engine::Engine;

/// Between two rounds, milliseconds.
const PERIOD_MS: u64 = 30_000;
/// Until the next round when this one did not delete everything that expired.
const AGAIN_MS: u64 = 100;
/// Expired envelopes deleted at once, so that a round is short.
const EXPIRE_AT_ONCE: u32 = 2_000;

/// When the next round is due.
#[derive(Debug)]
pub(crate) struct Upkeep(u64);

impl Upkeep {
    pub(crate) fn new(now: Now) -> Self {
        Self(now.mono_ms.saturating_add(PERIOD_MS))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0
    }
}

impl Engine {
    pub(crate) fn keep_up(&mut self, now: Now) {
        if now.mono_ms < self.upkeep.next() {
            return;
        }
        self.upkeep = Upkeep::new(now);
        if let Some((id, nonce)) = self.stamped {
            self.stamped(id, nonce, now);
        }
        if self.behind {
            self.behind = self.chat.catch_up(&self.log, now).is_err();
        }
        let ticked = self.chat.tick(now);
        self.note(&ticked);
        let forgotten = self.chat.forgotten(now.hour());
        self.note(&forgotten);
        self.drop_old(now);
        self.look_for_nodes();
    }

    /// Everything that expired, then the cheapest beyond the disk budget. Our own that nobody else has yet stays.
    fn drop_old(&mut self, now: Now) {
        let mut gone: Vec<(Hour, EnvelopeId)> = self.log.expire(now.hour(), EXPIRE_AT_ONCE).unwrap_or_default();
        if gone.len() >= EXPIRE_AT_ONCE as usize {
            self.upkeep = Upkeep(now.mono_ms.saturating_add(AGAIN_MS));
        }
        let own: BTreeSet<EnvelopeId> = self.chat.unpublished().unwrap_or_default().into_iter().collect();
        gone.extend(self.log.evict(|id| own.contains(id)).unwrap_or_default());
        for (hour, id) in gone {
            self.feed(GossipInput::Removed { hour, id }, now);
        }
    }
}

//! What has to be done from time to time.

use std::collections::BTreeSet;

use samizdat_core::{EnvelopeId, Hour, Now};
use samizdat_sync::Input as GossipInput;

use crate::engine::Engine;

/// Between two rounds, milliseconds.
const PERIOD_MS: u64 = 30_000;
/// Until the next round when this one did not delete everything that expired.
const AGAIN_MS: u64 = 100;
/// The wall clock was set back by more than this.
const SET_BACK_MS: u64 = 600_000;
/// Expired envelopes deleted at once, so that a round is short.
const EXPIRE_AT_ONCE: u32 = 2_000;

/// When the next round is due, and the latest that the wall clock said since the last one, reckoned to the beginning of the
/// monotonic one. It may have been wrong for a moment only.
#[derive(Debug)]
pub(crate) struct Upkeep {
    next_ms: u64,
    begin_ms: u64,
    /// It was set back, or may have been while nothing ran: once it is known to be right, what it made us write in the future is
    /// dated anew. A clock that is behind would take all there is for the future.
    was_ahead: bool,
}

impl Upkeep {
    pub(crate) fn new(now: Now) -> Self {
        Self { next_ms: now.mono_ms.saturating_add(PERIOD_MS), begin_ms: begin_ms(now), was_ahead: true }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next_ms
    }

    /// Whether a round is due.
    fn round(&mut self, now: Now) -> bool {
        self.begin_ms = self.begin_ms.max(begin_ms(now));
        let due = now.mono_ms >= self.next_ms;
        if due {
            let new = Self::new(now);
            let was_ahead = self.was_ahead || new.begin_ms.saturating_add(SET_BACK_MS) < self.begin_ms;
            *self = Self { was_ahead, ..new };
        }
        due
    }
}

fn begin_ms(now: Now) -> u64 {
    now.unix_ms.saturating_sub(now.mono_ms)
}

impl Engine {
    pub(crate) fn keep_up(&mut self, now: Now) {
        if !self.upkeep.round(now) {
            return;
        }
        if self.upkeep.was_ahead && self.clock_is_right(now) {
            self.upkeep.was_ahead = false;
            self.redate(now);
        }
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
            self.upkeep.next_ms = now.mono_ms.saturating_add(AGAIN_MS);
        }
        let own: BTreeSet<EnvelopeId> = self.chat.unpublished().unwrap_or_default().into_iter().collect();
        gone.extend(self.log.evict(|id| own.contains(id)).unwrap_or_default());
        for (hour, id) in gone {
            self.feed(GossipInput::Removed { hour, id }, now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn at(mono_ms: u64, ahead_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms + ahead_ms }
    }

    #[test]
    fn a_clock_that_was_ahead_between_two_rounds_only_is_noticed() {
        const DAY_MS: u64 = 86_400_000;
        let mut upkeep = Upkeep { was_ahead: false, ..Upkeep::new(at(0, 0)) };
        assert!(!upkeep.round(at(1_000, DAY_MS)) && !upkeep.round(at(2_000, 0)) && !upkeep.was_ahead);
        assert!(upkeep.round(at(PERIOD_MS, 0)) && std::mem::take(&mut upkeep.was_ahead));
        assert!(upkeep.round(at(2 * PERIOD_MS, SET_BACK_MS)) && upkeep.round(at(3 * PERIOD_MS, 0)));
        assert!(!upkeep.was_ahead, "clocks are set now and then");
    }
}

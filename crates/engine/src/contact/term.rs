//! How long endpoints for contacts keep their keys: whoever serves them, a relay, knows them by these.

use samizdat_core::Now;

use super::telling::since_ms;
use crate::limits::CONTACT_TERM_MS;

/// The term of the endpoints that there are.
#[derive(Debug, Default)]
pub(super) struct Term {
    /// Counts the terms.
    number: u64,
    began: Now,
    lasts_ms: u64,
}

impl Term {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Another one begins. It lasts seven to nine eighths of the usual time, so that nobody knows the moment.
    pub(super) fn begin(&mut self, noise: u64, now: Now) {
        const EIGHTH_MS: u64 = CONTACT_TERM_MS / 8;
        const SPREAD_MS: u64 = CONTACT_TERM_MS / 4;
        let lasts_ms = CONTACT_TERM_MS.saturating_sub(EIGHTH_MS).saturating_add(noise % SPREAD_MS);
        *self = Self { number: self.number.saturating_add(1), began: now, lasts_ms };
    }

    pub(super) fn is_over(&self, now: Now) -> bool {
        since_ms(self.began, now) >= self.lasts_ms
    }

    /// When that is, on the monotonic clock, unless the machine sleeps.
    pub(super) fn ends_at(&self, now: Now) -> u64 {
        now.mono_ms.saturating_add(self.lasts_ms.saturating_sub(since_ms(self.began, now)))
    }
}

//! When something is due in a state. Slots keep members from committing all at once; validity never depends on any of this.

use crate::{
    charter::Charter,
    limits::{HERE_SPREAD_MS, SLOT_MS, UPDATE_LEAD_MS},
};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// The state at the tip as a member sees it. All times in milliseconds of one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// When we entered the state.
    pub began_ms: u64,
    /// [`Charter::rollout_hours`].
    pub rollout_hours: u16,
    /// Our place, from 0, in the order of ranks among those who were heard lately.
    pub place: usize,
    /// Since when something waits to be carried out: a motion that passed, somebody who leaves or returns.
    pub waiting_ms: Option<u64>,
}

impl Timing {
    /// Of a state under `charter` with nothing waiting.
    pub fn new(began_ms: u64, charter: &Charter, place: usize) -> Self {
        Self { began_ms, rollout_hours: charter.rollout_hours, place, waiting_ms: None }
    }

    /// When we commit, unless somebody else has by then: the first in rank at once, each next a slot later.
    pub fn commit_due(&self) -> u64 {
        let slots = SLOT_MS.saturating_mul(u64::try_from(self.place).unwrap_or(u64::MAX));
        let waiting = self.waiting_ms.map_or(u64::MAX, |since| since.max(self.began_ms));
        self.rollout().min(waiting).saturating_add(slots)
    }

    /// When we propose fresh keys of ours for the rollout. `drawn` is a random number, so that not all do at once; the first in rank
    /// proposes none, its Commit brings them.
    pub fn update_due(&self, drawn: u64) -> Option<u64> {
        let lead = UPDATE_LEAD_MS.min(self.period() / 2);
        let delay = drawn.checked_rem(lead / 2).unwrap_or(0);
        (self.place > 0).then(|| self.rollout().saturating_sub(lead).saturating_add(delay))
    }

    /// When we say that we are here, if we have said nothing else in this state by then. `drawn` is a random number.
    pub fn here_due(&self, drawn: u64) -> u64 {
        self.began_ms.saturating_add(drawn.checked_rem(HERE_SPREAD_MS).unwrap_or(0))
    }

    fn rollout(&self) -> u64 {
        self.began_ms.saturating_add(self.period())
    }

    fn period(&self) -> u64 {
        HOUR_MS.saturating_mul(self.rollout_hours.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    const BEGAN: u64 = 1_000_000;

    fn timing(place: usize) -> Timing {
        Timing::new(BEGAN, &Charter::new("circle").unwrap(), place)
    }

    #[test]
    fn a_rollout_is_due_once_a_period_one_after_the_other() {
        let day = BEGAN + 24 * HOUR_MS;
        assert_eq!([0, 1, 5].map(|place| timing(place).commit_due()), [day, day + SLOT_MS, day + 5 * SLOT_MS]);
    }

    #[test]
    fn what_waits_is_due_at_once_but_not_before_the_state_began() {
        let waiting = |since, place| Timing { waiting_ms: Some(since), ..timing(place) }.commit_due();
        assert_eq!(waiting(BEGAN + 7, 0), BEGAN + 7);
        assert_eq!(waiting(7, 2), BEGAN + 2 * SLOT_MS);
        assert_eq!(waiting(BEGAN + 30 * HOUR_MS, 0), BEGAN + 24 * HOUR_MS);
    }

    #[test]
    fn fresh_keys_are_there_before_the_rollout() {
        assert_eq!(timing(0).update_due(5), None);
        assert_eq!(timing(1).update_due(5), Some(BEGAN + 24 * HOUR_MS - UPDATE_LEAD_MS + 5));
    }

    proptest! {
        #[test]
        fn nothing_is_due_before_the_state_or_overflows(began_ms: u64, rollout_hours: u16, place: usize, waiting_ms: Option<u64>, drawn: u64) {
            let timing = Timing { began_ms, rollout_hours, place, waiting_ms };
            prop_assert!(timing.commit_due() >= began_ms && timing.here_due(drawn) >= began_ms);
            prop_assert!(timing.here_due(drawn).saturating_sub(began_ms) < HERE_SPREAD_MS);
            if let Some(due) = timing.update_due(drawn) {
                let rollout = Timing { place: 0, waiting_ms: None, ..timing }.commit_due();
                prop_assert!(due <= rollout && (rollout == u64::MAX || due >= began_ms));
            }
        }
    }
}

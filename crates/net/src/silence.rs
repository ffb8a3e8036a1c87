//! How long a path has been silent although something was sent that asks for an answer.

use std::time::Duration;

use iroh::endpoint::{PathId, PathStats};
use tokio::time::Instant;

/// What went to and fro on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    path: PathId,
    /// Frames that must be acknowledged, of the kinds that QUIC sends again and again until they are.
    asked: u64,
    /// Datagrams that came.
    heard: u64,
}

impl Counts {
    pub(crate) fn of(path: PathId, stats: &PathStats) -> Self {
        let asked = stats.frame_tx.stream.saturating_add(stats.frame_tx.ping);
        Self { path, asked, heard: stats.udp_rx.datagrams }
    }
}

/// Watches one connection.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// When something last came.
    last: Option<Counts>,
    /// When it was first seen that something was sent since then.
    since: Option<Instant>,
}

impl Silence {
    /// How long nothing has been heard; zero as long as nothing was asked, and without a path.
    pub(crate) fn lasts(&mut self, now: Instant, counts: Option<Counts>) -> Duration {
        let same = |last: &Counts| counts.is_some_and(|counts| (counts.path, counts.heard) == (last.path, last.heard));
        match self.last.filter(same) {
            None => (self.last, self.since) = (counts, None),
            Some(last) if counts.is_some_and(|counts| counts.asked > last.asked) => {
                return now.saturating_duration_since(*self.since.get_or_insert(now));
            }
            Some(_) => {}
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_follows_a_question() {
        let begun = Instant::now();
        let at = |seconds| begun.checked_add(Duration::from_secs(seconds)).unwrap();
        let counts = |asked, heard| Some(Counts { path: PathId::ZERO, asked, heard });
        let mut silence = Silence::default();
        // Nobody asks, nobody answers.
        assert_eq!(silence.lasts(at(0), counts(5, 5)), Duration::ZERO);
        assert_eq!(silence.lasts(at(9), counts(5, 5)), Duration::ZERO);
        // A question, and no answer.
        assert_eq!(silence.lasts(at(10), counts(6, 5)), Duration::ZERO);
        assert_eq!(silence.lasts(at(12), counts(8, 5)), Duration::from_secs(2));
        // The answer; what was asked before it came is answered.
        assert_eq!(silence.lasts(at(13), counts(9, 6)), Duration::ZERO);
        assert_eq!(silence.lasts(at(99), counts(9, 6)), Duration::ZERO);
        // Another path, or none, has another history.
        assert_eq!(silence.lasts(at(100), counts(10, 6)), Duration::ZERO);
        assert_eq!(silence.lasts(at(101), None), Duration::ZERO);
        assert_eq!(silence.lasts(at(102), counts(10, 6)), Duration::ZERO);
    }
}

//! Whether our clock is wrong, as the times tell that others' records name. Whoever's clock is days ahead writes what everybody
//! refuses as from the future, and finds all that others say of themselves expired.

use std::collections::VecDeque;

use samizdat_core::Now;
use samizdat_core::record::Prefix;

use crate::limits::{CLOCK_OFF_S, CLOCK_VOICES_MAX, WITNESSES};

/// The wall clock was set, or the machine slept: what was heard before tells nothing of the clock as it is now.
const JUMP_MS: u64 = 600_000;

/// What others' records say of the time.
#[derive(Debug, Default)]
pub struct Clocks {
    /// By network, the newest at the end: by how many seconds records told there differ from our clock.
    voices: VecDeque<(Prefix, i64)>,
    /// What the wall clock says at the beginning of the monotonic one.
    begin_ms: u64,
}

impl Clocks {
    /// When records that somebody in this network told were issued, seconds since 1970: the one in the middle speaks, which no
    /// liar among them chooses.
    pub fn heard(&mut self, from: Prefix, mut issued: Vec<u64>, now: Now) {
        issued.sort_unstable();
        let Some(middle) = issued.get(issued.len() / 2) else { return };
        if self.has_jumped(now) {
            self.voices.clear();
            self.begin_ms = begin_ms(now);
        }
        let off = i64::try_from(*middle).unwrap_or(i64::MAX).saturating_sub_unsigned(now.unix_ms / 1000);
        self.voices.retain(|(voice, _)| *voice != from);
        self.voices.push_back((from, off));
        while self.voices.len() > CLOCK_VOICES_MAX {
            self.voices.pop_front();
        }
    }

    /// By how many seconds our clock is ahead, or behind if negative, of what most networks say, two at least; `None` if that is no
    /// more than clocks may differ.
    pub fn ahead_s(&self, now: Now) -> Option<i64> {
        if self.has_jumped(now) {
            return None;
        }
        let most = |wrong: &dyn Fn(i64) -> bool| {
            let mut offs: Vec<i64> = self.voices.iter().map(|(_, off)| *off).filter(|off| wrong(*off)).collect();
            offs.sort_unstable();
            let many = offs.len() >= WITNESSES && offs.len().saturating_mul(2) > self.voices.len();
            offs.get(offs.len() / 2).copied().filter(|_| many).map(|off| off.saturating_neg())
        };
        most(&|off| off < -CLOCK_OFF_S).or_else(|| most(&|off| off > CLOCK_OFF_S))
    }

    /// Whether our clock is right, by what most networks say, two at least.
    pub fn is_right(&self, now: Now) -> bool {
        let agree = self.voices.iter().filter(|(_, off)| off.abs() <= CLOCK_OFF_S).count();
        !self.has_jumped(now) && agree >= WITNESSES && agree.saturating_mul(2) > self.voices.len()
    }

    fn has_jumped(&self, now: Now) -> bool {
        begin_ms(now).abs_diff(self.begin_ms) > JUMP_MS
    }
}

fn begin_ms(now: Now) -> u64 {
    now.unix_ms.saturating_sub(now.mono_ms)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    const TRUE_S: u64 = 1_800_000_000;
    const DAY_S: i64 = 86_400;

    /// So many minutes after the start, by a clock that is so many seconds ahead.
    fn at(minutes: u64, ahead_s: i64) -> Now {
        let mono_ms = minutes * 60_000;
        Now { mono_ms, unix_ms: (TRUE_S.checked_add_signed(ahead_s).unwrap()) * 1000 + mono_ms }
    }

    fn network(n: u8) -> Prefix {
        Prefix::of([203, 0, n, 1].into())
    }

    /// Somebody in a network tells records, the oldest of an hour ago, at the true time.
    fn tell(clocks: &mut Clocks, n: u8, minutes: u64, now: Now) {
        clocks.heard(network(n), (0..=6).map(|age| TRUE_S + minutes * 60 - age * 600).collect(), now);
    }

    #[test]
    fn a_clock_that_is_a_day_ahead_or_behind_is_told_by_two_networks_and_by_one_not() {
        for ahead in [DAY_S, -DAY_S] {
            let mut alice = Clocks::default();
            tell(&mut alice, 1, 1, at(1, ahead));
            tell(&mut alice, 1, 2, at(2, ahead));
            assert_eq!(alice.ahead_s(at(2, ahead)), None, "mallory alone has one voice");
            tell(&mut alice, 2, 3, at(3, ahead));
            let told = alice.ahead_s(at(3, ahead)).unwrap();
            assert!(told.abs_diff(ahead) <= 3600, "{told}");
            assert_eq!(alice.ahead_s(at(4, 0)), None, "it is right now, as far as is known");
            tell(&mut alice, 1, 5, at(5, 0));
            assert!(!alice.is_right(at(5, 0)), "one voice is not enough for this either");
            tell(&mut alice, 2, 5, at(5, 0));
            assert_eq!((alice.ahead_s(at(5, 0)), alice.is_right(at(5, 0))), (None, true));
            assert!(!alice.is_right(at(5, ahead)));
        }
    }

    #[test]
    fn an_hour_is_nothing_and_two_who_lie_are_outvoted() {
        let mut alice = Clocks::default();
        (1..=3).for_each(|n| tell(&mut alice, n, 1, at(1, 3600)));
        assert_eq!(alice.ahead_s(at(1, 3600)), None);
        for n in [4, 5] {
            alice.heard(network(n), vec![TRUE_S - 10 * DAY_S.unsigned_abs()], at(1, 3600));
        }
        assert_eq!(alice.ahead_s(at(1, 3600)), None);
        alice.heard(network(6), Vec::new(), at(1, 3600));
    }

    #[test]
    fn what_was_heard_before_a_machine_slept_counts_no_more_and_memory_is_bounded() {
        let mut alice = Clocks::default();
        (0..=255).for_each(|n| tell(&mut alice, n, 1, at(1, DAY_S)));
        assert_eq!(alice.voices.len(), CLOCK_VOICES_MAX);
        assert!(alice.ahead_s(at(1, DAY_S)).is_some() && alice.ahead_s(at(1, DAY_S + 8 * 3600)).is_none());
    }
}

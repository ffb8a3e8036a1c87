//! When a contact is told where we are: when that changes, and again before it is out of date.

use samizdat_core::Now;
use samizdat_sync::contact::codec::{Presence, Straight};
use samizdat_sync::limits::{PRESENCE_RENEW_S, PRESENCE_UNHEARD_MAX};

use crate::limits::{TELL_GAP_MS, TELL_GAP_MS_MAX};

const RENEW_MS: u64 = PRESENCE_RENEW_S * 1000;
/// So much earlier than necessary at most.
const EARLY_MS: u64 = RENEW_MS / 8;

/// What a contact was told of where we are, and when it may be told again.
#[derive(Debug, Default)]
pub(super) struct Told {
    said: Option<Said>,
    next_ms: u64,
    gap_ms: u64,
    /// How often it was said anew since anything was heard of the contact.
    unheard: u32,
    /// Whether our address was told without delay since the person chose, because the contact allows it, too.
    answered: bool,
}

#[derive(Debug)]
struct Said {
    place: Presence,
    at: Now,
    /// How much earlier than necessary it is said anew, so that there is no rhythm to know us by.
    early_ms: u64,
}

impl Told {
    /// When this is to be told, on the monotonic clock: as soon as may be if it was not told yet, else before what was told
    /// holds no longer. That only our keys are others is no news for who gives no sign of life: once they do, they are told.
    pub(super) fn due_at(&self, place: &Presence, now: Now) -> u64 {
        let said =
            self.said.as_ref().filter(|said| said.place == *place || self.unheard > 0 && is_same_but_for_keys(&said.place, place));
        let news = said.map_or(0, |said| {
            let again = RENEW_MS.saturating_sub(said.early_ms).saturating_mul(1u64.checked_shl(self.unheard).unwrap_or(u64::MAX));
            now.mono_ms.saturating_add(again.saturating_sub(said.age_ms(now)))
        });
        news.max(self.next_ms)
    }

    /// Whether a contact who is told this, which leads nowhere, learns that we allow a direct connection, or is to hear it again.
    /// Who was told of an endpoint since knows it, and may yet reach that.
    pub(super) fn lacks(&self, allowed: &Presence) -> bool {
        self.said.as_ref().is_none_or(|said| said.place.direct == Straight::No || is_same_but_for_keys(&said.place, allowed))
    }

    /// Whether a contact who is told this learns that we allow no direct connection any more.
    pub(super) fn withdraws(&self, place: &Presence) -> bool {
        let allowed = self.said.as_ref().is_some_and(|said| said.place.direct != Straight::No);
        allowed && place.direct == Straight::No
    }

    /// The person changed something: it is told without delay.
    pub(super) fn hurry(&mut self, now: Now) {
        self.next_ms = now.mono_ms;
        self.answered = false;
    }

    /// The contact allows a direct connection as well, and waits for our address. It is told without delay, once for each choice of
    /// the person: the contact may change its mind as often as it likes.
    pub(super) fn answer(&mut self, now: Now) {
        if !std::mem::replace(&mut self.answered, true) {
            self.next_ms = now.mono_ms;
        }
    }

    /// The contact is there, or was when it told where.
    pub(super) fn heard(&mut self) {
        self.unheard = 0;
    }

    /// There is a session: they hear what we tell.
    pub(super) fn met(&mut self) {
        self.unheard = 0;
        self.gap_ms = TELL_GAP_MS;
    }

    /// Somebody tried to tell; `place` is what was told, unless that failed.
    pub(super) fn tried(&mut self, place: Option<Presence>, noise: u64, now: Now) {
        // What leads nowhere is said once, and where we are must not wait for that.
        if !place.as_ref().is_some_and(leads_nowhere) {
            let gap = self.gap_ms.max(TELL_GAP_MS);
            self.next_ms = now.mono_ms.saturating_add(gap);
            self.gap_ms = gap.saturating_mul(2).min(TELL_GAP_MS_MAX);
        }
        let Some(place) = place else { return };
        if self.said.as_ref().is_some_and(|said| is_same_but_for_keys(&said.place, &place)) {
            self.unheard = self.unheard.saturating_add(1).min(PRESENCE_UNHEARD_MAX);
        }
        self.said = Some(Said { place, at: now, early_ms: noise % EARLY_MS });
    }
}

impl Said {
    fn age_ms(&self, now: Now) -> u64 {
        since_ms(self.at, now)
    }
}

/// By the clock that goes on while the machine sleeps, if that is more.
pub(super) fn since_ms(then: Now, now: Now) -> u64 {
    let [mono, unix] = [(now.mono_ms, then.mono_ms), (now.unix_ms, then.unix_ms)].map(|(now, then)| now.saturating_sub(then));
    mono.max(unix)
}

/// Whether both are at the same addresses.
fn is_same_but_for_keys(one: &Presence, other: &Presence) -> bool {
    let addrs = |presence: &Presence| {
        (presence.relayed.addr.clone(), presence.direct.place().map(|place| place.addr.clone()), presence.direct == Straight::No)
    };
    addrs(one) == addrs(other)
}

/// Whether nobody who is told this can reach us, and learns at most that we would allow a direct connection.
pub(super) fn leads_nowhere(place: &Presence) -> bool {
    place.relayed.addr.0.is_empty() && place.direct.place().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]

    use samizdat_core::PeerId;
    use samizdat_sync::PeerAddr;
    use samizdat_sync::contact::codec::{Place, Straight};
    use samizdat_sync::limits::PRESENCE_HOLDS_S;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms }
    }

    fn place(n: u8) -> Presence {
        let relayed = Place { peer: PeerId([n; 32]), addr: PeerAddr(vec![n]) };
        Presence { until_s: 0, relayed, direct: Straight::No }
    }

    fn is_due(told: &Told, n: u8, now: Now) -> bool {
        told.due_at(&place(n), now) <= now.mono_ms
    }

    /// Hours at which it was said within `days`, to somebody of whom there is a sign of life every `heard` hours.
    fn said(days: u64, heard: Option<u64>) -> Vec<u64> {
        let mut told = Told::default();
        let mut hours = Vec::new();
        for hour in 0..days * 24 {
            if heard.is_some_and(|every| hour % every == 0) {
                told.heard();
            }
            let now = at(hour * HOUR_MS);
            if told.due_at(&place(1), now) <= now.mono_ms {
                told.tried(Some(place(1)), 0, now);
                hours.push(hour);
            }
        }
        hours
    }

    #[test]
    fn what_holds_for_a_day_is_said_anew_before_it_is_over() {
        assert_eq!(said(4, Some(6)), [0, 18, 36, 54, 72, 90]);
        const { assert!(RENEW_MS + 2 * HOUR_MS < PRESENCE_HOLDS_S * 1000) }
    }

    #[test]
    fn who_is_away_is_told_ever_more_seldom() {
        assert_eq!(said(60, None), [0, 18, 54, 126, 270, 558, 1134]);
    }

    #[test]
    fn a_machine_that_slept_says_it_at_once_and_one_whose_clock_jumps_once() {
        let mut told = Told::default();
        told.tried(Some(place(1)), u64::MAX, at(0));
        let slept = Now { mono_ms: 10 * 60_000, ..at(30 * HOUR_MS) };
        assert!(!is_due(&told, 1, at(10 * 60_000)) && is_due(&told, 1, slept));
        told.tried(Some(place(1)), 0, slept);
        let back = Now { mono_ms: 20 * 60_000, ..at(0) };
        assert!(!is_due(&told, 1, back));
        assert!(is_due(&told, 1, Now { mono_ms: 37 * HOUR_MS, ..back }), "the other clock goes on");
    }

    #[test]
    fn another_place_is_news_whatever_was_said() {
        let mut told = Told::default();
        assert!(is_due(&told, 1, at(0)));
        told.tried(None, 0, at(0));
        assert!(!is_due(&told, 1, at(0)) && is_due(&told, 1, at(TELL_GAP_MS)), "it was not told");
        told.tried(Some(place(1)), 0, at(TELL_GAP_MS));
        assert!(is_due(&told, 2, at(3 * TELL_GAP_MS)) && !is_due(&told, 1, at(3 * TELL_GAP_MS)));
        told.hurry(at(TELL_GAP_MS));
        assert!(is_due(&told, 2, at(TELL_GAP_MS)));
    }

    #[test]
    fn who_allows_it_as_well_is_told_at_once_but_not_whenever_they_say_so_again() {
        let mut told = Told::default();
        told.hurry(at(0));
        told.tried(Some(place(1)), 0, at(0));
        told.answer(at(1_000));
        assert!(is_due(&told, 2, at(1_000)));
        told.tried(Some(place(2)), 0, at(1_000));
        told.answer(at(2_000));
        assert!(!is_due(&told, 3, at(2_000)));
        told.hurry(at(3_000));
        told.tried(Some(place(3)), 0, at(3_000));
        told.answer(at(4_000));
        assert!(is_due(&told, 4, at(4_000)), "the person chose anew");
    }

    #[test]
    fn that_we_allow_it_is_said_once_and_delays_nothing() {
        let allowed = Presence { relayed: Place { peer: PeerId([1; 32]), addr: PeerAddr(Vec::new()) }, ..place(1) };
        let allowed = Presence { direct: Straight::Allowed, ..allowed };
        let mut told = Told::default();
        assert!(told.lacks(&allowed) && leads_nowhere(&allowed) && !leads_nowhere(&place(1)));
        told.tried(Some(allowed.clone()), 0, at(0));
        assert!(told.due_at(&allowed, at(0)) > at(HOUR_MS).mono_ms, "it holds as long as anything else");
        assert!(told.lacks(&allowed) && is_due(&told, 1, at(0)));
        told.tried(Some(Presence { direct: Straight::To(place(2).relayed), ..allowed.clone() }), 0, at(0));
        assert!(!told.lacks(&allowed), "an endpoint that went away does not take back that it is allowed");
        told.tried(Some(place(1)), 0, at(0));
        assert!(told.lacks(&allowed), "he was told that it is not");
        assert!(!told.withdraws(&place(1)) && !told.withdraws(&allowed));
        told.tried(Some(allowed.clone()), 0, at(0));
        assert!(told.withdraws(&place(1)) && !told.withdraws(&allowed));
    }
}

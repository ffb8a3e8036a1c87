//! Doors: secrets under which somebody outside reaches a cluster. Whoever knows one can compute its one-time tags, a few for each day.

use core::fmt;
use core::ops::RangeInclusive;

use minicbor::Decoder;
use samizdat_core::{
    Hour,
    limits::{CLOCK_SLACK_HOURS, LIFETIMES},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    cbor::{Out, Wire, Written, array, exact, is_line, text},
    limits::{DOOR_SLOTS, LABEL_MAX},
    link::OpenDoor,
};

const DAY_HOURS: u32 = 24;

/// The secret of a door, or of an answer to a request: tags and keys of envelopes follow from it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub struct DoorSecret(pub [u8; 32]);

/// An open door, as members tell it each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its link, and what opens requests.
    pub open: OpenDoor,
    /// What it is for, one line; may be empty.
    pub label: String,
    /// Hour since 1970 in which it closes.
    pub expires: u32,
}

impl fmt::Debug for DoorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorSecret(..)")
    }
}

impl Wire for Invite {
    fn write(&self, e: &mut Out) -> Written {
        e.array(3)?.bytes(self.open.secret().as_slice())?;
        e.str(&self.label)?.u32(self.expires).map(|_| ())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 3)?;
        Some(Self {
            open: OpenDoor::restore(&exact(d)?),
            label: text(d, LABEL_MAX).filter(|label| label.is_empty() || is_line(label, LABEL_MAX))?,
            expires: d.u32().ok()?,
        })
    }
}

impl Wire for DoorSecret {
    fn write(&self, e: &mut Out) -> Written {
        e.bytes(&self.0).map(|_| ())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        exact(d).map(Self)
    }
}

/// The day of an envelope of this hour, counted from 1970.
pub fn day(hour: Hour) -> u32 {
    hour.0 / DAY_HOURS
}

/// The counter of the tag of `slot` on `day`; none for a slot that no day has.
pub fn counter(day: u32, slot: u8) -> Option<u64> {
    let first = u64::from(day).saturating_mul(DOOR_SLOTS.into());
    (slot < DOOR_SLOTS).then(|| first.saturating_add(slot.into()))
}

/// Days of which an envelope may be under way: as far back as the longest lifetime goes, and tomorrow.
pub fn days(now: Hour) -> RangeInclusive<u32> {
    let longest = LIFETIMES.iter().max().copied().unwrap_or(0).saturating_add(CLOCK_SLACK_HOURS);
    day(Hour(now.0.saturating_sub(longest)))..=day(now).saturating_add(1)
}

/// Counters of all tags of a day.
pub fn counters(day: u32) -> impl Iterator<Item = u64> {
    (0..DOOR_SLOTS).filter_map(move |slot| counter(day, slot))
}

/// Counters of all tags that are watched.
pub fn watched(now: Hour) -> impl Iterator<Item = u64> {
    days(now).flat_map(counters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    #[test]
    fn every_slot_of_every_day_has_a_counter_of_its_own() {
        let all: Vec<u64> = (20_000..20_003).flat_map(counters).collect();
        assert_eq!(all, (160_000..160_024).collect::<Vec<u64>>());
        assert_eq!((counter(20_000, 7), counter(20_000, 8)), (Some(160_007), None));
    }

    #[test]
    fn whatever_may_still_live_is_watched_and_clocks_may_differ() {
        let noon = Hour(500_000 / 24 * 24 + 12);
        assert_eq!(days(noon), day(noon) - 56..=day(noon) + 1);
        let late_at_night = Hour(noon.0 - 11);
        assert_eq!(*days(late_at_night).start(), day(noon) - 57);
        assert_eq!(watched(noon).count(), 58 * usize::from(DOOR_SLOTS));
        assert!(watched(Hour(0)).count() > 0 && watched(Hour(u32::MAX)).count() > 0);
    }
}

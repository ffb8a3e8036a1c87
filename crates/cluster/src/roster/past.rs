//! The rosters and charters of a state and of the states that it came from, as far back as a motion can reach.

use minicbor::Decoder;

use super::Roster;
use crate::{
    cbor::{Malformed, Out, Wire, Written, array, ascends, from_bytes, list, to_bytes, write_list},
    charter::Charter,
    ids::MemberId,
    limits::{PAST_STEPS_MAX, PAYLOAD_MAX},
};

/// What one branch was up to its state at [`Past::epoch`], which is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    epoch: u64,
    /// By epoch; each holds up to the next.
    before: Vec<Step>,
    /// What holds now.
    now: Step,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    since: u64,
    roster: Roster,
    charter: Charter,
}

/// What somebody else told of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastIn(Past);

/// A past that does not lead to where we are.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the past that came with the invitation does not end in the state that we were let into: ask another member to invite you")]
pub struct WrongPast;

impl Past {
    /// Of a cluster that has just been founded.
    pub fn founded(roster: Roster, charter: Charter) -> Self {
        Self { epoch: 0, before: Vec::new(), now: Step { since: 0, roster, charter } }
    }

    /// The epoch of the state whose past this is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The roster of that state.
    pub fn roster(&self) -> &Roster {
        &self.now.roster
    }

    /// The charter of that state.
    pub fn charter(&self) -> &Charter {
        &self.now.charter
    }

    /// Roster and charter at `epoch`, if that is part of this past.
    pub fn at(&self, epoch: u64) -> Option<(&Roster, &Charter)> {
        let step = [&self.now]
            .into_iter()
            .chain(self.before.iter().rev())
            .find(|step| step.since <= epoch)
            .filter(|_| epoch <= self.epoch)?;
        Some((&step.roster, &step.charter))
    }

    /// The past of a child of this state, without what no motion can refer to any more.
    #[must_use]
    pub fn after(&self, roster: Roster, charter: Charter) -> Self {
        let epoch = self.epoch.saturating_add(1);
        let mut after = Self { epoch, ..self.clone() };
        if self.now.roster != roster || self.now.charter != charter {
            after.before.push(core::mem::replace(&mut after.now, Step { since: epoch, roster, charter }));
        }
        after.trim();
        after
    }

    /// The past of a later state at `epoch` before which roster and charter stayed as they are.
    #[must_use]
    pub fn waited(self, epoch: u64) -> Option<Self> {
        let mut later = Self { epoch, ..self };
        later.trim();
        (epoch >= self.epoch).then_some(later)
    }

    /// Since which epoch `member`, who is one, has been one without a break, as far back as this past goes.
    pub fn member_since(&self, member: &MemberId) -> u64 {
        let steps = core::iter::once(&self.now).chain(self.before.iter().rev());
        steps.take_while(|step| step.roster.contains(member)).last().map_or(self.epoch, |step| step.since)
    }

    /// Whether `member` was one at `epoch` and for `epochs` before, or since the founding. What was before the first epoch of this past
    /// counts as if it had not been: a charter that asks for a longer membership than the one before it may have to wait for sponsors.
    /// All members keep the same past, so they judge alike.
    pub(crate) fn was_member(&self, member: &MemberId, epoch: u64, epochs: u16) -> bool {
        let from = epoch.saturating_sub(epochs.into());
        let known = self.spans().next().is_some_and(|span| span.first <= from) && epoch <= self.epoch;
        known && self.spans().filter(|span| span.first <= epoch && span.last >= from).all(|span| span.step.roster.contains(member))
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Drops what can be dropped without changing a verdict: a motion of an epoch that is gone would have been outlived.
    fn trim(&mut self) {
        let from = self.spans().filter_map(|span| span.needed_from(self.epoch)).min().unwrap_or(self.epoch);
        let gone = self.spans().take_while(|span| span.last < from).count().min(self.before.len());
        self.before.drain(..gone);
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.before.iter().chain([&self.now])
    }

    fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let ends = self.steps().skip(1).map(|next| next.since.saturating_sub(1)).chain([self.epoch]);
        self.steps().zip(ends).map(|(step, last)| Span { step, first: step.since, last })
    }
}

/// From when to when a step holds.
struct Span<'a> {
    step: &'a Step,
    first: u64,
    last: u64,
}

impl Span<'_> {
    /// The first epoch on which a motion depends that was made here and may still be carried out at `now`.
    fn needed_from(&self, now: u64) -> Option<u64> {
        let charter = &self.step.charter;
        let oldest = now.saturating_sub(charter.motion_epochs.into()).max(self.first);
        (oldest <= self.last).then(|| oldest.saturating_sub(charter.sponsor_epochs.into()))
    }
}

impl PastIn {
    /// Who the members are, by what it says.
    pub fn claimed_roster(&self) -> &Roster {
        self.0.roster()
    }

    /// Reads what somebody else told.
    ///
    /// # Errors
    /// If it is no past.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, PAYLOAD_MAX)
    }

    /// The only door: it must end in the state that the group is in. What lies before has no other witness than who told.
    ///
    /// # Errors
    /// If it ends elsewhere.
    pub fn verify(self, epoch: u64, roster: &Roster, charter: &Charter) -> Result<Past, WrongPast> {
        let here = (self.0.epoch, self.0.roster(), self.0.charter()) == (epoch, roster, charter);
        if here { Ok(self.0) } else { Err(WrongPast) }
    }
}

impl From<Past> for PastIn {
    fn from(past: Past) -> Self {
        Self(past)
    }
}

impl Wire for Past {
    fn write(&self, e: &mut Out) -> Written {
        e.array(2)?.u64(self.epoch)?;
        let steps: Vec<&Step> = self.steps().collect();
        write_list(e, &steps, |e, step| {
            e.array(3)?.u64(step.since)?;
            step.roster.write(e)?;
            step.charter.write(e)
        })
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 2)?;
        let epoch = d.u64().ok()?;
        let mut before = list(d, PAST_STEPS_MAX, |d| {
            array(d, 3)?;
            Some(Step { since: d.u64().ok()?, roster: Roster::read(d)?, charter: Charter::read(d)? })
        })?;
        let since: Vec<u64> = before.iter().map(|step| step.since).collect();
        let now = before.pop().filter(|now| now.since <= epoch && ascends(&since))?;
        Some(Self { epoch, before, now })
    }
}

impl Wire for PastIn {
    fn write(&self, e: &mut Out) -> Written {
        self.0.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Past::read(d).map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn roster(keys: impl IntoIterator<Item = u8>) -> Roster {
        Roster::of(keys.into_iter().map(|key| MemberId([key; 32])))
    }

    fn charter(motion_epochs: u8, sponsor_epochs: u16) -> Charter {
        Charter { motion_epochs, sponsor_epochs, ..Charter::new("circle").unwrap() }
    }

    #[test]
    fn somebody_who_left_and_came_again_is_a_member_since_then() {
        let since = |past: &Past, who: u8| past.member_since(&MemberId([who; 32]));
        let past = Past::founded(roster([0, 1]), charter(9, 0));
        let past = past.after(roster([0, 1, 2]), charter(9, 0)).after(roster([0, 2]), charter(9, 0));
        let past = past.after(roster([0, 2]), charter(8, 0)).after(roster([0, 1, 2]), charter(8, 0));
        assert_eq!((since(&past, 0), since(&past, 1), since(&past, 2)), (0, 4, 1));
        assert_eq!(since(&past.waited(90).unwrap(), 2), 4, "what is forgotten was not");
    }

    proptest! {
        /// Trimming loses nothing that a motion still open could refer to.
        #[test]
        fn a_past_knows_every_epoch_of_an_open_motion(changes in prop::collection::vec((0..4u8, 1..6u8, 0..5u16), 1..40)) {
            let mut past = Past::founded(roster([0]), charter(3, 2));
            let mut all = vec![(roster([0]), charter(3, 2))];
            for (keys, motion_epochs, sponsor_epochs) in changes {
                let next = (roster(0..=keys), charter(motion_epochs, sponsor_epochs));
                past = past.after(next.0.clone(), next.1.clone());
                all.push(next);
                for (epoch, (roster, charter)) in all.iter().enumerate() {
                    let open = epoch as u64 + u64::from(charter.motion_epochs) >= past.epoch();
                    if open || past.at(epoch as u64).is_some() {
                        prop_assert_eq!(past.at(epoch as u64), Some((roster, charter)));
                    }
                    let from = epoch.saturating_sub(charter.sponsor_epochs.into());
                    let member = MemberId([2; 32]);
                    let was = all[from..=epoch].iter().all(|(roster, _)| roster.contains(&member));
                    if open {
                        let known = past.at(from as u64).is_some();
                        prop_assert_eq!(past.was_member(&member, epoch as u64, charter.sponsor_epochs), was && known);
                        let asked_for_less = all[..epoch].iter().any(|(_, before)| before.sponsor_epochs < charter.sponsor_epochs);
                        prop_assert!(known || asked_for_less);
                    }
                }
                prop_assert_eq!(PastIn::decode(&past.encode()), Ok(PastIn(past.clone())));
                prop_assert_eq!(past.at(past.epoch() + 1), None);
            }
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let _ = PastIn::decode(&bytes);
        }
    }

    #[test]
    fn a_charter_that_asks_for_a_longer_membership_counts_from_what_is_still_known() {
        let mut past = Past::founded(roster([0, 1]), charter(1, 0));
        for keys in [vec![0, 1, 2], vec![0, 1], vec![0, 1, 2], vec![0, 1]] {
            past = past.after(roster(keys), charter(1, 0));
        }
        past = past.after(roster([0, 1]), charter(1, 4));
        let (member, epoch) = (MemberId([1; 32]), past.epoch());
        assert!(!past.was_member(&member, epoch, 4), "what was before is forgotten");
        for _ in 0..4 {
            past = past.after(roster([0, 1]), charter(1, 4));
        }
        assert!(past.was_member(&member, past.epoch(), 4));
    }

    #[test]
    fn a_long_quiet_time_and_the_greatest_reach_are_bounded() {
        let mut past = Past::founded(roster([0]), charter(64, 64));
        for epoch in 1..500u64 {
            past = past.after(roster([(epoch % 2) as u8]), charter(64, 64));
            assert!(past.steps().count() <= PAST_STEPS_MAX);
        }
        assert!(past.at(499 - 128).is_some() && past.at(499 - 131).is_none());
        for _ in 0..200 {
            past = past.after(roster([1]), charter(1, 0));
        }
        assert!(past.before.is_empty());
    }

    #[test]
    fn what_is_told_must_end_where_we_are() {
        let past = Past::founded(roster([0]), charter(3, 0)).after(roster([0, 1]), charter(3, 0));
        let told = PastIn::from(past.clone());
        assert_eq!(told.clone().verify(1, &roster([0, 1]), &charter(3, 0)), Ok(past));
        assert_eq!(told.clone().verify(2, &roster([0, 1]), &charter(3, 0)), Err(WrongPast));
        assert_eq!(told.clone().verify(1, &roster([0]), &charter(3, 0)), Err(WrongPast));
        assert_eq!(told.verify(1, &roster([0, 1]), &charter(4, 0)), Err(WrongPast));
    }
}

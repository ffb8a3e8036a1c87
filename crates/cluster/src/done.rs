//! What a branch has carried out, so that nothing is carried out twice.

use std::collections::BTreeMap;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, array, ascends, from_bytes, list, to_bytes, write_list},
    ids::{MemberId, MotionId},
    limits::{CAP_MAX, DONE_BYTES_MAX, DONE_MAX},
    roster::Roster,
};

/// Motions that were carried out and could be once more, and for each member the turn of the last statement by which it came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    motions: BTreeMap<MotionId, u64>,
    comebacks: BTreeMap<MemberId, u64>,
}

impl Done {
    /// Whether the motion was carried out.
    pub fn has(&self, motion: &MotionId) -> bool {
        self.motions.contains_key(motion)
    }

    /// Whether a statement of `member` with this turn, or with a later one, was carried out.
    pub fn is_back(&self, member: &MemberId, turn: u64) -> bool {
        self.comebacks.get(member).is_some_and(|last| *last >= turn)
    }

    /// The motions.
    pub fn motions(&self) -> impl Iterator<Item = &MotionId> {
        self.motions.keys()
    }

    /// Reads what [`Done::encode`] wrote.
    ///
    /// # Errors
    /// If it did not.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, DONE_BYTES_MAX)
    }

    /// To be kept.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// With what one change carried out: motions with the last epoch in which they could be.
    pub(crate) fn with(&self, motions: &BTreeMap<MotionId, u64>, comebacks: impl IntoIterator<Item = (MemberId, u64)>) -> Self {
        let mut done = self.clone();
        done.motions.extend(motions);
        done.comebacks.extend(comebacks);
        done
    }

    /// Without what cannot come again at `epoch`, among these members.
    #[must_use]
    pub(crate) fn at(mut self, epoch: u64, roster: &Roster) -> Self {
        self.motions.retain(|_, until| *until >= epoch);
        self.comebacks.retain(|member, _| roster.contains(member));
        self
    }
}

impl Wire for Done {
    fn write(&self, e: &mut Out) -> Written {
        let motions: Vec<_> = self.motions.iter().collect();
        let comebacks: Vec<_> = self.comebacks.iter().collect();
        e.array(2)?;
        write_list(e, &motions, |e, (motion, until)| {
            motion.write(e.array(2)?)?;
            e.u64(**until)?;
            Ok(())
        })?;
        write_list(e, &comebacks, |e, (member, turn)| {
            member.write(e.array(2)?)?;
            e.u64(**turn)?;
            Ok(())
        })
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 2)?;
        let motions = list(d, DONE_MAX, |d| array(d, 2).and_then(|()| Some((MotionId::read(d)?, d.u64().ok()?))))?;
        let comebacks = list(d, CAP_MAX.into(), |d| array(d, 2).and_then(|()| Some((MemberId::read(d)?, d.u64().ok()?))))?;
        let (ids, members): (Vec<_>, Vec<_>) =
            (motions.iter().map(|one| one.0).collect(), comebacks.iter().map(|one| one.0).collect());
        (ascends(&ids) && ascends(&members))
            .then(|| Self { motions: motions.into_iter().collect(), comebacks: comebacks.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{member, roster};
    use proptest::prelude::*;

    fn some() -> Done {
        Done::default().with(&BTreeMap::from([(MotionId([1; 32]), 5), (MotionId([2; 32]), 7)]), [(member(1), 10), (member(2), 20)])
    }

    #[test]
    fn what_cannot_come_again_is_forgotten() {
        assert!(some().has(&MotionId([1; 32])) && some().is_back(&member(1), 10) && !some().is_back(&member(1), 11));
        assert_eq!(some().at(5, &roster([1, 2])), some());
        let later = some().at(6, &roster([2, 3]));
        assert!(!later.has(&MotionId([1; 32])) && later.has(&MotionId([2; 32])));
        assert!(!later.is_back(&member(1), 1) && later.is_back(&member(2), 20));
        assert_eq!(later.motions().count(), 1);
    }

    #[test]
    fn what_is_not_in_order_is_refused() {
        let bytes = some().encode();
        let (first, one) = (bytes.windows(32).position(|part| part == [1; 32]), member(1).0);
        let (second, two) = (bytes.windows(32).position(|part| part == [2; 32]), member(2).0);
        let motions = (first.unwrap(), second.unwrap());
        let at = |id: [u8; 32]| bytes.windows(32).position(|part| part == id).unwrap();
        for (a, b) in [motions, (at(one), at(two))] {
            let mut swapped = bytes.clone();
            swapped[a..a + 32].copy_from_slice(&bytes[b..b + 32]);
            swapped[b..b + 32].copy_from_slice(&bytes[a..a + 32]);
            assert!(Done::decode(&swapped).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = Done::decode(&junk);
            prop_assert_eq!(Done::decode(&some().encode()), Ok(some()));
            let mut like = some().encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(done) = Done::decode(&like) {
                prop_assert_eq!(done.encode(), like);
            }
        }
    }
}

//! The rules that a cluster gave itself. They change by a motion only.

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Malformed, Out, Wire, Written, from_bytes, is_line, text, to_bytes, versioned},
    limits::{CAP_MAX, CAP_MIN, MOTION_EPOCHS_MAX, NAME_MAX, ROLLOUT_MAX_HOURS, SPONSOR_EPOCHS_MAX},
};

const VERSION: u8 = 1;
/// Longest encoding, bytes.
const BYTES_MAX: usize = NAME_MAX + 64;

/// How many must say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// More than half of those who may vote.
    Majority,
    /// More than two thirds of those who may vote.
    TwoThirds,
}

/// What a newcomer is given of what was written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Nothing.
    None,
    /// So many of the last messages.
    Last(u32),
    /// Everything since the founding.
    All,
}

/// The rules of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    /// What the cluster calls itself, one line of at most [`NAME_MAX`] bytes.
    pub name: String,
    /// Members at most.
    pub cap: u16,
    /// How many must say yes to a motion.
    pub quorum: Quorum,
    /// How often everybody's keys are replaced, hours.
    pub rollout_hours: u16,
    /// Who was not heard for so many epochs is silent; 0 means that nobody ever is.
    pub silent_epochs: u16,
    /// Whether members vote without being asked for dropping those who are silent.
    pub automatic_ballots: bool,
    /// For how many epochs somebody must have been a member to propose that somebody be admitted.
    pub sponsor_epochs: u16,
    /// What newcomers are given of the past.
    pub history: History,
    /// For how many epochs a motion stays open, at most.
    pub motion_epochs: u8,
    /// Whether members tell each other which messages have arrived.
    pub delivery: bool,
}

/// Why no cluster can live by a charter.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadCharter {
    /// The name.
    #[error("the name of a cluster is one line of 1 to {NAME_MAX} bytes: choose another")]
    Name,
    /// The greatest number of members.
    #[error("a cluster may have {CAP_MIN} to {CAP_MAX} members: choose a number between them")]
    Cap,
    /// The rollout period.
    #[error("keys are replaced every 1 to {ROLLOUT_MAX_HOURS} hours: choose a period between them")]
    Rollout,
    /// The life of a motion.
    #[error("a motion stays open for 1 to {MOTION_EPOCHS_MAX} epochs: choose a number between them")]
    Motions,
    /// How long one must be a member to sponsor.
    #[error("a charter can ask for at most {SPONSOR_EPOCHS_MAX} epochs of membership before somebody may sponsor: choose fewer")]
    Sponsors,
    /// No messages as history.
    #[error("a history of no messages at all is called none: choose that, or a greater number")]
    History,
}

impl Quorum {
    /// How many of so many voters must say yes: floor(n/2)+1, or floor(2n/3)+1.
    pub fn needed(self, voters: usize) -> usize {
        let share = match self {
            Self::Majority => voters / 2,
            Self::TwoThirds => voters.saturating_mul(2) / 3,
        };
        share.saturating_add(1)
    }
}

impl Charter {
    /// The usual rules under a name.
    ///
    /// # Errors
    /// If the name is none.
    pub fn new(name: &str) -> Result<Self, BadCharter> {
        let charter = Self {
            name: name.to_owned(),
            cap: 50,
            quorum: Quorum::Majority,
            rollout_hours: 24,
            silent_epochs: 14,
            automatic_ballots: true,
            sponsor_epochs: 0,
            history: History::None,
            motion_epochs: 8,
            delivery: true,
        };
        charter.check().map(|()| charter)
    }

    /// Whether a cluster can live by it.
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn check(&self) -> Result<(), BadCharter> {
        if !is_line(&self.name, NAME_MAX) {
            return Err(BadCharter::Name);
        }
        if !(CAP_MIN..=CAP_MAX).contains(&self.cap) {
            return Err(BadCharter::Cap);
        }
        if !(1..=ROLLOUT_MAX_HOURS).contains(&self.rollout_hours) {
            return Err(BadCharter::Rollout);
        }
        if !(1..=MOTION_EPOCHS_MAX).contains(&self.motion_epochs) {
            return Err(BadCharter::Motions);
        }
        if self.sponsor_epochs > SPONSOR_EPOCHS_MAX {
            return Err(BadCharter::Sponsors);
        }
        if self.history == History::Last(0) { Err(BadCharter::History) } else { Ok(()) }
    }

    /// As it stands in the group.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads a charter that a cluster can live by.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, BYTES_MAX)
    }

    /// Names it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"samizdat charter v1\0").chain_update(self.encode()).finalize().into()
    }
}

impl Wire for Charter {
    fn write(&self, e: &mut Out) -> Written {
        e.array(11)?.u8(VERSION)?.str(&self.name)?.u16(self.cap)?;
        e.u8(match self.quorum {
            Quorum::Majority => 0,
            Quorum::TwoThirds => 1,
        })?;
        e.u16(self.rollout_hours)?.u16(self.silent_epochs)?.bool(self.automatic_ballots)?.u16(self.sponsor_epochs)?;
        match self.history {
            History::None => e.array(1)?.u8(0)?,
            History::Last(count) => e.array(2)?.u8(1)?.u32(count)?,
            History::All => e.array(1)?.u8(2)?,
        };
        e.u8(self.motion_epochs)?.bool(self.delivery)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 11, VERSION)?;
        let charter = Self {
            name: text(d, NAME_MAX)?,
            cap: d.u16().ok()?,
            quorum: match d.u8().ok()? {
                0 => Quorum::Majority,
                1 => Quorum::TwoThirds,
                _ => return None,
            },
            rollout_hours: d.u16().ok()?,
            silent_epochs: d.u16().ok()?,
            automatic_ballots: d.bool().ok()?,
            sponsor_epochs: d.u16().ok()?,
            history: read_history(d)?,
            motion_epochs: d.u8().ok()?,
            delivery: d.bool().ok()?,
        };
        charter.check().ok().map(|()| charter)
    }
}

fn read_history(d: &mut Decoder<'_>) -> Option<History> {
    match (d.array().ok()??, d.u8().ok()?) {
        (1, 0) => Some(History::None),
        (2, 1) => Some(History::Last(d.u32().ok()?)),
        (1, 2) => Some(History::All),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usual() -> Charter {
        Charter::new("reading circle").unwrap()
    }

    proptest! {
        #[test]
        fn a_charter_survives(name in "[a-z]{1,64}", cap in CAP_MIN..=CAP_MAX, rollout_hours in 1..=ROLLOUT_MAX_HOURS, silent_epochs: u16, two_thirds: bool, last in 1..u32::MAX, delivery: bool) {
            let quorum = if two_thirds { Quorum::TwoThirds } else { Quorum::Majority };
            let charter = Charter { name, cap, quorum, rollout_hours, silent_epochs, history: History::Last(last), delivery, ..usual() };
            prop_assert_eq!(Charter::decode(&charter.encode()), Ok(charter));
        }

        #[test]
        fn what_is_taken_is_written_as_it_came(bytes in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), byte: u8) {
            let _ = Charter::decode(&bytes);
            let mut like = usual().encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(charter) = Charter::decode(&like) {
                prop_assert_eq!(charter.encode(), like);
            }
        }
    }

    #[test]
    fn a_majority_is_more_than_half_and_two_thirds_are_more_than_two_thirds() {
        let needed = |quorum: Quorum| (1..=10).map(|n| quorum.needed(n)).collect::<Vec<_>>();
        assert_eq!(needed(Quorum::Majority), [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
        assert_eq!(needed(Quorum::TwoThirds), [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]);
    }

    #[test]
    fn nobody_lives_by_a_charter_out_of_bounds() {
        let (motion_epochs, sponsor_epochs) = (MOTION_EPOCHS_MAX, SPONSOR_EPOCHS_MAX);
        let widest = Charter { cap: CAP_MAX, rollout_hours: ROLLOUT_MAX_HOURS, motion_epochs, sponsor_epochs, ..usual() };
        assert_eq!(widest.check(), Ok(()));
        let wrong = [
            (Charter { name: String::new(), ..usual() }, BadCharter::Name),
            (Charter { name: "a\nb".into(), ..usual() }, BadCharter::Name),
            (Charter { name: "x".repeat(65), ..usual() }, BadCharter::Name),
            (Charter { cap: 1, ..usual() }, BadCharter::Cap),
            (Charter { cap: 501, ..usual() }, BadCharter::Cap),
            (Charter { rollout_hours: 0, ..usual() }, BadCharter::Rollout),
            (Charter { rollout_hours: 721, ..usual() }, BadCharter::Rollout),
            (Charter { motion_epochs: 0, ..usual() }, BadCharter::Motions),
            (Charter { motion_epochs: 65, ..usual() }, BadCharter::Motions),
            (Charter { sponsor_epochs: 65, ..usual() }, BadCharter::Sponsors),
            (Charter { history: History::Last(0), ..usual() }, BadCharter::History),
        ];
        for (charter, error) in wrong {
            assert_eq!(charter.check(), Err(error));
            assert_eq!(Charter::decode(&charter.encode()), Err(Malformed));
        }
    }

    #[test]
    fn every_rule_counts_in_the_hash() {
        assert_ne!(usual().hash(), Charter { delivery: false, ..usual() }.hash());
    }
}

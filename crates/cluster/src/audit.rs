//! Replaying all that a cluster decided, from its founding on: who is a member today, and why.

use crate::{
    charter::Charter,
    done::Done,
    grounds::Grounds,
    ids::ClusterId,
    lawful::{Mandate, Parent, Unlawful},
    limits::DECISIONS_MAX,
    roster::{Past, Roster},
};

/// What a cluster was founded as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// Its name for machines.
    pub cluster: ClusterId,
    /// Its first members.
    pub roster: Roster,
    /// Its first charter.
    pub charter: Charter,
}

/// What one change of the group rested on. Changes of keys only are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Epoch of the state that was changed.
    pub epoch: u64,
    /// What was decided or stated.
    pub grounds: Grounds,
}

/// Where a history does not follow from its founding.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[error("decision {number} does not follow from what was before: {why}")]
pub struct Broken {
    /// Which decision, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub why: Fault,
}

/// What is wrong with a decision.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum Fault {
    /// Not after the one before it.
    #[error("it is not later than the decision before it")]
    NotLater,
    /// Longer than anybody replays.
    #[error("the history is longer than can be replayed")]
    TooLong,
    /// Not lawful.
    #[error(transparent)]
    Unlawful(#[from] Unlawful),
}

/// Verifies every decision and returns what the cluster is after the last.
///
/// # Errors
/// With the first decision that does not follow.
pub fn replay(founding: &Founding, decisions: &[Decision]) -> Result<Past, Broken> {
    let past = Past::founded(founding.roster.clone(), founding.charter.clone());
    replay_from(founding.cluster, past, Done::default(), decisions)
}

/// The same from a later state on: its past, and what had been carried out by then.
///
/// # Errors
/// With the first decision that does not follow.
pub fn replay_from(cluster: ClusterId, mut past: Past, mut done: Done, decisions: &[Decision]) -> Result<Past, Broken> {
    for (decision, number) in decisions.iter().zip(1..) {
        (past, done) = step(cluster, past, &done, decision, number).map_err(|why| Broken { number, why })?;
    }
    Ok(past)
}

fn step(cluster: ClusterId, past: Past, done: &Done, decision: &Decision, number: usize) -> Result<(Past, Done), Fault> {
    if number > DECISIONS_MAX {
        return Err(Fault::TooLong);
    }
    let past = past.waited(decision.epoch).ok_or(Fault::NotLater)?;
    Ok(Mandate::of(&Parent { cluster, past: &past, done }, &decision.grounds)?.carried_out()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::{
        certificate::BadCertificate,
        leave::Leave,
        motion::{BadMotion, Kind},
        people::{CLUSTER, admit, certificate, expel, roster, secret},
    };

    fn founding() -> Founding {
        Founding { cluster: CLUSTER, roster: roster([1, 2]), charter: Charter::new("circle").unwrap() }
    }

    /// What 1 and 2 founded: admits 3 at epoch 0, expels 2 at epoch 5, another charter at 6; then 3 leaves.
    fn history() -> Vec<Decision> {
        let decided =
            |epoch, certificate| Decision { epoch, grounds: Grounds { certificates: vec![certificate], ..Grounds::default() } };
        let charter = Charter { cap: 9, ..founding().charter };
        let mut past = Past::founded(founding().roster, founding().charter);
        let first = decided(0, certificate(&past, 1, admit(3), [1, 2]));
        past = past.after(roster([1, 2, 3]), founding().charter).waited(5).unwrap();
        let second = decided(5, certificate(&past, 1, expel(2), [1, 3]));
        past = past.after(roster([1, 3]), founding().charter);
        let third = decided(6, certificate(&past, 3, Kind::Charter(charter), [1, 3]));
        let leaves = vec![Leave::sign(CLUSTER, &secret(3)).unverified()];
        vec![first, second, third, Decision { epoch: 7, grounds: Grounds { leaves, ..Grounds::default() } }]
    }

    fn broken(decisions: &[Decision]) -> (usize, Fault) {
        let broken = replay(&founding(), decisions).unwrap_err();
        (broken.number, broken.why)
    }

    #[test]
    fn all_that_was_decided_verifies_from_the_founding_on() {
        let past = replay(&founding(), &history()).unwrap();
        assert_eq!((past.epoch(), past.roster(), past.charter().cap), (8, &roster([1]), 9));
        assert_eq!(replay(&founding(), &[]).unwrap().roster(), &roster([1, 2]));
    }

    #[test]
    fn a_decision_left_out_or_moved_is_found() {
        let history = history();
        let unknown = Fault::Unlawful(Unlawful::Certificate(BadMotion::UnknownRoster.into()));
        assert_eq!(broken(&history[1..]), (1, unknown));
        let mut swapped = history.clone();
        swapped.swap(0, 1);
        assert_eq!(broken(&swapped).0, 1);
        let mut early = history.clone();
        early[2].epoch = 5;
        assert_eq!(broken(&early), (3, Fault::NotLater));
        let mut late = history.clone();
        late[1].epoch = 10;
        assert_eq!(broken(&late), (2, Fault::Unlawful(Unlawful::Certificate(BadCertificate::Outlived))));
    }

    #[test]
    fn nothing_is_decided_twice_and_nobody_leaves_who_was_not_there() {
        let mut twice = history();
        let again = Decision { epoch: 2, ..twice[0].clone() };
        twice.insert(1, again);
        assert_eq!(broken(&twice), (2, Fault::Unlawful(Unlawful::AlreadyDone)));
        let mut left = history();
        left.push(Decision { epoch: 8, ..left[3].clone() });
        assert_eq!(broken(&left), (5, Fault::Unlawful(Unlawful::WithoutEffect)));
        let other = Founding { roster: roster([1]), ..founding() };
        assert!(replay(&other, &history()).is_err());
    }
}

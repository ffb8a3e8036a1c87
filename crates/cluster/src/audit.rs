//! Replaying all that a cluster decided, from its founding on: who is a member today, and why; and what it was asked in secret.

use crate::{
    done::Done,
    grounds::Grounds,
    ids::ClusterId,
    lawful::{Mandate, Parent, Unlawful},
    limits::DECISIONS_MAX,
    minutes::MinutesHash,
    roster::Past,
    secret::{BadTranscript, TranscriptIn, Verdict},
};

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

/// How far a history was replayed.
#[derive(Debug, Clone)]
pub struct Replay {
    cluster: ClusterId,
    past: Past,
    done: Done,
    minutes: MinutesHash,
    decisions: usize,
}

impl Replay {
    /// From a state on: its past, what had been carried out and what had been decided by then.
    pub(crate) fn from(cluster: ClusterId, past: Past, done: Done, minutes: MinutesHash) -> Self {
        Self { cluster, past, done, minutes, decisions: 0 }
    }

    /// Who the members are, and under which rules, after all that was replayed.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// What was carried out and could be again.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    /// All that was decided.
    pub fn minutes(&self) -> &MinutesHash {
        &self.minutes
    }

    /// Up to `epoch` nothing more was decided.
    pub(crate) fn wait(&mut self, epoch: u64) -> Result<(), Fault> {
        self.past = self.past.clone().waited(epoch).ok_or(Fault::NotLater)?;
        self.done = std::mem::take(&mut self.done).at(epoch, self.past.roster());
        Ok(())
    }

    /// The next decision.
    ///
    /// # Errors
    /// If it does not follow.
    pub fn decide(&mut self, decision: &Decision) -> Result<(), Broken> {
        self.decisions = self.decisions.saturating_add(1);
        let (past, done) = self.step(decision).map_err(|why| Broken { number: self.decisions, why })?;
        (self.past, self.done) = (past, done);
        self.minutes = self.minutes.after(decision.epoch, &decision.grounds);
        Ok(())
    }

    fn step(&self, decision: &Decision) -> Result<(Past, Done), Fault> {
        if self.decisions > DECISIONS_MAX {
            return Err(Fault::TooLong);
        }
        let past = self.past.clone().waited(decision.epoch).ok_or(Fault::NotLater)?;
        let parent = Parent { cluster: self.cluster, past: &past, done: &self.done };
        Ok(Mandate::of(&parent, &decision.grounds)?.carried_out()?)
    }

    /// What came out of a secret vote that was moved after what was replayed and before what comes next. `salt` is that of the cluster.
    ///
    /// # Errors
    /// If its motion was not in order there, or nothing came out that is proven.
    pub fn verdict(&self, salt: &[u8; 32], vote: &TranscriptIn) -> Result<Verdict, BadTranscript> {
        let then = self.past.clone().waited(vote.motion().claimed().epoch);
        // What was moved before the replay began, it may still know.
        vote.verify(&self.cluster, then.as_ref().unwrap_or(&self.past), salt)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::{
        certificate::BadCertificate,
        charter::Charter,
        leave::Leave,
        motion::{BadMotion, Kind},
        people::{CLUSTER, admit, certificate, expel, roster, secret},
    };

    fn charter() -> Charter {
        Charter::new("circle").unwrap()
    }

    fn founded() -> Past {
        Past::founded(roster([1, 2]), charter())
    }

    fn replay_of(past: Past) -> Replay {
        Replay::from(CLUSTER, past, Done::default(), MinutesHash([0; 32]))
    }

    fn replay(decisions: &[Decision]) -> Result<Past, Broken> {
        let mut replay = replay_of(founded());
        decisions.iter().try_for_each(|decision| replay.decide(decision))?;
        Ok(replay.past)
    }

    /// What 1 and 2 founded: admits 3 at epoch 0, expels 2 at epoch 5, another charter at 6; then 3 leaves.
    fn history() -> Vec<Decision> {
        let decided =
            |epoch, certificate| Decision { epoch, grounds: Grounds { certificates: vec![certificate], ..Grounds::default() } };
        let changed = Charter { cap: 9, ..charter() };
        let mut past = founded();
        let first = decided(0, certificate(&past, 1, admit(3), [1, 2]));
        past = past.after(roster([1, 2, 3]), charter()).waited(5).unwrap();
        let second = decided(5, certificate(&past, 1, expel(2), [1, 3]));
        past = past.after(roster([1, 3]), charter());
        let third = decided(6, certificate(&past, 3, Kind::Charter(changed), [1, 3]));
        let leaves = vec![Leave::sign(CLUSTER, &secret(3)).unverified()];
        vec![first, second, third, Decision { epoch: 7, grounds: Grounds { leaves, ..Grounds::default() } }]
    }

    fn broken(decisions: &[Decision]) -> (usize, Fault) {
        let broken = replay(decisions).unwrap_err();
        (broken.number, broken.why)
    }

    #[test]
    fn all_that_was_decided_verifies_from_the_founding_on() {
        let past = replay(&history()).unwrap();
        assert_eq!((past.epoch(), past.roster(), past.charter().cap), (8, &roster([1]), 9));
        assert_eq!(replay(&[]).unwrap().roster(), &roster([1, 2]));
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
    fn what_was_asked_in_secret_is_proven_by_those_who_were_members_then() {
        let salt = [2; 32];
        let vote = crate::secret::tests::opened(founded().waited(0).unwrap());
        assert!(vote.is_none(), "two are too few");
        let three = founded();
        let three = three.after(roster([1, 2, 3]), charter()).waited(3).unwrap();
        let vote = crate::secret::tests::opened(three).unwrap();
        let mut replayed = replay_of(founded());
        let elsewhere = |replay: &Replay| replay.verdict(&salt, &vote).unwrap_err();
        assert_eq!(elsewhere(&replayed), BadTranscript::Motion(BadMotion::UnknownRoster), "3 was not there");
        replayed.decide(&history()[0]).unwrap();
        let verdict = replayed.verdict(&salt, &vote).unwrap();
        assert_eq!((&verdict.counts[..], verdict.passed), (&[2, 1][..], true));
        assert!(replayed.verdict(&[3; 32], &vote).is_err(), "other trustees are drawn");
        replayed.decide(&history()[1]).unwrap();
        assert!(replayed.verdict(&salt, &vote).is_ok(), "as long as it is remembered");
        let forgotten = Past::founded(roster([1, 3]), charter()).waited(90).unwrap();
        assert!(replay_of(forgotten).verdict(&salt, &vote).is_err());
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
        assert!(replay_of(Past::founded(roster([1]), charter())).decide(&history()[0]).is_err());
    }
}

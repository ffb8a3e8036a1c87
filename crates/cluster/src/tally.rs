//! Counting: the same ballots give the same result, whatever the order in which they came.

use std::collections::BTreeMap;

use crate::{
    ballot::{Ballot, Choice, Equivocation},
    ids::MemberId,
    motion::{Kind, Method, Motion},
    schulze,
};

/// The ballots on one motion.
#[derive(Debug, Clone)]
pub struct Tally {
    motion: Motion,
    cast: BTreeMap<MemberId, Cast>,
}

/// What one member said.
#[derive(Debug, Clone)]
struct Cast {
    counts: Ballot,
    /// Something else that it said: a proof against it.
    other: Option<Ballot>,
}

/// What became of a ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The first of its voter.
    New,
    /// It says what was known.
    Known,
    /// Its voter has said something else as well.
    Equivocation,
    /// It is for another motion.
    OtherMotion,
}

/// How a motion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Ballots are awaited.
    Open,
    /// Enough said yes, and it can be carried out or was. A question: enough have answered, and no more answers are awaited.
    Passed,
    /// It cannot pass any more.
    Failed,
    /// Its time is over, and it was not carried out.
    Expired,
}

impl Tally {
    /// Without ballots.
    pub fn new(motion: Motion) -> Self {
        Self { motion, cast: BTreeMap::new() }
    }

    /// The motion.
    pub fn motion(&self) -> &Motion {
        &self.motion
    }

    /// Takes a ballot. Of two different ones of one member the one with the lower hash counts.
    pub fn add(&mut self, ballot: Ballot) -> Added {
        if ballot.motion() != self.motion.id() {
            return Added::OtherMotion;
        }
        let Some(cast) = self.cast.get_mut(&ballot.voter()) else {
            self.cast.insert(ballot.voter(), Cast { counts: ballot, other: None });
            return Added::New;
        };
        cast.add(ballot)
    }

    /// Members whose ballot counts, with what they said.
    pub fn ballots(&self) -> impl Iterator<Item = &Ballot> {
        self.cast.values().map(|cast| &cast.counts)
    }

    /// How many said yes.
    pub fn yes(&self) -> usize {
        self.said(true)
    }

    /// How many said no.
    pub fn no(&self) -> usize {
        self.said(false)
    }

    /// Proofs against those who said one thing and another.
    pub fn equivocations(&self) -> impl Iterator<Item = Equivocation> {
        self.cast.values().filter_map(|cast| Some(Equivocation::of(&cast.counts, cast.other.as_ref()?)))
    }

    /// Whether enough said yes, whatever the time.
    pub fn has_passed(&self) -> bool {
        !self.is_question() && self.yes() >= self.motion.needed()
    }

    /// How the motion stands on a branch at `epoch` that carried it out or did not.
    pub fn outcome(&self, epoch: u64, carried_out: bool) -> Outcome {
        let over = epoch > self.motion.fields().until;
        if self.is_question() {
            return self.answered(over);
        }
        let most_yes = self.motion.electorate().len().saturating_sub(self.no());
        if carried_out {
            Outcome::Passed
        } else if most_yes < self.motion.needed() {
            Outcome::Failed
        } else if over {
            Outcome::Expired
        } else if self.has_passed() {
            Outcome::Passed
        } else {
            Outcome::Open
        }
    }

    /// How often each option of a question was named first. Empty for decisions.
    pub fn firsts(&self) -> Vec<usize> {
        let count =
            |option: usize| self.orders().filter(|order| order.first().is_some_and(|first| usize::from(*first) == option)).count();
        (0..self.options()).map(count).collect()
    }

    /// The options of a question, the best answer first; of equals the one that stands first in the question. Advice, not a decision.
    pub fn ranking(&self) -> Vec<u8> {
        match &self.motion.fields().kind {
            Kind::Question { method: Method::Preference, .. } => {
                let orders: Vec<&[u8]> = self.orders().collect();
                schulze::ranking(self.options(), &orders)
            }
            _ => {
                let mut options: Vec<(usize, u8)> = self.firsts().into_iter().zip(0..).collect();
                options.sort_by_key(|(count, option)| (core::cmp::Reverse(*count), *option));
                options.into_iter().map(|(_, option)| option).collect()
            }
        }
    }

    fn said(&self, what: bool) -> usize {
        self.ballots().filter(|ballot| *ballot.choice() == Choice::Decision(what)).count()
    }

    fn answered(&self, over: bool) -> Outcome {
        let all = self.cast.len() == self.motion.electorate().len();
        match (over || all, self.cast.len() >= self.motion.needed()) {
            (false, _) => Outcome::Open,
            (true, true) => Outcome::Passed,
            (true, false) => Outcome::Expired,
        }
    }

    fn is_question(&self) -> bool {
        matches!(self.motion.fields().kind, Kind::Question { .. })
    }

    fn options(&self) -> usize {
        if let Kind::Question { options, .. } = &self.motion.fields().kind { options.len() } else { 0 }
    }

    fn orders(&self) -> impl Iterator<Item = &[u8]> {
        self.ballots().filter_map(|ballot| match ballot.choice() {
            Choice::Options(order) => Some(&order[..]),
            Choice::Decision(_) => None,
        })
    }
}

impl Cast {
    /// Keeps the two lowest of all that a voter said.
    fn add(&mut self, ballot: Ballot) -> Added {
        let known = |other: &Ballot| other.choice() == ballot.choice();
        if known(&self.counts) || self.other.as_ref().is_some_and(known) {
            return Added::Known;
        }
        let ballot = if ballot.weight() < self.counts.weight() { core::mem::replace(&mut self.counts, ballot) } else { ballot };
        if self.other.as_ref().is_none_or(|other| ballot.weight() < other.weight()) {
            self.other = Some(ballot);
        }
        Added::Equivocation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::people::{admit, circle, expel, member, motion, question, vote};
    use proptest::prelude::*;

    fn counted(motion: &Motion, ballots: &[(u8, Choice)]) -> Tally {
        let mut tally = Tally::new(motion.clone());
        for (who, choice) in ballots {
            tally.add(vote(motion, *who, choice.clone()));
        }
        tally
    }

    fn said(people: impl IntoIterator<Item = u8>, yes: bool) -> Vec<(u8, Choice)> {
        people.into_iter().map(|who| (who, Choice::Decision(yes))).collect()
    }

    fn options(options: &[u8]) -> Choice {
        Choice::Options(options.to_vec())
    }

    #[test]
    fn more_than_half_pass_and_a_tie_keeps_what_is() {
        let motion = motion(&circle(1..=4), 1, admit(9));
        assert_eq!(counted(&motion, &said(1..=2, true)).outcome(0, false), Outcome::Open);
        assert_eq!(counted(&motion, &said(1..=3, true)).outcome(0, false), Outcome::Passed);
        assert_eq!(counted(&motion, &said(1..=1, false)).outcome(0, false), Outcome::Open);
        let tie = [said(1..=2, true), said(3..=4, false)].concat();
        assert_eq!(counted(&motion, &tie).outcome(0, false), Outcome::Failed);
        assert_eq!((counted(&motion, &tie).yes(), counted(&motion, &tie).no()), (2, 2));
    }

    #[test]
    fn a_motion_fails_as_soon_as_it_cannot_pass() {
        let motion = motion(&circle(1..=6), 1, expel(6));
        assert_eq!(motion.needed(), 3);
        assert_eq!(counted(&motion, &said(1..=2, false)).outcome(0, false), Outcome::Open);
        assert_eq!(counted(&motion, &said(1..=3, false)).outcome(0, false), Outcome::Failed);
    }

    #[test]
    fn time_ends_what_was_not_carried_out() {
        let motion = motion(&circle(1..=3), 1, admit(9));
        let (open, passed) = (counted(&motion, &said([1], true)), counted(&motion, &said(1..=2, true)));
        assert_eq!((open.outcome(4, false), open.outcome(5, false)), (Outcome::Open, Outcome::Expired));
        assert_eq!(
            (passed.outcome(4, false), passed.outcome(5, false), passed.outcome(5, true)),
            (Outcome::Passed, Outcome::Expired, Outcome::Passed)
        );
        assert!(passed.has_passed());
    }

    #[test]
    fn a_ballot_for_another_motion_is_not_counted() {
        let past = circle(1..=3);
        let mut tally = Tally::new(motion(&past, 1, admit(9)));
        assert_eq!(tally.add(vote(&motion(&past, 1, admit(8)), 1, Choice::Decision(true))), Added::OtherMotion);
        assert_eq!(tally.yes(), 0);
    }

    #[test]
    fn who_says_one_thing_and_another_counts_once_and_is_found_out() {
        let motion = motion(&circle(1..=3), 1, admit(9));
        let mut tally = Tally::new(motion.clone());
        assert_eq!(tally.add(vote(&motion, 1, Choice::Decision(true))), Added::New);
        assert_eq!(tally.add(vote(&motion, 1, Choice::Decision(true))), Added::Known);
        assert_eq!(tally.equivocations().count(), 0);
        assert_eq!(tally.add(vote(&motion, 1, Choice::Decision(false))), Added::Equivocation);
        assert_eq!(tally.add(vote(&motion, 1, Choice::Decision(false))), Added::Known);
        assert_eq!(tally.yes() + tally.no(), 1);
        let proofs: Vec<_> = tally.equivocations().map(|proof| proof.culprit()).collect();
        assert_eq!(proofs, [Some((member(1), motion.id()))]);
    }

    /// All members must count the same one, and show the same proof.
    #[test]
    fn of_all_that_somebody_says_the_lowest_counts() {
        let motion = motion(&circle(1..=3), 1, question(Method::Preference));
        let mut said = [[0, 1], [1, 0], [2, 0]].map(|order| vote(&motion, 1, options(&order)));
        said.sort_by_key(Ballot::weight);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut tally = Tally::new(motion.clone());
            order.into_iter().for_each(|one: usize| assert_ne!(tally.add(said[one].clone()), Added::Known));
            assert_eq!(tally.ballots().map(Ballot::choice).collect::<Vec<_>>(), [said[0].choice()], "{order:?}");
            assert!(tally.equivocations().eq([Equivocation::of(&said[0], &said[1])]), "{order:?}");
        }
    }

    #[test]
    fn a_question_is_answered_when_all_or_enough_in_time_have() {
        let motion = motion(&circle(1..=3), 1, question(Method::Plurality));
        let answers = [(1, options(&[2])), (2, options(&[2])), (3, options(&[0]))];
        let tally = |n: usize| counted(&motion, &answers[..n]);
        assert_eq!([1, 2, 3].map(|n| tally(n).outcome(4, false)), [Outcome::Open, Outcome::Open, Outcome::Passed]);
        assert_eq!([1, 2, 3].map(|n| tally(n).outcome(5, false)), [Outcome::Expired, Outcome::Passed, Outcome::Passed]);
        assert_eq!(tally(3).firsts(), [1, 0, 2, 0, 0]);
        assert_eq!(tally(3).ranking(), [2, 0, 1, 3, 4]);
        assert!(!tally(3).has_passed());
    }

    #[test]
    fn preferences_are_compared_in_pairs() {
        let motion = motion(&circle(1..=5), 1, question(Method::Preference));
        // Option 1 is nobody's favourite of the two camps, but either prefers it to the other's.
        let answers = [(1, [0, 1, 2]), (2, [0, 1, 2]), (3, [2, 1, 0]), (4, [2, 1, 0]), (5, [1, 0, 2])]
            .map(|(who, order)| (who, options(&order)));
        assert_eq!(counted(&motion, &answers).ranking()[..3], [1, 0, 2]);
        assert_eq!(counted(&motion, &answers).firsts(), [2, 1, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(ballots in prop::collection::vec((1..=5u8, any::<bool>()), 0..10), seed: u64, orders in prop::collection::vec((1..=5u8, Just(vec![0u8, 1, 2, 3, 4]).prop_shuffle()), 0..10)) {
            let past = circle(1..=5);
            let ballots: Vec<(u8, Choice)> = ballots.into_iter().map(|(who, yes)| (who, Choice::Decision(yes))).collect();
            let orders: Vec<(u8, Choice)> = orders.into_iter().map(|(who, order)| (who, Choice::Options(order))).collect();
            for (motion, ballots) in [(motion(&past, 1, admit(9)), ballots), (motion(&past, 1, question(Method::Preference)), orders)] {
                let mut other = ballots.clone();
                other.reverse();
                other.rotate_left(if ballots.is_empty() { 0 } else { seed as usize % ballots.len() });
                let (one, two) = (counted(&motion, &ballots), counted(&motion, &other));
                prop_assert_eq!((one.yes(), one.no(), one.ranking(), one.outcome(0, false)), (two.yes(), two.no(), two.ranking(), two.outcome(0, false)));
                prop_assert!(one.equivocations().eq(two.equivocations()));
                prop_assert!(one.equivocations().all(|proof| proof.culprit().is_some()));
            }
        }
    }
}

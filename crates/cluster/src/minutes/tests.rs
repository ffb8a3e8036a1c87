#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    audit::Fault,
    ballot::Choice,
    certificate::CertificateIn,
    charter::Charter,
    lawful::{Mandate, Parent},
    leave::Leave,
    motion::{Kind, MotionFields, MotionIn},
    people::{CLUSTER, admit, expel, fields, roster, secret, vote},
    tally::Tally,
};
use proptest::prelude::*;

const SALT: [u8; 32] = [2; 32];

/// A state as its members keep it, from one Commit to the next.
#[derive(Clone)]
struct Live {
    past: Past,
    done: Done,
    context: Context,
}

impl Live {
    fn founded() -> Self {
        let charter = Charter { motion_epochs: 3, ..Charter::new("circle").unwrap() };
        let past = Past::founded(roster([1]), charter.clone());
        let minutes = MinutesHash::founded(&CLUSTER, &SALT, &past);
        Self { past, done: Done::default(), context: Context { salt: SALT, charter, minutes } }
    }

    fn minutes(&self) -> Minutes {
        Minutes::from(&self.context, self.past.clone(), self.done.clone())
    }

    fn end(&self) -> End<'_> {
        End { cluster: CLUSTER, epoch: self.past.epoch(), roster: self.past.roster(), context: &self.context }
    }

    /// A Commit, whether it carries out anything or changes keys only.
    fn commit(&mut self, grounds: &Grounds) -> Decision {
        let epoch = self.past.epoch();
        let parent = Parent { cluster: CLUSTER, past: &self.past, done: &self.done };
        let mandate = Mandate::of(&parent, grounds).unwrap();
        let charter = mandate.charter().cloned();
        if let Some(context) = self.context.after(epoch, grounds, charter.as_ref()) {
            self.context = context;
        }
        (self.past, self.done) = mandate.carried_out().unwrap();
        Decision { epoch, grounds: grounds.clone() }
    }

    /// All say yes.
    fn decided(&self, kind: Kind) -> Grounds {
        let until = self.past.epoch() + u64::from(self.context.charter.motion_epochs);
        let moved = MotionIn::new(MotionFields { until, ..fields(&self.past, 1, kind) }).unwrap();
        let motion = moved.verify(&CLUSTER, &self.past).unwrap();
        let mut tally = Tally::new(motion.clone());
        for who in (1..9).filter(|who| motion.electorate().contains(&secret(*who).member())) {
            tally.add(vote(&motion, who, Choice::Decision(true)));
        }
        Grounds { certificates: vec![CertificateIn::of(&tally).unwrap()], ..Grounds::default() }
    }
}

/// What 1 founded: lets in 2 and 3, goes on, has other rules, expels 3, and 2 leaves.
fn story() -> (Live, Minutes) {
    let mut live = Live::founded();
    let mut minutes = live.minutes();
    for kind in [admit(2), admit(3)] {
        minutes.add(live.commit(&live.decided(kind)));
    }
    (0..4).for_each(|_| drop(live.commit(&Grounds::default())));
    let rules = Charter { cap: 9, sponsor_epochs: 2, ..live.context.charter.clone() };
    minutes.add(live.commit(&live.decided(Kind::Charter(rules))));
    minutes.add(live.commit(&live.decided(expel(3))));
    live.commit(&Grounds::default());
    let leaves = vec![Leave::sign(CLUSTER, &secret(2)).unverified()];
    minutes.add(live.commit(&Grounds { leaves, ..Grounds::default() }));
    live.commit(&Grounds::default());
    (live, minutes)
}

fn told(minutes: &Minutes) -> MinutesIn {
    MinutesIn::decode(&minutes.encode()).unwrap()
}

#[test]
fn a_newcomer_verifies_all_that_was_decided_and_knows_what_the_members_know() {
    let (live, minutes) = story();
    assert_eq!((minutes.decisions().len(), minutes.are_whole(&CLUSTER)), (5, true));
    let (known, past, done) = told(&minutes).verify(&live.end()).unwrap();
    assert_eq!((known, past, done), (minutes, live.past.clone(), live.done.clone()));
    assert!(!live.minutes().are_whole(&CLUSTER));
    assert_eq!(told(&live.minutes()).verify(&live.end()).unwrap().1, live.past, "nothing but what is true now");
}

#[test]
fn what_does_not_begin_with_the_founding_is_not_whole() {
    let (live, minutes) = story();
    let founded = Live::founded();
    assert!(founded.minutes().are_whole(&CLUSTER) && !founded.minutes().are_whole(&ClusterId([8; 32])));
    let with = |before: MinutesHash, past: &Past, done: &Done| Minutes {
        before,
        past: past.clone(),
        done: done.clone(),
        ..founded.minutes()
    };
    let (none, some) = (Done::default(), Done::default().with(&[(crate::ids::MotionId([1; 32]), 5)].into(), []));
    assert!(!with(MinutesHash([1; 32]), &founded.past, &none).are_whole(&CLUSTER));
    assert!(!with(founded.context.minutes, &founded.past, &some).are_whole(&CLUSTER));
    assert!(!with(MinutesHash::founded(&CLUSTER, &SALT, &live.past), &live.past, &none).are_whole(&CLUSTER));
    assert_eq!(minutes.before.after(3, &Grounds::default()), minutes.before, "what rests on nothing is no decision");
}

#[test]
fn whoever_leaves_out_adds_or_moves_a_decision_is_found() {
    let (live, minutes) = story();
    for at in 0..5 {
        let mut without = minutes.clone();
        without.decisions.remove(at);
        assert!(told(&without).verify(&live.end()).is_err(), "{at}");
        let mut moved = minutes.clone();
        moved.decisions[at].epoch += 1;
        assert!(told(&moved).verify(&live.end()).is_err(), "{at}");
    }
    // Let in and put out again, between two other decisions: whoever was there knows of it.
    let mut more = Live::founded();
    let (mut other, mut past) = (more.minutes(), more.minutes());
    for kind in [admit(4), expel(4)] {
        other.add(more.commit(&more.decided(kind)));
    }
    assert_eq!(more.past.roster(), &roster([1]));
    assert_eq!(told(&past).verify(&more.end()), Err(WrongMinutes::Elsewhere));
    assert!(told(&other).verify(&more.end()).is_ok());
    past.before = MinutesHash([1; 32]);
    assert_eq!(told(&past).verify(&more.end()), Err(WrongMinutes::Elsewhere));
    let elsewhere = Context { salt: [9; 32], ..live.context.clone() };
    let end = End { context: &elsewhere, ..live.end() };
    assert_eq!(told(&minutes).verify(&end), Err(WrongMinutes::Elsewhere));
    let end = End { epoch: live.past.epoch() - 3, ..live.end() };
    assert_eq!(told(&minutes).verify(&end), Err(WrongMinutes::Elsewhere));
    let broken = Broken { number: 2, why: Fault::NotLater };
    let mut swapped = minutes.clone();
    swapped.decisions.swap(0, 1);
    assert!(told(&swapped).verify(&live.end()).is_err());
    let mut early = minutes;
    early.decisions[1].epoch = 0;
    assert_eq!(told(&early).verify(&live.end()), Err(broken.into()));
}

#[test]
fn the_oldest_stay_behind_where_there_is_no_room() {
    let (live, minutes) = story();
    let whole = minutes.encode().len();
    assert_eq!(minutes.clone().fitting(CLUSTER, whole).unwrap(), minutes);
    for most in [whole - 1, whole * 2 / 3, whole / 3, 0] {
        let some = minutes.clone().fitting(CLUSTER, most).unwrap();
        assert!(some.decisions().len() < 5 && !some.are_whole(&CLUSTER) && some.since() > 0);
        let (_, past, done) = told(&some).verify(&live.end()).unwrap();
        assert_eq!((past, done), (live.past.clone(), live.done.clone()), "{most}");
    }
    assert_eq!(minutes.clone().fitting(CLUSTER, 0).unwrap().decisions().len(), 0);
    let all = minutes.decisions().len();
    assert_eq!(minutes.clone().fitting(CLUSTER, whole - 1).unwrap().decisions().len(), all - 1, "no more than need be");
    assert!(minutes.fitting(CLUSTER, whole - 1).unwrap().encode().len() < whole);
}

proptest! {
    /// Whoever was there forgets step by step, whoever is told does so from decision to decision: both must judge alike.
    #[test]
    fn who_is_told_knows_what_those_know_who_were_there(steps in prop::collection::vec((0..6u8, 0..4u8, 0..3u16), 1..24)) {
        let mut live = Live::founded();
        let mut minutes = live.minutes();
        for (step, motion_epochs, sponsor_epochs) in steps {
            let has = |who: u8| live.past.roster().contains(&secret(who).member());
            let rules = Charter { motion_epochs: motion_epochs + 1, sponsor_epochs, ..live.context.charter.clone() };
            let kind = match step {
                0 if rules != live.context.charter => Kind::Charter(rules),
                1..=3 if !has(step + 1) => admit(step + 1),
                1..=3 => expel(step + 1),
                _ => {
                    live.commit(&Grounds::default());
                    continue;
                }
            };
            minutes.add(live.commit(&live.decided(kind)));
        }
        let (_, past, done) = told(&minutes).verify(&live.end()).unwrap();
        prop_assert_eq!((past, done), (live.past.clone(), live.done.clone()));
        let some = minutes.clone().fitting(CLUSTER, minutes.encode().len() / 2).unwrap();
        let (_, past, done) = told(&some).verify(&live.end()).unwrap();
        prop_assert_eq!((past, done), (live.past, live.done));
    }

    #[test]
    fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
        let _ = MinutesIn::decode(&junk);
        let mut like = story().1.encode();
        let at = at.index(like.len());
        like[at] = byte;
        if let Ok(minutes) = MinutesIn::decode(&like) {
            prop_assert_eq!(minutes.kept().encode(), like);
        }
    }
}

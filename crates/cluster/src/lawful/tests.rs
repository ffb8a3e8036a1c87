#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    comeback::Comeback,
    leave::Leave,
    limits::{CERTIFICATES_MAX, COMEBACKS_MAX, LEAVES_MAX},
    link::{ClusterLink, LINK_LEN},
    merge::Merge,
    motion::{BadMotion, Kind},
    people::{CLUSTER, OTHER, admission, admit, certificate, circle, expel, id, member, roster, secret, take_in},
};

const YES: core::ops::RangeInclusive<u8> = 1..=4;

struct Case {
    past: Past,
    done: Done,
    change: Change,
    grounds: Grounds,
}

impl Case {
    /// Members 1 to 5 whose first commits nothing but keys.
    fn new() -> Self {
        let change = Change { committer: member(1), added: Vec::new(), removed: Vec::new(), charter: None };
        Self { past: circle(1..=5), done: Done::default(), change, grounds: Grounds::default() }
    }

    fn passed(mut self, kind: Kind) -> Self {
        self.grounds.certificates.push(certificate(&self.past, 1, kind, YES));
        self
    }

    fn adds(mut self, who: u8) -> Self {
        self.change.added.push(admission(who));
        self
    }

    fn removes(mut self, who: u8) -> Self {
        self.change.removed.push(member(who));
        self
    }

    fn leaves(mut self, who: u8) -> Self {
        self.grounds.leaves.push(Leave::sign(CLUSTER, &secret(who)).unverified());
        self
    }

    fn back(mut self, who: u8, turn: u64) -> Self {
        self.grounds.comebacks.push(Comeback::sign(CLUSTER, &secret(who), turn, admission(who).key_package).unverified());
        self
    }

    fn sets(mut self, charter: &Charter) -> Self {
        self.change.charter = Some(charter.clone());
        self
    }

    fn verdict(&self) -> Result<Judged, Unlawful> {
        judge(&Parent { cluster: CLUSTER, past: &self.past, done: &self.done }, &self.change, &self.grounds)
    }

    fn lawful(self, certified: bool, people: impl IntoIterator<Item = u8>) -> Judged {
        let judged = self.verdict().unwrap();
        assert_eq!((judged.certified, judged.past.roster()), (certified, &roster(people)));
        assert!(self.grounds.certificates.iter().map(id).all(|motion| judged.done.has(&motion)));
        assert_eq!(judged.past.epoch(), self.past.epoch() + 1);
        judged
    }

    fn unlawful(&self, why: Unlawful) {
        assert_eq!(self.verdict(), Err(why));
    }
}

fn charter(cap: u16) -> Charter {
    Charter { cap, ..Charter::new("circle").unwrap() }
}

fn silent(people: &[u8]) -> Kind {
    let mut members: Vec<MemberId> = people.iter().map(|who| member(*who)).collect();
    members.sort();
    Kind::Silent { members }
}

#[test]
fn what_members_decided_is_lawful() {
    Case::new().lawful(false, 1..=5);
    Case::new().passed(admit(9)).adds(9).lawful(true, [1, 2, 3, 4, 5, 9]);
    Case::new().passed(expel(5)).removes(5).lawful(true, 1..=4);
    Case::new().passed(silent(&[4, 5])).removes(5).removes(4).lawful(true, 1..=3);
    let judged = Case::new().passed(Kind::Charter(charter(7))).sets(&charter(7)).lawful(true, 1..=5);
    assert_eq!(judged.past.charter().cap, 7);
    Case::new().passed(admit(9)).adds(9).passed(expel(5)).removes(5).passed(admit(8)).adds(8).lawful(true, [1, 2, 3, 4, 8, 9]);
}

#[test]
fn whom_another_cluster_sends_is_let_in_at_once() {
    Case::new().passed(take_in(3)).adds(9).adds(10).adds(11).lawful(true, [1, 2, 3, 4, 5, 9, 10, 11]);
    Case::new().passed(take_in(3)).adds(9).adds(11).unlawful(Unlawful::NotCarriedOut);
    Case::new().passed(take_in(1)).adds(9).adds(10).unlawful(Unlawful::AddedWithoutConsent);
    let mut renamed = Case::new().passed(take_in(1)).adds(9);
    renamed.change.added[0].nick = "another".into();
    renamed.unlawful(Unlawful::AddedOtherwise);
    Case::new().passed(take_in(2)).passed(admit(9)).adds(9).adds(10).lawful(true, [1, 2, 3, 4, 5, 9, 10]);
    let other_keys = Admission { key_package: [0; 32], ..admission(9) };
    Case::new().passed(take_in(2)).passed(Kind::Admit(other_keys)).adds(9).adds(10).unlawful(Unlawful::Contradiction);
    let outer = Merge { into: OTHER, link: ClusterLink([5; LINK_LEN]), name: "square".into(), from: "circle".into() };
    Case::new().passed(Kind::Merge(outer)).unlawful(Unlawful::Certificate(BadCertificate::NoConsequence));
    let mut small = Case::new();
    small.past = small.past.after(roster(1..=5), charter(7));
    small.passed(take_in(3)).adds(9).adds(10).adds(11).unlawful(Unlawful::OverCap);
}

#[test]
fn who_of_them_has_come_meanwhile_is_passed_over() {
    let mut late = Case::new().passed(take_in(2));
    late.past = late.past.after(roster([1, 2, 3, 4, 5, 9]), charter(50));
    late.adds(10).lawful(true, [1, 2, 3, 4, 5, 9, 10]);
    let mut all = Case::new().passed(take_in(2));
    all.past = all.past.after(roster([1, 2, 3, 4, 5, 9, 10]), charter(50));
    all.unlawful(Unlawful::WithoutEffect);
}

#[test]
fn who_leaves_needs_nobody() {
    Case::new().leaves(5).removes(5).lawful(true, 1..=4);
    Case::new().removes(5).unlawful(Unlawful::RemovedWithoutConsent);
    Case::new().leaves(4).removes(5).unlawful(Unlawful::RemovedWithoutConsent);
    Case::new().leaves(5).unlawful(Unlawful::NotCarriedOut);
    Case::new().leaves(5).leaves(5).removes(5).unlawful(Unlawful::WithoutEffect);
    Case::new().leaves(9).unlawful(Unlawful::WithoutEffect);
    let mut forged = Case::new().leaves(5).removes(5);
    forged.grounds.leaves = vec![Leave::sign(ClusterId([8; 32]), &secret(5)).unverified()];
    forged.unlawful(Unlawful::Leave(BadLeave::ForeignCluster));
}

#[test]
fn who_was_away_comes_back_without_a_vote() {
    let judged = Case::new().back(5, 7).removes(5).adds(5).lawful(true, 1..=5);
    assert!(judged.done.is_back(&member(5), 7) && !judged.done.is_back(&member(5), 8));
    Case::new().back(5, 7).removes(5).adds(5).passed(admit(9)).adds(9).lawful(true, [1, 2, 3, 4, 5, 9]);
    Case::new().back(5, 7).adds(5).unlawful(Unlawful::AddedMember);
    Case::new().back(5, 7).removes(5).unlawful(Unlawful::NotCarriedOut);
    Case::new().back(5, 7).unlawful(Unlawful::NotCarriedOut);
    Case::new().back(5, 7).passed(expel(5)).removes(5).adds(5).unlawful(Unlawful::Contradiction);
    Case::new().back(5, 7).leaves(5).removes(5).adds(5).unlawful(Unlawful::Contradiction);
    Case::new().back(9, 7).removes(9).adds(9).unlawful(Unlawful::RemovedNotMember);
    Case::new().back(9, 7).unlawful(Unlawful::WithoutEffect);
}

/// Once whoever had an old KeyPackage of a member could lock it out until it asked to return.
#[test]
fn nobody_is_exchanged_for_itself_who_did_not_ask() {
    Case::new().removes(5).adds(5).unlawful(Unlawful::BackOtherwise);
    Case::new().back(4, 7).removes(5).adds(5).unlawful(Unlawful::BackOtherwise);
    Case::new().back(4, 7).removes(4).adds(4).removes(5).adds(5).unlawful(Unlawful::BackOtherwise);
    let mut others_keys = Case::new().back(5, 7).removes(5).adds(5);
    others_keys.change.added[0].key_package = [0; 32];
    others_keys.unlawful(Unlawful::BackOtherwise);
    let mut forged = Case::new().removes(5).adds(5);
    forged.grounds.comebacks = vec![Comeback::sign(ClusterId([8; 32]), &secret(5), 7, [5; 32]).unverified()];
    forged.unlawful(Unlawful::Comeback(BadComeback::ForeignCluster));
    Case::new().back(5, 7).back(5, 8).removes(5).adds(5).unlawful(Unlawful::Twice);
}

#[test]
fn a_member_comes_back_once_by_each_statement_and_by_none_that_is_older() {
    let judged = Case::new().back(5, 7).removes(5).adds(5).verdict().unwrap();
    let again =
        |turn| Case { past: judged.past.clone(), done: judged.done.clone(), ..Case::new().back(5, turn).removes(5).adds(5) };
    again(7).unlawful(Unlawful::AlreadyDone);
    again(6).unlawful(Unlawful::AlreadyDone);
    again(8).lawful(true, 1..=5);
}

#[test]
fn nobody_comes_or_goes_without_consent() {
    Case::new().adds(9).unlawful(Unlawful::AddedWithoutConsent);
    Case::new().passed(admit(8)).adds(9).unlawful(Unlawful::AddedWithoutConsent);
    Case::new().passed(admit(8)).adds(8).adds(9).unlawful(Unlawful::AddedWithoutConsent);
    Case::new().passed(expel(4)).removes(5).unlawful(Unlawful::RemovedWithoutConsent);
    Case::new().passed(expel(5)).removes(5).removes(4).unlawful(Unlawful::RemovedWithoutConsent);
    let change = |change: &dyn Fn(&mut Admission)| {
        let mut case = Case::new().passed(admit(9)).adds(9);
        change(&mut case.change.added[0]);
        case
    };
    change(&|admission| admission.key_package = [0; 32]).unlawful(Unlawful::AddedOtherwise);
    change(&|admission| admission.nick = "bob".into()).unlawful(Unlawful::AddedOtherwise);
    change(&|admission| admission.member = member(8)).unlawful(Unlawful::AddedWithoutConsent);
}

#[test]
fn the_charter_is_exactly_what_was_voted_on() {
    Case::new().sets(&charter(7)).unlawful(Unlawful::CharterWithoutConsent);
    Case::new().passed(Kind::Charter(charter(7))).sets(&charter(8)).unlawful(Unlawful::CharterWithoutConsent);
    Case::new().passed(Kind::Charter(charter(7))).unlawful(Unlawful::NotCarriedOut);
    let both = || Case::new().passed(Kind::Charter(charter(7))).passed(Kind::Charter(charter(8)));
    both().sets(&charter(8)).unlawful(Unlawful::Contradiction);
}

#[test]
fn what_is_shown_is_carried_out() {
    Case::new().passed(admit(9)).unlawful(Unlawful::NotCarriedOut);
    Case::new().passed(expel(5)).unlawful(Unlawful::NotCarriedOut);
    Case::new().passed(silent(&[4, 5])).removes(5).unlawful(Unlawful::NotCarriedOut);
    Case::new().passed(admit(9)).passed(admit(9)).adds(9).unlawful(Unlawful::Twice);
}

#[test]
fn a_motion_is_carried_out_once() {
    let mut case = Case::new().passed(admit(9)).adds(9);
    case.done = case.verdict().unwrap().done;
    case.unlawful(Unlawful::AlreadyDone);
}

#[test]
fn a_motion_that_came_too_late_has_no_effect() {
    let (admitted, expelled) = (Case::new().passed(admit(9)), Case::new().passed(expel(5)));
    let later = |people: &[u8]| admitted.past.after(roster(people.iter().copied()), charter(50));
    Case { past: later(&[1, 2, 3, 4, 5, 9]), ..admitted }.unlawful(Unlawful::WithoutEffect);
    let gone = Case::new().past.after(roster(1..=4), charter(50));
    Case { past: gone, ..expelled }.unlawful(Unlawful::WithoutEffect);
}

#[test]
fn of_the_silent_those_who_are_still_there_are_dropped() {
    let case = Case::new().passed(silent(&[4, 5])).removes(4);
    let past = case.past.after(roster(1..=4), charter(50));
    Case { past, ..case }.lawful(true, 1..=3);
}

#[test]
fn motions_that_agree_are_carried_out_together() {
    Case::new().passed(silent(&[4, 5])).passed(expel(5)).removes(4).removes(5).lawful(true, 1..=3);
    let mut other_keys = admission(9);
    other_keys.key_package = [0; 32];
    Case::new().passed(admit(9)).passed(Kind::Admit(other_keys)).adds(9).unlawful(Unlawful::Contradiction);
}

#[test]
fn a_certificate_must_hold() {
    let mut foreign = Case::new().passed(admit(9)).adds(9);
    foreign.past = circle(1..=6);
    foreign.unlawful(Unlawful::Certificate(BadMotion::UnknownRoster.into()));
    let mut outlived = Case::new().passed(admit(9)).adds(9);
    for _ in 0..5 {
        outlived.past = outlived.past.after(roster(1..=5), charter(50));
    }
    outlived.unlawful(Unlawful::Certificate(BadCertificate::Outlived));
}

#[test]
fn the_committer_is_a_member_and_stays_one() {
    let by = |who: u8, case: Case| Case { change: Change { committer: member(who), ..case.change.clone() }, ..case };
    by(9, Case::new()).unlawful(Unlawful::CommitterNotMember);
    by(5, Case::new().passed(expel(5)).removes(5)).unlawful(Unlawful::CommitterRemoved);
    by(9, Case::new().passed(admit(9)).adds(9)).unlawful(Unlawful::CommitterNotMember);
}

#[test]
fn people_are_named_once_and_are_who_they_must_be() {
    Case::new().passed(expel(5)).removes(5).removes(5).unlawful(Unlawful::Repeated);
    Case::new().passed(admit(9)).adds(9).adds(9).unlawful(Unlawful::Repeated);
    Case::new().removes(9).unlawful(Unlawful::RemovedNotMember);
    Case::new().removes(9).adds(9).unlawful(Unlawful::RemovedNotMember);
}

#[test]
fn the_cap_holds_for_the_charter_after() {
    let full = |case: Case| Case { past: Past::founded(roster(1..=5), charter(5)), ..case };
    full(Case::new()).passed(admit(9)).adds(9).unlawful(Unlawful::OverCap);
    full(Case::new()).passed(admit(9)).adds(9).passed(expel(5)).removes(5).lawful(true, [1, 2, 3, 4, 9]);
    full(Case::new()).passed(admit(9)).adds(9).passed(Kind::Charter(charter(6))).sets(&charter(6)).lawful(true, [1, 2, 3, 4, 5, 9]);
    Case::new().passed(Kind::Charter(charter(4))).sets(&charter(4)).unlawful(Unlawful::OverCap);
}

#[test]
fn one_change_has_bounds() {
    let mut many = Case::new().passed(admit(9)).adds(9);
    many.grounds.certificates = vec![many.grounds.certificates[0].clone(); CERTIFICATES_MAX + 1];
    many.unlawful(Unlawful::TooMany);
    let mut many = Case::new().leaves(5).removes(5);
    many.grounds.leaves = vec![many.grounds.leaves[0].clone(); LEAVES_MAX + 1];
    many.unlawful(Unlawful::TooMany);
    let mut many = Case::new().back(5, 7).removes(5).adds(5);
    many.grounds.comebacks = vec![many.grounds.comebacks[0].clone(); COMEBACKS_MAX + 1];
    many.unlawful(Unlawful::TooMany);
}

/// Once more than 64 who left at the same time, or one motion that did not fit, kept all others waiting.
#[test]
fn whoever_makes_a_change_takes_what_goes_together_and_leaves_the_rest() {
    let past = Past::founded(roster(1..=100), charter(100));
    let done = Done::default();
    let mut mandate = Mandate::new(&Parent { cluster: CLUSTER, past: &past, done: &done });
    let leave = |who| Leave::sign(CLUSTER, &secret(who)).unverified();
    for who in 2..=65 {
        assert_eq!(mandate.leave(&leave(who)), Ok(()));
    }
    assert_eq!(mandate.leave(&leave(66)), Err(Unlawful::TooMany));
    assert_eq!(mandate.leave(&leave(65)), Err(Unlawful::WithoutEffect));
    let back = |who| Comeback::sign(CLUSTER, &secret(who), 1, [who; 32]).unverified();
    assert_eq!(mandate.come_back(&back(65)), Err(Unlawful::Contradiction));
    assert_eq!(mandate.come_back(&back(70)), Ok(()));
    let passed = |kind| certificate(&past, 1, kind, 1..=60);
    assert_eq!(mandate.decide(&passed(expel(70))), Err(Unlawful::Contradiction));
    assert_eq!(mandate.decide(&passed(Kind::Charter(charter(36)))), Ok(()));
    assert_eq!(mandate.decide(&passed(admit(101))), Err(Unlawful::OverCap));
    assert_eq!(mandate.decide(&passed(expel(71))), Ok(()));
    assert_eq!((mandate.grounds().certificates.len(), mandate.removed().len(), mandate.back().count()), (2, 65, 1));
    let added = admission(70);
    let removed = mandate.removed().iter().copied().chain([member(70)]).collect();
    let change = Change { committer: member(1), added: vec![added], removed, charter: mandate.charter().cloned() };
    let judged = judge(&Parent { cluster: CLUSTER, past: &past, done: &done }, &change, mandate.grounds()).unwrap();
    assert_eq!((judged.past, judged.done), mandate.carried_out().unwrap());
}

#[test]
fn what_was_carried_out_is_forgotten_when_it_cannot_come_again() {
    let case = Case::new().passed(admit(9)).adds(9);
    let (motion, judged) = (id(&case.grounds.certificates[0]), case.verdict().unwrap());
    let (mut past, mut done) = (judged.past, judged.done);
    for epoch in 2..=5 {
        assert!(done.has(&motion), "epoch {epoch}");
        let change = Case::new().change;
        let judged = judge(&Parent { cluster: CLUSTER, past: &past, done: &done }, &change, &Grounds::default()).unwrap();
        (past, done) = (judged.past, judged.done);
    }
    assert!(past.epoch() == 5 && done == Done::default());
    Case { past, done, ..Case::new().passed(admit(9)).adds(9) }.verdict().unwrap_err();
}

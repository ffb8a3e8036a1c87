#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    leave::Leave,
    limits::{CERTIFICATES_MAX, LEAVES_MAX},
    motion::{BadMotion, Kind},
    people::{CLUSTER, admission, admit, certificate, circle, expel, id, member, roster, secret},
};

const YES: core::ops::RangeInclusive<u8> = 1..=4;

struct Case {
    past: Past,
    done: BTreeSet<MotionId>,
    change: Change,
    certificates: Vec<CertificateIn>,
    leaves: Vec<LeaveIn>,
}

impl Case {
    /// Members 1 to 5 whose first commits nothing but keys.
    fn new() -> Self {
        let change = Change { committer: member(1), added: Vec::new(), removed: Vec::new(), charter: None };
        Self { past: circle(1..=5), done: BTreeSet::new(), change, certificates: Vec::new(), leaves: Vec::new() }
    }

    fn passed(mut self, kind: Kind) -> Self {
        self.certificates.push(certificate(&self.past, 1, kind, YES));
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
        self.leaves.push(Leave::sign(CLUSTER, &secret(who)).unverified());
        self
    }

    fn sets(mut self, charter: &Charter) -> Self {
        self.change.charter = Some(charter.clone());
        self
    }

    fn verdict(&self) -> Result<Judged, Unlawful> {
        judge(&Parent { cluster: CLUSTER, past: &self.past, done: &self.done }, &self.change, &self.certificates, &self.leaves)
    }

    fn lawful(self, certified: bool, people: impl IntoIterator<Item = u8>) -> Judged {
        let judged = self.verdict().unwrap();
        assert_eq!((judged.certified, judged.past.roster()), (certified, &roster(people)));
        assert_eq!(judged.done, self.certificates.iter().map(id).collect::<Vec<_>>());
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
fn who_leaves_needs_nobody() {
    Case::new().leaves(5).removes(5).lawful(true, 1..=4);
    Case::new().removes(5).unlawful(Unlawful::RemovedWithoutConsent);
    Case::new().leaves(4).removes(5).unlawful(Unlawful::RemovedWithoutConsent);
    Case::new().leaves(5).unlawful(Unlawful::NotCarriedOut);
    Case::new().leaves(5).leaves(5).removes(5).unlawful(Unlawful::WithoutEffect);
    Case::new().leaves(9).unlawful(Unlawful::WithoutEffect);
    let mut forged = Case::new().leaves(5).removes(5);
    forged.leaves = vec![Leave::sign(ClusterId([8; 32]), &secret(5)).unverified()];
    forged.unlawful(Unlawful::Leave(BadLeave::ForeignCluster));
}

#[test]
fn who_was_away_comes_back_without_a_vote() {
    Case::new().removes(5).adds(5).lawful(false, 1..=5);
    Case::new().removes(5).adds(5).passed(admit(9)).adds(9).lawful(true, [1, 2, 3, 4, 5, 9]);
    Case::new().adds(5).unlawful(Unlawful::AddedMember);
    Case::new().passed(expel(5)).removes(5).adds(5).unlawful(Unlawful::NotCarriedOut);
    Case::new().leaves(5).removes(5).adds(5).unlawful(Unlawful::NotCarriedOut);
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
    case.done = case.certificates.iter().map(id).collect();
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
    many.certificates = vec![many.certificates[0].clone(); CERTIFICATES_MAX + 1];
    many.unlawful(Unlawful::TooMany);
    let mut many = Case::new().leaves(5).removes(5);
    many.leaves = vec![many.leaves[0].clone(); LEAVES_MAX + 1];
    many.unlawful(Unlawful::TooMany);
}

#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    link::{ClusterLink, LINK_LEN},
    people::{CLUSTER, OTHER, admit, circle, expel, fields, member, question, roster, take_in},
};
use proptest::prelude::*;

fn charter(change: impl FnOnce(&mut Charter)) -> Charter {
    let mut charter = Charter::new("circle").unwrap();
    change(&mut charter);
    charter
}

fn verdict(fields: MotionFields, past: &Past) -> Result<usize, BadMotion> {
    MotionIn::new(fields).unwrap().verify(&CLUSTER, past).map(|motion| motion.electorate().len())
}

fn silent(people: [u8; 2]) -> Kind {
    let mut members = people.map(member).to_vec();
    members.sort();
    Kind::Silent { members }
}

fn going(into: ClusterId, from: &str) -> Kind {
    Kind::Merge(Merge { into, link: ClusterLink([5; LINK_LEN]), name: "square".into(), from: from.into() })
}

fn kinds() -> [Kind; 8] {
    [
        admit(9),
        expel(2),
        silent([2, 3]),
        Kind::Charter(charter(|charter| charter.cap = 9)),
        question(Method::Plurality),
        question(Method::Preference),
        going(OTHER, "circle"),
        take_in(3),
    ]
}

#[test]
fn subjects_have_no_vote() {
    let past = circle(1..=5);
    let voters = kinds().map(|kind| verdict(fields(&past, 1, kind), &past));
    assert_eq!(voters, [Ok(5), Ok(4), Ok(3), Ok(5), Ok(5), Ok(5), Ok(5), Ok(5)]);
}

#[test]
fn every_kind_survives_and_has_a_name_of_its_own() {
    let past = circle(1..=5);
    let motions = kinds().map(|kind| MotionIn::new(fields(&past, 1, kind)).unwrap());
    for motion in &motions {
        assert_eq!(MotionIn::decode(&motion.encode()), Ok(motion.clone()));
    }
    let names: std::collections::BTreeSet<MotionId> = motions.iter().map(|motion| motion.claimed().id()).collect();
    assert_eq!(names.len(), motions.len());
    let again = MotionFields { nonce: [4; 16], ..motions[0].claimed().clone() };
    assert!(!names.contains(&again.id()));
}

#[test]
fn a_motion_out_of_order_is_told_apart() {
    let past = circle(1..=5);
    let good = fields(&past, 1, admit(9));
    let wrong = [
        (MotionFields { cluster: ClusterId([8; 32]), ..good.clone() }, BadMotion::ForeignCluster),
        (MotionFields { epoch: 1, until: 1, ..good.clone() }, BadMotion::UnknownEpoch),
        (MotionFields { roster: roster(1..=4).hash(), ..good.clone() }, BadMotion::UnknownRoster),
        (MotionFields { until: 9, ..good.clone() }, BadMotion::Until),
        (MotionFields { proposer: member(9), ..good.clone() }, BadMotion::ProposerNotMember),
        (fields(&past, 1, admit(2)), BadMotion::AlreadyMember),
        (fields(&past, 1, expel(9)), BadMotion::NoSuchMember),
        (fields(&past, 1, silent([2, 9])), BadMotion::NoSuchMember),
        (fields(&past, 1, going(CLUSTER, "circle")), BadMotion::IntoItself),
        (fields(&past, 1, going(OTHER, "square")), BadMotion::IntoItself),
    ];
    for (fields, error) in wrong {
        assert_eq!(verdict(fields, &past), Err(error));
    }
    let with_nine = circle(1..=9);
    assert_eq!(verdict(fields(&with_nine, 1, take_in(2)), &with_nine), Err(BadMotion::AlreadyMember), "nine is a guest, too");
    assert_eq!(verdict(MotionFields { until: 8, ..good }, &past), Ok(5));
    let alone = circle([1]);
    assert_eq!(verdict(fields(&alone, 1, expel(1)), &alone), Err(BadMotion::NobodyVotes));
}

#[test]
fn a_motion_cannot_end_before_it_begins() {
    let past = circle(1..=5).after(roster(1..=5), charter(|_| ()));
    let good = fields(&past, 1, admit(9));
    assert_eq!(verdict(MotionFields { until: 0, ..good.clone() }, &past), Err(BadMotion::Until));
    assert_eq!(verdict(MotionFields { until: 1, ..good }, &past), Ok(5));
}

#[test]
fn newcomers_sponsor_when_the_charter_lets_them_and_founders_at_once() {
    let rules = charter(|charter| charter.sponsor_epochs = 2);
    let mut past = Past::founded(roster([1]), rules.clone());
    assert_eq!(verdict(fields(&past, 1, admit(9)), &past), Ok(1));
    for epoch in 1..=4 {
        past = past.after(roster([1, 2]), rules.clone());
        let expected = if epoch < 3 { Err(BadMotion::MayNotSponsor) } else { Ok(2) };
        assert_eq!(verdict(fields(&past, 2, admit(9)), &past), expected, "epoch {epoch}");
        assert_eq!(verdict(fields(&past, 2, expel(1)), &past), Ok(1), "that holds for admitting only");
    }
}

#[test]
fn what_nobody_could_read_is_no_motion() {
    let past = circle(1..=3);
    let ask = |text: &str, options: &[&str]| Kind::Question {
        text: text.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        method: Method::Plurality,
    };
    let Kind::TakeIn { consent, guests } = take_in(2) else { panic!("no guests") };
    let wrong = [
        ask("", &["a", "b"]),
        ask("one\tanswer", &["a", "b"]),
        ask("?", &["a"]),
        ask("?", &["a", "a"]),
        ask("?", &["a", ""]),
        ask("?", &[&"x".repeat(201), "a"]),
        ask(&"x".repeat(2001), &["a", "b"]),
        ask("?", &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"]),
        Kind::Silent { members: Vec::new() },
        Kind::Silent { members: vec![member(1), member(1)] },
        Kind::TakeIn { consent: consent.clone(), guests: Vec::new() },
        Kind::TakeIn { consent: consent.clone(), guests: guests.iter().rev().cloned().collect() },
        Kind::TakeIn { consent, guests: [&guests[..1], &guests].concat() },
        Kind::Charter(charter(|charter| charter.cap = 0)),
        Kind::Admit(Admission { nick: "a\nb".into(), ..crate::people::admission(9) }),
        Kind::Admit(Admission { nick: String::new(), ..crate::people::admission(9) }),
    ];
    for kind in wrong {
        assert_eq!(MotionIn::new(fields(&past, 1, kind.clone())), Err(Malformed), "{kind:?}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_is_written_as_it_came(which in 0..8usize, at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
        let _ = MotionIn::decode(&junk);
        let mut like = MotionIn::new(fields(&circle(1..=5), 1, kinds()[which].clone())).unwrap().encode();
        let at = at.index(like.len());
        like[at] = byte;
        if let Ok(motion) = MotionIn::decode(&like) {
            prop_assert_eq!(motion.encode(), like);
        }
    }
}

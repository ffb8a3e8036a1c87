#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    content::{Body, Message},
    link::LINK_LEN,
    motion::MotionIn,
    people::{CLUSTER, OTHER, admission, admit, consent, guest, member, merge, secret},
};
use proptest::prelude::*;

fn good() -> ConsentIn {
    consent(merge(), 21..=25).unwrap()
}

fn verdict(consent: &ConsentIn) -> Result<(), BadConsent> {
    consent.verify(&CLUSTER).map(|_| ())
}

#[test]
fn a_cluster_that_agreed_proves_it_to_those_who_know_nothing_of_it() {
    let good = good();
    assert_eq!(ConsentIn::decode(&good.encode()), Ok(good.clone()));
    let consent = good.verify(&CLUSTER).unwrap();
    assert_eq!((good.claimed().from.as_str(), consent.motion()), ("square", good.motion()));
    assert_eq!(consent.door(), ClusterLink([5; LINK_LEN]).door());
    assert_eq!(good.yes.len(), 3, "no more than were needed");
}

#[test]
fn what_did_not_pass_or_is_about_something_else_is_no_consent() {
    assert_eq!(consent(merge(), [21, 22]), None);
    assert_eq!(consent(admit(9), 21..=25), None);
}

#[test]
fn what_a_consent_lacks_is_told_apart() {
    let change = |change: &dyn Fn(&mut ConsentIn)| {
        let mut changed = good();
        change(&mut changed);
        verdict(&changed)
    };
    assert_eq!(change(&|_| ()), Ok(()));
    assert_eq!(good().verify(&OTHER), Err(BadConsent::Elsewhere));
    assert_eq!(good().verify(&ClusterId([9; 32])), Err(BadConsent::Elsewhere));
    assert_eq!(change(&|c| c.yes.truncate(2)), Err(BadConsent::NoQuorum));
    assert_eq!(change(&|c| c.yes.reverse()), Err(BadConsent::Unsorted));
    assert_eq!(change(&|c| c.yes = vec![c.yes[0]; 3]), Err(BadConsent::Unsorted));
    assert_eq!(change(&|c| c.yes = vec![c.yes[0], c.yes[0], c.yes[1]]), Err(BadConsent::Unsorted), "two voters are not three");
    assert_eq!(change(&|c| c.yes[1].1[0] ^= 1), Err(BadConsent::Forged));
    assert_eq!(change(&|c| c.fields.proposer = member(1)), Err(BadConsent::NotEntitled));
    assert_eq!(change(&|c| c.yes[0].0 = MemberId([0; 32])), Err(BadConsent::NotEntitled));
    // Mallory makes the cluster smaller than it was, so that her friends are the majority, or lets it go elsewhere.
    let smaller = |c: &mut ConsentIn| {
        c.roster = Roster::of(c.yes.iter().map(|(voter, _)| *voter).chain([c.fields.proposer]));
        c.fields.roster = c.roster.hash();
    };
    assert_eq!(change(&smaller), Err(BadConsent::Forged));
    let renamed = |c: &mut ConsentIn| {
        c.merge.from = "other".into();
        c.fields.kind = Kind::Merge(c.merge.clone());
    };
    assert_eq!(change(&renamed), Err(BadConsent::Forged));
}

#[test]
fn each_member_of_it_brings_one_and_nobody_else_any() {
    let consent = good().verify(&CLUSTER).unwrap();
    let of = |of: u8, who: u8| guest(&good(), of, who);
    let carol = of(21, 9);
    assert_eq!(GuestIn::decode(&carol.encode()), Ok(carol.clone()));
    let verified = carol.verify(&consent).unwrap();
    assert_eq!((verified.of(), verified.admission()), (member(21), &admission(9)));
    assert_eq!(consent.check_guests(&[of(21, 9), of(22, 10)]), Ok(()));
    assert_eq!(consent.check_guests(&[of(21, 9), of(21, 10)]), Err(BadConsent::Twice));
    assert_eq!(consent.check_guests(&[of(21, 9), of(1, 10)]), Err(BadConsent::Stranger));
    // Somebody else's word, about somebody else, or for another motion.
    let mut stolen = carol.clone();
    stolen.admission = admission(10);
    assert_eq!(stolen.verify(&consent), Err(BadConsent::Stranger));
    let mut foreign = carol;
    foreign.of = member(22);
    assert_eq!(foreign.verify(&consent), Err(BadConsent::Stranger));
    let mut later = good();
    later.fields.nonce = [9; 16];
    let elsewhere = Guest::sign(&later, &secret(21), admission(9)).unverified();
    assert_eq!(elsewhere.verify(&consent), Err(BadConsent::Stranger));
}

#[test]
fn the_largest_merge_fits_into_a_message() {
    let long = || "x".repeat(NAME_MAX);
    let members: Vec<MemberId> = (0..MERGING_MAX).map(|n| MemberId([u8::try_from(n).unwrap(); 32])).collect();
    let mut consent = good();
    consent.roster = Roster::of(members.iter().copied());
    consent.yes = members.iter().map(|member| (*member, [255; 64])).collect();
    consent.merge = Merge { name: long(), from: long(), ..consent.merge };
    consent.fields = MotionFields {
        epoch: u64::MAX,
        until: u64::MAX,
        roster: consent.roster.hash(),
        kind: Kind::Merge(consent.merge.clone()),
        ..consent.fields
    };
    let guest = |of: &MemberId| GuestIn {
        admission: Admission { member: *of, key_package: [1; 32], nick: long() },
        of: *of,
        signature: [2; 64],
    };
    let guests: Vec<GuestIn> = members.iter().take(GUESTS_MAX).map(guest).collect();
    assert!(guests.iter().all(|guest| GuestIn::decode(&guest.encode()).is_ok()));
    assert_eq!(ConsentIn::decode(&consent.encode()), Ok(consent.clone()));
    let kind = Kind::TakeIn { consent: Box::new(consent), guests };
    let motion = MotionIn::new(MotionFields { cluster: CLUSTER, epoch: u64::MAX, until: u64::MAX, kind, ..good().fields }).unwrap();
    let message = Message { turn: u64::MAX, body: Body::Motion(motion) };
    assert_eq!(Message::decode(&message.encode()), Ok(message));
}

proptest! {
    #[test]
    fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
        let _ = (ConsentIn::decode(&junk), GuestIn::decode(&junk));
        let mut like = good().encode();
        let place = at.index(like.len());
        like[place] = byte;
        if let Ok(consent) = ConsentIn::decode(&like) {
            prop_assert_eq!(consent.encode(), like);
            // Whatever was changed, it is noticed.
            prop_assert!(consent == good() || verdict(&consent).is_err());
        }
        let carol = guest(&good(), 21, 9);
        let mut like = carol.encode();
        let place = at.index(like.len());
        like[place] = byte;
        if let Ok(guest) = GuestIn::decode(&like) {
            prop_assert_eq!(guest.encode(), like);
            prop_assert!(guest == carol || guest.verify(&good().verify(&CLUSTER).unwrap()).is_err());
        }
    }
}

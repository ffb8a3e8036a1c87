//! People of the tests: alice, bob, carol, and a cluster of any number.
#![allow(clippy::arithmetic_side_effects)]

use samizdat_core::seal::door::DoorKey;

use crate::{
    ballot::{Ballot, Choice},
    certificate::CertificateIn,
    charter::Charter,
    door::Invite,
    ids::{ClusterId, MemberId, MemberSecret, MotionId},
    link::{ClusterLink, LINK_LEN, OpenDoor},
    merge::{ConsentIn, Guest, GuestIn, Merge},
    motion::{Admission, Kind, Method, Motion, MotionFields, MotionIn},
    roster::{Past, Roster},
    tally::Tally,
};

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 32]);

pub(crate) fn secret(who: u8) -> MemberSecret {
    MemberSecret::from_seed([who; 32])
}

pub(crate) fn member(who: u8) -> MemberId {
    secret(who).member()
}

pub(crate) fn roster(people: impl IntoIterator<Item = u8>) -> Roster {
    Roster::of(people.into_iter().map(member))
}

pub(crate) fn circle(people: impl IntoIterator<Item = u8>) -> Past {
    Past::founded(roster(people), Charter::new("circle").unwrap())
}

pub(crate) fn fields(past: &Past, proposer: u8, kind: Kind) -> MotionFields {
    MotionFields {
        cluster: CLUSTER,
        epoch: past.epoch(),
        roster: past.roster().hash(),
        until: past.epoch() + 4,
        proposer: member(proposer),
        nonce: [3; 16],
        secret: false,
        kind,
    }
}

pub(crate) fn motion(past: &Past, proposer: u8, kind: Kind) -> Motion {
    MotionIn::new(fields(past, proposer, kind)).unwrap().verify(&CLUSTER, past).unwrap()
}

/// The same, to be voted on in secret.
pub(crate) fn secret_motion(past: &Past, proposer: u8, kind: Kind) -> Motion {
    MotionIn::new(MotionFields { secret: true, ..fields(past, proposer, kind) }).unwrap().verify(&CLUSTER, past).unwrap()
}

pub(crate) fn invite(label: &str) -> Invite {
    Invite { open: OpenDoor::new(&[3; 20], DoorKey([4; 32])), label: label.into(), expires: 500_000 }
}

pub(crate) fn admission(who: u8) -> Admission {
    Admission { member: member(who), key_package: [who; 32], nick: format!("nick-{who}") }
}

pub(crate) fn admit(who: u8) -> Kind {
    Kind::Admit(admission(who))
}

pub(crate) fn expel(who: u8) -> Kind {
    Kind::Expel { member: member(who) }
}

/// The cluster that goes into [`CLUSTER`]: members 21 to 25.
pub(crate) const OTHER: ClusterId = ClusterId([8; 32]);
const OTHERS: core::ops::RangeInclusive<u8> = 21..=25;

pub(crate) fn merge() -> Kind {
    Kind::Merge(Merge { into: CLUSTER, link: ClusterLink([5; LINK_LEN]), name: "circle".into(), from: "square".into() })
}

/// As decided in the other cluster by the yes of those of `voters` that it takes.
pub(crate) fn consent(kind: Kind, voters: impl IntoIterator<Item = u8>) -> Option<ConsentIn> {
    let past = Past::founded(roster(OTHERS), Charter::new("square").unwrap());
    let fields = MotionFields { cluster: OTHER, ..fields(&past, 21, kind) };
    let mut tally = Tally::new(MotionIn::new(fields).unwrap().verify(&OTHER, &past).unwrap());
    for who in voters {
        let ballot = vote(tally.motion(), who, Choice::Decision(true));
        tally.add(ballot);
    }
    ConsentIn::of(&tally)
}

/// Member `of` of the other cluster, who will be `who` in this one.
pub(crate) fn guest(consent: &ConsentIn, of: u8, who: u8) -> GuestIn {
    Guest::sign(consent, &secret(of), admission(who)).unverified()
}

/// To let in 9, 10, …, who were 21, 22, ….
pub(crate) fn take_in(count: u8) -> Kind {
    let consent = consent(merge(), OTHERS).unwrap();
    let mut guests: Vec<GuestIn> = (0..count).map(|n| guest(&consent, 21 + n, 9 + n)).collect();
    guests.sort_by_key(|guest| guest.claimed().member);
    Kind::TakeIn { consent: Box::new(consent), guests }
}

pub(crate) fn question(method: Method) -> Kind {
    let options = ["tea", "coffee", "water", "wine", "beer"].map(str::to_owned).into();
    Kind::Question { text: "What shall\nwe drink?".into(), options, method }
}

pub(crate) fn vote(motion: &Motion, who: u8, choice: Choice) -> Ballot {
    Ballot::cast(motion, &secret(who), choice).unwrap()
}

/// A certificate of `kind` by the yes of those of `voters` who may vote, as `proposer` moved it at the end of `past`.
pub(crate) fn certificate(past: &Past, proposer: u8, kind: Kind, voters: impl IntoIterator<Item = u8>) -> CertificateIn {
    let motion = motion(past, proposer, kind);
    let mut tally = Tally::new(motion.clone());
    for who in voters.into_iter().filter(|who| motion.electorate().contains(&member(*who))) {
        tally.add(vote(&motion, who, Choice::Decision(true)));
    }
    CertificateIn::of(&tally).unwrap()
}

pub(crate) fn id(certificate: &CertificateIn) -> MotionId {
    certificate.motion().claimed().id()
}

//! Two clusters become one, told as a story.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

mod people;

use people::{LIFETIME, Person, knock, with_the_same_keys};
use samizdat_chat::{ChatError, Proposal, Standing, mls::MemberKeys};
use samizdat_cluster::{
    Charter, ClusterId, MemberSecret, Past, Roster,
    ballot::{Ballot, Choice},
    door::DoorSecret,
    link::MergeLink,
    merge::{ConsentIn, Guest, Merge},
    motion::{Admission, Kind, MotionFields, MotionIn},
    request::{Purpose, Request},
    tally::{Outcome, Tally},
};
use samizdat_core::Envelope;

const NEST: &str = "nest";
const CLUB: &str = "club";

/// Everybody learns what everybody has, and what is said to that. A minute and a half passes.
fn mingle(people: &mut [Person]) {
    for _ in 0..6 {
        let mut made: Vec<Vec<Envelope>> = Vec::new();
        for person in people.iter_mut() {
            person.now.unix_ms += 15_000;
            person.now.mono_ms += 15_000;
            let ids = person.settle();
            made.push(ids.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap()).collect());
        }
        for (from, envelopes) in made.iter().enumerate() {
            for (_, person) in people.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                envelopes.iter().for_each(|envelope| person.receive(envelope));
            }
        }
    }
}

/// The first of them founds a cluster and lets in the others.
fn found(people: &mut [Person], name: &str, whom: &[(usize, &str)]) {
    let (founder, nick) = whom[0];
    let now = people[founder].now;
    people[founder].chat.found_cluster(&Charter::new(name).unwrap(), nick, now).unwrap();
    for (newcomer, nick) in &whom[1..] {
        let now = people[founder].now;
        let link = people[founder].chat.invite_to_cluster(name, "", 7, now).unwrap();
        people[*newcomer].chat.join_cluster(&link, nick, "", now).unwrap();
        mingle(people);
        vote(people, name, whom, "yes");
        mingle(people);
        assert_eq!(standing(&mut people[*newcomer], name), Some(Standing::Member), "{nick}");
    }
}

/// All of them vote on whatever is open in the cluster, who have not yet.
fn vote(people: &mut [Person], name: &str, whom: &[(usize, &str)], what: &str) {
    for (who, _) in whom {
        let (chat, now) = (&mut people[*who].chat, people[*who].now);
        for motion in chat.motions(name).unwrap_or_default() {
            if motion.state == Outcome::Open && motion.ours.is_none() {
                chat.vote(&motion.motion, what, now).unwrap();
            }
        }
    }
}

fn standing(person: &mut Person, name: &str) -> Option<Standing> {
    person.chat.clusters().unwrap().into_iter().find(|cluster| cluster.name == name).map(|cluster| cluster.standing)
}

fn nicks(person: &mut Person, name: &str) -> Vec<String> {
    person.chat.cluster(name).unwrap().members.into_iter().map(|member| member.nick).collect()
}

fn why<T>(refused: Result<T, ChatError>) -> String {
    refused.err().unwrap().to_string()
}

#[test]
fn a_club_comes_into_the_nest_and_who_does_not_want_to_stays() {
    let mut people: Vec<Person> = (1..=5).map(Person::new).collect();
    let (alice, bob, carol, dave, erin) = (0, 1, 2, 3, 4);
    let club = [(carol, "carol"), (dave, "dave"), (erin, "erin")];
    found(&mut people, NEST, &[(alice, "alice"), (bob, "bob")]);
    found(&mut people, CLUB, &club);

    let now = people[alice].now;
    let plain = people[alice].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
    let link = people[alice].chat.invite_cluster(NEST, "the club", 7, now).unwrap();
    let to = |link| Proposal::Merge { link, name: NEST };
    assert!(why(people[carol].chat.open_motion(CLUB, &to(&plain), now)).contains("does not say to which cluster"));
    assert!(why(people[alice].chat.open_motion(NEST, &to(&link), now)).contains("leads to the cluster itself"));
    assert!(why(people[alice].chat.open_motion(NEST, &Proposal::TakeIn(CLUB), now)).contains("nobody came with"));

    // The club decides: erin does not want to. Nothing changes in it.
    people[carol].chat.open_motion(CLUB, &to(&link), now).unwrap();
    mingle(&mut people);
    vote(&mut people, CLUB, &[(erin, "")], "no");
    mingle(&mut people);
    assert_eq!(standing(&mut people[carol], NEST), None, "nobody goes before it has passed");
    vote(&mut people, CLUB, &[(dave, "")], "yes");
    mingle(&mut people);
    for who in [carol, dave] {
        assert_eq!(standing(&mut people[who], NEST), Some(Standing::Asking));
    }
    assert_eq!(standing(&mut people[erin], NEST), None);
    assert_eq!(nicks(&mut people[erin], CLUB), ["carol", "dave", "erin"]);

    // The nest sees with whom they come. It moves for all of them at once, not by itself.
    for who in [alice, bob] {
        let asking = people[who].chat.cluster_requests(NEST).unwrap();
        assert_eq!(asking.iter().map(|request| request.from.as_deref()).collect::<Vec<_>>(), [Some(CLUB), Some(CLUB)]);
    }
    assert!(people[alice].chat.motions(NEST).unwrap().iter().all(|motion| motion.state != Outcome::Open));
    let now = people[alice].now;
    let (_, motion) = people[alice].chat.open_motion(NEST, &Proposal::TakeIn(CLUB), now).unwrap();
    mingle(&mut people);
    let shown = people[bob].chat.motions(NEST).unwrap().into_iter().find(|shown| shown.motion == motion.to_string()).unwrap();
    assert_eq!((shown.kind, shown.needed), ("take_in", 2));
    assert!(["club: carol, dave", "club: dave, carol"].contains(&shown.subject.as_str()), "{}", shown.subject);
    assert_eq!(nicks(&mut people[alice], NEST).len(), 2, "one yes is not enough");
    vote(&mut people, NEST, &[(bob, "")], "yes");
    mingle(&mut people);
    mingle(&mut people);

    let state = |person: &mut Person| person.chat.cluster(NEST).unwrap().state;
    let agreed = state(&mut people[alice]);
    for who in [alice, bob, carol, dave] {
        assert_eq!(standing(&mut people[who], NEST), Some(Standing::Member));
        assert_eq!((nicks(&mut people[who], NEST).len(), state(&mut people[who])), (4, agreed.clone()));
    }
    let decided: Vec<String> =
        people[bob].chat.audit_cluster(NEST).unwrap().decided.into_iter().flat_map(|step| step.what).collect();
    assert_eq!(decided, ["admit bob".to_owned(), format!("take_in {}", shown.subject)]);
    let now = people[carol].now;
    people[carol].chat.write_in_cluster(NEST, "here we are", LIFETIME, now).unwrap();
    mingle(&mut people);
    for who in [alice, bob, dave] {
        assert_eq!(people[who].texts(), ["here we are"]);
    }
    assert!(people[erin].texts().is_empty());
    assert_eq!(standing(&mut people[carol], CLUB), Some(Standing::Member), "nobody leaves the club by it");
    people.iter_mut().for_each(|person| assert!(person.chat.cluster_requests(NEST).unwrap_or_default().is_empty()));
}

/// A cluster that is nothing but Mallory's word: its members agree to come by a link.
fn agreed(link: &MergeLink, secrets: &[MemberSecret]) -> ConsentIn {
    let (cluster, charter) = (ClusterId([66; 32]), Charter::new(CLUB).unwrap());
    let past = Past::founded(Roster::of(secrets.iter().map(MemberSecret::member)), charter.clone());
    let (into, from) = (link.cluster, CLUB.into());
    let kind = Kind::Merge(Merge { into, link: link.link.clone(), name: NEST.into(), from });
    let (roster, proposer) = (past.roster().hash(), secrets[0].member());
    let until = charter.motion_epochs.into();
    let fields = MotionFields { cluster, epoch: 0, roster, until, proposer, nonce: [0; 16], secret: false, kind };
    let mut tally = Tally::new(MotionIn::new(fields).unwrap().verify(&cluster, &past).unwrap());
    for secret in secrets {
        let ballot = Ballot::cast(tally.motion(), secret, Choice::Decision(true)).unwrap();
        tally.add(ballot);
    }
    ConsentIn::of(&tally).unwrap()
}

fn comes(consent: &ConsentIn, as_whom: &MemberSecret, keys: &MemberKeys, nick: &str) -> Request {
    let admission = Admission { member: keys.member, key_package: keys.hash.0, nick: nick.into() };
    let guest = Guest::sign(consent, as_whom, admission).unverified();
    let purpose = Purpose::Merge { consent: Box::new(consent.clone()), guest };
    Request { reply: DoorSecret([7; 32]), key_package: keys.bytes.clone(), purpose }
}

#[test]
fn who_copies_the_key_of_another_guest_is_not_among_the_guests() {
    let mut people: Vec<Person> = (1..=2).map(Person::new).collect();
    found(&mut people, NEST, &[(0, "alice"), (1, "bob")]);
    let now = people[0].now;
    let link: MergeLink = people[0].chat.invite_cluster(NEST, "the club", 7, now).unwrap().parse().unwrap();
    let secrets = [31, 32, 33].map(|seed| MemberSecret::from_seed([seed; 32]));
    let consent = agreed(&link, &secrets);
    let [one, copy] = with_the_same_keys(["carol", "mallory"]);
    for (secret, keys, nick) in [(&secrets[0], one, "carol"), (&secrets[1], copy, "mallory")] {
        let knock = knock(&link.link, &comes(&consent, secret, &keys, nick), now);
        people.iter_mut().for_each(|person| person.receive(&knock));
    }
    people[0].chat.open_motion(NEST, &Proposal::TakeIn(CLUB), now).unwrap();
    mingle(&mut people);
    vote(&mut people, NEST, &[(1, "")], "yes");
    mingle(&mut people);
    for person in &mut people {
        assert_eq!(nicks(person, NEST).len(), 3);
        assert!(nicks(person, NEST).contains(&"carol".into()));
    }
}

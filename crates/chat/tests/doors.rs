//! Doors of clusters, told as stories: a passphrase that stands for a link, and somebody who floods a door.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

mod nest;
mod people;

use people::{Person, carry, knock, with_the_same_keys};
use samizdat_chat::{
    Proposal, Standing,
    limits::{DOOR_REQUESTS_MAX, GUEST_MOTIONS_MAX},
};
use samizdat_cluster::{
    Charter,
    door::{self, DoorSecret},
    link::ClusterLink,
    phrase::Phrase,
    request::{Purpose, Request},
};
use samizdat_core::{Kind, seal::StateSecret};

const NEST: &str = "nest";

/// What each made reaches everybody, a few times.
fn mingle(people: &mut [&mut Person]) {
    for _ in 0..6 {
        for from in 0..people.len() {
            people[from].now.unix_ms += 15_000;
            people[from].now.mono_ms += 15_000;
            people[from].settle();
            for to in (0..people.len()).filter(|to| *to != from) {
                let [one, other] = people.get_disjoint_mut([from, to]).unwrap();
                carry(one, other);
            }
        }
    }
}

fn founded(alice: &mut Person) {
    alice.chat.found_cluster(&Charter::new(NEST).unwrap(), "alice", alice.now).unwrap();
    alice.settle();
}

fn standing(person: &mut Person) -> Standing {
    person.chat.clusters().unwrap()[0].standing
}

#[test]
fn bob_is_let_in_by_what_alice_says_on_the_phone() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    founded(&mut alice);
    let phrase = Phrase::draw(8, &[9; 32]).unwrap();
    alice.chat.invite_by_door(NEST, &phrase.door().unwrap(), "by phone", 1, alice.now).unwrap();

    // Alice's node knows the door only. Bob types what he hears, and comes to the same.
    let heard: Phrase = phrase.text().to_uppercase().parse().unwrap();
    bob.now = alice.now;
    bob.chat.join_cluster(&heard.door().unwrap().link.to_string(), "bob", "It's me", bob.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    assert_eq!((standing(&mut alice), standing(&mut bob)), (Standing::Member, Standing::Member));
}

/// Mallory pays for stamps. What dozens of them bring is put in where the first came, so that the test need not pay as well.
const FLOOD: &str = "
CREATE TABLE eight(x); INSERT INTO eight VALUES(1), (2), (3), (4), (5), (6), (7), (8);
CREATE TRIGGER flood AFTER INSERT ON cluster_request WHEN NEW.nick = 'mallory' BEGIN
    INSERT INTO cluster_request(cluster, member, key_package, hash, nick, words, reply, returns, ours, at, door)
    SELECT NEW.cluster, randomblob(32), NEW.key_package, randomblob(32), 'mallory too', '', randomblob(32), 0, NEW.ours, NEW.at, NEW.door
    FROM eight a JOIN eight b LIMIT 62;
END;
";

fn asks(whom: &str, member: &mut Person) -> usize {
    member.chat.cluster_requests(NEST).unwrap().iter().filter(|request| request.nick == whom).count()
}

#[test]
fn who_floods_a_door_keeps_nobody_out() {
    let mut alice = Person::whose_program_was_changed(1, FLOOD);
    let mut bob = Person::whose_program_was_changed(2, FLOOD);
    let [mut carol, mut dave, mut mallory] = [3, 4, 5].map(Person::new);
    founded(&mut alice);
    let link = alice.chat.invite_to_cluster(NEST, "", 7, alice.now).unwrap();
    bob.now = alice.now;
    bob.chat.join_cluster(&link, "bob", "", bob.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    assert_eq!(standing(&mut bob), Standing::Member);

    // Mallory got hold of a link. Of those who come by it after that, the first is heard.
    let link = alice.chat.invite_to_cluster(NEST, "for everybody", 7, alice.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    for (person, nick) in [(&mut mallory, "mallory"), (&mut carol, "carol"), (&mut dave, "dave")] {
        person.now = alice.now;
        person.chat.join_cluster(&link, nick, "", person.now).unwrap();
        mingle(&mut [person, &mut alice, &mut bob]);
    }
    for member in [&mut alice, &mut bob] {
        assert_eq!(member.chat.cluster_requests(NEST).unwrap().len(), DOOR_REQUESTS_MAX as usize);
        assert_eq!((asks("carol", member), asks("dave", member)), (1, 0));
        let moved = member.chat.motions(NEST).unwrap().iter().filter(|motion| motion.subject != "bob").count();
        assert_eq!(moved, GUEST_MOTIONS_MAX as usize);
    }

    // Another door is as open as ever. Alice's node moves for nobody more by itself; she still can.
    let other = alice.chat.invite_to_cluster(NEST, "for dave", 7, alice.now).unwrap();
    let number = dave.chat.clusters().unwrap()[0].number.to_string();
    dave.chat.leave_cluster(&number, dave.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    dave.now = alice.now;
    dave.chat.join_cluster(&other, "dave", "", dave.now).unwrap();
    mingle(&mut [&mut dave, &mut alice, &mut bob]);
    assert_eq!((asks("dave", &mut alice), asks("dave", &mut bob)), (1, 1));
    let about_dave =
        |member: &mut Person| member.chat.motions(NEST).unwrap().iter().filter(|motion| motion.subject == "dave").count();
    assert_eq!(about_dave(&mut bob), 0);
    alice.chat.open_motion(NEST, &Proposal::Admit("dave"), alice.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    assert_eq!(about_dave(&mut bob), 1);
}

#[test]
fn what_somebody_asks_by_a_link_only_members_read_those_who_came_later_too() {
    let (mut alice, mut bob, mut carol) = (Person::new(1), Person::new(2), Person::new(3));
    founded(&mut alice);
    (bob.now, carol.now) = (alice.now, alice.now);
    let link = alice.chat.invite_to_cluster(NEST, "for all", 1, alice.now).unwrap();
    bob.chat.join_cluster(&link, "bob", "", bob.now).unwrap();
    mingle(&mut [&mut alice, &mut bob]);
    assert_eq!(standing(&mut bob), Standing::Member);

    carol.chat.join_cluster(&link, "carol", "I came by the link of all", carol.now).unwrap();
    let asked = carol.settle();
    // Mallory has the link, too: so she finds what carol put under the door.
    let door = StateSecret::new(link.parse::<ClusterLink>().unwrap().door().0);
    let found = asked.iter().find_map(|id| {
        let envelope = carol.log.find(id).unwrap().unwrap().envelope().unwrap();
        let Kind::Sealed { tag, .. } = envelope.fields().kind else { return None };
        let counter = door::watched(carol.now.hour()).find(|counter| door.tag(0, *counter) == tag)?;
        Some(door.open(0, counter, envelope.body()).unwrap())
    });
    let found = found.expect("what she asked");
    assert!(!found.windows(5).any(|window| window == b"carol"), "but cannot read it");

    // Bob came after the door was opened.
    carry(&carol, &mut bob);
    bob.settle();
    let requests = bob.chat.cluster_requests(NEST).unwrap();
    assert_eq!((requests[0].nick.as_str(), requests[0].words.as_str()), ("carol", "I came by the link of all"));
}

fn named(person: &mut Person) -> Vec<(String, bool)> {
    person.chat.cluster(NEST).unwrap().links.into_iter().map(|link| (link.label, link.closed)).collect()
}

#[test]
fn a_link_whose_key_somebody_knows_who_is_out_is_closed_and_whoever_made_it_sees_that() {
    let mut people = nest::nest(&Charter::new(NEST).unwrap(), &["alice", "bob", "mallory"]);
    let now = people[0].now;
    let poster = people[0].chat.invite_to_cluster(NEST, "poster", 28, now).unwrap();
    nest::mingle(&mut people);
    people[0].chat.open_motion(NEST, &Proposal::Expel("mallory"), now).unwrap();
    nest::mingle(&mut people);
    nest::vote_all(&mut people[1..2]);
    nest::mingle(&mut people);
    assert_eq!(standing(&mut people[2]), Standing::Removed);
    assert!(named(&mut people[0]).contains(&("poster".into(), true)), "{:?}", named(&mut people[0]));

    // What is asked by it mallory could read: nobody takes it up. By a link that was made since, carol comes in, and mallory has no key.
    let mallory = people.pop().unwrap();
    let now = people[0].now;
    let new = people[0].chat.invite_to_cluster(NEST, "another poster", 28, now).unwrap();
    assert_eq!(named(&mut people[0])[0], ("another poster".into(), false));
    for (link, seed, comes) in [(&poster, 8, false), (&new, 9, true)] {
        let mut carol = Person::new(seed);
        carol.now = people[0].now;
        carol.chat.join_cluster(link, "carol", "", carol.now).unwrap();
        people.push(carol);
        nest::mingle(&mut people);
        assert_eq!(people.iter_mut().take(2).map(|member| asks("carol", member)).collect::<Vec<_>>(), [usize::from(comes); 2]);
    }
    people.push(mallory);
    nest::mingle(&mut people);
    assert_eq!(asks("carol", &mut people.pop().unwrap()), 0);
    nest::vote_all(&mut people[..2]);
    nest::mingle(&mut people);
    assert_eq!(standing(&mut people[3]), Standing::Member);
    assert!(named(&mut people[0]).contains(&("another poster".into(), false)), "who comes in closes none");
}

#[test]
fn who_copies_the_key_of_another_who_comes_keeps_nobody_out() {
    let (mut alice, mut carol) = (Person::new(1), Person::new(3));
    founded(&mut alice);
    carol.now = alice.now;
    let link = alice.chat.invite_to_cluster(NEST, "", 7, alice.now).unwrap();
    // No group takes both, and alice, who is alone and says yes to all who come by her link, would have to add both at once.
    let parsed: ClusterLink = link.parse().unwrap();
    for (keys, nick) in with_the_same_keys(["mallory", "copy"]).into_iter().zip(["mallory", "copy"]) {
        let purpose = Purpose::Join { nick: nick.into(), words: String::new() };
        alice.receive(&knock(&parsed, &Request { reply: DoorSecret([7; 32]), key_package: keys.bytes, purpose }, alice.now));
    }
    carol.chat.join_cluster(&link, "carol", "", carol.now).unwrap();
    carol.settle();
    carry(&carol, &mut alice);
    mingle(&mut [&mut alice, &mut carol]);
    assert_eq!(standing(&mut carol), Standing::Member);
    let members: Vec<String> = alice.chat.cluster(NEST).unwrap().members.into_iter().map(|member| member.nick).collect();
    assert_eq!(members.len(), 3, "{members:?}");
    assert_ne!(members.contains(&"mallory".into()), members.contains(&"copy".into()), "both were decided at once, {members:?}");
}

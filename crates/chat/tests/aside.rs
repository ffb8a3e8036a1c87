//! What is said in a cluster to one member only, and going away with some.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, let_in, mingle, nest, say, texts};
use people::{LIFETIME, Person, carry};
use samizdat_chat::{Company, Filter, Proposal, Standing, State};
use samizdat_cluster::{Charter, charter::History};

/// Text and for whom alone it is, of all that somebody sees.
fn seen(person: &Person) -> Vec<(String, Option<String>)> {
    person.chat.messages(&Filter::default()).unwrap().into_iter().map(|message| (message.text, message.to)).collect()
}

fn only(text: &str, to: &str) -> (String, Option<String>) {
    (text.into(), Some(to.into()))
}

#[test]
fn alice_says_something_to_bob_and_carol_does_not_learn_what() {
    let mut people = nest(&Charter { history: History::All, ..charter() }, &["alice", "bob", "carol"]);
    let (now, all) = (people[0].now, say(&mut people[0], "to all"));
    let aside = people[0].chat.write_to_member(NEST, "bob", "to you", LIFETIME, now).unwrap();
    let after = say(&mut people[0], "to all again");
    mingle(&mut people);
    let both = [("to all".into(), None), only("to you", "bob"), ("to all again".into(), None)];
    assert_eq!(seen(&people[0]), both);
    assert_eq!(seen(&people[1]), both);
    assert_eq!(texts(&people[2]), ["to all", "to all again"], "and what came after does not wait for what she cannot have");
    assert!(!people[1].chat.messages(&Filter::default()).unwrap()[1].mine);
    assert_eq!([&all, &aside, &after].map(|message| people[0].state(message)), [State::Received; 3]);
    let oneself = people[0].chat.write_to_member(NEST, "alice", "me", LIFETIME, now).unwrap_err();
    assert!(oneself.to_string().contains("that is you"), "{oneself}");
    assert!(people[0].chat.write_to_member(NEST, "mallory", "who?", LIFETIME, now).is_err());

    let mut dave = Person::new(9);
    dave.now = people[0].now;
    people.push(dave);
    let_in(&mut people, "dave");
    assert_eq!(texts(&people[3]), ["to all", "to all again"], "newcomers are not told either");
}

#[test]
fn alice_tells_bob_alone_who_she_is() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let (now, name) = (people[0].now, people[0].name());
    let said = people[0].chat.claim_to_member(NEST, "bob", now).unwrap();
    mingle(&mut people);
    let told = |person: &mut Person, of: &str| {
        let members = person.chat.cluster(NEST).unwrap().members;
        members.into_iter().find(|member| member.nick == of).unwrap().name
    };
    assert_eq!(told(&mut people[1], "alice").map(|told| name.starts_with(&told) || told == name), Some(true));
    assert_eq!([0, 2].map(|who| told(&mut people[who], "alice")), [None, None]);
    assert_eq!((texts(&people[1]), texts(&people[2])), (vec!["This is who I am.".to_owned()], vec![]));
    assert_eq!(people[0].state(&said), State::Received);
    let mut dave = Person::new(9);
    dave.now = people[0].now;
    people.push(dave);
    let_in(&mut people, "dave");
    assert_eq!(told(&mut people[3], "alice"), None, "nor those who come later");
    let now = people[1].now;
    assert!(people[1].chat.claim_to_member(NEST, "bob", now).unwrap_err().to_string().contains("that is you"));
}

/// What somebody publishes when time passes, sizes of envelopes.
fn publishes(person: &mut Person, minutes: u64) -> Vec<usize> {
    nest::pass(std::slice::from_mut(person), minutes * 60 * 1000);
    let made = person.settle();
    made.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap().bytes().len()).collect()
}

#[test]
fn alice_learns_that_bob_has_it_and_carol_cannot_tell_which_of_them_said_so() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    mingle(&mut people);
    nest::pass(&mut people, 60 * 60 * 1000);
    mingle(&mut people);
    let now = people[0].now;
    let aside = people[0].chat.write_to_member(NEST, "bob", "to you", LIFETIME, now).unwrap();
    people[0].settle();
    nest::swap(&mut people);
    // Bob, for whom it was, and carol say the same to who watches: that everything has come.
    assert_eq!([1, 2].map(|who| publishes(&mut people[who], 10)), [vec![552], vec![552]]);
    assert_eq!(people[0].state(&aside), State::Stamped);
    let carol = people.pop().unwrap();
    carry(&carol, &mut people[0]);
    assert_eq!(people[0].state(&aside), State::Stamped, "what carol says of it says nothing");
    nest::swap(&mut people);
    assert_eq!(people[0].state(&aside), State::Received);
    let receipts = people[0].chat.receipts(&aside.id).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.nick.as_str()).collect::<Vec<_>>(), ["bob"]);
    people.push(carol);
    nest::pass(&mut people, 60 * 60 * 1000);
    assert_eq!([1, 2].map(|who| publishes(&mut people[who], 10)), [vec![], vec![]] as [Vec<usize>; 2], "it is said once");
}

#[test]
fn an_aside_whose_acknowledgement_is_lost_is_marked_in_the_next() {
    let mut people = nest(&charter(), &["alice", "bob"]);
    nest::pass(&mut people, 60 * 60 * 1000);
    mingle(&mut people);
    let now = people[0].now;
    let aside = people[0].chat.write_to_member(NEST, "bob", "to you", LIFETIME, now).unwrap();
    people[0].settle();
    nest::swap(&mut people);
    nest::pass(&mut people, 10 * 60 * 1000);
    let lost = people[1].settle();
    assert_eq!(lost.len(), 1);
    nest::pass(&mut people, 60 * 60 * 1000);
    say(&mut people[0], "to all");
    people[0].settle();
    let (alice, bob) = people.split_at_mut(1);
    carry(&alice[0], &mut bob[0]);
    publishes(&mut bob[0], 10);
    let heard = bob[0].envelopes();
    heard.iter().filter(|envelope| !lost.contains(&envelope.id())).for_each(|envelope| alice[0].receive(envelope));
    assert_eq!(alice[0].state(&aside), State::Received);
}

#[test]
fn who_is_no_member_any_more_is_told_nothing() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let now = people[0].now;
    people[0].chat.open_motion(NEST, &Proposal::Expel("carol"), now).unwrap();
    mingle(&mut people);
    nest::vote_all(&mut people[1..2]);
    // Bob carries it out; Alice has his change and has not looked at it.
    mingle(&mut people[1..]);
    mingle(&mut people[1..]);
    assert_eq!(people[1].chat.cluster(NEST).unwrap().members.len(), 2);
    let (alice, rest) = people.split_at_mut(1);
    carry(&rest[0], &mut alice[0]);
    let late = alice[0].chat.write_to_member(NEST, "carol", "too late", LIFETIME, rest[0].now).unwrap();
    alice[0].now = rest[0].now;
    alice[0].settle();
    assert_eq!(alice[0].state(&late), State::Failed);
    let refused = alice[0].chat.write_to_member(NEST, "carol", "really too late", LIFETIME, now).unwrap_err();
    assert!(refused.to_string().contains("no member"), "{refused}");
}

#[test]
fn a_minority_goes_away_by_one_command_and_those_whom_it_asks_follow_by_one() {
    let mut people = nest(&Charter { cap: 7, ..charter() }, &["alice", "bob", "mallory"]);
    let now = people[0].now;
    let without = ["mallory".to_owned()];
    let gone = people[0].chat.split_cluster(NEST, Company::AllBut(&without), None, now).unwrap();
    assert_eq!(gone.asked, ["bob"]);
    mingle(&mut people);
    let asked = seen(&people[1]).pop().unwrap();
    assert_eq!(asked.1.as_deref(), Some("bob"));
    assert!(asked.0.contains("\"nest 2\"") && asked.0.ends_with(&gone.link), "{}", asked.0);
    assert!(texts(&people[2]).is_empty(), "mallory is told nothing");

    let now = people[1].now;
    people[1].chat.join_cluster(&gone.link, "bob", "", now).unwrap();
    mingle(&mut people);
    let new = people[1].chat.cluster("nest 2").unwrap();
    assert_eq!((new.standing, new.members.len()), (Standing::Member, 2), "alice said yes by herself");
    assert_eq!(new.charter, Some(Charter { name: "nest 2".into(), cap: 7, ..charter() }));
    assert_eq!(people[0].chat.cluster(NEST).unwrap().standing, Standing::Member, "what they were in stays");

    let now = people[0].now;
    let with = ["bob".to_owned()];
    let den = people[0].chat.split_cluster("nest 2", Company::Only(&with), Some("den"), now).unwrap();
    assert_eq!(people[0].chat.cluster_of(den.cluster).unwrap().name, "den");
    let nobody = people[0].chat.split_cluster(NEST, Company::Only(&[]), None, now).unwrap_err();
    assert!(nobody.to_string().contains("nobody is left"), "{nobody}");
    let unknown = ["erin".to_owned()];
    assert!(people[0].chat.split_cluster(NEST, Company::AllBut(&unknown), None, now).is_err());
    assert_eq!(people[0].chat.clusters().unwrap().len(), 3, "what fails leaves nothing");
}

//! Who has what was written in a cluster.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{charter, let_in, mingle, nest, pass, say, swap};
use people::{Person, carry};
use samizdat_chat::{Delivery, Event, Message, State};
use samizdat_cluster::Charter;
use samizdat_core::Kind;

const MINUTE_MS: u64 = 60 * 1000;

/// How many have a message of somebody, and who.
fn delivery(person: &mut Person, message: &Message) -> (Option<Delivery>, Vec<String>) {
    let mut who: Vec<String> = person.chat.receipts(&message.id).unwrap().into_iter().map(|receipt| receipt.nick).collect();
    who.sort();
    (person.chat.message(&message.id).unwrap().delivery, who)
}

fn to(to: u32, of: u32) -> Option<Delivery> {
    Some(Delivery { to, of })
}

/// What somebody publishes of their own accord.
fn published(person: &mut Person) -> Vec<samizdat_core::Envelope> {
    let made = person.settle();
    made.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap()).collect()
}

#[test]
fn each_member_says_once_what_it_has_and_alice_knows_of_each() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let message = say(&mut people[0], "who is here?");
    assert_eq!(delivery(&mut people[0], &message), (None, vec![]), "it has not been said yet");
    people[0].settle();
    assert_eq!(delivery(&mut people[0], &message), (to(0, 2), vec![]));
    let carol = people.pop().unwrap();
    mingle(&mut people);
    assert_eq!(delivery(&mut people[0], &message), (to(1, 2), vec!["bob".into()]));
    assert_eq!(people[0].state(&message), State::Received);
    people.push(carol);
    let now = people[0].now;
    people[2].now = now;
    mingle(&mut people);
    assert_eq!(delivery(&mut people[0], &message), (to(2, 2), vec!["bob".into(), "carol".into()]));
    pass(&mut people, 30 * MINUTE_MS);
    for person in &mut people {
        assert_eq!(person.settle(), [], "nobody says it twice");
    }
    let refused = people[1].chat.receipts(&message.id).unwrap_err();
    assert!(refused.to_string().contains("your own messages"), "{refused}");
}

#[test]
fn what_comes_soon_after_waits_and_what_is_written_meanwhile_says_it() {
    let mut people = nest(&charter(), &["alice", "bob"]);
    let first = say(&mut people[0], "one");
    mingle(&mut people);
    assert_eq!(delivery(&mut people[0], &first).0, to(1, 1));
    let rest = ["two", "three", "four"].map(|text| say(&mut people[0], text));
    people[0].settle();
    swap(&mut people);
    assert_eq!(published(&mut people[1]).len(), 0, "bob has said what he has less than three minutes ago");
    pass(&mut people, 4 * MINUTE_MS);
    let said = published(&mut people[1]);
    assert_eq!(said.len(), 1, "of three texts at once");
    assert_eq!(said[0].bytes().len(), 552, "docs/adr/0012-clusters.md counts with it");
    swap(&mut people);
    assert!(rest.iter().all(|message| people[0].state(message) == State::Received));

    let five = say(&mut people[0], "five");
    people[0].settle();
    swap(&mut people);
    say(&mut people[1], "five it is");
    people[1].settle();
    swap(&mut people);
    assert_eq!(delivery(&mut people[0], &five).0, to(1, 1));
    pass(&mut people, 10 * MINUTE_MS);
    assert_eq!(published(&mut people[1]).len(), 0, "what he wrote said it");
}

#[test]
fn what_carol_has_counts_once_alice_has_what_she_names() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let message = say(&mut people[0], "question");
    people[0].settle();
    let (alice, rest) = people.split_at_mut(1);
    rest.iter_mut().for_each(|person| carry(&alice[0], person));
    say(&mut rest[0], "answer");
    let answer = published(&mut rest[0]);
    answer.iter().for_each(|envelope| rest[1].receive(envelope));
    pass(&mut people, MINUTE_MS);
    let acknowledged = published(&mut people[2]);
    assert_eq!(acknowledged.len(), 1);
    acknowledged.iter().for_each(|envelope| people[0].receive(envelope));
    assert_eq!(delivery(&mut people[0], &message).0, to(0, 2), "carol names the answer, which alice does not have");
    answer.iter().for_each(|envelope| people[0].receive(envelope));
    assert_eq!(delivery(&mut people[0], &message), (to(2, 2), vec!["bob".into(), "carol".into()]));
}

#[test]
fn who_came_later_has_nothing_of_before() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let carol = people.pop().unwrap();
    let before = say(&mut people[0], "before");
    mingle(&mut people);
    let mut dave = Person::new(9);
    dave.now = people[0].now;
    people.push(dave);
    let_in(&mut people, "dave");
    let after = say(&mut people[0], "after");
    mingle(&mut people);
    pass(&mut people, 10 * MINUTE_MS);
    mingle(&mut people);
    assert_eq!(delivery(&mut people[0], &before), (to(1, 2), vec!["bob".into()]));
    assert_eq!(delivery(&mut people[0], &after), (to(2, 3), vec!["bob".into(), "dave".into()]));
    drop(carol);
}

#[test]
fn where_the_charter_does_not_want_it_nobody_tells() {
    let mut people = nest(&Charter { delivery: false, ..charter() }, &["alice", "bob"]);
    let message = say(&mut people[0], "hello");
    people[0].settle();
    swap(&mut people);
    pass(&mut people, 10 * MINUTE_MS);
    assert_eq!(published(&mut people[1]).len(), 0);
    assert_eq!(delivery(&mut people[0], &message), (None, vec![]));
    say(&mut people[1], "hello alice");
    people[1].settle();
    swap(&mut people);
    assert_eq!(people[0].state(&message), State::Received, "who builds on it has it");
    assert_eq!(delivery(&mut people[0], &message), (None, vec![]));
}

fn reads(person: &mut Person, up_to: Option<&Message>) {
    let conversation = person.chat.cluster(nest::NEST).unwrap().conversation;
    person.chat.mark_read(conversation, up_to.map(|message| &message.id)).unwrap();
}

/// How much somebody says of their own accord; who they are is announced anew after an hour.
fn sealed(person: &mut Person) -> usize {
    published(person).iter().filter(|envelope| matches!(envelope.fields().kind, Kind::Sealed { .. })).count()
}

/// Who has read a message, by their own word.
fn readers(person: &mut Person, message: &Message) -> Vec<String> {
    let receipts = person.chat.receipts(&message.id).unwrap();
    receipts.into_iter().filter(|receipt| receipt.read.is_some()).map(|receipt| receipt.nick).collect()
}

#[test]
fn who_wants_it_tells_what_was_read_and_nobody_else_does() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    assert!(!people[1].chat.cluster(nest::NEST).unwrap().receipts, "nobody is told at first");
    let before = say(&mut people[0], "before");
    mingle(&mut people);
    reads(&mut people[1], None);
    people[1].chat.tell_read_in_cluster(nest::NEST, true).unwrap();
    let messages = ["one", "two", "three"].map(|text| say(&mut people[0], text));
    mingle(&mut people);
    pass(&mut people, 10 * MINUTE_MS);
    mingle(&mut people);
    assert_eq!(messages.each_ref().map(|message| people[0].state(message)), [State::Received; 3]);

    reads(&mut people[1], Some(&messages[1]));
    reads(&mut people[2], None);
    pass(&mut people, 10 * MINUTE_MS);
    mingle(&mut people);
    assert_eq!(messages.each_ref().map(|message| people[0].state(message)), [State::Read, State::Read, State::Received]);
    assert_eq!(messages.each_ref().map(|message| readers(&mut people[0], message)), [vec!["bob"], vec!["bob"], vec![]]);
    assert_eq!(delivery(&mut people[0], &messages[2]).0, to(2, 2));
    pass(&mut people, 30 * MINUTE_MS);
    assert_eq!([1, 2].map(|who| sealed(&mut people[who])), [0, 0], "it is said once");

    reads(&mut people[1], None);
    people[1].chat.tell_read_in_cluster(nest::NEST, false).unwrap();
    pass(&mut people, 30 * MINUTE_MS);
    assert_eq!(sealed(&mut people[1]), 0, "a change of mind comes in time");
    assert_eq!(people[0].state(&before), State::Read, "what is read builds on it");
}

/// What alice says in two texts, of which carol gets the second one only, and bob both.
fn first_is_lost(people: &mut [Person]) -> [Message; 2] {
    let [lost, second] = ["lost", "second"].map(|text| {
        let message = say(&mut people[0], text);
        let said = published(&mut people[0]);
        people[1].receive(&said[0]);
        if text == "second" {
            people[2].receive(&said[0]);
        }
        message
    });
    [lost, second]
}

/// What each does of their own accord in so many minutes comes to the others.
fn minutes(people: &mut [Person], minutes: u64) {
    for _ in 0..minutes {
        pass(people, MINUTE_MS);
        for who in 0..people.len() {
            people[who].chat.tick(people[who].now).unwrap();
            let said = published(&mut people[who]);
            for (_, other) in people.iter_mut().enumerate().filter(|(other, _)| *other != who) {
                said.iter().for_each(|envelope| other.receive(envelope));
            }
        }
    }
}

fn has(person: &Person, text: &str) -> usize {
    nest::texts(person).iter().filter(|known| *known == text).count()
}

#[test]
fn a_newcomer_who_lacks_a_text_says_so_and_gets_it() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    minutes(&mut people, 30);
    let [lost, second] = first_is_lost(&mut people);
    assert_eq!((has(&people[2], "second"), has(&people[2], "lost")), (1, 0), "whoever is new waits for nothing");
    minutes(&mut people, 9);
    assert_eq!(delivery(&mut people[0], &second), (to(2, 2), vec!["bob".into(), "carol".into()]));
    assert_eq!(delivery(&mut people[0], &lost), (to(1, 2), vec!["bob".into()]), "carol does not have it");

    say(&mut people[2], "what do you mean?");
    minutes(&mut people, 1);
    assert_eq!(delivery(&mut people[0], &lost).0, to(1, 2), "nor does what she writes say so");
    minutes(&mut people, 15);
    assert_eq!([has(&people[1], "lost"), has(&people[2], "lost")], [1, 1]);
    minutes(&mut people, 15);
    assert_eq!(delivery(&mut people[0], &lost), (to(2, 2), vec!["bob".into(), "carol".into()]));
}

#[test]
fn what_is_shown_without_what_it_builds_on_says_so() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    for _ in 0..9 {
        pass(&mut people, 24 * 60 * MINUTE_MS);
        mingle(&mut people);
    }
    let [lost, second] = first_is_lost(&mut people);
    minutes(&mut people, 8);
    assert_eq!((has(&people[2], "second"), delivery(&mut people[0], &second).0), (0, to(1, 2)), "carol waits");
    minutes(&mut people, 8);
    assert_eq!((has(&people[2], "second"), delivery(&mut people[0], &second).0), (1, to(2, 2)));
    assert_eq!(delivery(&mut people[0], &lost), (to(1, 2), vec!["bob".into()]));
    minutes(&mut people, 15);
    assert_eq!((has(&people[2], "lost"), has(&people[1], "lost")), (1, 1));
    minutes(&mut people, 10);
    assert_eq!(delivery(&mut people[0], &lost).0, to(2, 2));
}

#[test]
fn what_comes_late_after_all_is_not_said_again() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    minutes(&mut people, 30);
    let [lost, _] = first_is_lost(&mut people);
    minutes(&mut people, 4);
    assert_eq!(delivery(&mut people[0], &lost).0, to(1, 2));
    let all = people[1].envelopes();
    all.iter().for_each(|envelope| people[2].receive(envelope));
    assert_eq!(has(&people[2], "lost"), 1);
    while people[0].chat.poll_event().is_some() {}
    minutes(&mut people, 30);
    assert_eq!(delivery(&mut people[0], &lost).0, to(2, 2));
    let events = std::iter::from_fn(|| people[0].chat.poll_event()).filter(|event| *event == Event::Message(lost.id)).count();
    assert_eq!(events, 1, "that carol has it, and nothing else");
}

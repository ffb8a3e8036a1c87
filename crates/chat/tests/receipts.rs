//! Who is told what was read.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

mod people;

use people::{Person, acquainted, asked, meet};
use samizdat_chat::{Answer, ContactEdit, Message, State};
use samizdat_core::{Envelope, Kind};

fn receipts(person: &mut Person, who: &str, receipts: bool) {
    person.chat.edit_contact(who, &ContactEdit { receipts: Some(receipts), ..ContactEdit::default() }).unwrap();
}

fn read(person: &mut Person, up_to: Option<&Message>) {
    let conversation = person.chat.conversations().unwrap().into_iter().find(|c| c.who != "lobby").unwrap().id;
    person.chat.mark_read(conversation, up_to.map(|message| &message.id)).unwrap();
}

#[test]
fn nobody_is_told_until_the_reader_wants_it() {
    let (mut alice, mut bob) = acquainted();
    let first = alice.write("bob", "first");
    meet(&mut alice, &mut bob);
    assert!(!bob.chat.contacts().unwrap()[0].receipts);
    read(&mut bob, None);
    assert_eq!(bob.settle(), []);
    let name = alice.name();
    receipts(&mut bob, &name, true);
    assert_eq!(bob.settle(), [], "what was read before is not told");
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&first), State::Received);
}

#[test]
fn who_wants_it_tells_what_was_read_and_nothing_beyond() {
    let (mut alice, mut bob) = acquainted();
    let name = alice.name();
    receipts(&mut bob, &name, true);
    assert!(bob.chat.contacts().unwrap()[0].receipts);
    let messages = ["one", "two", "three"].map(|text| alice.write("bob", text));
    meet(&mut alice, &mut bob);
    assert!(messages.iter().all(|message| alice.state(message) == State::Received));

    read(&mut bob, Some(&messages[1]));
    assert_eq!(bob.settle().len(), 1);
    meet(&mut alice, &mut bob);
    assert_eq!(messages.each_ref().map(|message| alice.state(message)), [State::Read, State::Read, State::Received]);

    read(&mut bob, Some(&messages[1]));
    assert_eq!(bob.settle(), [], "it is told once");
    read(&mut bob, None);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&messages[2]), State::Read);
}

#[test]
fn what_came_and_was_read_at_once_is_told_once() {
    let (mut alice, mut bob) = acquainted();
    let name = alice.name();
    receipts(&mut bob, &name, true);
    let message = alice.write("bob", "quick");
    alice.settle();
    for envelope in alice.envelopes() {
        bob.receive(&envelope);
    }
    read(&mut bob, None);
    assert_eq!(bob.settle().len(), 1);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&message), State::Read);
}

#[test]
fn a_change_of_mind_comes_in_time() {
    let (mut alice, mut bob) = acquainted();
    let name = alice.name();
    receipts(&mut bob, &name, true);
    let message = alice.write("bob", "did you read this?");
    meet(&mut alice, &mut bob);
    read(&mut bob, None);
    receipts(&mut bob, &name, false);
    assert_eq!(bob.settle(), []);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&message), State::Received);
}

#[test]
fn a_stranger_whose_request_was_read_is_told_nothing() {
    let (mut alice, mut bob, message) = asked();
    let name = alice.name();
    receipts(&mut bob, &name, true);
    read(&mut bob, None);
    assert_eq!(bob.settle(), []);
    bob.chat.answer(&name, Answer::Accept).unwrap();
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&message), State::Read, "now they talk, and Bob wanted her to know");
}

#[test]
fn a_receipt_that_never_left_is_made_again() {
    let (mut alice, mut bob) = acquainted();
    let name = alice.name();
    receipts(&mut bob, &name, true);
    let message = alice.write("bob", "hello?");
    meet(&mut alice, &mut bob);
    read(&mut bob, None);
    let lost = bob.settle();
    bob.now.unix_ms += 5 * 24 * 60 * 60 * 1000;
    bob.chat.forgotten(bob.now.hour()).unwrap();
    let made = bob.settle();
    let sealed = |envelope: &&Envelope| made.contains(&envelope.id()) && matches!(envelope.fields().kind, Kind::Sealed { .. });
    assert_eq!(bob.envelopes().iter().filter(sealed).count(), 1);
    for envelope in bob.envelopes().iter().filter(|envelope| !lost.contains(&envelope.id())) {
        alice.receive(envelope);
    }
    assert_eq!(alice.state(&message), State::Read);
}

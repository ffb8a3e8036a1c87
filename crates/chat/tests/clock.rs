//! Alice's clock is a day ahead: nobody takes what she writes, until it is right again.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

mod people;

use people::{Person, acquainted, asked, carry};
use samizdat_chat::State;
use samizdat_core::limits::{InTime, in_time};

const DAY_MS: u64 = 86_400_000;

/// As [`carry`], but what is from the future is refused, as by every node.
fn carry_in_time(from: &Person, to: &mut Person) {
    let now = to.now.hour();
    for envelope in from.envelopes() {
        if in_time(envelope.fields().hour, envelope.fields().lifetime_hours(), now) == InTime::Yes {
            to.receive(&envelope);
        }
    }
}

fn count(person: &Person, text: &str) -> usize {
    person.texts().iter().filter(|other| *other == text).count()
}

#[test]
fn what_alice_wrote_while_her_clock_was_ahead_arrives_once_it_is_right_and_once_only() {
    let (mut alice, mut bob) = acquainted();
    let right = alice.now;
    alice.now.unix_ms += DAY_MS;
    let message = alice.write("bob", "from tomorrow");
    alice.settle();
    carry_in_time(&alice, &mut bob);
    assert_eq!((alice.state(&message), count(&bob, "from tomorrow")), (State::Stamped, 0));
    assert!(alice.chat.redate(alice.now.hour()).unwrap().is_empty(), "by her clock nothing is wrong");

    alice.now = right;
    let second = alice.write("bob", "not stamped yet");
    let redated = alice.chat.redate(alice.now.hour()).unwrap();
    assert_eq!((redated.len(), alice.state(&message)), (1, State::Stamping));
    assert!(alice.chat.redate(alice.now.hour()).unwrap().is_empty(), "once");
    alice.settle();
    carry_in_time(&alice, &mut bob);
    assert_eq!((count(&bob, "from tomorrow"), count(&bob, "not stamped yet")), (1, 1));
    bob.settle();
    carry(&bob, &mut alice);
    assert_eq!((alice.state(&message), alice.state(&second)), (State::Received, State::Received));

    // A day later the first copy is taken as well, and says nothing new.
    bob.now.unix_ms += DAY_MS;
    carry_in_time(&alice, &mut bob);
    assert_eq!(count(&bob, "from tomorrow"), 1);
}

#[test]
fn what_is_from_an_hour_that_others_take_stays_as_it_is() {
    let (mut alice, _bob, _) = asked();
    alice.now.unix_ms += 3_600_000;
    alice.write("bob", "an hour ahead");
    alice.settle();
    alice.now.unix_ms -= 3_600_000;
    assert!(alice.chat.redate(alice.now.hour()).unwrap().is_empty());
}

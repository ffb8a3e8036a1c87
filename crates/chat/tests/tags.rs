//! What comes before its tag is expected, beside copies of it, or after a crash in between.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use people::{LIFETIME, Person, acquainted, carry, mint};
use rand_core::SeedableRng;
use samizdat_chat::Chat;
use samizdat_core::{Envelope, Hour, Kind, Unstamped};
use samizdat_store::{Log, Vault};

/// Alice's bell to Bob and her second message, that only the bell tells the tag of.
fn bell_and_second(bob: &mut Person) -> (Envelope, Envelope) {
    let mut alice = Person::new(1);
    let link = bob.link();
    carry(bob, &mut alice);
    alice.chat.add_contact(&link, Some("bob")).unwrap();
    alice.write("bob", "the bell");
    alice.write("bob", "the second");
    let made = alice.settle();
    let find = |bell: bool| {
        let is = |e: &&Envelope| made.contains(&e.id()) && matches!(e.fields().kind, Kind::Bell { .. }) == bell;
        alice.envelopes().iter().find(is).unwrap().clone()
    };
    (find(true), find(false))
}

#[test]
fn a_crash_between_new_tags_and_the_look_into_the_log_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let vault = Vault::open(home.path(), None, Chat::MIGRATIONS, &mut rand_chacha::ChaCha20Rng::from_seed([9; 32])).unwrap();
        Chat::open(vault, [2; 32]).unwrap()
    };
    let mut bob = Person::new(2);
    bob.chat = open();
    bob.settle();
    let (bell, second) = bell_and_second(&mut bob);
    bob.receive(&second);
    bob.chat.tick(bob.now).unwrap();
    bob.log.append(std::slice::from_ref(&bell)).unwrap();
    // Nothing is found: as if the process had died right after the transaction.
    bob.chat.ingest(&bell, &Log::in_memory(1 << 20).unwrap(), bob.now).unwrap();
    assert_eq!(bob.texts(), ["the bell"]);
    bob.chat = open();
    bob.chat.catch_up(&bob.log, bob.now).unwrap();
    assert_eq!(bob.texts(), ["the bell", "the second"]);
}

#[test]
fn what_was_sent_while_blocked_is_read_after_unblocking() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    bob.block(&alice_name, true);
    (0..5).for_each(|i| drop(alice.write("bob", &format!("{i}"))));
    alice.settle();
    carry(&alice, &mut bob);
    bob.chat.tick(bob.now).unwrap();
    assert!(!bob.texts().contains(&"0".into()));
    bob.block(&alice_name, false);
    bob.settle();
    assert!((0..5).all(|i| bob.texts().contains(&format!("{i}"))), "{:?}", bob.texts());
}

#[test]
fn forty_junk_copies_of_a_tag_do_not_censor_a_message() {
    let mut bob = Person::new(2);
    let (bell, second) = bell_and_second(&mut bob);
    let Kind::Sealed { tag, .. } = second.fields().kind else { panic!() };
    for i in 0..40 {
        let hour = Hour(bob.now.hour().0 - 1);
        let junk = Unstamped::seal(Some(tag), hour, LIFETIME, vec![i; 512]).unwrap();
        let nonce = mint(&junk.id(), junk.price());
        bob.receive(&junk.stamp(nonce).unwrap());
    }
    bob.receive(&second);
    bob.receive(&bell);
    assert_eq!(bob.texts(), ["the bell", "the second"]);
}

/// Counts that are used up with nothing to show for it: encrypted, then taken back.
fn take_back(who: &mut Person, to: &str, count: usize) {
    for _ in 0..count {
        let message = who.write(to, "taken back");
        who.chat.work(&who.log, who.now).unwrap();
        who.chat.cancel(&message.id).unwrap();
    }
}

/// What a timer brings, as often as it takes to search everything.
fn wait(who: &mut Person) {
    for _ in 0..8 {
        who.now.unix_ms += 60 * 60 * 1000;
        who.chat.tick(who.now).unwrap();
        who.chat.work(&who.log, who.now).unwrap();
    }
}

#[test]
fn two_hundred_lost_messages_do_not_silence_a_direction_whosever_turn_it_is() {
    // In the first epoch it is the turn of one or the other.
    for alice_writes in [true, false] {
        let (mut alice, mut bob) = acquainted();
        let (alice_name, bob_name) = (alice.name(), bob.name());
        let (writer, reader, to) = if alice_writes { (&mut alice, &mut bob, bob_name) } else { (&mut bob, &mut alice, alice_name) };
        take_back(writer, &to, 200);
        // Commits among them expire as well.
        let mut lost = writer.settle();
        writer.now.unix_ms += 12 * 60 * 60 * 1000;
        writer.write(&to, "expires");
        lost.extend(writer.settle());
        writer.now.unix_ms += 12 * 60 * 60 * 1000;
        writer.write(&to, "still alive");
        writer.settle();
        reader.now = writer.now;
        writer.envelopes().iter().filter(|e| !lost.contains(&e.id())).for_each(|e| reader.receive(e));
        assert!(!reader.texts().contains(&"still alive".into()));
        wait(reader);
        assert!(reader.texts().contains(&"still alive".into()), "{:?}", reader.texts());
        writer.write(&to, "and again");
        writer.settle();
        carry(writer, reader);
        wait(reader);
        assert!(reader.texts().contains(&"and again".into()), "the window has moved along");
    }
}

#[test]
fn a_commit_beyond_the_window_is_found() {
    for (one, two) in [(1, 2), (2, 1)] {
        let (mut alice, mut bob) = (Person::new(one), Person::new(two));
        let link = bob.link();
        carry(&bob, &mut alice);
        alice.chat.add_contact(&link, Some("bob")).unwrap();
        alice.write("bob", "hello bob");
        alice.settle();
        // Nothing has come back: no rotation yet.
        take_back(&mut alice, "bob", 100);
        carry(&alice, &mut bob);
        let alice_name = alice.name();
        bob.write(&alice_name, "hello alice");
        bob.settle();
        carry(&bob, &mut alice);
        alice.write("bob", "under new keys if it is her turn");
        alice.settle();
        carry(&alice, &mut bob);
        wait(&mut bob);
        assert!(bob.texts().contains(&"under new keys if it is her turn".into()));
    }
}

#[test]
fn a_gap_wider_than_the_keys_that_are_kept_is_crossed() {
    let (mut alice, mut bob) = acquainted();
    take_back(&mut alice, "bob", 1000);
    alice.settle();
    alice.write("bob", "still alive");
    alice.settle();
    carry(&alice, &mut bob);
    wait(&mut bob);
    assert!(bob.texts().contains(&"still alive".into()));
}

//! Sessions with contacts, as far as conversations have a part in them.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

mod people;

use people::{Person, acquainted, asked, carry, meet};
use samizdat_chat::{ContactEdit, Filter, SessionChoice, SessionContact, State};
use samizdat_core::session::{SessionSecret, Side, Transcript};
use samizdat_core::{Kind, PeerId};

fn choose(person: &mut Person, who: &str, choice: SessionChoice) {
    person.chat.edit_contact(who, &ContactEdit { session: Some(choice), ..ContactEdit::default() }).unwrap();
}

/// Alice and Bob, who talk and both want sessions.
fn connected() -> (Person, Person) {
    let (mut alice, mut bob) = acquainted();
    alice.write("bob", "and you?");
    meet(&mut alice, &mut bob);
    choose(&mut alice, "bob", SessionChoice::Relayed);
    let name = alice.name();
    choose(&mut bob, &name, SessionChoice::Relayed);
    (alice, bob)
}

fn the_contact(person: &mut Person) -> SessionContact {
    person.chat.session_contacts().unwrap().pop().unwrap()
}

/// What a secret is told by, without showing it.
fn mark(secret: &SessionSecret) -> [u8; 32] {
    let channel = Transcript::new(&[1; 32], &PeerId([2; 32]), &PeerId([3; 32]), b"", &[4; 32]);
    secret.prove(Side::Dialler, &channel)
}

fn marks(person: &mut Person) -> Vec<[u8; 32]> {
    the_contact(person).secrets.iter().map(mark).collect()
}

/// Everything that is new in the outbox of one is handed to the other; how many letters were read.
fn hand_over(from: &mut Person, to: &mut Person) -> usize {
    from.chat.work(&from.log, from.now).unwrap();
    let (contact, sender) = (the_contact(from).contact, the_contact(to).contact);
    let letters = from.chat.hand_over(contact, 0, 100).unwrap();
    letters.iter().filter(|(_, bytes)| to.chat.take(sender, bytes, &to.log, to.now).unwrap()).count()
}

#[test]
fn nobody_has_sessions_until_somebody_chose_them() {
    let (mut alice, mut bob) = acquainted();
    assert!(alice.chat.session_contacts().unwrap().is_empty());
    assert!(alice.chat.take_sessions_changed() && !alice.chat.take_sessions_changed());
    choose(&mut alice, "bob", SessionChoice::Direct);
    assert!(alice.chat.take_sessions_changed());
    let contact = the_contact(&mut alice);
    assert!(contact.direct && contact.place.is_none() && !contact.secrets.is_empty());
    assert_eq!(alice.chat.contacts().unwrap()[0].session, SessionChoice::Direct);
    assert!(bob.chat.session_contacts().unwrap().is_empty());
    alice.block("bob", true);
    assert!(alice.chat.take_sessions_changed() && alice.chat.session_contacts().unwrap().is_empty());
}

#[test]
fn who_has_not_agreed_gets_no_session() {
    let (mut alice, mut bob, _) = asked();
    choose(&mut alice, "bob", SessionChoice::Relayed);
    let name = alice.name();
    choose(&mut bob, &name, SessionChoice::Relayed);
    assert!(alice.chat.session_contacts().unwrap().is_empty() && bob.chat.session_contacts().unwrap().is_empty());
}

#[test]
fn both_hold_the_same_secrets_and_new_ones_with_each_epoch() {
    let (mut alice, mut bob) = connected();
    let first = marks(&mut alice);
    assert_eq!(marks(&mut bob)[0], first[0]);
    let name = alice.name();
    // It takes a day and a turn for the keys to be refreshed.
    for (n, author) in ["alice", "bob", "alice", "bob"].into_iter().enumerate() {
        for person in [&mut alice, &mut bob] {
            person.now.unix_ms += 25 * 3_600_000;
            person.now.mono_ms += 25 * 3_600_000;
        }
        match author {
            "alice" => alice.write("bob", &format!("day {n}")),
            _ => bob.write(&name, &format!("day {n}")),
        };
        meet(&mut alice, &mut bob);
        let (ours, theirs) = (marks(&mut alice), marks(&mut bob));
        assert_eq!(ours[0], theirs[0], "day {n}");
    }
    let now = marks(&mut alice);
    assert!(now.len() > first.len() && now[0] != first[0], "there were new epochs");
}

#[test]
fn a_contact_learns_where_one_is_and_nobody_sees_a_message() {
    let (mut alice, mut bob) = connected();
    let texts = bob.texts();
    let contact = the_contact(&mut alice).contact;
    alice.chat.tell_place(contact, b"here", &alice.log, alice.now).unwrap();
    let made = alice.settle();
    assert_eq!(made.len(), 1);
    bob.chat.take_sessions_changed();
    carry(&alice, &mut bob);
    assert!(bob.chat.take_sessions_changed());
    assert_eq!(the_contact(&mut bob).place.as_deref(), Some(&b"here"[..]));
    assert_eq!(bob.texts(), texts);
    assert_eq!(bob.settle(), [], "it is not acknowledged");
    // The shortest life there is.
    let envelope = alice.envelopes().into_iter().find(|envelope| envelope.id() == made[0]).unwrap();
    assert_eq!((envelope.fields().lifetime, envelope.fields().kind.number()), (0, 3));
}

#[test]
fn what_was_told_later_counts_whichever_comes_first() {
    let (mut alice, mut bob) = connected();
    let contact = the_contact(&mut alice).contact;
    for place in [&b"old"[..], b"new"] {
        alice.now.unix_ms += 1000;
        alice.chat.tell_place(contact, place, &alice.log, alice.now).unwrap();
        alice.settle();
    }
    for envelope in alice.envelopes().iter().rev() {
        bob.receive(envelope);
    }
    assert_eq!(the_contact(&mut bob).place.as_deref(), Some(&b"new"[..]));
}

#[test]
fn what_went_over_a_session_says_so_and_is_stamped_last() {
    let (mut alice, mut bob) = connected();
    let quick = alice.write("bob", "quick");
    alice.chat.work(&alice.log, alice.now).unwrap();
    let (contact, sender) = (the_contact(&mut alice).contact, the_contact(&mut bob).contact);
    let (_, handed) = alice.chat.hand_over(contact, 0, 100).unwrap().pop().unwrap();
    assert!(!alice.chat.message(&quick.id).unwrap().direct, "nobody took it yet");
    alice.chat.taken(&handed).unwrap();
    assert!(alice.chat.message(&quick.id).unwrap().direct);
    // What comes later and has reached nobody gets its stamp first.
    let slow = alice.write("bob", "slow");
    alice.chat.work(&alice.log, alice.now).unwrap();
    let first = alice.chat.job().unwrap().unwrap().id;
    assert_eq!(alice.chat.message(&slow.id).unwrap().stamping, Some(first));

    bob.chat.take(sender, &handed, &bob.log, bob.now).unwrap();
    alice.settle();
    carry(&alice, &mut bob);
    let came: Vec<(String, bool)> =
        bob.chat.messages(&Filter::default()).unwrap().into_iter().map(|message| (message.text, message.direct)).collect();
    assert_eq!(came[came.len() - 2..], [("quick".into(), true), ("slow".into(), false)], "the copy in the log changes nothing");
    alice.chat.taken(b"whatever").unwrap();
}

#[test]
fn a_message_is_received_before_it_has_a_stamp_and_comes_by_the_log_to_no_effect() {
    let (mut alice, mut bob) = connected();
    let message = alice.write("bob", "quick");
    assert_eq!(hand_over(&mut alice, &mut bob), 1);
    assert_eq!(bob.texts().last().unwrap(), "quick");
    assert_eq!(alice.state(&message), State::Stamping);
    // So does the acknowledgement.
    assert_eq!(hand_over(&mut bob, &mut alice), 1);
    assert_eq!(alice.state(&message), State::Received);
    let texts = bob.texts();
    meet(&mut alice, &mut bob);
    assert_eq!((bob.texts(), alice.state(&message)), (texts, State::Received));
    assert!(bob.envelopes().len() >= alice.envelopes().len(), "the log got it all the same");
}

#[test]
fn what_was_handed_over_cannot_be_taken_back() {
    let (mut alice, mut bob) = connected();
    let [kept, gone] = ["kept", "gone"].map(|text| alice.write("bob", text));
    alice.chat.work(&alice.log, alice.now).unwrap();
    assert!(alice.chat.cancel(&gone.id).is_ok());
    assert_eq!(hand_over(&mut alice, &mut bob), 1);
    let refused = alice.chat.cancel(&kept.id).unwrap_err();
    assert!(refused.to_string().contains("has left this node"), "{refused}");
}

#[test]
fn a_rotation_is_handed_over_in_its_place() {
    let (mut alice, mut bob) = connected();
    let name = alice.name();
    for day in 0..4 {
        for person in [&mut alice, &mut bob] {
            person.now.unix_ms += 25 * 3_600_000;
        }
        alice.write("bob", &format!("from alice {day}"));
        hand_over(&mut alice, &mut bob);
        bob.write(&name, &format!("from bob {day}"));
        hand_over(&mut bob, &mut alice);
        assert_eq!(bob.texts().last(), alice.texts().last());
    }
    assert_eq!(alice.texts(), bob.texts());
    assert_eq!(marks(&mut alice)[0], marks(&mut bob)[0]);
}

#[test]
fn a_contact_hands_over_what_is_expected_of_it_and_nothing_else() {
    let (mut alice, mut bob) = connected();
    alice.write("bob", "for bob from alice");
    alice.chat.work(&alice.log, alice.now).unwrap();
    let contact = the_contact(&mut alice).contact;
    let (_, bytes) = alice.chat.hand_over(contact, 0, 100).unwrap().pop().unwrap();
    let sender = the_contact(&mut bob).contact;
    // Another contact of Bob got hold of it.
    assert!(!bob.chat.take(sender + 1, &bytes, &bob.log, bob.now).unwrap());
    let mut changed = bytes.clone();
    let at = changed.len() - 40;
    changed[at] ^= 1;
    for junk in [&changed[..], &bytes[..bytes.len() - 1], b""] {
        assert!(!bob.chat.take(sender, junk, &bob.log, bob.now).unwrap());
    }
    let later = samizdat_core::Now { unix_ms: bob.now.unix_ms + 7 * 3_600_000 * 24, ..bob.now };
    assert!(!bob.chat.take(sender, &bytes, &bob.log, later).unwrap(), "expired");
    assert!(bob.chat.take(sender, &bytes, &bob.log, bob.now).unwrap());
    assert!(!bob.chat.take(sender, &bytes, &bob.log, bob.now).unwrap(), "once");
    let bell = alice.envelopes().into_iter().find(|envelope| matches!(envelope.fields().kind, Kind::Bell { .. })).unwrap();
    assert!(!bob.chat.take(sender, bell.bytes(), &bob.log, bob.now).unwrap());
}

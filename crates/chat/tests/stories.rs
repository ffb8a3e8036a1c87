//! Alice, Bob, Carol and Mallory talk. The network is a function that copies envelopes from one log to another.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use people::{LIFETIME, Person, acquainted, asked, carry, meet, mint};
use samizdat_chat::{Answer, ChatError, ContactState, Event, Filter, Message, State, limits::PARENT_PATIENCE_MS};
use samizdat_core::{Envelope, EnvelopeId};

/// Long before and long after everything.
const TIMES: [u64; 3] = [0, 8_640_000_000_000_001, i64::MAX as u64];

#[test]
fn the_first_message_reaches_bob_while_alice_is_gone() {
    let (mut alice, mut bob, mut carol) = (Person::new(1), Person::new(2), Person::new(3));
    let link = bob.link();
    carry(&bob, &mut carol);
    carry(&carol, &mut alice);
    alice.chat.add_contact(&link, Some("bob")).unwrap();
    let message = alice.write("bob", "meet me at the old bridge");
    assert_eq!(alice.state(&message), State::Waiting);
    alice.settle();
    assert_eq!(alice.state(&message), State::Stamped);
    carry(&alice, &mut carol);
    let alice_name = alice.name();
    alice.chat.held(&carol.envelopes().last().unwrap().id()).unwrap();

    carry(&carol, &mut bob);
    let requests = bob.chat.requests().unwrap();
    assert_eq!((requests.len(), requests[0].text.as_str(), requests[0].invited), (1, "meet me at the old bridge", true));
    assert_eq!(requests[0].name, alice_name);
    assert!(bob.texts().contains(&"meet me at the old bridge".into()));
    bob.settle();
    assert_eq!(bob.chat.outbox().unwrap().stamping, 0, "nothing tells a stranger that Bob is there");

    bob.chat.answer(&requests[0].id.to_string(), Answer::Accept).unwrap();
    bob.settle();
    carry(&bob, &mut carol);
    carry(&carol, &mut alice);
    assert_eq!(alice.state(&message), State::Received);
    assert!(carol.texts().is_empty());
    for envelope in carol.envelopes() {
        assert!(!envelope.bytes().windows(10).any(|w| w == b"old bridge"));
    }
}

/// Who names a message has all that it builds on, but for what they say is missing.
#[test]
fn what_never_came_is_not_received_although_what_builds_on_it_is() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    let [lost, second] = ["lost", "second"].map(|text| (alice.write("bob", text), alice.settle()));
    let letter = |of: &(Message, Vec<EnvelopeId>)| alice.log.find(&of.1[0]).unwrap().unwrap().envelope().unwrap();
    let (late, now) = (letter(&lost), letter(&second));
    bob.receive(&now);
    bob.settle();
    carry(&bob, &mut alice);
    assert_eq!(alice.state(&second.0), State::Received);
    assert!(alice.state(&lost.0) < State::Received);
    bob.now.unix_ms += PARENT_PATIENCE_MS + 1;
    bob.now.mono_ms += PARENT_PATIENCE_MS + 1;
    bob.chat.tick(bob.now).unwrap();
    assert_eq!(bob.texts().last().unwrap(), "second", "it has waited long enough");
    bob.write(&alice_name, "what do you mean?");
    bob.settle();
    carry(&bob, &mut alice);
    assert!(alice.state(&lost.0) < State::Received);
    bob.receive(&late);
    bob.write(&alice_name, "ah");
    bob.settle();
    carry(&bob, &mut alice);
    assert_eq!((bob.texts().contains(&"lost".into()), alice.state(&lost.0)), (true, State::Received));
}

#[test]
fn they_talk_both_ways_and_each_message_counts_once() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    for i in 0..2 {
        let sent = alice.write("bob", &format!("a{i}"));
        bob.write(&alice_name, &format!("b{i}"));
        meet(&mut alice, &mut bob);
        meet(&mut alice, &mut bob);
        assert_eq!(alice.state(&sent), State::Received);
    }
    let count = |p: &Person, text: &str| p.texts().iter().filter(|t| *t == text).count();
    for i in 0..2 {
        for p in [&alice, &bob] {
            assert_eq!((count(p, &format!("a{i}")), count(p, &format!("b{i}"))), (1, 1));
        }
    }
    assert_eq!(alice.chat.outbox().unwrap().stamping, 0, "acknowledgements are not acknowledged");
}

#[test]
fn a_message_written_before_the_keys_are_known_goes_when_they_are() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.chat.add_contact(&bob.link(), None).unwrap();
    let bob_name = bob.name();
    let message = alice.write(&bob_name, "are you there?");
    alice.settle();
    assert_eq!(alice.state(&message), State::Waiting);
    assert_eq!(alice.chat.outbox().unwrap().waiting, 1);
    carry(&bob, &mut alice);
    alice.settle();
    assert_eq!(alice.state(&message), State::Stamped);
    carry(&alice, &mut bob);
    assert_eq!(bob.texts(), ["are you there?"]);
}

#[test]
fn both_write_first_and_end_in_one_conversation() {
    for seeds in [(1, 2), (2, 1), (7, 9)] {
        let (mut alice, mut bob) = (Person::new(seeds.0), Person::new(seeds.1));
        carry(&alice, &mut bob);
        carry(&bob, &mut alice);
        let (to_bob, to_alice) = (bob.link(), alice.link());
        alice.chat.add_contact(&to_bob, Some("bob")).unwrap();
        bob.chat.add_contact(&to_alice, Some("alice")).unwrap();
        alice.write("bob", "a1");
        bob.write("alice", "b1");
        alice.settle();
        bob.settle();
        // Both already wrote on before they heard of each other.
        alice.write("bob", "a2");
        meet(&mut alice, &mut bob);
        bob.write("alice", "b2");
        alice.write("bob", "a3");
        meet(&mut alice, &mut bob);
        for p in [&alice, &bob] {
            let mut texts = p.texts();
            texts.sort();
            assert_eq!(texts, ["a1", "a2", "a3", "b1", "b2"]);
            assert!(p.chat.requests().unwrap().is_empty(), "who added each other need not ask");
        }
    }
}

#[test]
fn messages_arrive_in_causal_order_whatever_the_network_does() {
    let (mut alice, mut bob) = acquainted();
    let before = bob.texts().len();
    for i in 0..20 {
        alice.write("bob", &format!("{i:02}"));
        alice.settle();
    }
    let mut envelopes = alice.envelopes();
    envelopes.reverse();
    envelopes.iter().for_each(|envelope| bob.receive(envelope));
    let expected: Vec<String> = (0..20).map(|i| format!("{i:02}")).collect();
    assert_eq!(bob.texts()[before..], expected);
}

#[test]
fn a_message_whose_parent_never_comes_is_shown_after_a_while() {
    let (mut alice, mut bob) = acquainted();
    alice.write("bob", "lost on the way");
    let lost = alice.settle();
    alice.write("bob", "second");
    alice.settle();
    for envelope in alice.envelopes().iter().filter(|e| !lost.contains(&e.id())) {
        bob.receive(envelope);
    }
    assert!(!bob.texts().contains(&"second".into()));
    bob.now.unix_ms += 60 * 60 * 1000;
    bob.chat.tick(bob.now).unwrap();
    assert!(bob.texts().contains(&"second".into()));
}

#[test]
fn a_declined_stranger_learns_nothing_and_a_blocked_one_is_not_read() {
    let (mut alice, mut bob, message) = asked();
    let alice_name = alice.name();
    bob.chat.answer(&alice_name, Answer::Decline).unwrap();
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&message), State::Stamped);
    assert!(bob.texts().is_empty() && bob.chat.requests().unwrap().is_empty());

    bob.block(&alice_name, true);
    alice.write("bob", "hello?");
    meet(&mut alice, &mut bob);
    assert!(bob.texts().is_empty());
    assert_eq!(bob.chat.contacts().unwrap()[0].state, ContactState::Blocked);
    assert!(bob.chat.write(&alice_name, "x", LIFETIME, bob.now).is_err());
}

#[test]
fn copied_tags_and_replayed_bodies_change_nothing() {
    let (mut alice, mut bob) = acquainted();
    let sent = alice.write("bob", "the real one");
    alice.settle();
    let real = alice.envelopes().pop().unwrap();
    let samizdat_core::Kind::Sealed { tag, .. } = real.fields().kind else { panic!() };
    let stamp = |body: Vec<u8>, hour: samizdat_core::Hour| {
        let unstamped = samizdat_core::Unstamped::seal(Some(tag), hour, LIFETIME, body).unwrap();
        let nonce = mint(&unstamped.id(), unstamped.price());
        unstamped.stamp(nonce).unwrap()
    };
    // Mallory sees the tag go by, is faster, and later repeats the body under another hour.
    let forged = stamp(vec![7; 512], bob.now.hour());
    let replayed = stamp(real.body().to_vec(), samizdat_core::Hour(bob.now.hour().0 - 1));
    for envelope in [&forged, &real, &replayed] {
        bob.receive(envelope);
    }
    assert_eq!(bob.texts().iter().filter(|t| *t == "the real one").count(), 1);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.state(&sent), State::Received);
}

#[test]
fn keys_rotate_while_they_talk_and_nothing_is_lost() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    let sealed = |p: &Person| p.envelopes().iter().filter(|e| e.body().len() >= 4096).count();
    let before = sealed(&alice);
    for turn in 0..5 {
        for i in 0..6 {
            alice.write("bob", &format!("a{turn}{i}"));
            bob.write(&alice_name, &format!("b{turn}{i}"));
        }
        meet(&mut alice, &mut bob);
    }
    assert!(sealed(&alice) > before, "at least one rotation went over the wire");
    for p in [&alice, &bob] {
        let texts = p.texts();
        for (turn, i) in (0..5).flat_map(|turn| (0..6).map(move |i| (turn, i))) {
            assert!(texts.contains(&format!("a{turn}{i}")) && texts.contains(&format!("b{turn}{i}")));
        }
    }
}

#[test]
fn who_was_away_for_longer_than_an_invitation_lives_still_reads_what_came_later() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let link = bob.link();
    carry(&bob, &mut alice);
    alice.chat.add_contact(&link, Some("bob")).unwrap();
    alice.write("bob", "expires before he comes");
    alice.settle();
    // The bell is over; nobody holds it any more.
    let gone: Vec<EnvelopeId> = alice.envelopes().iter().map(Envelope::id).collect();
    alice.now.unix_ms += 12 * 60 * 60 * 1000;
    alice.write("bob", "still alive");
    alice.settle();
    for envelope in alice.envelopes().iter().filter(|e| !gone.contains(&e.id())) {
        bob.receive(envelope);
    }
    bob.now.unix_ms = alice.now.unix_ms + 60 * 60 * 1000;
    bob.chat.tick(bob.now).unwrap();
    assert!(bob.texts().contains(&"still alive".into()), "{:?}", bob.texts());
}

#[test]
fn rooms_are_read_by_whoever_joins_them_even_later() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.chat.post("lobby", "hello all", LIFETIME, alice.now).unwrap();
    alice.chat.post("#Garden", "tomatoes", LIFETIME, alice.now).unwrap();
    meet(&mut alice, &mut bob);
    assert_eq!(bob.texts(), ["hello all"]);
    bob.chat.join_room("garden", &bob.log, bob.now).unwrap();
    assert_eq!(bob.texts(), ["hello all", "tomatoes"]);
    let room = bob.chat.find_room("garden").unwrap();
    assert_eq!(bob.chat.conversations().unwrap().iter().find(|c| c.id == room).unwrap().unread, 1);
    bob.chat.mark_read(room, None).unwrap();
    assert_eq!(bob.chat.conversations().unwrap().iter().find(|c| c.id == room).unwrap().unread, 0);
}

#[test]
fn a_long_conversation_is_read_to_both_ends_and_no_further_than_one_got() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    for i in 0..7 {
        alice.chat.post("lobby", &format!("p{i}"), LIFETIME, alice.now).unwrap();
    }
    meet(&mut alice, &mut bob);
    let room = bob.chat.find_room("lobby").unwrap();
    let all = bob.chat.messages(&Filter::default()).unwrap();
    let page = |bob: &Person, since: Option<usize>, before: Option<usize>| -> Vec<String> {
        let id = |i: Option<usize>| i.map(|i| &all[i].id);
        let filter = Filter { conversation: Some(room), since: id(since), before: id(before), limit: Some(3) };
        bob.chat.messages(&filter).unwrap().into_iter().map(|m| m.text).collect()
    };
    let texts: Vec<String> = all.iter().map(|m| m.text.clone()).collect();
    assert_eq!(page(&bob, None, None), texts[4..7]);
    assert_eq!(page(&bob, None, Some(4)), texts[1..4]);
    assert_eq!(page(&bob, None, Some(1)), texts[..1]);
    assert_eq!(page(&bob, Some(0), None), texts[1..4], "the oldest first, or those between were lost");
    assert_eq!(page(&bob, Some(3), None), texts[4..7]);

    let unread = |bob: &Person| bob.chat.conversations().unwrap().iter().find(|c| c.id == room).unwrap().unread;
    bob.chat.mark_read(room, Some(&all[3].id)).unwrap();
    assert_eq!(unread(&bob), 3);
    bob.chat.mark_read(room, Some(&all[1].id)).unwrap();
    assert_eq!(unread(&bob), 3, "what was read stays read");
    assert_eq!((bob.state(&all[3]), bob.state(&all[4])), (State::Read, State::Received));
    let elsewhere = bob.chat.join_room("garden", &bob.log, bob.now).map(|_| bob.chat.find_room("garden").unwrap()).unwrap();
    assert!(bob.chat.mark_read(elsewhere, Some(&all[3].id)).is_err());
}

#[test]
fn a_waiting_message_can_be_taken_back_and_a_stamped_one_cannot() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    // The link, not the name: a bell without an invite is dear.
    let bob_name = bob.link();
    let first = alice.write(&bob_name, "oops");
    alice.chat.cancel(&first.id).unwrap();
    assert_eq!(alice.state(&first), State::Cancelled);
    carry(&bob, &mut alice);
    let second = alice.write(&bob_name, "hello");
    alice.settle();
    assert!(alice.chat.cancel(&second.id).is_err());
    assert_eq!(alice.state(&first), State::Cancelled);
}

#[test]
fn a_typing_error_in_a_name_is_placed() {
    let mut alice = Person::new(1);
    let mut name = Person::new(2).name();
    let wrong = if name.as_bytes()[9] == b'q' { "r" } else { "q" };
    name.replace_range(9..10, wrong);
    let error = alice.chat.add_contact(&name, None).unwrap_err().to_string();
    assert!(error.contains("group 3"), "{error}");
    let own = alice.name();
    assert!(alice.chat.add_contact(&own, None).is_err());
}

#[test]
fn a_crash_between_log_and_vault_is_healed() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.write("bob", "hello again");
    alice.chat.work(&alice.log, alice.now).unwrap();
    let job = alice.chat.job().unwrap().unwrap();
    let envelope = alice.chat.stamp(&job.id, mint(&job.id, job.tries)).unwrap().unwrap();
    alice.log.append(&[envelope]).unwrap();
    // Here the process dies before it could write that down.
    assert_eq!(alice.state(&message), State::Stamping);
    let unpublished = alice.chat.recover(&alice.log).unwrap();
    assert!(unpublished.contains(&job.id));
    assert_eq!(alice.state(&message), State::Stamped);
    meet(&mut alice, &mut bob);
    assert_eq!(bob.texts().iter().filter(|t| *t == "hello again").count(), 1);
}

#[test]
fn events_tell_what_changed() {
    let (mut alice, mut bob) = acquainted();
    while alice.chat.poll_event().is_some() {}
    while bob.chat.poll_event().is_some() {}
    let message = alice.write("bob", "ping");
    alice.settle();
    assert_eq!(alice.chat.poll_event(), Some(Event::Message(message.id)));
    carry(&alice, &mut bob);
    assert!(std::iter::from_fn(|| bob.chat.poll_event()).any(|e| e == Event::Message(message.id)));
}

#[test]
fn blocking_and_unblocking_a_stranger_agrees_to_nothing() {
    let (mut alice, mut bob, message) = asked();
    let alice_name = alice.name();
    bob.chat.answer(&alice_name, Answer::Block).unwrap();
    bob.block(&alice_name, true);
    assert!(bob.chat.requests().unwrap().is_empty());
    bob.block(&alice_name, false);
    meet(&mut alice, &mut bob);
    assert_eq!(bob.chat.requests().unwrap().len(), 1, "her request is as open as before");
    assert_eq!(alice.state(&message), State::Stamped, "she is told nothing");

    bob.chat.answer(&alice_name, Answer::Accept).unwrap();
    for blocked in [true, false] {
        bob.block(&alice_name, blocked);
    }
    meet(&mut alice, &mut bob);
    assert_eq!(bob.chat.contacts().unwrap()[0].state, ContactState::Accepted);
    assert_eq!(alice.state(&message), State::Received);
}

#[test]
fn who_never_asked_cannot_be_accepted() {
    let (alice, mut bob) = (Person::new(1), Person::new(2));
    let alice_name = alice.name();
    bob.chat.add_contact(&alice_name, Some("alice")).unwrap();
    assert!(matches!(bob.chat.answer("alice", Answer::Accept), Err(ChatError::NotFound(_))));
    assert!(matches!(bob.chat.answer("alice", Answer::Decline), Err(ChatError::NotFound(_))));

    // Who did ask may be accepted twice.
    let link = bob.link();
    let mut carol = Person::new(3);
    carry(&bob, &mut carol);
    carol.write(&link, "hello");
    meet(&mut carol, &mut bob);
    let carol_name = carol.name();
    for _ in 0..2 {
        bob.chat.answer(&carol_name, Answer::Accept).unwrap();
    }
}

#[test]
fn a_time_that_no_calendar_has_is_not_shown() {
    let mut alice = Person::new(1);
    let (mut bob, noon) = (Person::new(2), alice.now.unix_ms);
    let link = bob.link();
    for (seed, time) in (4..).zip(TIMES) {
        let lie = format!("CREATE TRIGGER lie AFTER INSERT ON message BEGIN UPDATE message SET at = {time}; END");
        let mut mallory = Person::whose_program_was_changed(seed, &lie);
        carry(&bob, &mut mallory);
        mallory.chat.add_contact(&link, Some("bob")).unwrap();
        mallory.write("bob", "from another time");
        mallory.settle();
        carry(&mallory, &mut bob);
    }
    // A post of the same kind, made by hand.
    alice.chat.post("lobby", "hello", LIFETIME, alice.now).unwrap();
    alice.settle();
    let samizdat_core::Kind::Post(_, topic) = alice.envelopes().pop().unwrap().fields().kind else { panic!() };
    let mallory = samizdat_core::IdentitySecret::from_seed([9; 32]);
    for (seq, at) in (0..).zip(TIMES) {
        let post = samizdat_chat::content::Post { room: "lobby".into(), at, text: "to all".into() };
        let body = samizdat_core::pad::pad(&post.encode(), 0).unwrap();
        let unstamped = samizdat_core::Unstamped::sign(&mallory, seq, Some(topic), bob.now.hour(), LIFETIME, body).unwrap();
        let nonce = mint(&unstamped.id(), unstamped.price());
        bob.receive(&unstamped.stamp(nonce).unwrap());
    }
    const HOUR_MS: u64 = 3_600_000;
    let messages = bob.chat.messages(&Filter::default()).unwrap();
    assert_eq!(messages.len(), 6);
    for message in messages {
        let waited = if message.text == "to all" { 0 } else { 8 * 7 * 24 * HOUR_MS };
        assert!((noon - waited - 3 * HOUR_MS..noon + 3 * HOUR_MS).contains(&message.at), "{} {}", message.text, message.at);
    }
}

#[test]
fn a_reply_that_is_taken_back_or_fails_acknowledges_nothing_and_what_comes_next_does() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    let ask = |alice: &mut Person, bob: &mut Person, text: &str| {
        let question = bob.write(&alice_name, text);
        bob.settle();
        carry(bob, alice);
        // Alice is not given the time to acknowledge it otherwise.
        let reply = alice.write("bob", "reply");
        alice.chat.work(&alice.log, alice.now).unwrap();
        assert_eq!(alice.state(&reply), State::Stamping);
        (question, reply)
    };

    let (question, reply) = ask(&mut alice, &mut bob, "one?");
    alice.chat.cancel(&reply.id).unwrap();
    assert_ne!(alice.settle(), [], "the reply would have acknowledged the question");
    carry(&alice, &mut bob);
    assert_eq!(bob.state(&question), State::Received);

    let (question, reply) = ask(&mut alice, &mut bob, "two?");
    alice.chat.cancel(&reply.id).unwrap();
    alice.write("bob", "second thoughts");
    alice.settle();
    carry(&alice, &mut bob);
    assert_eq!((bob.state(&question), bob.texts().pop().unwrap().as_str()), (State::Received, "second thoughts"));

    for write in [true, false] {
        let (question, reply) = ask(&mut alice, &mut bob, "still there?");
        let unheard = [alice.settle(), alice.envelopes().iter().map(Envelope::id).collect()].concat();
        alice.now.unix_ms += 9 * 60 * 60 * 1000;
        alice.chat.forgotten(alice.now.hour()).unwrap();
        assert_eq!(alice.state(&reply), State::Failed);
        if write {
            alice.write("bob", "here I am");
        }
        alice.settle();
        for envelope in alice.envelopes().iter().filter(|e| !unheard.contains(&e.id())) {
            bob.receive(envelope);
        }
        assert_eq!(bob.state(&question), State::Received, "{write}");
        assert!(!bob.texts().contains(&"reply".into()));
    }
}

#[test]
fn a_message_with_the_id_of_a_post_does_not_keep_the_post_out_nor_the_other_way_round() {
    let mut alice = Person::new(1);
    let post = alice.chat.post("lobby", "hear me", LIFETIME, alice.now).unwrap();
    alice.settle();
    let id: String = post.id.0.iter().map(|b| format!("{b:02x}")).collect();
    let lie = format!(
        "CREATE TRIGGER lie AFTER INSERT ON message WHEN new.text = 'psst' BEGIN UPDATE message SET id = X'{id}' WHERE id = new.id; END"
    );
    for post_first in [false, true] {
        let (mut bob, mut mallory) = (Person::new(2), Person::whose_program_was_changed(4, &lie));
        let link = bob.link();
        carry(&bob, &mut mallory);
        mallory.chat.add_contact(&link, Some("bob")).unwrap();
        // The message is there, under the id that Mallory read off Alice's post.
        assert!(mallory.chat.write("bob", "psst", LIFETIME, mallory.now).is_err());
        mallory.settle();
        if post_first {
            carry(&alice, &mut bob);
        }
        carry(&mallory, &mut bob);
        carry(&alice, &mut bob);
        let mut texts = bob.texts();
        texts.sort();
        assert_eq!(texts, ["hear me", "psst"]);
        bob.chat.join_room("lobby", &bob.log, bob.now).unwrap();
        assert_eq!(bob.texts().len(), 2, "reading a post twice changes nothing");
    }
}

#[test]
fn an_announcement_that_no_node_took_is_not_called_published() {
    use samizdat_chat::Announced;
    let mut alice = Person::new(1);
    let announced = |p: &Person| p.chat.identities().unwrap()[0].announced;
    assert_eq!(announced(&alice), Announced::Stamped, "nobody is there to take it");
    alice.now.unix_ms += 4 * 24 * 60 * 60 * 1000;
    alice.chat.forgotten(alice.now.hour()).unwrap();
    assert_eq!(announced(&alice), Announced::Waiting, "it expired");
    alice.chat.work(&alice.log, alice.now).unwrap();
    assert_eq!(announced(&alice), Announced::Stamping);
    let newest = alice.settle().pop().unwrap();
    assert_eq!(announced(&alice), Announced::Stamped);
    alice.chat.held(&newest).unwrap();
    assert_eq!(announced(&alice), Announced::Published);
}

#[test]
fn a_message_that_came_before_is_not_followed_again_and_everything_is_acknowledged_all_the_same() {
    let (mut alice, mut bob) = acquainted();
    let alice_name = alice.name();
    let mut questions = Vec::new();
    for turn in 0..3 {
        questions.push(alice.write("bob", &format!("q{turn}")));
        alice.settle();
        carry(&alice, &mut bob);
        // Bob talks and talks; what he says first tells that he has the question.
        for i in 0..4 {
            bob.write(&alice_name, &format!("b{turn}{i}"));
            bob.settle();
        }
    }
    // His words come in any order.
    let mut envelopes = bob.envelopes();
    envelopes.reverse();
    envelopes.iter().for_each(|envelope| alice.receive(envelope));
    for question in &questions {
        assert_eq!(alice.state(question), State::Received);
    }
    assert!(alice.texts().ends_with(&["b20", "b21", "b22", "b23"].map(String::from)));
}

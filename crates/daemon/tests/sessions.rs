//! Alice and Bob with whole nodes and a relay of Carol's: they choose sessions and are connected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod nodes;

use std::time::{Duration, Instant};

use nodes::{Node, acquaint, relay};
use samizdat_api::{
    MessagePath, MessageState, PeerPath, Session, SessionChoice, SessionState, Status,
    call::{Goal, MessageQuery},
};
use tokio::runtime::Runtime;

#[test]
fn alice_and_bob_are_connected_when_both_chose_it() {
    let runtime = Runtime::new().unwrap();
    let (_carol, at) = relay(&runtime);
    let alice = Node::start(&[], &[at]);
    let bob = Node::start(&[&alice.ready.join], &[at]);
    let (alices, bobs) = (alice.ready.name.clone(), bob.ready.name.clone());

    acquaint(&alice, &bob);
    assert!(alice.client.status().unwrap().sessions.is_empty());

    alice.choose("bob", SessionChoice::Relayed);
    bob.choose(&alices, SessionChoice::Relayed);
    let status = alice.status(|status| !status.sessions.is_empty());
    let session = &status.sessions[0];
    assert_eq!((session.contact.as_str(), &session.name, session.path), ("bob", &bobs, PeerPath::Relayed));
    let theirs = bob.status(|status| !status.sessions.is_empty());
    assert_ne!(theirs.sessions[0].peer, session.peer);
    assert!(status.peers.iter().all(|peer| peer.peer != session.peer), "another key than the one that strangers know");
    assert_eq!(alice.send("bob", "and now?", Some(Goal::Received)), MessageState::Received);

    alice.choose("bob", SessionChoice::Direct);
    bob.choose(&alices, SessionChoice::Direct);
    alice.status(|status| status.sessions.iter().any(|now| now.peer != session.peer));
    // Which path its packets take is for the network to find out: the relay is one of them.
    assert_eq!(alice.send("bob", "by another endpoint", Some(Goal::Received)), MessageState::Received);

    bob.choose(&alices, SessionChoice::Off);
    alice.status(|status| status.sessions.is_empty());
    assert_eq!(alice.send("bob", "by the log again", Some(Goal::Received)), MessageState::Received);
    alice.status(|_| alice.client.contacts().unwrap()[0].session_state == SessionState::Declined);
    let paths = |node: &Node, who: &str| -> Vec<(String, MessagePath)> {
        let of = MessageQuery { who: Some(who.into()), ..MessageQuery::default() };
        node.client.messages(&of).unwrap().into_iter().map(|message| (message.text, message.path)).collect()
    };
    for paths in [paths(&alice, "bob"), paths(&bob, &alices)] {
        let of = |text: &str| paths.iter().find(|(other, _)| other == text).unwrap().1;
        assert_eq!(
            (of("hello"), of("and now?"), of("by the log again")),
            (MessagePath::Cast, MessagePath::Direct, MessagePath::Cast)
        );
    }
}

#[test]
fn the_death_of_their_relay_ends_no_session_for_long() {
    let runtime = Runtime::new().unwrap();
    // Contacts are met through the last of them first.
    let ((_first, first_at), (second, second_at)) = (relay(&runtime), relay(&runtime));
    let alice = Node::start(&[], &[first_at, second_at]);
    let bob = Node::start(&[&alice.ready.join], &[first_at, second_at]);
    acquaint(&alice, &bob);
    alice.choose("bob", SessionChoice::Relayed);
    bob.choose(&alice.ready.name, SessionChoice::Relayed);
    alice.status(|status| !status.sessions.is_empty());
    // Both may have dialled: what has gone to and fro went by the one that stays.
    assert_eq!(alice.send("bob", "to", Some(Goal::Received)), MessageState::Received);
    assert_eq!(bob.send(&alice.ready.name, "and fro", Some(Goal::Received)), MessageState::Received);
    let begun = alice.status(|status| !status.sessions.is_empty()).sessions[0].since;

    let died = Instant::now();
    drop(second);
    // A session since another time, or none in between and then one.
    alice.status(|status| status.sessions.first().is_some_and(|session| session.since != begun));
    let took = died.elapsed();
    assert_eq!(alice.send("bob", "over the other", Some(Goal::Received)), MessageState::Received);
    assert!(took < nodes::REHOMED, "{took:?}");
}

#[test]
fn a_session_goes_on_while_the_transport_key_becomes_another() {
    let runtime = Runtime::new().unwrap();
    let (_carol, at) = relay(&runtime);
    let bob = Node::start(&[], &[at]);
    let alice = Node::start_rotating(Duration::from_secs(20), &[&bob.ready.join], &[at]);
    acquaint(&alice, &bob);
    alice.choose("bob", SessionChoice::Relayed);
    bob.choose(&alice.ready.name, SessionChoice::Relayed);
    alice.status(|status| !status.sessions.is_empty());
    // Both may have dialled: what has gone to and fro went by the one that stays.
    assert_eq!(alice.send("bob", "to", Some(Goal::Received)), MessageState::Received);
    assert_eq!(bob.send(&alice.ready.name, "and fro", Some(Goal::Received)), MessageState::Received);
    let before = alice.status(|status| !status.sessions.is_empty());
    let theirs = bob.status(|status| !status.sessions.is_empty()).sessions[0].clone();

    let key = |status: &Status| status.join.split('@').next().unwrap_or_default().to_owned();
    let after = alice.status(|status| key(status) != key(&before));
    let same = |one: &Session, other: &Session| (&one.peer, one.since) == (&other.peer, other.since);
    assert!(same(&after.sessions[0], &before.sessions[0]));
    assert_eq!(alice.send("bob", "under another key", Some(Goal::Received)), MessageState::Received);
    assert!(same(&bob.status(|_| true).sessions[0], &theirs), "he sees nothing of it at the endpoint for contacts");
    let all = bob.client.messages(&MessageQuery { who: Some(alice.ready.name.clone()), ..MessageQuery::default() }).unwrap();
    assert_eq!(all.iter().find(|message| message.text == "under another key").unwrap().path, MessagePath::Direct);
}

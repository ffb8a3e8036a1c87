//! Questions to nodes that are no neighbours.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use samizdat_net::limits::{ANSWER_MAX, ASKS_MAX, QUESTION_MAX};
use samizdat_net::{AskError, DialError, Limits, NetEvent, PeerAddr};
use support::{Node, Stranger, node};

fn ask(from: &Node, to: &Node, ticket: u64, question: &[u8]) -> Result<(), AskError> {
    from.net.ask(ticket, to.id(), &to.net.local_addr(), question.to_vec())
}

async fn asked(node: &mut Node) -> (u64, Vec<u8>) {
    match node.next().await {
        NetEvent::Asked { token, question, .. } => (token, question),
        event => panic!("expected a question, got {event:?}"),
    }
}

async fn answered(node: &mut Node) -> (u64, Vec<u8>) {
    match node.next().await {
        NetEvent::Answered { ticket, answer, .. } => (ticket, answer),
        event => panic!("expected an answer, got {event:?}"),
    }
}

#[tokio::test]
async fn a_question_is_answered_and_nobody_becomes_a_neighbour() {
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    ask(&alice, &bob, 7, b"where is Carol?").unwrap();
    match bob.next().await {
        NetEvent::Asked { token, peer, from, question } => {
            assert_eq!((peer, from.unwrap().is_loopback(), &question[..]), (alice.id(), true, &b"where is Carol?"[..]));
            bob.net.reply(token, vec![9; ANSWER_MAX]);
        }
        event => panic!("{event:?}"),
    }
    assert_eq!(answered(&mut alice).await, (7, vec![9; ANSWER_MAX]));
    assert!(alice.net.paths().is_empty() && bob.net.paths().is_empty());
    // Neighbours can ask as well.
    alice.dial(&bob);
    assert!(alice.connected(&bob).await && !bob.connected(&alice).await);
    ask(&bob, &alice, 8, b"and you?").unwrap();
    let (token, _) = asked(&mut alice).await;
    alice.net.reply(token, b"fine".to_vec());
    assert_eq!(answered(&mut bob).await, (8, b"fine".to_vec()));
}

#[tokio::test]
async fn who_is_not_there_or_does_not_answer_fails_the_question() {
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    ask(&alice, &bob, 1, b"?").unwrap();
    let _ = asked(&mut bob).await;
    assert_eq!(alice.next().await, NetEvent::AskFailed { ticket: 1 });
    let addr = bob.net.local_addr();
    bob.net.close().await;
    alice.net.ask(2, bob.id(), &addr, b"?".to_vec()).unwrap();
    assert_eq!(alice.next().await, NetEvent::AskFailed { ticket: 2 });
    assert_eq!(alice.net.ask(3, bob.id(), &PeerAddr::new([]), b"?".to_vec()), Err(AskError::Dial(DialError::NoAddress)));
    assert_eq!(ask(&alice, &bob, 4, b""), Err(AskError::Size));
    assert_eq!(ask(&alice, &bob, 5, &[0; QUESTION_MAX + 1]), Err(AskError::Size));
}

#[tokio::test]
async fn a_flood_of_questions_is_bounded_and_passes() {
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    for ticket in 0..ASKS_MAX as u64 {
        ask(&alice, &bob, ticket, b"?").unwrap();
    }
    assert_eq!(ask(&alice, &bob, 99, b"?"), Err(AskError::Dial(DialError::Busy)));
    // Bob does not answer, or too much: all come to nothing, and what he says later finds nobody.
    let (token, _) = asked(&mut bob).await;
    bob.net.reply(token, vec![0; ANSWER_MAX + 1]);
    let mut failed = 0;
    while failed < ASKS_MAX {
        match alice.next().await {
            NetEvent::AskFailed { .. } => failed += 1,
            event => panic!("{event:?}"),
        }
    }
    bob.net.reply(token + 1, b"late".to_vec());
    ask(&alice, &bob, 100, b"again").unwrap();
    loop {
        let (token, question) = asked(&mut bob).await;
        if question == b"again" {
            bob.net.reply(token, b"yes".to_vec());
            break;
        }
    }
    assert_eq!(answered(&mut alice).await, (100, b"yes".to_vec()));
}

#[tokio::test]
async fn mallory_sends_too_much_and_is_not_heard() {
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    let mallory = Stranger::new(3).await;
    let connection = mallory.connect(&bob, b"samizdat/routing/1").await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let _ = send.write_all(&[0; QUESTION_MAX + 1]).await;
    let _ = send.finish();
    assert!(support::soon(recv.read_to_end(10)).await.is_err());
    // Only Alice's question is the next thing that Bob hears of.
    ask(&alice, &bob, 1, b"hello").unwrap();
    let (token, question) = asked(&mut bob).await;
    assert_eq!(question, b"hello");
    bob.net.reply(token, b"hi".to_vec());
    assert_eq!(answered(&mut alice).await, (1, b"hi".to_vec()));
}

//! `wait`: the answer comes when a message has got far enough, and no wake-up is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::http::limits::MAX_EVENTS;

const SEND: &str = r#"{"who":"bob","text":"hello","wait":"published","timeout_s":30}"#;

/// A node whose message is `stamped` when sent, and `later` when read again.
fn slow(later: MessageState) -> Server {
    Server::new(move |request| {
        Ok(Response::Message(match request {
            Request::Message { .. } => message("m1", later),
            _ => message("m1", MessageState::Stamped),
        }))
    })
}

async fn until_sent(server: &Server) {
    while !server.asked().iter().any(|request| matches!(request, Request::Send { .. })) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_wait_the_answer_comes_at_once() {
    let answer = slow(MessageState::Failed).call("POST /api/v1/messages", r#"{"who":"bob","text":"hello"}"#).await;
    assert_eq!(answer.json()["state"], "stamped");
}

#[tokio::test(start_paused = true)]
async fn with_wait_the_answer_comes_with_the_state() {
    let server = slow(MessageState::Failed);
    let since = Instant::now();
    let report = async {
        until_sent(&server).await;
        server.node.events.send(news("other", MessageState::Published)).unwrap();
        server.node.events.send(news("m1", MessageState::Stamped)).unwrap();
        server.node.events.send(news("m1", MessageState::Received)).unwrap();
    };
    let (answer, ()) = tokio::join!(server.call("POST /api/v1/messages", SEND), report);
    assert_eq!(answer.json()["state"], "received");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_overtakes_the_answer_is_not_lost() {
    // The loop reports the new state before it answers the call.
    let server = Server::silent();
    let (node, mut calls) = NodeHandle::new();
    let events = node.events.clone();
    tokio::spawn(async move {
        while let Some((_, answer)) = calls.recv().await {
            events.send(news("m1", MessageState::Published)).unwrap();
            let _ = answer.send(Ok(Response::Message(message("m1", MessageState::Stamping))));
        }
    });
    let config = Config { token: server.token.clone(), home: server.home.path().to_owned(), ui: true };
    let app = routes::router(app(HOST.parse().unwrap(), node, config, server.stop.subscribe()).unwrap());
    let server = Server { app, ..server };
    let since = Instant::now();
    assert_eq!(server.call("POST /api/v1/messages", SEND).await.json()["state"], "published");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn at_the_timeout_the_answer_is_the_state_of_then() {
    let server = slow(MessageState::Published);
    let since = Instant::now();
    assert_eq!(server.call("POST /api/v1/messages", SEND).await.json()["state"], "published");
    assert_eq!(since.elapsed().as_secs(), 30);
    let stuck = slow(MessageState::Stamped);
    assert_eq!(stuck.call("GET /api/v1/messages/m1?wait=published", "").await.json()["state"], "stamped");
}

#[tokio::test(start_paused = true)]
async fn a_dead_message_ends_the_wait() {
    for dead in [MessageState::Failed, MessageState::Cancelled] {
        let server = slow(MessageState::Stamped);
        let report = async {
            until_sent(&server).await;
            server.node.events.send(news("m1", dead)).unwrap();
        };
        let (answer, ()) = tokio::join!(server.call("POST /api/v1/messages", SEND), report);
        assert_eq!(answer.json()["state"], dead.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_missed_events_looks_again() {
    let server = slow(MessageState::Published);
    let since = Instant::now();
    let flood = async {
        until_sent(&server).await;
        for count in 0..=MAX_EVENTS as u64 {
            let _ = server.node.events.send(Event::Peers { count });
        }
    };
    let (answer, ()) = tokio::join!(server.call("POST /api/v1/messages", SEND), flood);
    assert_eq!(answer.json()["state"], "published");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_node() {
    let server = slow(MessageState::Stamped);
    let since = Instant::now();
    let stop = async {
        until_sent(&server).await;
        server.stop.send_replace(true);
    };
    let (answer, ()) = tokio::join!(server.call("POST /api/v1/messages", SEND), stop);
    assert_eq!(answer.json()["state"], "stamped");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_with_the_node_is_no_timeout() {
    let server = slow(MessageState::Stamped);
    let stop = async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        server.stop.send_replace(true);
    };
    let (answer, ()) = tokio::join!(server.call("GET /api/v1/messages/m1?wait=published&timeout_s=600", ""), stop);
    assert_eq!(answer.error(), (503, "internal".into()));
}

#[tokio::test]
async fn a_post_is_received_by_nobody_in_particular() {
    let server = Server::silent();
    let body = r#"{"room":"lobby","text":"hello","wait":"received"}"#;
    assert_eq!(server.call("POST /api/v1/messages", body).await.error(), (400, "usage".into()));
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let server = Server::silent();
    let body = r#"{"who":"bob","text":"hello","wait":"published","timeout_s":18446744073709551615}"#;
    assert_eq!(server.call("POST /api/v1/messages", body).await.error(), (400, "usage".into()));
}

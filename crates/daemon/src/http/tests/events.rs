//! The event stream: the token comes in the first frame, and nobody is left behind silently.

use futures_util::{SinkExt, StreamExt};
use samizdat_api::limits::TOKEN_WITHIN;
use tokio::time::Instant;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message as Frame, error::Error, protocol::frame::coding::CloseCode},
};

use super::*;
use crate::http::limits::{MAX_EVENTS, MAX_LISTENERS};

type Socket = WebSocketStream<DuplexStream>;

async fn open(server: &Server) -> Result<Socket, Error> {
    client_async(format!("ws://{HOST}/api/v1/events"), server.connect()).await.map(|(socket, _)| socket)
}

async fn open_with(server: &Server, token: &str) -> Socket {
    let mut socket = open(server).await.unwrap();
    socket.send(Frame::text(format!(r#"{{"token":"{token}"}}"#))).await.unwrap();
    socket
}

/// A stream that has begun.
async fn listen(server: &Server) -> Socket {
    let mut socket = open_with(server, server.token.reveal()).await;
    assert_eq!(next(&mut socket).await, Event::Ready);
    socket
}

async fn next(socket: &mut Socket) -> Event {
    let frame = socket.next().await.unwrap().unwrap();
    serde_json::from_str(frame.to_text().unwrap()).unwrap()
}

async fn closed(socket: &mut Socket) -> CloseCode {
    match socket.next().await.unwrap().unwrap() {
        Frame::Close(Some(close)) => close.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn events_follow_the_token() {
    let server = Server::silent();
    let mut socket = listen(&server).await;
    server.node.events.send(Event::Peers { count: 1 }).unwrap();
    server.node.events.send(news("m1", MessageState::Published)).unwrap();
    assert_eq!(next(&mut socket).await, Event::Peers { count: 1 });
    assert_eq!(next(&mut socket).await, news("m1", MessageState::Published));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_first_frame_closes_the_stream() {
    let server = Server::silent();
    assert_eq!(closed(&mut open_with(&server, "wrong").await).await, CloseCode::Policy);
    let mut socket = open(&server).await.unwrap();
    socket.send(Frame::text("hello")).await.unwrap();
    assert_eq!(closed(&mut socket).await, CloseCode::Policy);
    assert_eq!(server.node.events.receiver_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_come_closes_the_stream() {
    let server = Server::silent();
    let mut socket = open(&server).await.unwrap();
    let since = Instant::now();
    assert_eq!(closed(&mut socket).await, CloseCode::Policy);
    assert_eq!(since.elapsed().as_secs(), TOKEN_WITHIN.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_gets_no_stream() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = Server::silent();
    let mut request = format!("ws://{HOST}/api/v1/events").into_client_request().unwrap();
    request.headers_mut().insert("Origin", "http://evil.example".parse().unwrap());
    match client_async(request, server.connect()).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_told_to_reload() {
    let server = Server::silent();
    let mut socket = listen(&server).await;
    for count in 0..=MAX_EVENTS as u64 {
        server.node.events.send(Event::Peers { count }).unwrap();
    }
    assert_eq!(next(&mut socket).await, Event::Lagged);
    server.node.events.send(Event::Peers { count: 7 }).unwrap();
    assert_eq!(next(&mut socket).await, Event::Peers { count: 7 });
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_node() {
    let server = Server::silent();
    let mut socket = listen(&server).await;
    server.stop.send_replace(true);
    assert_eq!(closed(&mut socket).await, CloseCode::Away);
}

#[tokio::test(start_paused = true)]
async fn listeners_are_bounded_and_their_places_come_back() {
    let server = Server::silent();
    let mut sockets = Vec::new();
    for _ in 0..MAX_LISTENERS {
        sockets.push(listen(&server).await);
    }
    match open(&server).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    sockets.clear();
    while server.node.events.receiver_count() > 0 {
        tokio::task::yield_now().await;
    }
    listen(&server).await;
}

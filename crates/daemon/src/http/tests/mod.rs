//! The server against a fake node, over in-memory connections and a virtual clock.
#![allow(clippy::arithmetic_side_effects)]

mod calls;
mod client;
mod clusters;
mod door;
mod events;
mod waiting;

use std::sync::{Arc, Mutex};

use axum::Router;
use samizdat_api::{ApiError, Event, Message, MessagePath, MessageState, Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
};

use super::{
    auth::Token,
    node::NodeHandle,
    routes,
    serve::{Config, app, serve_one},
};

const HOST: &str = "127.0.0.1:4444";

/// A server whose node answers as `brain` says.
struct Server {
    app: Router,
    node: NodeHandle,
    token: Token,
    home: TempDir,
    stop: watch::Sender<bool>,
    /// What the node was asked.
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(brain: impl FnMut(&Request) -> Result<Response, ApiError> + Send + 'static) -> Self {
        Self::with_ui(true, brain)
    }

    fn with_ui(ui: bool, mut brain: impl FnMut(&Request) -> Result<Response, ApiError> + Send + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let token = Token::generate().unwrap();
        let (node, mut calls) = NodeHandle::new();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some((request, answer)) = calls.recv().await {
                let _ = answer.send(brain(&request));
                heard.lock().unwrap().push(request);
            }
        });
        let (stop, stopping) = watch::channel(false);
        let config = Config { token: token.clone(), home: home.path().to_owned(), ui };
        let app = routes::router(app(HOST.parse().unwrap(), node.clone(), config, stopping).unwrap());
        Self { app, node, token, home, stop, asked }
    }

    /// A node that is never asked.
    fn silent() -> Self {
        Self::new(|request| panic!("asked {request:?}"))
    }

    fn connect(&self) -> DuplexStream {
        let (client, server) = duplex(1 << 20);
        tokio::spawn(serve_one(server, self.app.clone(), self.stop.subscribe()));
        client
    }

    /// Sends a head made of `line` and `headers`, and `body`; reads the whole answer.
    async fn raw(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
        // A server that refuses by the head alone need not read the body.
        let _ = stream.write_all(body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::parse(&bytes)
    }

    async fn call(&self, line: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token.reveal());
        self.raw(line, &[("Host", HOST), ("Authorization", &bearer)], body.as_bytes()).await
    }

    fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Status and kind of an error.
    fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"]["kind"].as_str().unwrap_or_default().to_owned())
    }
}

fn message(id: &str, state: MessageState) -> Message {
    Message {
        id: id.into(),
        conversation: "c1".into(),
        from: "me".into(),
        from_petname: None,
        mine: true,
        text: "hello".into(),
        at: 1_795_000_000_000,
        state,
        path: MessagePath::Cast,
        request: false,
        vouched_by: None,
        mentions_me: false,
        to_member: None,
        delivery: None,
        anonymous: None,
    }
}

fn news(id: &str, state: MessageState) -> Event {
    Event::Message { message: message(id, state) }
}

//! Whole nodes in this process, and a relay of Carol's.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)] // Each test uses a part.

use std::{net::SocketAddr, path::Path, sync::mpsc, thread, time::Duration};

use samizdat_api::{
    Answer, Client, Event, Events, MessageState, SessionChoice, Status,
    call::{ContactEdit, Goal, NewContact, NewMessage},
};
use samizdat_daemon::{Options, Ready, run};
use samizdat_net::{Certificate, Relay, RelayAt, RelayConfig, RelayLimits};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::oneshot};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What the death of a relay may cost on a slow and busy machine: less than the silence after which a connection is lost anyway. How soon
/// it is measured by the laboratory (docs/netlab.md).
pub const REHOMED: Duration = Duration::from_secs(20);

pub struct Node {
    _home: TempDir,
    pub ready: Ready,
    pub client: Client,
    pub events: mpsc::Receiver<Event>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    pub fn start(join: &[&str], relays: &[RelayAt]) -> Self {
        Self::start_at(Some("127.0.0.1:0".parse().unwrap()), join, relays, None)
    }

    /// One that takes another transport key so often.
    pub fn start_rotating(every: Duration, join: &[&str], relays: &[RelayAt]) -> Self {
        Self::start_at(Some("127.0.0.1:0".parse().unwrap()), join, relays, Some(every))
    }

    /// One that nobody looks for at an address.
    pub fn start_at_home(join: &[&str], relays: &[RelayAt]) -> Self {
        Self::start_at(None, join, relays, None)
    }

    fn start_at(listen: Option<SocketAddr>, join: &[&str], relays: &[RelayAt], rotate_every: Option<Duration>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            home: home.path().join("home"),
            listen,
            api: None,
            join: join.iter().map(|join| (*join).to_owned()).collect(),
            relays: relays.to_vec(),
            ui: false,
            passphrase: None,
            proxy: None,
            rotate_every,
            resolver: None,
            lan: false,
        };
        let (told, ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let folder = options.home.clone();
        let thread = thread::spawn(move || {
            let shutdown = async { drop(stopped.await) };
            Runtime::new().unwrap().block_on(run(options, move |ready| told.send(ready).unwrap(), shutdown)).unwrap();
        });
        let ready = ready.recv_timeout(PATIENCE).unwrap();
        let client = Client::connect(&folder).unwrap();
        let events = follow(&folder);
        Self { _home: home, ready, client, events, stop: Some(stop), thread: Some(thread) }
    }

    /// Waits for a status as wished. There is an event whenever something changes; what it says may be long over.
    pub fn status(&self, wished: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.client.status().unwrap();
        while !wished(&status) {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            if matches!(event, Event::Status { .. } | Event::Request { .. } | Event::Contact { .. }) {
                status = self.client.status().unwrap();
            }
        }
        status
    }

    pub fn choose(&self, who: &str, session: SessionChoice) {
        let edit = ContactEdit { session: Some(session), ..ContactEdit::default() };
        assert_eq!(self.client.edit_contact(who, &edit).unwrap().session, session);
    }

    pub fn send(&self, who: &str, text: &str, wait: Option<Goal>) -> MessageState {
        let message = NewMessage {
            who: Some(who.into()),
            text: text.into(),
            days: Some(1),
            wait,
            timeout_s: Some(PATIENCE.as_secs()),
            ..NewMessage::default()
        };
        self.client.send(&message).unwrap().state
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn follow(home: &Path) -> mpsc::Receiver<Event> {
    let mut events: Events = Client::connect(home).unwrap().events().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || while events.next().is_ok_and(|event| sender.send(event).is_ok()) {});
    receiver
}

/// A relay that is given to nodes, not found by them.
pub fn relay(runtime: &Runtime) -> (Relay, RelayAt) {
    runtime.block_on(async {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let certificate = Certificate::generate().unwrap();
        let config = RelayConfig { listen: loopback, discovery: loopback, certificate, limits: RelayLimits::default() };
        let relay = Relay::start(config).await.unwrap();
        let service = relay.service();
        let at = format!("127.0.0.1:{}", service.port).parse().unwrap();
        (relay, RelayAt { at, discovery_port: service.discovery_port, certificate: service.certificate })
    })
}

/// Alice adds Bob, who accepts, and he answers nothing yet.
pub fn acquaint(alice: &Node, bob: &Node) {
    let link = bob.client.new_invite().unwrap().link;
    alice.client.add_contact(&NewContact { who: link, petname: Some("bob".into()) }).unwrap();
    alice.send("bob", "hello", None);
    bob.status(|_| !bob.client.requests().unwrap().is_empty());
    bob.client.answer_request(&alice.ready.name, Answer::Accept).unwrap();
    assert_eq!(alice.send("bob", "do you hear me?", Some(Goal::Received)), MessageState::Received);
}

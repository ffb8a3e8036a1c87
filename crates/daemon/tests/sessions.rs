//! Alice and Bob with whole nodes and a relay of Carol's: they choose sessions and are connected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{path::Path, sync::mpsc, thread, time::Duration};

use samizdat_api::{
    Answer, Client, Event, Events, MessageState, PeerPath, SessionChoice, Status,
    call::{ContactEdit, Goal, NewContact, NewMessage},
};
use samizdat_daemon::{Options, Ready, run};
use samizdat_net::{Certificate, Relay, RelayAt, RelayConfig, RelayLimits};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::oneshot};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(120);

struct Node {
    _home: TempDir,
    ready: Ready,
    client: Client,
    events: mpsc::Receiver<Event>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    fn start(join: &[&str], relays: &[RelayAt]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            home: home.path().join("home"),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            api: None,
            join: join.iter().map(|join| (*join).to_owned()).collect(),
            relays: relays.to_vec(),
            ui: false,
            passphrase: None,
            proxy: None,
            rotate_every: None,
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
        let events = listen(&folder);
        Self { _home: home, ready, client, events, stop: Some(stop), thread: Some(thread) }
    }

    /// Waits for a status as wished; there is one whenever something changes.
    fn status(&self, wished: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.client.status().unwrap();
        while !wished(&status) {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                Event::Status { status: new } => status = new,
                Event::Request { .. } | Event::Contact { .. } => status = self.client.status().unwrap(),
                _ => {}
            }
        }
        status
    }

    fn choose(&self, who: &str, session: SessionChoice) {
        let edit = ContactEdit { session: Some(session), ..ContactEdit::default() };
        assert_eq!(self.client.edit_contact(who, &edit).unwrap().session, session);
    }

    fn send(&self, who: &str, text: &str, wait: Option<Goal>) -> MessageState {
        let message = NewMessage { who: Some(who.into()), text: text.into(), days: Some(1), wait, timeout_s: Some(60), room: None };
        self.client.send(&message).unwrap().state
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn listen(home: &Path) -> mpsc::Receiver<Event> {
    let mut events: Events = Client::connect(home).unwrap().events().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || while events.next().is_ok_and(|event| sender.send(event).is_ok()) {});
    receiver
}

#[test]
fn alice_and_bob_are_connected_when_both_chose_it() {
    let runtime = Runtime::new().unwrap();
    let (_carol, at) = runtime.block_on(async {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let certificate = Certificate::generate().unwrap();
        let config = RelayConfig { listen: loopback, discovery: loopback, certificate, limits: RelayLimits::default() };
        let relay = Relay::start(config).await.unwrap();
        let service = relay.service();
        let addr = format!("127.0.0.1:{}", service.port).parse().unwrap();
        (relay, RelayAt { addr, discovery_port: service.discovery_port, certificate: service.certificate })
    });
    let alice = Node::start(&[], &[at]);
    let bob = Node::start(&[&alice.ready.join], &[at]);
    let (alices, bobs) = (alice.ready.name.clone(), bob.ready.name.clone());

    let link = bob.client.new_invite().unwrap().link;
    alice.client.add_contact(&NewContact { who: link, petname: Some("bob".into()) }).unwrap();
    alice.send("bob", "hello", None);
    bob.status(|_| !bob.client.requests().unwrap().is_empty());
    bob.client.answer_request(&alices, Answer::Accept).unwrap();
    assert_eq!(alice.send("bob", "do you hear me?", Some(Goal::Received)), MessageState::Received);
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
}

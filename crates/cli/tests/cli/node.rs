//! A fake node behind the real HTTP server, and the real program beside it.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use assert_cmd::{Command, cargo::cargo_bin};
use samizdat_api::{
    Announced, Anonymous, ApiError, Contact, ContactRequest, ContactState, Conversation, ConversationKind, Destination,
    EntryDomain, Event, Finding, FindingState, Identity, Imported, Invite, KindCounts, Lan, LogCheck, LogStats, Meeting, Message,
    MessagePath, MessageState, Mining, NetFound, NodeRow, Outbox, OwnEntry, Peer, PeerPath, Proxy, Reach, ReachVerdict,
    RelaysStatus, Request, Response, Role, RoleStatus, Room, Session, SessionChoice, SessionState, Status, StoreStatus, Vault,
    Versions,
};
use samizdat_daemon::http::{Config, EndpointFile, NodeHandle, Token, serve};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot};

pub(crate) const ALICE: &str = "alicealicealicealicealicealice22333333";
pub(crate) const BOB: &str = "bobbobbobbobbobbobbobbobbobbob22444444";
pub(crate) const CAROL: &str = "carolcarolcarolcarolcarolcarol22555555";
/// 2026-11-21 14:03 UTC.
pub(crate) const NOON: u64 = 1_795_269_780_000;

pub(crate) type Reply = Result<Response, ApiError>;

pub(crate) struct Node {
    pub(crate) home: TempDir,
    pub(crate) handle: NodeHandle,
    asked: Arc<Mutex<Vec<Request>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    /// A node that answers as `brain` says, and otherwise as [`alice`].
    pub(crate) fn new(mut brain: impl FnMut(&NodeHandle, &Request) -> Option<Reply> + Send + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        let (handle, mut calls) = NodeHandle::new();
        let node = handle.clone();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let heard = Arc::clone(&asked);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let token = Token::generate().unwrap();
                let _file = EndpointFile::publish(&path, listener.local_addr().unwrap(), &token).unwrap();
                let events = node.clone();
                let (end, ended) = oneshot::channel::<()>();
                let mut end = Some(end);
                tokio::spawn(async move {
                    while let Some((request, answer)) = calls.recv().await {
                        heard.lock().unwrap().push(request.clone());
                        let reply = brain(&events, &request).unwrap_or_else(|| alice(&request));
                        let _ = answer.send(reply);
                        if request == Request::Shutdown {
                            end.take();
                        }
                    }
                });
                ready.send(()).unwrap();
                let config = Config { token, home: path.clone(), ui: true };
                let shutdown = async {
                    tokio::select! { _ = stopped => {}, _ = ended => {} }
                };
                serve(listener, node, config, shutdown).await.unwrap();
            });
        });
        is_ready.recv().unwrap();
        Self { home, handle, asked, stop: Some(stop), thread: Some(thread) }
    }

    /// A node that answers as [`alice`].
    pub(crate) fn alice() -> Self {
        Self::new(|_, _| None)
    }

    /// A node without anything in it.
    pub(crate) fn empty() -> Self {
        Self::new(|_, request| {
            Some(Ok(match request {
                Request::Contacts => Response::Contacts(vec![]),
                Request::Requests => Response::Requests(vec![]),
                Request::Rooms => Response::Rooms(vec![]),
                Request::Entries => Response::Entries(vec![]),
                Request::Messages(_) => Response::Messages(vec![]),
                _ => return None,
            }))
        })
    }

    pub(crate) fn samizdat(&self, arguments: &[&str]) -> Command {
        samizdat(self.home.path(), arguments)
    }

    /// Standard output of a command that succeeds.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let out = self.samizdat(arguments).assert().success().get_output().clone();
        String::from_utf8(out.stdout).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The program under test, in a clean environment.
pub(crate) fn samizdat(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("samizdat"));
    command.env_clear().env("SAMIZDAT_HOME", home).env("HOME", home).env("TZ", "UTC").args(arguments);
    command
}

/// What Alice's node answers.
pub(crate) fn alice(request: &Request) -> Reply {
    Ok(match request {
        Request::Status => Response::Status(status()),
        Request::Identities => Response::Identities(vec![identity(), other_identity()]),
        Request::NewIdentity { label } => {
            Response::Identity(Identity { label: label.clone().unwrap_or_default(), ..other_identity() })
        }
        Request::Mine { prefix, .. } => Response::Mining(mining(prefix)),
        Request::NewInvite => Response::Invite(Invite { link: "samizdat:alice?secret".into(), name: ALICE.into() }),
        Request::Contacts => Response::Contacts(vec![
            bob(),
            Contact {
                name: CAROL.into(),
                petname: None,
                state: ContactState::Blocked,
                known: true,
                receipts: false,
                session: SessionChoice::Off,
                session_state: SessionState::Off,
            },
        ]),
        Request::AddContact { petname, .. } => Response::Contact(Contact { petname: petname.clone(), known: false, ..bob() }),
        Request::EditContact { .. } => Response::Contact(bob()),
        Request::Requests => Response::Requests(vec![request_of_carol()]),
        Request::AnswerRequest { id, .. } if id == "r1" => Response::Request(request_of_carol()),
        Request::Conversations => Response::Conversations(vec![
            conversation("c1", ConversationKind::Direct, "bob"),
            conversation("c2", ConversationKind::Room, "lobby"),
        ]),
        Request::Messages(query) if query.who.as_deref() == Some("nobody") => {
            return Err(ApiError::not_found("there is nobody whom you call \"nobody\""));
        }
        Request::Messages(query) if query.cluster.is_some() => {
            let told = message("m9", BOB, "psst", MessageState::Received);
            let told = Message { from_petname: Some("bob".into()), to_member: Some("alice".into()), ..told };
            let said = message("m10", ALICE, "what?", MessageState::Received);
            let said = Message { mine: true, to_member: Some("bob".into()), ..said };
            let anonymous = Some(Anonymous { ring: 7, label: "Nobody can tell.".into() });
            let unsigned = Message { anonymous, ..message("m11", "", "the treasurer lies", MessageState::Received) };
            let ours = Message { mine: true, ..unsigned.clone() };
            Response::Messages(vec![told, said, unsigned, ours])
        }
        Request::Messages(_) => Response::Messages(vec![
            Message { from_petname: Some("bob".into()), ..message("m1", BOB, "Hi!", MessageState::Received) },
            Message { mine: true, ..message("m2", ALICE, "Hello", MessageState::Stamping) },
            Message { conversation: "c2".into(), ..message("m3", CAROL, "to all", MessageState::Read) },
        ]),
        Request::Send { to: Destination::Anonymous { .. }, text, .. } => {
            let anonymous = Some(Anonymous { ring: 7, label: "Nobody can tell.".into() });
            Response::Message(Message { mine: true, anonymous, ..message("m12", "", text, MessageState::Stamping) })
        }
        Request::Send { text, .. } => {
            Response::Message(Message { mine: true, ..message("m9", ALICE, text, MessageState::Stamped) })
        }
        Request::CancelMessage { id } if id == "m9" => {
            Response::Message(Message { mine: true, ..message("m9", ALICE, "Hello", MessageState::Cancelled) })
        }
        Request::Message { id } | Request::CancelMessage { id } | Request::AnswerRequest { id, .. } => {
            return Err(ApiError::not_found(format!("there is no \"{id}\"")));
        }
        Request::Rooms => Response::Rooms(vec![room("lobby")]),
        Request::JoinRoom { room: name } => Response::Room(room(name)),
        Request::Cluster(call) => return crate::clusters::answer(call),
        Request::LogStats => Response::LogStats(LogStats {
            envelopes: 6,
            bytes: 12_345,
            by_kind: KindCounts { announcement: 1, post: 2, bell: 0, sealed: 3 },
            oldest_hour: Some(498_685),
            newest_hour: Some(498_686),
            conflicts: 1,
        }),
        Request::LogVerify => Response::LogCheck(LogCheck { checked: 6, bad: vec![] }),
        Request::LogExport { path, .. } => {
            fs::write(path, "slice").unwrap();
            Response::Done
        }
        Request::LogImport { path } => {
            Response::Imported(Imported { new: fs::metadata(path).unwrap().len(), duplicate: 2, refused: 0 })
        }
        Request::EditNode(edit) => {
            let mut status = status();
            status.relays.allowed = edit.use_relays.unwrap_or(true);
            let on = edit.relay.unwrap_or_default();
            status.roles = vec![relay_role(on)];
            Response::Status(status)
        }
        Request::NetTable => Response::NetTable(vec![relay_node(), node_behind_it()]),
        Request::NetLookup { peer } => Response::NetFound(NetFound {
            peer: peer.clone(),
            node: (peer == "bobs").then(node_behind_it),
            closest: vec![relay_node()],
            hops: 2,
            asked: 5,
        }),
        Request::NetDoctor => Response::NetDoctor(vec![
            Finding { what: "peers".into(), state: FindingState::Good, says: "3 nodes are connected.".into(), advice: None },
            Finding {
                what: "reached".into(),
                state: FindingState::Fair,
                says: "Others tried.".into(),
                advice: Some("Forward a port.".into()),
            },
        ]),
        Request::Entries => Response::Entries(vec![entry()]),
        Request::Meeting | Request::SetOwnEntry(_) => Response::Meeting(meeting()),
        Request::RemoveOwnEntry => Response::Meeting(Meeting { own_entry: None, ..meeting() }),
        Request::AddEntry { domain } => {
            Response::Entry(EntryDomain { domain: domain.clone(), looked_at: None, nodes: 0, why: "Not looked up yet.".into() })
        }
        Request::RemoveEntry { .. } | Request::CancelMine | Request::MarkRead { .. } | Request::Shutdown => Response::Done,
    })
}

pub(crate) fn message(id: &str, from: &str, text: &str, state: MessageState) -> Message {
    Message {
        id: id.into(),
        conversation: "c1".into(),
        from: from.into(),
        from_petname: None,
        mine: false,
        text: text.into(),
        at: NOON,
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

pub(crate) fn news(message: &Message) -> Event {
    Event::Message { message: message.clone() }
}

pub(crate) fn mining(prefix: &str) -> Mining {
    Mining { id: "s1".into(), prefix: prefix.into(), tries: 1000, rate: 500.0, eta_s: Some(60.0) }
}

pub(crate) fn identity() -> Identity {
    Identity { name: ALICE.into(), label: "me".into(), default: true, announced: Announced::Published }
}

pub(crate) fn other_identity() -> Identity {
    Identity { name: CAROL.into(), label: "work".into(), default: false, announced: Announced::Waiting }
}

fn bob() -> Contact {
    Contact {
        name: BOB.into(),
        petname: Some("bob".into()),
        state: ContactState::Accepted,
        known: true,
        receipts: false,
        session: SessionChoice::Off,
        session_state: SessionState::Off,
    }
}

fn request_of_carol() -> ContactRequest {
    ContactRequest { id: "r1".into(), name: CAROL.into(), text: "It's me".into(), at: NOON, invited: true }
}

fn conversation(id: &str, kind: ConversationKind, title: &str) -> Conversation {
    Conversation { id: id.into(), kind, who: title.into(), title: title.into(), last: None, unread: 0, label: String::new() }
}

fn room(name: &str) -> Room {
    Room { room: name.into(), joined: true, unread: 2, rewritten: vec![CAROL.into()] }
}

fn relay_role(on: bool) -> RoleStatus {
    RoleStatus {
        role: Role::Relay,
        on,
        announced: false,
        why: "Because.".into(),
        means: "Carries packets.".into(),
        tcp_port: on.then_some(4433),
        udp_port: on.then_some(4434),
        peers: 1,
        refused: 2,
    }
}

fn relay_node() -> NodeRow {
    NodeRow { peer: "carols".into(), addrs: vec!["192.0.2.1:4433".into()], roles: vec![Role::Relay], via: vec![], expires: NOON }
}

fn node_behind_it() -> NodeRow {
    NodeRow { peer: "bobs".into(), addrs: vec![], roles: vec![], via: vec!["192.0.2.1:4433".into()], expires: NOON }
}

fn meeting() -> Meeting {
    let why = "The entry stands in entry.example.".into();
    let own_entry = Some(OwnEntry { domain: "entry.example".into(), stands: true, why });
    Meeting {
        entries: vec![entry()],
        lan: Lan { on: true, why: "On: everybody can see it.".into() },
        own_entry,
        entry_means: "Newcomers find this node in DNS.".into(),
        proxy: Proxy { at: None, why: "Off: others see your address.".into() },
    }
}

fn entry() -> EntryDomain {
    EntryDomain { domain: "example.org".into(), looked_at: Some(NOON), nodes: 2, why: "2 nodes stand there.".into() }
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        versions: Versions { protocol: 1, log_layout: 2, vault_layout: 3 },
        name: ALICE.into(),
        identities: vec![identity()],
        peers: vec![Peer { peer: "p1".into(), path: PeerPath::Direct, rtt_ms: Some(12), since: NOON, dialed: true }],
        sessions: vec![Session {
            peer: "p2".into(),
            contact: "bob".into(),
            name: BOB.into(),
            path: PeerPath::Relayed,
            rtt_ms: Some(31),
            since: NOON,
        }],
        store: StoreStatus { envelopes: 6, bytes: 12_345, budget_bytes: 1_000_000_000, conflicts: 0 },
        outbox: Outbox { waiting: 1, stamping: 0, stamped: 2 },
        paths: [("cast".to_owned(), "hidden among ~40 people".to_owned())].into(),
        reach: Reach { verdict: ReachVerdict::Unreachable, why: "Others tried.".into(), nodes: 3 },
        roles: vec![relay_role(false)],
        relays: RelaysStatus { allowed: true, through: vec!["192.0.2.1:4433".into()], known: 2, why: "A relay is used.".into() },
        vault: Vault::KeyFile,
        drops: [("expired".to_owned(), 0), ("stamp".to_owned(), 3)].into(),
        join: "p0@192.0.2.1:4433".into(),
        clock: None,
        meeting: Box::new(meeting()),
    }
}

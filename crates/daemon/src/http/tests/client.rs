//! The typed client of the `api` crate against the real server on a real socket.

use std::thread;

use samizdat_api::{
    Announced, Answer as Verdict, CallError, Client, ConnectError, Contact, ContactRequest, ContactState, EntryDomain, Identity,
    Imported, Invite, KindCounts, Lan, LogCheck, LogStats, Meeting, Mining, NetFound, Outbox, OwnEntry, Reach, ReachVerdict,
    RelaysStatus, Room, SessionChoice, SessionState, Status, StoreStatus, Vault, Versions,
    call::{ContactEdit, ExportQuery, Goal, MessageQuery, NewContact, NewIdentity, NewMessage, NewMining, NodeEdit, WaitQuery},
    meeting::{NewOwnEntry, Secret},
};
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::http::{EndpointFile, serve};

/// A node on a socket of its own; runs `story` beside it, then ends it.
pub(super) async fn with_node(
    mut brain: impl FnMut(Request) -> Result<Response, ApiError> + Send + 'static,
    story: impl FnOnce(Client, NodeHandle) + Send + 'static,
) {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token = Token::generate().unwrap();
    let file = EndpointFile::publish(home.path(), listener.local_addr().unwrap(), &token).unwrap();
    let (node, mut calls) = NodeHandle::new();
    tokio::spawn(async move {
        while let Some((request, answer)) = calls.recv().await {
            let _ = answer.send(brain(request));
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let config = Config { token, home: home.path().to_owned(), ui: true };
    let server = tokio::spawn(serve(listener, node.clone(), config, async {
        let _ = stopped.await;
    }));
    let client = Client::connect(home.path()).unwrap();
    let story = tokio::task::spawn_blocking(move || story(client, node)).await;
    drop(stop);
    server.await.unwrap().unwrap();
    drop(file);
    assert!(matches!(Client::connect(home.path()), Err(ConnectError::NoNode(_))));
    story.unwrap();
}

fn identity() -> Identity {
    Identity { name: "aaaa".into(), label: "me".into(), default: true, announced: Announced::Published }
}

fn contact() -> Contact {
    Contact {
        name: "bbbb".into(),
        petname: Some("bob".into()),
        state: ContactState::Added,
        known: false,
        receipts: false,
        session: SessionChoice::Off,
        session_state: SessionState::Off,
    }
}

fn request() -> ContactRequest {
    ContactRequest { id: "r1".into(), name: "cccc".into(), text: "hi".into(), at: 1, invited: true }
}

fn room() -> Room {
    Room { room: "lobby".into(), joined: true, unread: 0, rewritten: vec![] }
}

fn stats() -> LogStats {
    let by_kind = KindCounts { announcement: 1, ..KindCounts::default() };
    LogStats { envelopes: 1, bytes: 2, by_kind, oldest_hour: None, newest_hour: Some(3), conflicts: 0 }
}

fn status() -> Status {
    Status {
        version: "0".into(),
        versions: Versions { protocol: 1, log_layout: 2, vault_layout: 3 },
        name: "aaaa".into(),
        identities: vec![identity()],
        peers: vec![],
        sessions: vec![],
        store: StoreStatus { envelopes: 0, bytes: 0, budget_bytes: 0, conflicts: 0 },
        outbox: Outbox { waiting: 0, stamping: 0, stamped: 0 },
        paths: [("cast".to_owned(), "hidden".to_owned())].into(),
        reach: Reach { verdict: ReachVerdict::Unreachable, why: "Others tried.".into(), nodes: 3 },
        roles: vec![],
        relays: RelaysStatus { allowed: true, through: vec![], known: 2, why: "None is needed.".into() },
        vault: Vault::KeyFile,
        drops: [].into(),
        join: "j".into(),
        clock: None,
        meeting: Box::new(meeting()),
    }
}

fn meeting() -> Meeting {
    let own_entry = OwnEntry { domain: "b.example".into(), stands: true, why: "It stands.".into() };
    Meeting { entries: vec![entry()], lan: Lan { on: true, why: "On.".into() }, own_entry: Some(own_entry), ..Meeting::default() }
}

fn entry() -> EntryDomain {
    EntryDomain { domain: "a.example".into(), looked_at: None, nodes: 0, why: "Not yet.".into() }
}

fn mining() -> Mining {
    Mining { id: "x".into(), prefix: "ab".into(), tries: 0, rate: 0.0, eta_s: None }
}

fn answer(asked: Request) -> Result<Response, ApiError> {
    Ok(match asked {
        Request::Status => Response::Status(status()),
        Request::Identities => Response::Identities(vec![identity()]),
        Request::NewIdentity { .. } => Response::Identity(identity()),
        Request::Mine { .. } => Response::Mining(mining()),
        Request::NewInvite => Response::Invite(Invite { link: "samizdat:x".into(), name: "aaaa".into() }),
        Request::Contacts => Response::Contacts(vec![contact()]),
        Request::AddContact { .. } | Request::EditContact { .. } => Response::Contact(contact()),
        Request::Requests => Response::Requests(vec![request()]),
        Request::AnswerRequest { .. } => Response::Request(request()),
        Request::Conversations => Response::Conversations(vec![]),
        Request::Messages(_) => Response::Messages(vec![message("m1", MessageState::Read)]),
        Request::Message { .. } | Request::Send { .. } | Request::CancelMessage { .. } => {
            Response::Message(message("m1", MessageState::Published))
        }
        Request::Rooms => Response::Rooms(vec![room()]),
        Request::JoinRoom { .. } => Response::Room(room()),
        Request::Cluster(call) => Response::Cluster(super::clusters::answer(call)),
        Request::LogStats => Response::LogStats(stats()),
        Request::LogVerify => Response::LogCheck(LogCheck { checked: 1, bad: vec![] }),
        Request::LogExport { path, .. } => {
            std::fs::write(path, "slice").unwrap();
            Response::Done
        }
        Request::LogImport { path } => {
            let new = std::fs::metadata(path).unwrap().len();
            Response::Imported(Imported { new, duplicate: 0, refused: 0 })
        }
        Request::EditNode(edit) => {
            assert_eq!(
                edit,
                NodeEdit { relay: Some(true), lan: Some(true), proxy: Some(Secret::new("off")), ..NodeEdit::default() }
            );
            Response::Status(status())
        }
        Request::NetTable => Response::NetTable(vec![]),
        Request::NetLookup { peer } => Response::NetFound(NetFound { peer, node: None, closest: vec![], hops: 1, asked: 2 }),
        Request::NetDoctor => Response::NetDoctor(vec![]),
        Request::Meeting | Request::SetOwnEntry(_) | Request::RemoveOwnEntry => Response::Meeting(meeting()),
        Request::Entries => Response::Entries(vec![entry()]),
        Request::AddEntry { .. } => Response::Entry(entry()),
        Request::RemoveEntry { .. } | Request::CancelMine | Request::MarkRead { .. } | Request::Shutdown => Response::Done,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_client_is_understood() {
    with_node(answer, |client, _| {
        assert_eq!(client.status().unwrap(), status());
        assert_eq!(client.identities().unwrap(), [identity()]);
        assert_eq!(client.new_identity(&NewIdentity::default()).unwrap(), identity());
        assert_eq!(client.mine(&NewMining { prefix: "ab".into(), label: None }).unwrap(), mining());
        client.cancel_mine().unwrap();
        assert_eq!(client.new_invite().unwrap().link, "samizdat:x");
        assert_eq!(client.contacts().unwrap(), [contact()]);
        assert_eq!(client.add_contact(&NewContact { who: "x".into(), petname: None }).unwrap(), contact());
        assert_eq!(client.edit_contact("a b/c", &ContactEdit::default()).unwrap(), contact());
        assert_eq!(client.requests().unwrap(), [request()]);
        for verdict in [Verdict::Accept, Verdict::Decline, Verdict::Block] {
            assert_eq!(client.answer_request("r1", verdict).unwrap(), request());
        }
        assert_eq!(client.conversations().unwrap(), []);
        let query = MessageQuery { who: Some("bob & co".into()), limit: Some(1), ..MessageQuery::default() };
        assert_eq!(client.messages(&query).unwrap(), [message("m1", MessageState::Read)]);
        let wait = WaitQuery { wait: Some(Goal::Published), timeout_s: Some(1) };
        assert_eq!(client.message("m1", &wait).unwrap(), message("m1", MessageState::Published));
        let body = NewMessage { room: Some("lobby".into()), text: "x".into(), ..NewMessage::default() };
        assert_eq!(client.send(&body).unwrap(), message("m1", MessageState::Published));
        client.cancel_message("m1").unwrap();
        client.mark_read("c1", None).unwrap();
        client.mark_read("c1", Some("m1")).unwrap();
        assert_eq!(client.rooms().unwrap(), [room()]);
        assert_eq!(client.join_room("lobby").unwrap(), room());
        assert_eq!(
            client
                .edit_node(&NodeEdit { relay: Some(true), lan: Some(true), proxy: Some(Secret::new("off")), ..NodeEdit::default() })
                .unwrap(),
            status()
        );
        assert_eq!(client.net_table().unwrap(), []);
        assert_eq!(client.net_lookup("a key").unwrap().peer, "a key");
        assert_eq!(client.net_doctor().unwrap(), []);
        assert_eq!(client.entries().unwrap(), [entry()]);
        assert_eq!(client.meeting().unwrap(), meeting());
        let wish = NewOwnEntry {
            domain: "b.example".into(),
            server: Some("192.0.2.1:53".into()),
            key: None,
            dyndns: None,
            user: None,
            secret: Secret::new("s"),
            slots: Some(2),
        };
        assert_eq!(client.set_own_entry(&wish).unwrap(), meeting());
        assert_eq!(client.remove_own_entry().unwrap(), meeting());
        assert_eq!(client.add_entry("a.example").unwrap(), entry());
        client.remove_entry("a.example").unwrap();
        assert_eq!(client.log_stats().unwrap(), stats());
        assert_eq!(client.log_verify().unwrap().checked, 1);
        let mut slice = Vec::new();
        assert_eq!((client.log_export(&ExportQuery::default(), &mut slice).unwrap(), slice.as_slice()), (5, &b"slice"[..]));
        assert_eq!(client.log_import(&mut &b"12345678"[..]).unwrap().new, 8);
        assert!(client.ui_page().unwrap().ends_with(".html"));
        client.shutdown().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_reach_the_client() {
    with_node(
        |_| Err(ApiError::not_found("there is no message m9")),
        |client, _| match client.message("m9", &WaitQuery::default()) {
            Err(CallError::Api(error)) => assert_eq!(error, ApiError::not_found("there is no message m9")),
            other => panic!("{other:?}"),
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_after_the_stream_began_is_in_it() {
    with_node(answer, |client, node| {
        let mut events = client.events().unwrap();
        node.events.send(Event::Peers { count: 2 }).unwrap();
        assert_eq!(events.next().unwrap(), Event::Peers { count: 2 });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_client_and_a_listener_do_not_hold_up_the_end() {
    let since = std::time::Instant::now();
    with_node(
        |_| Ok(Response::Message(message("m1", MessageState::Stamped))),
        |client, _| {
            let mut events = client.events().unwrap();
            let wait = WaitQuery { wait: Some(Goal::Published), timeout_s: Some(3600) };
            thread::spawn(move || client.message("m1", &wait));
            thread::spawn(move || events.next());
        },
    )
    .await;
    assert!(since.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn a_stranger_on_the_port_of_a_dead_node_is_not_talked_to() {
    let home = tempfile::tempdir().unwrap();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = samizdat_api::Endpoint {
        api: format!("http://{}", stranger.local_addr().unwrap()),
        token: "t".into(),
        // Larger than any process id.
        pid: u32::MAX,
    };
    std::fs::write(home.path().join("api.json"), serde_json::to_string(&endpoint).unwrap()).unwrap();
    if std::path::Path::new("/proc/self").exists() {
        assert!(matches!(Client::connect(home.path()), Err(ConnectError::NoNode(_))));
    }
}

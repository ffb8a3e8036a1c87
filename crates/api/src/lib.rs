//! The local contract of a Samizdat node, as plain data, and a typed client.
//!
//! `docs/protocol/api.md` is the contract in words. This crate knows nothing of how a node works: no keys, no wire
//! formats, no other crate of this workspace. The daemon converts to it, the command line and bots speak it.
//!
//! - [`shape`]: what a node tells (identities, contacts, messages, status);
//! - [`meeting`]: how it meets others;
//! - [`cluster`]: groups that decide by votes who is in;
//! - [`call`]: what can be asked of it, as [`Request`] and [`Response`], and the bodies of the HTTP calls;
//! - [`event`]: what it says unasked;
//! - [`client`]: a blocking client over HTTP and WebSocket.

pub mod call;
pub mod client;
pub mod cluster;
pub mod event;
pub mod later;
pub mod limits;
pub mod meeting;
pub mod shape;

pub use call::{Answer, ApiError, Destination, ErrorBody, ErrorKind, Request, Response};
pub use client::{CallError, Client, ConnectError, Endpoint, Events};
pub use cluster::{ClusterAnswer, ClusterCall};
pub use event::Event;
pub use meeting::{EntryDomain, Lan, Meeting, OwnEntry, Proxy};
pub use shape::{
    Announced, Anonymous, Contact, ContactRequest, ContactState, Conversation, ConversationKind, Delivery, Finding, FindingState,
    Identity, Imported, Invite, KindCounts, LogCheck, LogStats, Message, MessagePath, MessageState, Mining, NetFound, NodeRow,
    Outbox, Peer, PeerPath, Reach, ReachVerdict, RelaysStatus, Role, RoleStatus, Room, Session, SessionChoice, SessionState,
    Status, StoreStatus, Vault, Versions,
};

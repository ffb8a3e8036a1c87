//! What can be asked of a node, and what it answers.
//!
//! [`Request`] and [`Response`] are what passes between the HTTP server and the node's loop; the structs below are the
//! bodies and queries of the HTTP calls where those are not the same. Waiting for a state is no business of the loop:
//! the server does it by events.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::cluster::{ClusterAnswer, ClusterCall};
use crate::later::LaterRole;
use crate::meeting::{EntryDomain, Meeting, NewOwnEntry, Secret};
use crate::shape::{
    Contact, ContactRequest, Conversation, Finding, Identity, Imported, Invite, LogCheck, LogStats, Message, MessageState, Mining,
    NetFound, NodeRow, Room, SessionChoice, Status,
};

/// One question to a node. `who` is a petname, a name (with or without dashes) or a `samizdat:` link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// How are you? [`Response::Status`]
    Status,
    /// My identities. [`Response::Identities`]
    Identities,
    /// Makes an identity. [`Response::Identity`]
    NewIdentity {
        /// What I call it.
        label: Option<String>,
    },
    /// Begins to search for an identity whose name starts with `prefix`; one search at a time. [`Response::Mining`]
    Mine {
        /// Lower-case base32.
        prefix: String,
        /// What I call it.
        label: Option<String>,
    },
    /// Ends the search. [`Response::Done`]
    CancelMine,
    /// Makes an invite link. [`Response::Invite`]
    NewInvite,
    /// Whom I know. [`Response::Contacts`]
    Contacts,
    /// Adds somebody. [`Response::Contact`]
    AddContact {
        /// A name or a link.
        who: String,
        /// What I call them.
        petname: Option<String>,
    },
    /// Changes what is given. [`Response::Contact`]
    EditContact {
        /// Whom.
        who: String,
        /// What.
        edit: ContactEdit,
    },
    /// Who wants to reach me. [`Response::Requests`]
    Requests,
    /// Answers a contact request. [`Response::Request`]
    AnswerRequest {
        /// Id of the request, or who asks.
        id: String,
        /// What I answer.
        answer: Answer,
    },
    /// My conversations, newest first. [`Response::Conversations`]
    Conversations,
    /// Messages, oldest first. [`Response::Messages`]
    Messages(MessageQuery),
    /// One message. [`Response::Message`]
    Message {
        /// Which.
        id: String,
    },
    /// Writes a message. [`Response::Message`]
    Send {
        /// To whom.
        to: Destination,
        /// What it says.
        text: String,
        /// Lifetime: 1, 3, 7, 14 or 28 days.
        days: Option<u32>,
    },
    /// Takes a message back that is not stamped yet. [`Response::Message`]
    CancelMessage {
        /// Which.
        id: String,
    },
    /// Marks a conversation as read. [`Response::Done`]
    MarkRead {
        /// Which.
        conversation: String,
        /// Up to this message; otherwise everything.
        up_to: Option<String>,
    },
    /// Rooms that I have joined or heard of. [`Response::Rooms`]
    Rooms,
    /// Joins a room. [`Response::Room`]
    JoinRoom {
        /// Its name.
        room: String,
    },
    /// Something about clusters. [`Response::Cluster`]
    Cluster(ClusterCall),
    /// How this node meets others. [`Response::Meeting`]
    Meeting,
    /// Keeps an entry in a domain, instead of any other. [`Response::Meeting`]
    SetOwnEntry(Box<NewOwnEntry>),
    /// Takes it away. [`Response::Meeting`]
    RemoveOwnEntry,
    /// Domains in whose DNS this node looks for others. [`Response::Entries`]
    Entries,
    /// Adds one. [`Response::Entry`]
    AddEntry {
        /// A name in DNS.
        domain: String,
    },
    /// Removes one. [`Response::Done`]
    RemoveEntry {
        /// Which.
        domain: String,
    },
    /// What the log holds. [`Response::LogStats`]
    LogStats,
    /// Checks every envelope again. [`Response::LogCheck`]
    LogVerify,
    /// Writes the log slice into the file `path`, which exists and is empty. [`Response::Done`]
    LogExport {
        /// A file of the server's, removed by it.
        path: PathBuf,
        /// Only what the others of this conversation need; otherwise everything.
        of: Option<Destination>,
    },
    /// Takes in the log slice in the file `path`. [`Response::Imported`]
    LogImport {
        /// A file of the server's, removed by it.
        path: PathBuf,
    },
    /// Changes what this node does for others, what it uses of them, and what it shows. [`Response::Status`]
    EditNode(NodeEdit),
    /// The nodes that the routing knows. [`Response::NetTable`]
    NetTable,
    /// Looks for a node. [`Response::NetFound`]
    NetLookup {
        /// Its transport key.
        peer: String,
    },
    /// What works from here, and what would improve it. [`Response::NetDoctor`]
    NetDoctor,
    /// Ends the node. [`Response::Done`]
    Shutdown,
}

impl Request {
    /// Whether the answer may take as long as the log is big.
    pub fn is_long(&self) -> bool {
        matches!(self, Self::LogVerify | Self::LogExport { .. } | Self::LogImport { .. } | Self::NetLookup { .. })
    }
}

/// The answer to a [`Request`]; each variant says which.
#[derive(Debug, Clone, PartialEq)]
// There is one at a time, and it goes straight into JSON.
#[allow(missing_docs, clippy::large_enum_variant)]
pub enum Response {
    Status(Status),
    Identities(Vec<Identity>),
    Identity(Identity),
    Mining(Mining),
    Invite(Invite),
    Contacts(Vec<Contact>),
    Contact(Contact),
    Requests(Vec<ContactRequest>),
    Request(ContactRequest),
    Conversations(Vec<Conversation>),
    Messages(Vec<Message>),
    Message(Message),
    Rooms(Vec<Room>),
    Room(Room),
    Cluster(ClusterAnswer),
    Entries(Vec<EntryDomain>),
    Entry(EntryDomain),
    Meeting(Meeting),
    LogStats(LogStats),
    LogCheck(LogCheck),
    Imported(Imported),
    NetTable(Vec<NodeRow>),
    NetFound(NetFound),
    NetDoctor(Vec<Finding>),
    Done,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To somebody: a petname, a name or a link.
    Who(String),
    /// To a public room.
    Room(String),
    /// To the members of a cluster.
    Cluster(String),
    /// To one member of a cluster.
    Member {
        /// Of which.
        cluster: String,
        /// Nickname, or the beginning of the id.
        member: String,
    },
    /// To the members of a cluster, none of whom can tell who wrote it.
    Anonymous {
        /// Of which.
        cluster: String,
        /// Only to this one of them: nickname, or the beginning of the id.
        member: Option<String>,
    },
}

/// What I answer to a contact request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// We can write to each other.
    Accept,
    /// Not now; they may ask again.
    Decline,
    /// Never.
    Block,
}

/// Why a call failed: one clear sentence, and what kind of failure it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One sentence for a person.
    pub message: String,
}

impl ApiError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The caller asked wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// It cannot be done now.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// The node failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

/// What kind of failure it is, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The caller asked wrongly: status 400.
    Usage,
    /// What was asked for is not there: status 404.
    NotFound,
    /// It cannot be done now, or this caller may not: status 409, 401 or 403.
    Refused,
    /// The node failed: status 500, or 503 when it is too busy to answer.
    Internal,
}

/// How an error travels: `{"error":{"kind":…,"message":…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

/// Which messages to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessageQuery {
    /// Only the direct chat with this petname, name or link, or else the cluster of this name, number or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Only this room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Only this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Only those that this node got after the message with this id, the oldest of them: whoever asks again with the
    /// last one misses nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only those that this node got before the message with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// So many (default 200, at most 1000): the newest, but with `since` the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which envelopes to export: at most one of the two; otherwise all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Only what this petname, name or link needs of what I sent to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Only the posts of this room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// How long to wait for a message to get on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer only when the message has come this far, can never come so far, or the time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Goal>,
    /// How long to wait, seconds (default 60).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// A state that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Another node has stored it.
    Published,
    /// The reader's node has it.
    Received,
}

impl Goal {
    /// The state that is waited for.
    pub fn state(self) -> MessageState {
        match self {
            Self::Published => MessageState::Published,
            Self::Received => MessageState::Received,
        }
    }
}

/// Body of `POST messages`: exactly one of `who`, `room` and `cluster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// To this petname, name or link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// To this room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// To the members of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// To this member of the cluster only: nickname, or the beginning of the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// In a cluster: so that its members can tell that one of them wrote it, and not which.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub anonymous: bool,
    /// What it says.
    pub text: String,
    /// Lifetime: 1, 3, 7, 14 or 28 days (default 14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// As in `GET messages/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Goal>,
    /// As in `GET messages/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// Body of `POST identities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentity {
    /// What I call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Body of `POST mine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMining {
    /// What the name shall start with, lower-case base32.
    pub prefix: String,
    /// What I call the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Body of `POST contacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// A name or a `samizdat:` link.
    pub who: String,
    /// What I call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub petname: Option<String>,
}

/// Body of `PATCH contacts/{name}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactEdit {
    /// What I call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub petname: Option<String>,
    /// Whether I do not want to hear from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// Whether they are told what I have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
    /// Whether my node connects to theirs, and what that shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionChoice>,
}

/// Body of `PATCH node`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeEdit {
    /// Whether this node relays for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<bool>,
    /// Whether this node may use the relays of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_relays: Option<bool>,
    /// Whether the local network is told that this node is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<bool>,
    /// `socks5://[USER:PASSWORD@]IP:PORT` of the proxy through which everything shall go, or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// Comes with a later version; who names it is told so, and nothing is changed.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub custodian: Option<LaterRole>,
    /// As `custodian`.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub mix: Option<LaterRole>,
}

/// Answer to `GET net/table`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// Nodes, the closest to our own position first.
    pub nodes: Vec<NodeRow>,
}

/// Answer to `GET net/doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingList {
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// Body of `POST read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadMark {
    /// Id of a conversation.
    pub conversation: String,
    /// Id of the last message in it that was read; when absent, everything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<String>,
}

/// Body of `POST rooms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// Name of the room.
    pub room: String,
}

/// Answer to `GET identities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IdentityList {
    /// My identities.
    pub identities: Vec<Identity>,
}

/// Answer to `GET contacts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContactList {
    /// Whom I know.
    pub contacts: Vec<Contact>,
}

/// Answer to `GET requests`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestList {
    /// Who wants to reach me.
    pub requests: Vec<ContactRequest>,
}

/// Answer to `GET conversations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationList {
    /// My conversations, newest first.
    pub conversations: Vec<Conversation>,
}

/// Answer to `GET messages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageList {
    /// Messages, oldest first.
    pub messages: Vec<Message>,
}

/// Answer to `GET rooms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoomList {
    /// Rooms that I have joined or heard of.
    pub rooms: Vec<Room>,
}

/// Answer to `POST link`: a way into the web UI that works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UiLink {
    /// Name of a file in the node's home, for a browser; only its owner can read it.
    pub page: String,
}

/// Answer of calls that have nothing to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}

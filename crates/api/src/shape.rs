//! What a node tells. Times are milliseconds since the Unix epoch; names are written compactly (38 characters).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::meeting::Meeting;

/// One of my identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// Its self-authenticating name.
    pub name: String,
    /// What I call it; never leaves this node.
    pub label: String,
    /// Whether it is used where no identity is chosen.
    pub default: bool,
    /// How far its announcement is.
    pub announced: Announced,
}

/// How far the announcement of an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Announced {
    /// Not begun.
    Waiting,
    /// Its stamp is being computed.
    Stamping,
    /// In our log; waits for a node to take it.
    Stamped,
    /// Another node has stored it.
    Published,
}

/// Somebody I know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Contact {
    /// Their name.
    pub name: String,
    /// What I call them; never leaves this node.
    pub petname: Option<String>,
    /// Where we stand.
    pub state: ContactState,
    /// Their announcement has been seen, so they can be written to.
    pub known: bool,
    /// They are told what I have read.
    pub receipts: bool,
    /// Whether we connect to each other when both are there.
    pub session: SessionChoice,
    /// How that is now.
    pub session_state: SessionState,
}

/// Whether my node connects to that of a contact, and what that shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionChoice {
    /// It does not.
    #[default]
    Off,
    /// Through relays only: they see when I am there. The relay sees that two addresses talk, not who.
    Relayed,
    /// Straight, where they allow it too: they learn my internet address, and may learn those in my local network. Otherwise as
    /// relayed.
    Direct,
}

/// Whether my node and that of a contact are connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// I do not want it.
    #[default]
    Off,
    /// I want it. They are not there, or have not said that they want it.
    Waiting,
    /// I want it, and they said that they do not.
    Declined,
    /// They are.
    Open,
}

/// Where I stand with a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// I added them; they have not answered yet.
    Added,
    /// We can write to each other.
    Accepted,
    /// I do not want to hear from them.
    Blocked,
}

/// Somebody who wants to reach me for the first time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Request)]
pub struct ContactRequest {
    /// Names this request.
    pub id: String,
    /// Who asks.
    pub name: String,
    /// Their first message.
    pub text: String,
    /// When they claim to have written it, ms since 1970.
    pub at: u64,
    /// It carried the secret of one of my invite links.
    pub invited: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Names this message.
    pub id: String,
    /// The conversation that it belongs to.
    pub conversation: String,
    /// Name of its author; in a cluster, the member.
    pub from: String,
    /// What I call its author; in a cluster, what they call themselves.
    pub from_petname: Option<String>,
    /// I wrote it.
    pub mine: bool,
    /// What it says.
    pub text: String,
    /// When its author claims to have written it, ms since 1970.
    pub at: u64,
    /// How far it is.
    pub state: MessageState,
    /// How it travels.
    pub path: MessagePath,
    /// Its contact request is still open.
    pub request: bool,
    /// Who told me of it, if not its author: in a cluster, the nickname of the member who let me in.
    pub vouched_by: Option<String>,
    /// It calls me by my nickname in the cluster.
    pub mentions_me: bool,
    /// In a cluster, the nickname of the only member who can read it.
    pub to_member: Option<String>,
    /// Of mine in a cluster whose members say what they have got: how many have it.
    pub delivery: Option<Delivery>,
    /// In a cluster, if some member wrote it and nobody can tell which; `from` is empty then.
    pub anonymous: Option<Anonymous>,
}

/// What hides the author of a message in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageAnonymous)]
pub struct Anonymous {
    /// It was written by one of so many members.
    pub ring: u64,
    /// One honest sentence on what that hides.
    pub label: String,
}

/// How many members have a message in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageDelivery)]
pub struct Delivery {
    /// So many have said so.
    pub to: u64,
    /// To so many it went.
    pub of: u64,
}

/// How far a message is. Of messages of others there are only [`Received`](Self::Received) and [`Read`](Self::Read).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// The keys of the other side are not known yet, or there is no peer.
    Waiting,
    /// Its stamp is being computed.
    Stamping,
    /// In our log.
    Stamped,
    /// Another node has stored it.
    Published,
    /// The reader's node has it.
    Received,
    /// It has been read.
    Read,
    /// I took it back before it was stamped.
    Cancelled,
    /// It can never be delivered.
    Failed,
}

impl MessageState {
    /// Whether a message in this state has come at least as far as `goal`.
    pub fn reached(self, goal: Self) -> bool {
        match (self.progress(), goal.progress()) {
            (Some(here), Some(goal)) => here >= goal,
            _ => self == goal,
        }
    }

    /// Whether waiting for `goal` is over: it is reached, or never will be.
    pub fn settles(self, goal: Self) -> bool {
        self.reached(goal) || self.progress().is_none()
    }

    /// How it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Stamping => "stamping",
            Self::Stamped => "stamped",
            Self::Published => "published",
            Self::Received => "received",
            Self::Read => "read",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    fn progress(self) -> Option<u8> {
        match self {
            Self::Waiting => Some(0),
            Self::Stamping => Some(1),
            Self::Stamped => Some(2),
            Self::Published => Some(3),
            Self::Received => Some(4),
            Self::Read => Some(5),
            Self::Cancelled | Self::Failed => None,
        }
    }
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessagePath {
    /// Over a session with the contact.
    Direct,
    /// Broadcast to all.
    Cast,
    /// Through proxies and a mailbox.
    Mix,
}

/// A direct chat, a room or a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Names this conversation.
    pub id: String,
    /// Which of the three it is.
    pub kind: ConversationKind,
    /// Name of the other side, of the room or of the cluster.
    pub who: String,
    /// What to show for it.
    pub title: String,
    /// The newest message.
    pub last: Option<Message>,
    /// Messages of others that I have not read.
    pub unread: u64,
    /// One honest sentence on what is visible to whom.
    pub label: String,
}

/// What kind of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Between two.
    Direct,
    /// Public: everybody can read it.
    Room,
    /// Among the members of a cluster.
    Cluster,
}

/// A public room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Its name.
    pub room: String,
    /// I read it.
    pub joined: bool,
    /// Messages of others that I have not read.
    pub unread: u64,
    /// Names of authors in it who have been seen to rewrite their history.
    pub rewritten: Vec<String>,
}

/// Versions of what nodes exchange and of what this one keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    /// Of the envelopes.
    pub protocol: u32,
    /// Of the log's tables.
    pub log_layout: u32,
    /// Of the vault's tables.
    pub vault_layout: u32,
}

/// How the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Versions of what outlives the program.
    pub versions: Versions,
    /// Name of the default identity.
    pub name: String,
    /// All my identities.
    pub identities: Vec<Identity>,
    /// Nodes that we are connected to.
    pub peers: Vec<Peer>,
    /// Contacts that we are connected to.
    pub sessions: Vec<Session>,
    /// What the store holds.
    pub store: StoreStatus,
    /// What is on its way out.
    pub outbox: Outbox,
    /// For every delivery path in use, one honest sentence on what it hides here and now.
    pub paths: BTreeMap<String, String>,
    /// Whether strangers can dial this node.
    pub reach: Reach,
    /// What this node does for others, as far as its owner agreed.
    pub roles: Vec<RoleStatus>,
    /// The relays of others through which it is reached.
    pub relays: RelaysStatus,
    /// What protects the secrets on disk.
    pub vault: Vault,
    /// Refused envelopes by reason.
    pub drops: BTreeMap<String, u64>,
    /// What another node passes to `--join` to meet this one.
    pub join: String,
    /// One sentence while the clock of this machine seems to be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// How it meets others.
    pub meeting: Box<Meeting>,
}

/// Whether strangers can dial this node, as others found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reach {
    /// What is known.
    pub verdict: ReachVerdict,
    /// One sentence on why.
    pub why: String,
    /// Nodes that we could ask where another one is.
    pub nodes: u64,
}

/// What is known of whether strangers can dial this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReachVerdict {
    /// Too few nodes are known that could be asked.
    Alone,
    /// Not enough of them have answered yet.
    Asking,
    /// They came through.
    Reachable,
    /// They did not.
    Unreachable,
}

/// What a node may do for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Carries the packets of those who cannot reach each other.
    Relay,
    /// Stands in DNS for those who know nobody.
    Entry,
    /// Keeps copies for readers who are offline.
    Custodian,
    /// Passes on what others send, so that nobody can tell who sent it.
    Mix,
}

/// One role of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleStatus {
    /// Which.
    pub role: Role,
    /// Its owner agreed.
    pub on: bool,
    /// Others are told.
    pub announced: bool,
    /// One sentence on why it is as it is.
    pub why: String,
    /// What it means and costs.
    pub means: String,
    /// The TCP port that others must come through to, while it runs.
    pub tcp_port: Option<u16>,
    /// The UDP port.
    pub udp_port: Option<u16>,
    /// Peers that it serves now.
    pub peers: u64,
    /// Connections that it turned away since it began.
    pub refused: u64,
}

/// The relays of others through which this node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelaysStatus {
    /// They may be used.
    pub allowed: bool,
    /// Addresses of the one in use and of the next.
    pub through: Vec<String>,
    /// How many are known.
    pub known: u64,
    /// One sentence on why it is as it is.
    pub why: String,
}

/// What a node says of itself to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRow {
    /// Its transport key.
    pub peer: String,
    /// Where it can be dialled.
    pub addrs: Vec<String>,
    /// What it does for others.
    pub roles: Vec<Role>,
    /// Addresses of the relays through which it is reached.
    pub via: Vec<String>,
    /// Until when it says so, ms since 1970.
    pub expires: u64,
}

/// What a search for a node found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetFound {
    /// The transport key looked for.
    pub peer: String,
    /// What it says of itself, if it was found.
    pub node: Option<NodeRow>,
    /// The nodes closest to its position that answered.
    pub closest: Vec<NodeRow>,
    /// How many nodes one after the other led there.
    pub hops: u32,
    /// How many nodes were asked.
    pub asked: u64,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub state: FindingState,
    /// One sentence on it.
    pub says: String,
    /// What would improve it.
    pub advice: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// As it should be.
    Good,
    /// It works, and could work better.
    Fair,
    /// It does not work.
    Bad,
}

/// A node that we are connected to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// Its transport key, which says nothing about who runs it.
    pub peer: String,
    /// How the connection runs.
    pub path: PeerPath,
    /// Round trip, ms; not measured yet when absent.
    pub rtt_ms: Option<u64>,
    /// When we connected, ms since 1970.
    pub since: u64,
    /// We dialled it.
    pub dialed: bool,
}

/// A contact that we are connected to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The transport key of this session; strangers never see it, and another start has another.
    pub peer: String,
    /// What I call them, or else their name.
    pub contact: String,
    /// Their name.
    pub name: String,
    /// How the connection runs.
    pub path: PeerPath,
    /// Round trip, ms; not measured yet when absent.
    pub rtt_ms: Option<u64>,
    /// Since when, ms since 1970.
    pub since: u64,
}

/// How a connection to a peer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerPath {
    /// Straight over the internet.
    Direct,
    /// Through a relay.
    Relayed,
    /// Inside one local network.
    Lan,
}

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Envelopes in it.
    pub envelopes: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// What it may hold, bytes.
    pub budget_bytes: u64,
    /// Proofs that an author rewrote history.
    pub conflicts: u64,
}

/// Own messages that are not published yet, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outbox {
    /// Waiting for keys or peers.
    pub waiting: u64,
    /// Being stamped.
    pub stamping: u64,
    /// In our log only.
    pub stamped: u64,
}

/// What protects the secrets on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Vault {
    /// A key file beside the vault: whoever copies both can read it.
    #[serde(rename = "key file")]
    KeyFile,
    /// A passphrase.
    #[serde(rename = "passphrase")]
    Passphrase,
}

/// A search for an identity whose name starts as wished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mining {
    /// Names this search.
    pub id: String,
    /// What the name shall start with.
    pub prefix: String,
    /// Keys tried.
    pub tries: u64,
    /// Keys per second.
    pub rate: f64,
    /// Expected rest, seconds; unknown when absent.
    pub eta_s: Option<f64>,
}

/// An invitation to write to me.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// A `samizdat:` link.
    pub link: String,
    /// The name that it invites to.
    pub name: String,
}

/// What the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogStats {
    /// Envelopes in it.
    pub envelopes: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Envelopes by kind.
    pub by_kind: KindCounts,
    /// Claimed hour of the oldest one, hours since 1970.
    pub oldest_hour: Option<u64>,
    /// Claimed hour of the newest one, hours since 1970.
    pub newest_hour: Option<u64>,
    /// Proofs that an author rewrote history.
    pub conflicts: u64,
}

/// Envelopes by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindCounts {
    /// Keys of names.
    pub announcement: u64,
    /// Public messages.
    pub post: u64,
    /// First contacts.
    pub bell: u64,
    /// Everything inside conversations.
    pub sealed: u64,
}

/// Result of checking every envelope of the log again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogCheck {
    /// Envelopes looked at.
    pub checked: u64,
    /// Ids of those that do not verify.
    pub bad: Vec<String>,
}

/// Result of importing a log slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Envelopes that were not here before.
    pub new: u64,
    /// Envelopes that were.
    pub duplicate: u64,
    /// Envelopes that do not verify or have expired.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_state_reaches_an_earlier_goal() {
        assert!(MessageState::Read.reached(MessageState::Published));
        assert!(MessageState::Published.reached(MessageState::Published));
        assert!(!MessageState::Stamped.reached(MessageState::Published));
    }

    #[test]
    fn a_dead_message_ends_the_wait_without_reaching_the_goal() {
        for dead in [MessageState::Cancelled, MessageState::Failed] {
            assert!(!dead.reached(MessageState::Published));
            assert!(dead.settles(MessageState::Published));
        }
        assert!(!MessageState::Waiting.settles(MessageState::Published));
    }

    #[test]
    fn states_are_written_as_on_the_wire() {
        for state in [MessageState::Waiting, MessageState::Received, MessageState::Cancelled] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}

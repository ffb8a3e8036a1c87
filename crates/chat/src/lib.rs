//! What people mean: identities, contacts, conversations, rooms, the outbox. Knows no sockets and no peers.
//!
//! [`Chat`] owns the vault. Every operation is one transaction that holds the MLS state, our rows and the message
//! together; what leaves the node leaves only after the commit. It reads the log and never writes to it.
//!
//! ```text
//! compose -> (keys known?) -> encrypt, seal -> outbox -> job -> stamped -> log        out
//! log -> ingest -> open, decrypt -> timeline -> events                                in
//! ```

mod announce;
mod bundle;
mod chat;
mod cluster;
mod contact;
pub mod content;
mod error;
mod frontier;
mod ingest;
pub mod limits;
pub mod mls;
mod outbox;
mod pairing;
mod query;
mod redate;
mod room;
mod schema;
mod session;
mod shelf;
#[cfg(test)]
mod tests;
mod timeline;
mod work;

pub use announce::Announced;
pub use chat::{Chat, Event, Job};
pub use cluster::{
    Audit, Ballots, Cluster, ClusterDoor, ClusterMember, ClusterRequest, Company, Decided, Departure, MotionRow, Phase, Proposal,
    Receipt, SecretVote, Standing,
};
pub use contact::{Answer, ContactEdit, ContactState};
pub use error::ChatError;
pub use query::{Contact, Conversation, ConversationKind, Delivery, Filter, Identity, Message, OutboxCounts, Request, Room};
pub use session::{SessionChoice, SessionContact};
pub use timeline::{MessageId, State};

//! Values: identities, envelopes, stamps, seals. No clock, no randomness of the system, no input or output.
//!
//! Every type here means the same on every node. What is verified has a type of its own and no decoder.

pub mod announce;
pub mod envelope;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod link;
pub mod pad;
pub mod record;
pub mod redact;
pub mod seal;
pub mod session;
pub mod stamp;

pub use envelope::{Envelope, EnvelopeIn, Kind, Reject, Unstamped};
pub use identity::{IdentityKey, IdentitySecret, Name};
pub use ids::{EnvelopeId, Hour, Now, PeerId};
pub use record::{NodeRecord, NodeRecordIn, PeerSecret};
pub use redact::Redacted;

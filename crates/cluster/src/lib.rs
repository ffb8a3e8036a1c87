//! Clusters: groups that govern themselves. Values, and machines that decide: what a motion is and when it has passed, which change of
//! a group is lawful, which branch is followed, when what is due. No MLS, no database, no clock, no randomness, no envelopes.
//!
//! Byte by byte in docs/protocol/cluster.md; how it is put together in docs/adr/0012-clusters.md.

mod cbor;
mod schulze;

pub mod anonymous;
pub mod aside;
pub mod audit;
pub mod ballot;
pub mod branch;
pub mod bundle;
pub mod certificate;
pub mod charter;
pub mod claim;
pub mod comeback;
pub mod content;
pub mod context;
pub mod done;
pub mod door;
pub mod grounds;
pub mod ids;
pub mod lawful;
pub mod leave;
pub mod limits;
pub mod link;
pub mod merge;
pub mod minutes;
pub mod motion;
pub mod parts;
pub mod phrase;
pub mod request;
pub mod rollout;
pub mod roster;
pub mod secret;
pub mod tally;
pub mod unlisted;

#[cfg(test)]
mod people;

pub use cbor::Malformed;
pub use charter::Charter;
pub use context::Context;
pub use done::Done;
pub use grounds::Grounds;
pub use ids::{ClusterId, MemberId, MemberSecret, MotionId, StateId};
pub use roster::{Past, PastIn, Roster};

//! Clusters: groups of many, who decide by votes who is in. What is lawful and what is followed, `samizdat_cluster` says; here it
//! meets the keys, the vault and the envelopes.
//!
//! ```text
//! envelope -> tag -> piece -> message -> timeline, motions, ballots           in
//!                          -> change  -> lawful? -> another state -> tip
//! motion passed, rollout due -> Commit on a copy -> piece(s) -> outbox        out
//! ```

mod act;
mod anonymous;
mod apart;
mod aside;
mod audit;
mod change;
mod claim;
mod delivery;
mod doors;
mod gather;
mod govern;
mod handed;
mod history;
mod inbound;
mod join;
mod leave;
mod merge;
mod outer;
mod query;
mod row;
mod say;
mod schema;
mod secret;
mod silent;
mod slots;
mod split;

pub use audit::{Audit, Decided};
pub use delivery::Receipt;
pub(crate) use gather::Gathered;
pub use govern::Proposal;
pub(crate) use outer::{ClusterTag, ClusterTags, TAG, tag_row};
pub use query::{Ballots, Cluster, ClusterDoor, ClusterMember, ClusterRequest, MotionRow};
pub use row::Standing;
pub(crate) use row::StateRow;
pub(crate) use schema::{
    AGREED, ANONYMOUS, ASIDES, CLUSTERS, COMEBACKS, DELIVERY, DOORS_OF_REQUESTS, LACKING, MERGES, NAMES, OUT, RENAMED, SECRET,
    SEEN, TOLD, UNLISTED,
};
pub use secret::{Phase, SecretVote};
pub use split::{Company, Departure};

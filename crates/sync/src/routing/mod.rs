//! Where a node is: records of nodes, kept by those whose positions are closest to theirs.
//!
//! Kademlia (Maymounkov, Mazières 2002) with disjoint paths (S/Kademlia; Baumgart, Mies 2007), as one pure machine,
//! [`Router`]. It sees only verified records in typed messages, shares them, and keeps no bytes, so 100,000 of it fit in one
//! simulation. What differs from the papers:
//!
//! * Only nodes that can be dialled stand in tables, and only after they answered a question of ours. Others ask and store.
//! * Of one network prefix few are taken, at every place where records are.
//! * A node stores only its own record, and nobody stores it on: it comes again before it expires.
//!
//! The bytes are in [`codec`] and docs/protocol/routing.md.

mod askers;
pub mod codec;
mod event;
mod key;
mod lookup;
mod records;
mod router;
mod table;

pub use event::{Answer, Input, LookupId, Output, Question, Ticket, Token};
pub use key::{Distance, Key};
pub use router::{Config, Router};

#[cfg(test)]
mod tests;

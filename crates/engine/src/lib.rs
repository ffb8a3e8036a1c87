//! One whole node as one machine: the only place where log, conversations and the network meet.
//!
//! The shell feeds [`Input`]s, calls [`Engine::commit`] when it has no more at hand, and drains [`Engine::poll_output`].
//! Time, randomness and stamps come from outside; the disk is reached synchronously through the store. The same engine
//! runs in the daemon and, a thousandfold, in the simulator.
//!
//! ```text
//! frame -> gossip -> candidates -> decode -> screen -> known? -> verify -> log.append -> chat.ingest -> event
//! command -> chat -> outbox -> Mint -> Stamped -> log.append -> gossip -> frames
//! ```

mod contact;
mod drops;
mod engine;
mod file;
mod inbound;
mod limits;
mod outbound;
mod routing;
mod upkeep;

pub use contact::{Session, SessionState};
pub use drops::Drops;
pub use engine::{Engine, Input, Output};
pub use file::{Export, FileError, Import, Imported, Verification};
pub use inbound::Admitted;
pub use routing::{Found, Standing, Whom};
pub use samizdat_sync::PeerAddr;
pub use samizdat_sync::contact::{Input as ContactInput, Way, codec::Place};
pub use samizdat_sync::networks::{Network, Networks};
pub use samizdat_sync::reach::Verdict;
pub use samizdat_sync::relays::Chosen;
pub use samizdat_sync::routing::LookupId;

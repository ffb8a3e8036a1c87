//! The shipping routing machine in a virtual network: who finds whom, in how many steps, at what price.
//!
//! What is real: every [`samizdat_sync::routing::Router`] and every signed record. What is modelled: time, delays, deaths, and
//! malicious nodes. What is left out: the making of connections, and the verifying of records, which all are good here.

mod bytes;
mod crowd;
mod plan;
mod report;
mod town;

pub use plan::Plan;
pub use report::{Hops, RouteReport};
pub use town::route;

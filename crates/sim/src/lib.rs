//! A network of the shipping engine under a virtual clock: a run is a function of its scenario and seed.
//!
//! * [`World`]: nodes, connections between them, and the queue of what happens next.
//! * [`Scenario`] and [`play`]: a story from a TOML file, told as a [`Report`].
//! * [`Vice`]: what malicious nodes do.
//! * [`route`]: another network, of routers alone, so that 100,000 of them fit.
//! * [`clusters`]: members of a cluster alone, with everything that keeps them from each other.
//!
//! What is real: [`samizdat_engine::Engine`] with its log and vault (in memory), every frame, envelope, signature and stamp.
//! What is modelled: time, and connections (`network.rs`). The engine runs over QUIC streams, which repair loss, so loss
//! shows as delay: a lost packet holds up its frame, and all behind it, for one round trip; a few take the connection with them.
//!
//! What is left out: the sizes of packet headers, congestion, NAT, and the time that nodes need for thinking.

mod author;
mod cluster;
mod limits;
mod network;
mod node;
mod play;
mod queue;
mod report;
mod route;
mod scenario;
mod vice;
mod world;

pub use cluster::{ClusterPlan, ClusterReport, Failure, clusters};
pub use limits::{DIAL_TIMEOUT_MS, IDLE_TIMEOUT_MS, MINT_MS};
pub use play::play;
pub use report::{Latency, Report};
pub use route::{Hops, Plan, RouteReport, route};
pub use scenario::{Churn, Link, Messages, Partition, Scenario, ScenarioError, Times};
pub use vice::Vice;
pub use world::{Counts, SimError, World};

/// Hexadecimal, lower case.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

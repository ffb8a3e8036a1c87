//! Every number of the model that no scenario changes.

/// A connection whose other end fell silent is given up after so long, as in `samizdat_net`.
pub const IDLE_TIMEOUT_MS: u64 = 30_000;
/// A dial that nobody answers fails after so long, as in `samizdat_net`.
pub const DIAL_TIMEOUT_MS: u64 = 10_000;
/// What finding a stamp takes in virtual time; the stamp itself is real.
pub const MINT_MS: u64 = 1_000;
/// Bytes of a frame that one packet carries; each packet may be lost.
pub(crate) const PACKET_BYTES: usize = 1_200;
/// A packet that is lost so often in a row takes its connection with it.
pub(crate) const RETRIES_MAX: u64 = 12;
/// Disk budget of a node's log, bytes.
pub(crate) const LOG_BUDGET: u64 = 1 << 30;
/// Nodes of one scenario.
pub(crate) const NODES_MAX: usize = 20_000;
/// Messages of one scenario, each of which costs a real stamp.
pub(crate) const MESSAGES_MAX: usize = 10_000;
/// Envelopes read back from a log at once.
pub(crate) const READ_AT_ONCE: u32 = 1_024;
/// Between two draws of who leaves.
pub(crate) const CHURN_TICK_MS: u64 = 1_000;
/// Quiet time between the messages that form the tree and what comes then.
pub(crate) const QUIET_MS: u64 = 10_000;
/// The wall clock of all nodes at virtual time zero.
pub(crate) const UNIX_START_MS: u64 = 1_800_000_000_000;
/// Nodes of one network of routers.
pub(crate) const ROUTE_NODES_MAX: usize = 200_000;
/// Hours of one network of routers.
pub(crate) const ROUTE_HOURS_MAX: f64 = 48.0;
/// In this time the first routers join.
pub(crate) const ROUTE_RAMP_MS: u64 = 1_200_000;
/// In this time the measured lookups begin.
pub(crate) const ROUTE_LOOKUPS_MS: u64 = 600_000;
/// A node signs a new record after so long, give or take a quarter.
pub(crate) const ROUTE_RENEW_MS: u64 = 3_600_000;
/// One way between two routers, at least and at most.
pub(crate) const ROUTE_DELAY_MS: (u64, u64) = (20, 120);

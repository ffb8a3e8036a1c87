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
/// Milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;
/// Members that a cluster begins with, and how many of all lots fall on that: large ones cost by the square.
pub(crate) const CLUSTER_SIZES: [(usize, u64); 6] = [(5, 44), (8, 36), (13, 14), (20, 4), (35, 1), (50, 1)];
/// The largest of them.
pub(crate) const CLUSTER_MEMBERS_MAX: usize = 50;
/// Up to this size somebody may be away beyond the window.
pub(crate) const CLUSTER_LONG_SIZE_MAX: usize = 8;
/// With fewer members nobody is put out, and nobody leaves.
pub(crate) const CLUSTER_LEAST: usize = 4;
/// Rollout period of simulated clusters, hours.
pub(crate) const CLUSTER_ROLLOUT_HOURS: u16 = 6;
/// Clocks differ by less than this, ms.
pub(crate) const CLUSTER_SKEW_MS: u64 = 120_000;
/// While a cluster is made, between two looks at it.
pub(crate) const CLUSTER_BUILD_STEP_MS: u64 = 15_000;
/// So many looks at most.
pub(crate) const CLUSTER_BUILD_STEPS_MAX: usize = 200;
/// Rounds of work and reading until nothing more comes of it.
pub(crate) const CLUSTER_ROUNDS_MAX: usize = 32;
/// Envelopes that are lost at first, of a hundred, less than this.
pub(crate) const CLUSTER_LOSS_MAX: u64 = 40;
/// What is due within this time is done in time.
pub(crate) const CLUSTER_NEAR_MS: u64 = 9 * 60_000;
/// What is not, so much later at most.
pub(crate) const CLUSTER_NAP_MS: u64 = 60 * 60_000;
/// After healing, between two looks at whether all is well: well twice in a row is the end.
pub(crate) const CLUSTER_CALM_MS: u64 = 10 * 60_000;
/// So many looks at most: four days. Who cannot follow asks to be let in again after two.
pub(crate) const CLUSTER_HEAL_STEPS_MAX: usize = 576;
/// Motions that a malicious member makes at once.
pub(crate) const CLUSTER_FLOOD: usize = 80;
/// Rows of a cluster in one vault that nobody can make it exceed.
pub(crate) const CLUSTER_ROWS_MAX: u64 = 10_000;
/// Schedules that are told when they did not end well, and how much of each.
pub(crate) const CLUSTER_FAILURES_MAX: usize = 100;
/// See [`CLUSTER_FAILURES_MAX`].
pub(crate) const CLUSTER_WHY_MAX: usize = 6;

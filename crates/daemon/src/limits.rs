//! Every bound of the loop in one place; those of the API are in `http/limits.rs`.

use std::time::Duration;

/// Bytes of envelopes that a node keeps unless told otherwise.
pub(crate) const DISK_BUDGET: u64 = 4 << 30;
/// Inputs taken before the engine commits: one transaction and one fsync for all of them.
pub(crate) const BATCH: usize = 1024;
/// Findings and progress of minting threads on their way.
pub(crate) const RESULTS: usize = 64;
/// Remembered peers that a vault is believed to hold.
pub(crate) const PEERS_MAX: usize = 256;
/// Places of relays that links told, which are kept.
pub(crate) const PLACES_MAX: usize = 8;
/// Jobs at a time; more are refused.
pub(crate) const JOBS_MAX: usize = 4;
/// Attempts to bind the port of the endpoint before,
pub(crate) const BIND_TRIES: u32 = 50;
/// and the time between two of them.
pub(crate) const BIND_PAUSE: Duration = Duration::from_millis(20);
/// Threads that mint or mine at most; the rest of the machine is for its owner.
pub(crate) const LANES_MAX: usize = 8;

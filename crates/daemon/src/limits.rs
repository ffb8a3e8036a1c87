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
/// Entry domains of one person.
pub(crate) const ENTRY_DOMAINS_MAX: usize = 8;
/// Alone for so long, a node asks DNS: whom it remembers had time to answer.
pub(crate) const LONELY_MS: u64 = 6_000;
/// After the start, so long before the places of invite links are asked: those who are remembered or were named come first.
pub(crate) const PLACES_FIRST_MS: u64 = 5_000;
/// Between two times that they are asked, as long as nobody is connected.
pub(crate) const PLACES_AGAIN_MS: u64 = 60_000;
/// How long a node that is connected to nobody leaves those nearby alone: all other ways come first.
pub(crate) const NEARBY_LAST_MS: u64 = 8_000;
/// Until it asks again, still alone; it doubles each time.
pub(crate) const LOOK_AGAIN_MS: u64 = 30_000;
/// How long at most.
pub(crate) const LOOK_AGAIN_MAX_MS: u64 = 15 * 60_000;
/// Answers from outside that wait for the loop.
pub(crate) const NEWS: usize = 64;
/// With so many neighbours nobody is dialled only because they are near.
pub(crate) const NEAR_ENOUGH: usize = 9;
/// How long the end of a node may wait for its entry to be taken out of DNS; otherwise it expires there.
pub(crate) const WITHDRAW_PATIENCE: Duration = Duration::from_secs(5);

//! Every bound of the store in one place.

/// Losers of conflicts whose proofs are kept per author; more prove nothing new.
pub const CONFLICTS_PER_AUTHOR: u32 = 64;
/// How long proofs are kept, in hours from the claimed hour: the longest lifetime.
pub(crate) const PROOF_HOURS: u32 = 56 * 24;
/// Part of the disk budget that one eviction frees, so that evictions are rare.
pub(crate) const EVICT_PART: u64 = 20;
/// Part of the disk budget that must be free again before envelopes as cheap as the evicted ones are taken.
pub(crate) const REOPEN_PART: u64 = 5;
/// Statements that each database keeps compiled: with fewer than one piece of work needs, all would be compiled anew each time.
pub const STATEMENTS: usize = 256;

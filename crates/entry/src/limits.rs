//! Every bound of this crate in one place.

use core::time::Duration;

use samizdat_core::limits::RECORD_MAX;

/// Entry nodes under one domain.
pub const ENTRIES_MAX: usize = 8;
/// TXT records of one answer that are looked at; a liar sends more.
pub const TXT_READ_MAX: usize = 64;
/// Longest string inside a TXT record, bytes. DNS writes its length in one byte.
pub const TXT_STRING_MAX: usize = 255;
/// Longest base64url text of a record, characters.
pub const ENCODED_MAX: usize = (RECORD_MAX * 4).div_ceil(3);
/// Addresses without a key taken from a domain.
pub const HINTS_MAX: usize = 8;

/// Name servers that are asked.
pub const NAME_SERVERS_MAX: usize = 4;
/// One question to one name server.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Questions repeated after no answer came.
pub const QUERY_TRIES: usize = 2;
/// One lookup, all questions together.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer over UDP, bytes: none is fragmented on its way. A larger one comes over TCP.
pub const UDP_ANSWER_MAX: u16 = 1232;

/// How long caches may keep an entry, seconds.
pub const ENTRY_TTL_S: u32 = 300;
/// Longest key file, bytes.
pub const KEY_FILE_MAX: usize = 4096;
/// Shortest secret of a key, bytes.
pub const KEY_MIN: usize = 16;
/// Longest secret of a key, bytes: the block of SHA-256.
pub const KEY_MAX: usize = 64;
/// How far the clock of a name server may be from ours, seconds, as everywhere.
pub const TSIG_FUDGE_S: u16 = 300;
/// One exchange with a name server by an operator.
pub const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);

/// One request to a dyndns2 service.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest answer of a service that is read, bytes; a real one is a line.
pub const HTTP_ANSWER_MAX: u64 = 1024;
/// How long a service is left alone after its first fault; it doubles with each.
pub const FAULT_WAIT_MIN: Duration = Duration::from_secs(30 * 60);
/// How long at most.
pub const FAULT_WAIT_MAX: Duration = Duration::from_secs(8 * 3600);

/// How often a keeper looks at its domain, from half of it to one and a half.
pub const LOOK_EVERY_MS: u64 = 4 * 60_000;
/// How often while a node that stands there does not answer, also where nothing shows that our own line works.
pub const DOUBT_EVERY_MS: u64 = 40_000;
/// Within this after its death a node's entry is another's, if anybody waits for a place and the name server answers: a look, the
/// dials that a node must miss, and the look at which it is replaced.
pub const CHECK_INTERVAL_MS: u64 = 10 * 60_000;
/// How soon it looks again when somebody else was quicker; it doubles each time.
pub const RACE_WAIT_MS: u64 = 4000;
/// How soon it tries again after a failure; it doubles each time.
pub const FAILURE_WAIT_MS: u64 = 30_000;
/// How long at most, well below the lifetime of a record.
pub const FAILURE_WAIT_MAX_MS: u64 = 15 * 60_000;
/// Dials in a row that a node must miss before its place is taken.
pub const PROBE_FAILURES: u32 = 3;
/// And the time over which they must lie.
pub const PROBE_SPAN_MS: u64 = 90_000;
/// How often a node that stops tries to withdraw its entry.
pub const STOP_TRIES: u32 = 4;

//! Every bound of the protocol in one place. A change here is a change of the protocol version.

use crate::ids::Hour;

/// Version byte of every envelope.
pub const ENVELOPE_VERSION: u8 = 1;

/// Body lengths that exist, bytes. Everything is padded up to one of them, so that a length says little.
pub const SIZE_CLASSES: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
/// Largest encoded envelope, bytes: the largest body and what goes around it.
pub const ENVELOPE_MAX: usize = 65_536 + 256;
/// Largest frame between two peers, bytes; a peer that announces more is dropped.
pub const FRAME_MAX: usize = 256 * 1024;

/// Lifetimes that exist, hours. An envelope names one by its index.
pub const LIFETIMES: [u32; 7] = [6, 24, 72, 168, 336, 672, 1344];
/// How far in the future a claimed hour may lie, and how long after expiry an envelope is still taken: clocks differ.
pub const CLOCK_SLACK_HOURS: u32 = 2;

/// Tries of SHA-256 per (byte x hour): a message of 512 bytes that lives 14 days costs about 16 million tries, which
/// one core of a laptop makes in about a second.
pub const STAMP_PRICE: u64 = 10;
/// Bytes added to every envelope before pricing: keeping a row costs something however small it is.
pub const STAMP_BASE: u64 = 4096;
/// No stamp is cheaper than this, expected tries.
pub const STAMP_FLOOR: u64 = 1 << 16;
/// No stamp is dearer than this, expected tries: a minute or two of one laptop core.
pub const STAMP_CEILING: u64 = 1 << 31;

/// Depth of the bucket tree: 2^depth buckets. In a small network everybody holds everything.
pub const BUCKET_DEPTH: u32 = 0;

/// Signatures checked together; larger batches gain little and delay the first of them.
pub const SIGNATURE_BATCH: usize = 256;

/// Longest contact key and key package taken from an announcement, bytes.
pub const KEY_PACKAGE_MAX: usize = 8192;
/// Longest name of a room, bytes of UTF-8.
pub const ROOM_NAME_MAX: usize = 64;
/// Longest text of one message, bytes of UTF-8.
pub const TEXT_MAX: usize = 32 * 1024;

/// Largest node record, bytes.
pub const RECORD_MAX: usize = 512;
/// Longest time for which a node record holds, seconds.
pub const RECORD_LIFETIME_MAX_S: u16 = 7200;
/// Addresses in a node record.
pub const RECORD_ADDRS_MAX: usize = 4;
/// Most places in an invite link.
pub const LINK_PLACES_MAX: usize = 3;
/// Their length, bytes, so that a link stays under 120 characters.
pub const LINK_PLACES_BYTES: usize = 32;
/// Relays in a node record through which its node is reached.
pub const RECORD_VIA_MAX: usize = 3;

/// Whether an envelope that claims `hour` and lives `lifetime_hours` may be taken at `now`.
pub fn in_time(hour: Hour, lifetime_hours: u32, now: Hour) -> InTime {
    if hour.0 > now.0.saturating_add(CLOCK_SLACK_HOURS) {
        InTime::Future
    } else if hour.0.saturating_add(lifetime_hours).saturating_add(CLOCK_SLACK_HOURS) < now.0 {
        InTime::Expired
    } else {
        InTime::Yes
    }
}

/// Answer of [`in_time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTime {
    /// Neither from the future nor expired.
    Yes,
    /// Claims an hour that has not come.
    Future,
    /// Its lifetime is over.
    Expired,
}

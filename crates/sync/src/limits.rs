//! Every bound of the sync protocol in one place. Those marked *wire* are part of the protocol.

/// Longest address of a peer, bytes (*wire*).
pub const ADDR_MAX: usize = 256;
/// Most peers named in one frame (*wire*).
pub const SAMPLE_MAX: usize = 16;
/// Most envelopes named in one frame of digests, questions, acks or wants (*wire*).
pub const IDS_PER_FRAME: usize = 4096;
/// Most envelopes in one fill frame (*wire*).
pub const FILL_COUNT_MAX: usize = 256;
/// Most ranges in one frame (*wire*).
pub const RANGES_PER_FRAME: usize = 2048;
/// Most entries listed in all ranges of one frame (*wire*).
pub const LISTED_PER_FRAME: usize = 4096;
/// Most coded symbols in one frame (*wire*).
pub const SYMBOLS_PER_FRAME: usize = 4096;

/// Peers a node tries to be connected to.
pub const ACTIVE_TARGET: usize = 9;
/// Peers a node is connected to at most; those above the target came to us.
pub const ACTIVE_MAX: usize = 12;
/// Peers a node remembers besides the active ones.
pub const PASSIVE_MAX: usize = 64;
/// Of those, how many are protected because a connection to them once worked.
pub const PROVEN_MAX: usize = 48;
/// Peers the person named; they are dialled first and never forgotten.
pub const TRUSTED_MAX: usize = 16;
/// Connections that have not greeted yet.
pub const GREETING_MAX: usize = 16;
/// Dials under way.
pub const DIALING_MAX: usize = 3;
/// Peers told to others in a shuffle or when turned away.
pub const SAMPLE_SIZE: usize = 8;
/// Walks (introductions of a newcomer) taken from one peer per minute.
pub const WALKS_PER_MINUTE: u32 = 60;
/// Failed dials after which a peer that nobody named is forgotten.
pub const FAILURES_MAX: u8 = 8;

/// Missing envelopes waited for, all peers together.
pub const MISSING_MAX: usize = 8192;
/// Missing envelopes waited for that one peer announced first.
pub const MISSING_PER_PEER: usize = 1024;
/// Peers remembered as sources of one missing envelope.
pub const SOURCES_MAX: usize = ACTIVE_MAX;
/// Superfluous pushes of one peer beyond the new envelopes that came meanwhile; more are an offence.
pub const USELESS_MAX: u64 = 256;
/// Digests waiting for one peer; what comes on top is left to reconciliation.
pub const DIGESTS_PENDING_MAX: usize = 4096;
/// Acks waiting for one peer.
pub const ACKS_PENDING_MAX: usize = 4096;
/// Own envelopes watched until another node holds them.
pub const WATCH_MAX: usize = 4096;
/// Envelopes of one catch-up that are announced to the others; more are left to reconciliation.
pub const ANNOUNCED_FILLS_MAX: u64 = 256;

/// Coded symbols kept up to date; enough for about 16,000 differences.
pub const RIBLT_PREFIX: usize = 22_000;
/// Entries in a range that are listed instead of being split further.
pub const LIST_MAX: u64 = 32;
/// Parts a range is split into at most.
pub const SPLIT_MAX: u64 = 16;
/// Ranges in the opening frame at most.
pub const OPEN_RANGES: usize = 7;
/// Frames a reconciliation may receive before it is given up.
pub const SESSION_FRAMES_MAX: u32 = 128;
/// Bytes a reconciliation may receive before it is given up.
pub const SESSION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Pieces of a set waiting to be sent to one peer.
pub const SPANS_MAX: usize = 32_768;
/// Envelopes asked of the store at once for one peer.
pub const FETCH_MAX: usize = 32;
/// Envelopes sent to one peer in catch-up and not acknowledged.
pub const UNACKED_MAX: usize = 512;
/// The same in bytes.
pub const UNACKED_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of envelopes gathered in one fill frame; a single larger one goes alone.
pub const FILL_BYTES: usize = 96 * 1024;

/// Peers whose score is remembered.
pub const SCORES_MAX: usize = 512;

/// Nodes that may be asked whether they can dial us, one for each network.
pub const CHECKERS_MAX: usize = 32;
/// Answers to that which are remembered.
pub const EVIDENCE_MAX: usize = 8;
/// Networks from which somebody must have come through to us before we say that strangers can.
pub const WITNESSES: usize = 2;

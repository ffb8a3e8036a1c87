//! Every bound of the sync protocol in one place. Those marked *wire* are part of the protocol.

use samizdat_core::limits::RECORD_MAX;

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
/// Connections that have not greeted yet: so many that came, and so many that we opened.
pub const GREETING_MAX: usize = 16;
/// Dials under way.
pub const DIALING_MAX: usize = 3;
/// Neighbours that a node chooses itself, if it knows so many peers: those who come fill the other places at most.
pub const CHOSEN_MIN: usize = 4;
/// Neighbours who came from one network prefix (IPv4 /24, IPv6 /48) and count as neighbours.
pub const VIEW_PER_PREFIX: usize = 3;
/// The same of those that a relay hides. More, since whoever has no other way shares this with all who have none.
pub const VIEW_HIDDEN: usize = 5;
/// Peers never reached that one network named, or that name one network; when memory is full, those beyond go first.
pub const KNOWN_PER_NETWORK: usize = 8;
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
/// Networks whose records' times are remembered.
pub const CLOCK_VOICES_MAX: usize = 8;
/// By so many seconds records may differ from our clock: what clocks may, and half the life of a record that is told.
pub const CLOCK_OFF_S: i64 = 9_000;
/// Networks from which somebody must have come through to us before we say that strangers can.
pub const WITNESSES: usize = 2;
/// Relays that are known.
pub const RELAYS_KNOWN_MAX: usize = 64;
/// Of those, in one network prefix.
pub const RELAYS_PER_PREFIX: usize = 2;
/// Relays that a node chooses for itself.
pub const RELAYS_CHOSEN: usize = 4;
/// Nodes in one answer of the routing (*wire*).
pub const CLOSER_MAX: usize = 20;
/// Longest question of the routing, bytes (*wire*): two records and what goes around them.
pub const QUESTION_MAX: usize = 2 * RECORD_MAX + 64;
/// Longest answer of the routing, bytes (*wire*).
pub const ANSWER_MAX: usize = (CLOSER_MAX + 1) * (RECORD_MAX + 4) + 16;

/// Paths of one search.
pub const PATHS_MAX: usize = 8;
/// Nodes of one network prefix in a bucket of the routing table.
pub const BUCKET_PER_PREFIX: usize = 2;
/// Nodes of one network prefix in the whole routing table.
pub const TABLE_PER_PREFIX: usize = 8;
/// Nodes of one network prefix that a search takes from one answer.
pub const ANSWER_PER_PREFIX: usize = 2;
/// Nodes that wait for a place in one bucket.
pub const WAITING_MAX: usize = 4;
/// Questions in a row that a node may leave unanswered before it loses its place, if nobody waits for it.
pub const NODE_FAILURES_MAX: u8 = 2;
/// Questions in a row that anybody left unanswered, after which we rather think that it is our own connection.
pub const OFFLINE_FAILURES: u32 = 16;
/// Records kept for others.
pub const STORED_MAX: usize = 1024;
/// Records kept for others of one network prefix; those behind one relay share its prefix.
pub const STORED_PER_PREFIX: usize = 32;
/// A record is kept if at most so many nodes beyond K are closer to it.
pub const STORE_SLACK: usize = 8;
/// Searches under way.
pub const LOOKUPS_MAX: usize = 32;
/// Nodes known to one search.
pub const LOOKUP_KNOWN_MAX: usize = 256;
/// Nodes that one path of a search asks.
pub const LOOKUP_ASKED_MAX: usize = 32;
/// Nodes that one path asks to refresh one bucket.
pub const REFRESH_ASKED_MAX: usize = 3;
/// Longest search, milliseconds.
pub const LOOKUP_MS_MAX: u64 = 60_000;
/// Questions of the routing under way.
pub const QUESTIONS_MAX: usize = 64;
/// Of those, questions whether somebody lives.
pub const PINGS_MAX: usize = 16;
/// Such questions that wait.
pub const PINGS_WAITING_MAX: usize = 32;
/// Strangers of one answer that are asked so.
pub const HEARD_MAX: usize = 2;
/// Strangers asked so in five minutes, each once.
pub const STRANGERS_MAX: usize = 128;
/// Nodes named by links, DNS and the like that are tried as long as nobody is known.
pub const SEEDS_MAX: usize = 16;
/// Questions taken from one asker, or one network prefix, per minute.
pub const QUESTIONS_PER_MINUTE: u32 = 120;
/// Askers, or network prefixes, answered per minute.
pub const ASKERS_PER_MINUTE: usize = 1024;
/// Verified records remembered, so that they are not verified again.
pub const VERIFIED_MAX: usize = 1024;

/// Tags in the first message of a contact session (*wire*): one for each epoch of a pair that is still read.
pub const CONTACT_TAGS: usize = 4;
/// Longest statement of where a contact is, bytes (*wire*).
pub const PRESENCE_LENGTH_MAX: usize = 2 * (ADDR_MAX + 48) + 24;
/// A statement of where a contact is holds at most so long, seconds; it may say less.
pub const PRESENCE_HOLDS_S: u64 = 24 * 3600;
/// After so long it is said anew, up to an eighth earlier: while it still holds, with time to spare for the way by the log.
pub const PRESENCE_RENEW_S: u64 = 18 * 3600;
/// So often that time doubles for a contact of whom nothing is heard, so that the statements do not pile up for one who is away.
pub const PRESENCE_UNHEARD_MAX: u32 = 6;
/// Envelopes on their way to a contact before it took one (*wire*).
pub const CONTACT_WINDOW: usize = 32;
/// Contacts with whom sessions are held.
pub const CONTACTS_MAX: usize = 256;
/// Secrets of one contact: the epochs that are still read of all pairs with it.
pub const CONTACT_SECRETS_MAX: usize = 16;
/// Connections of contacts, proven or not.
pub const CONTACT_LINKS_MAX: usize = 512;
/// How long a connection stays on which nobody proves to be a contact, milliseconds. It is never closed earlier: that would
/// tell what was wrong.
pub const CONTACT_HANDSHAKE_MS: u64 = 10_000;
/// Until a contact is dialled again after a failure, milliseconds; doubles each time.
pub const CONTACT_REDIAL_MS: u64 = 2_000;
/// Longest time until a contact is dialled again, milliseconds.
pub const CONTACT_REDIAL_MS_MAX: u64 = 15 * 60_000;
/// A first dial waits up to so long by chance, milliseconds, since the other side is likely to dial as well.
pub const CONTACT_JITTER_MS: u64 = 300;

//! Every bound of this crate in one place. Together they cap what one node spends on its peers.

use std::num::NonZeroU32;
use std::time::Duration;

pub use samizdat_core::limits::FRAME_MAX;

/// Events that wait for the owner of the receiver; then reading stops and QUIC slows the senders down.
/// At most `EVENTS_MAX * FRAME_MAX` = 16 MiB, in practice a few hundred kilobytes.
pub const EVENTS_MAX: usize = 64;
/// Frames that may wait for one peer.
pub const QUEUE_FRAMES_MAX: usize = 4096;
/// Bytes that may wait for one peer: one full page of the largest frames.
pub const QUEUE_BYTES_MAX: usize = 8 * FRAME_MAX;
/// Bytes a peer may send on one connection before we have read them. Memory is used only while they wait.
pub const RECEIVE_WINDOW: u32 = 512 * 1024;
/// Bytes sent to a peer and not acknowledged yet.
pub const SEND_WINDOW: u64 = 512 * 1024;
/// Frame bodies grow in steps of this many bytes as they arrive, so announcing a large frame costs us nothing.
pub const READ_STEP: usize = 16 * 1024;
/// Largest hello, bytes; later versions may append to the 17 bytes that are read today.
pub const HELLO_MAX: usize = 64;
/// Encoded addresses of one peer, bytes.
pub const ADDR_BYTES_MAX: usize = 256;
/// Socket addresses of one peer that are read, listed or dialled.
pub const ADDRS_MAX: usize = 8;
/// Relays of one peer that are read, listed or dialled: the one in use and the next.
pub const VIA_MAX: usize = 2;
/// Relays that a node may choose from.
pub const RELAYS_MAX: usize = 8;
/// How long a relay may take to be connected before the next is tried.
pub const RELAY_PATIENCE: Duration = Duration::from_secs(5);
/// The same when it was connected before: it is likely to be dead.
pub const RELAY_LOST: Duration = Duration::from_secs(1);
/// How long a relay may take to accept a connection before it passes for dead.
pub const RELAY_LOOK: Duration = Duration::from_millis(1500);
/// A dead relay is left alone for so long.
pub const RELAY_DEAD: Duration = Duration::from_secs(7);
/// Relays that are known to be dead.
pub const DEAD_RELAYS_MAX: usize = 32;
/// Doubts whether a relay lives that wait to be looked into.
pub const DOUBTS_MAX: usize = 32;
/// iroh empties the queue of a relay that it waits for every 3 s, and gives up a name that is not answered for as long.
pub const RELAY_QUEUE_DRAINED: Duration = Duration::from_secs(2);
/// A link through a relay on which what was sent is not answered for so long is given up: the relay or the peer is dead.
pub const RELAY_SILENCE: Duration = Duration::from_secs(3);
/// After so long a look is taken at the relay itself, so that one whose machine is silent is left before that.
pub const RELAY_DOUBT: Duration = Duration::from_secs(1);
/// How often that is looked at.
pub const RELAY_LISTEN: Duration = Duration::from_millis(250);
/// When an address of ours goes, links that used it so long before are given up.
pub const MOVE_MEMORY: Duration = Duration::from_secs(10);
/// So long after this machine moved contacts who were reached directly before are to be so again: the session is there after 3 to
/// 6 s, and iroh punches at once and 5 s later, 4 s long.
pub const PUNCHED_AGAIN: Duration = Duration::from_secs(15);
/// TLS session tickets that are kept; resumption is of little use between long-lived peers.
pub const TLS_TICKETS_MAX: usize = 32;
/// Abandoned paths are given up after this long; longer is not offered by the transport.
pub const PATH_IDLE_MAX: Duration = Duration::from_secs(15);
/// After this long without an answer from other addresses, those of this machine itself are tried too.
pub const LOOPBACK_DELAY: Duration = Duration::from_secs(3);

/// When a peer came again, what it had sent before on the old connection is read for this long.
pub const REPLACED_GRACE: Duration = Duration::from_millis(200);

/// Largest question, bytes: two node records and what goes around them.
pub const QUESTION_MAX: usize = 2048;
/// Largest answer, bytes: a bucket of node records.
pub const ANSWER_MAX: usize = 16 * 1024;
/// Questions of ours under way.
pub const ASKS_MAX: usize = 64;
/// Questions of others that wait for our answer.
pub const ASKED_MAX: usize = 64;
/// From the first packet of a question to the last of its answer.
pub const QUESTION_PATIENCE: Duration = Duration::from_secs(5);
/// For each part of a check whether somebody can be dialled.
pub const CHECK_PATIENCE: Duration = Duration::from_secs(4);
/// Certificates of relays that are remembered, those that strangers told of among them.
pub const PINS_MAX: usize = 256;
/// Keys of peers that our relay keeps unpacked.
pub const RELAY_KEYS_MAX: usize = 1024;
/// Senders, and networks of senders, whose bytes our relay counts at a time.
pub const QUOTAS_MAX: usize = 4096;
/// Largest message that our relay takes from a peer, bytes: what the relay protocol allows.
pub const RELAY_MESSAGE_MAX: usize = 1024 * 1024;
/// User name of a SOCKS5 proxy, bytes, and its password (*wire*).
pub const PROXY_LOGIN_MAX: usize = 255;
/// Connections through a proxy at a time.
pub const PROXY_CONNECTIONS_MAX: usize = 32;
/// For a proxy to reach a relay; Tor takes its time.
pub const PROXY_PATIENCE: Duration = Duration::from_secs(20);
/// After a connection could not be taken, for want of file handles most likely.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two calls to the local network, from three quarters of it to five.
pub const LAN_EVERY_MS: u64 = 30_000;
/// Packets of one address that are looked at in a minute: several nodes may be there.
pub const LAN_PER_SOURCE: u32 = 12;
/// Packets that are looked at in a minute.
pub const LAN_PER_MINUTE: u32 = 120;
/// Addresses that are told apart in a minute.
pub const LAN_SOURCES_MAX: usize = 64;
/// Local networks of this machine that are told.
pub const LAN_POSTS_MAX: usize = 16;
/// Packets that wait to be looked at, and nodes nearby that wait to be dialled.
pub const LAN_HEARD_MAX: usize = 32;

/// What a relay spends on others. [`RelayLimits::default`] suits a node at home with a fast line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections in all.
    pub connections: usize,
    /// Of these, from one IPv4 /24 or IPv6 /48.
    pub per_prefix: usize,
    /// Of these, from this machine itself.
    pub loopback: usize,
    /// Of these, of one peer: it comes again before the old one is known to be dead.
    pub per_peer: usize,
    /// Connections that have not asked to be relayed yet.
    pub handshakes: usize,
    /// From the TCP connection to the request to be relayed.
    pub handshake: Duration,
    /// Bytes a second that one peer may send, over all its connections.
    pub bytes_per_second: NonZeroU32,
    /// Bytes that it may send at once.
    pub burst_bytes: NonZeroU32,
    /// Bytes a second that all may send who come from one IPv4 /24 or IPv6 /48.
    pub prefix_bytes_per_second: NonZeroU32,
    /// Bytes that they may send at once.
    pub prefix_burst_bytes: NonZeroU32,
}

impl RelayLimits {
    /// The counts in the shape of the gate that strangers pass.
    pub(crate) fn gate(&self) -> Limits {
        Limits {
            inbound: self.connections,
            inbound_per_prefix: self.per_prefix,
            inbound_loopback: self.loopback,
            handshakes: self.handshakes,
            ..Limits::default()
        }
    }
}

impl Default for RelayLimits {
    fn default() -> Self {
        const fn kib(n: u32) -> NonZeroU32 {
            NonZeroU32::MIN.saturating_add(n.saturating_mul(1024).saturating_sub(1))
        }
        Self {
            connections: 512,
            per_prefix: 32,
            loopback: 64,
            per_peer: 2,
            handshakes: 64,
            handshake: Duration::from_secs(10),
            bytes_per_second: kib(256),
            burst_bytes: kib(1024),
            prefix_bytes_per_second: kib(1024),
            prefix_burst_bytes: kib(4096),
        }
    }
}

/// Bounds an operator may change. [`Limits::default`] suits a node at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that others opened to us.
    pub inbound: usize,
    /// Of these, from one IPv4 /24 or IPv6 /48.
    pub inbound_per_prefix: usize,
    /// Of these, from this machine itself.
    pub inbound_loopback: usize,
    /// Connections that others opened to us and that have not said hello yet.
    pub handshakes: usize,
    /// From this many unfinished handshakes on, a stranger must first prove that he owns his address.
    pub retry_from: usize,
    /// Dials in progress.
    pub dials: usize,
    /// From the first packet to the hello, in both directions.
    pub handshake: Duration,
    /// A connection that is silent below the frames is given up; keep-alives come every 5 s, so use at least twice that.
    pub idle: Duration,
    /// Longest time for one frame to pass, in either direction.
    pub stall: Duration,
    /// What is queued gets this long to leave on [`crate::Net::hangup`] and [`crate::Net::close`].
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbound: 128,
            inbound_per_prefix: 16,
            inbound_loopback: 64,
            handshakes: 32,
            retry_from: 16,
            dials: 32,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            linger: Duration::from_secs(2),
        }
    }
}

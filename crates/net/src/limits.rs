//! Every bound of this crate in one place. Together they cap what one node spends on its peers.

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
/// TLS session tickets that are kept; resumption is of little use between long-lived peers.
pub const TLS_TICKETS_MAX: usize = 32;
/// Abandoned paths are given up after this long; longer is not offered by the transport.
pub const PATH_IDLE_MAX: Duration = Duration::from_secs(15);
/// After this long without an answer from other addresses, those of this machine itself are tried too.
pub const LOOPBACK_DELAY: Duration = Duration::from_secs(3);

/// When a peer came again, what it had sent before on the old connection is read for this long.
pub const REPLACED_GRACE: Duration = Duration::from_millis(200);

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

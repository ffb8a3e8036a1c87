//! What goes into and comes out of [`crate::Gossip`].

use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour, PeerId};

use crate::codec::PeerAddr;
use crate::networks::Network;

/// What happened outside.
///
/// For each peer the shell reports `Connected`, then frames in order, then `Disconnected` exactly once, also after
/// [`Output::Hangup`] or when a queue to the peer overflowed. A second `Connected` replaces the first connection.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection stands; the peer proved its id.
    Connected {
        /// Who.
        peer: PeerId,
        /// How it was or can be reached; empty if unknown.
        addr: PeerAddr,
        /// Whether we dialled.
        dialed: bool,
        /// In whose network the other end is: by the packets that came, never by what the peer says.
        network: Network,
    },
    /// [`Output::Dial`] failed.
    DialFailed {
        /// Who could not be reached.
        peer: PeerId,
    },
    /// The connection is gone.
    Disconnected {
        /// With whom.
        peer: PeerId,
    },
    /// A whole frame came in.
    Frame {
        /// From whom.
        peer: PeerId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// An envelope was verified and stored durably.
    Stored {
        /// Its claimed hour.
        hour: Hour,
        /// Its id.
        id: EnvelopeId,
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// Who sent it; `None` if it was made here or came in another way.
        from: Option<PeerId>,
    },
    /// A candidate was already stored, or was one of several copies.
    Duplicate {
        /// Who sent it.
        peer: PeerId,
        /// Its id.
        id: EnvelopeId,
    },
    /// A candidate did not verify.
    Junk {
        /// Who sent it.
        peer: PeerId,
    },
    /// A candidate is good but is not kept: no room, another clock, a conflict lost.
    Declined {
        /// Who sent it.
        peer: PeerId,
        /// Its id.
        id: EnvelopeId,
    },
    /// An envelope is no longer held: expired, evicted or replaced.
    Removed {
        /// Its claimed hour.
        hour: Hour,
        /// Its id.
        id: EnvelopeId,
    },
    /// Answer to [`Output::Fetch`]; those not held any more are left out.
    Payloads {
        /// For whom they were fetched.
        peer: PeerId,
        /// Id and bytes of each.
        envelopes: Vec<(EnvelopeId, Arc<[u8]>)>,
    },
    /// The time of [`crate::Gossip::next_timeout`] has come.
    Timeout,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To whom.
        peer: PeerId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Connect; answered by [`Input::Connected`] or [`Input::DialFailed`].
    Dial {
        /// To whom.
        peer: PeerId,
        /// Where.
        addr: PeerAddr,
    },
    /// Close the connection after everything sent before has left.
    Hangup {
        /// With whom.
        peer: PeerId,
        /// Why.
        reason: HangupReason,
    },
    /// Verify and store these; each is answered by `Stored`, `Duplicate`, `Declined` or `Junk`.
    Candidates {
        /// Who sent them.
        peer: PeerId,
        /// Bytes as received.
        envelopes: Vec<Vec<u8>>,
    },
    /// Read these from the log; answered by one [`Input::Payloads`].
    Fetch {
        /// For whom.
        peer: PeerId,
        /// What.
        ids: Vec<EnvelopeId>,
    },
    /// Watched envelopes are now known to be held by a peer.
    Held {
        /// By whom.
        peer: PeerId,
        /// Which.
        ids: Vec<EnvelopeId>,
    },
    /// A reconciliation is over.
    Reconciled {
        /// With whom.
        peer: PeerId,
        /// Envelopes that we are going to send.
        sent: usize,
        /// Envelopes that the peer is going to send.
        received: usize,
        /// Bytes of all its frames, both ways, without envelopes.
        bytes: usize,
        /// Frames that came in.
        rounds: u32,
    },
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangupReason {
    /// No room for another neighbour.
    Full,
    /// Another neighbour takes its place.
    Replaced,
    /// The peer said goodbye.
    Left,
    /// The peer did not greet or answer in time.
    Silent,
    /// The peer misbehaved too much.
    Misbehaved,
}

/// A neighbour, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Neighbour since, on the monotonic clock.
    pub since_ms: u64,
    /// Points of misbehaviour, 0 for a good peer.
    pub score: u32,
    /// Whether we dialled.
    pub dialed: bool,
}

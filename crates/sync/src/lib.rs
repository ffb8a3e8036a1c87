//! Who to talk to, what to spread, what is missing.
//!
//! [`Gossip`] is one node's part in spreading envelopes, as a pure machine: inputs and the time go in, outputs come out, and
//! the same seed gives the same run. It knows envelopes only by hour and id; whoever drives it verifies and stores them.
//!
//! * [`view`]: neighbours, and others to fall back on (HyParView); of one network few count ([`networks`]).
//! * [`broadcast`]: what is new is announced to all, asked for at once, pushed ahead to a few.
//! * [`reconcile`]: what two sets lack of each other, by [`ranges`] over an ordered [`tree`] and coded symbols ([`riblt`]).
//! * [`sessions`] and [`transfer`]: when to reconcile, and sending what was found missing at the pace of the receiver.
//! * [`reach`]: whether strangers can dial us; [`relays`]: through which relays they reach us where they cannot.
//! * [`score`]: what misbehaviour costs.
//!
//! The frames are specified in docs/protocol/sync.md.
//!
//! [`routing::Router`] is another machine, of which gossip knows nothing: it finds the records of nodes. So is
//! [`contact::Contacts`]: it holds sessions with those who share a secret with us.

pub mod broadcast;
pub mod clocks;
pub mod codec;
pub mod contact;
pub mod draw;
pub mod event;
mod gossip;
pub mod index;
pub mod limits;
pub mod networks;
pub mod ranges;
pub mod reach;
pub mod reconcile;
pub mod relays;
pub mod riblt;
pub mod routing;
pub mod score;
pub mod sessions;
pub mod transfer;
pub mod tree;
pub mod view;

pub use codec::{Frame, FrameError, PeerAddr};
pub use event::{HangupReason, Input, Output, PeerStatus};
pub use gossip::{Config, Gossip};

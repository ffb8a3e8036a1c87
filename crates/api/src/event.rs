//! What a node says unasked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::Cluster;
use crate::shape::{Contact, ContactRequest, Conversation, Identity, Message, Mining, Status};

/// One frame of the event stream: an object whose field `event` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The stream has begun: what happens from now on is in it.
    Ready,
    /// A message is new or its state changed.
    Message {
        /// As it is now.
        message: Message,
    },
    /// Somebody wants to reach me, or a request was answered.
    Request {
        /// As it is now.
        request: ContactRequest,
    },
    /// A contact is new or changed.
    Contact {
        /// As it is now.
        contact: Contact,
    },
    /// A conversation is new, or its title, label or unread count changed.
    Conversation {
        /// As it is now.
        conversation: Conversation,
    },
    /// Something of a cluster changed: its members, requests, motions, or how I stand with it.
    Cluster {
        /// As it is now.
        cluster: Cluster,
    },
    /// The number of connected nodes changed.
    Peers {
        /// How many there are now.
        count: u64,
    },
    /// The status changed; at most once a second.
    Status {
        /// As it is now.
        status: Status,
    },
    /// Progress of a stamp.
    Stamp {
        /// The message that it is for.
        id: String,
        /// Tries so far.
        tries: u64,
        /// Tries that are needed on average.
        expected_tries: u64,
        /// Tries per second.
        rate: f64,
        /// Expected rest, seconds; unknown when absent.
        eta_s: Option<f64>,
    },
    /// Progress of a search for a name.
    Mining {
        /// As it is now.
        mining: Mining,
    },
    /// A search for a name ended.
    Mined {
        /// The search.
        id: String,
        /// What it found; nothing when it was cancelled.
        identity: Option<Identity>,
    },
    /// This client was too slow: events are missing, so everything must be read again.
    Lagged,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_event_is_a_field_of_it() {
        let peers = serde_json::to_string(&Event::Peers { count: 3 }).unwrap();
        assert_eq!(peers, r#"{"event":"peers","count":3}"#);
        assert_eq!(serde_json::from_str::<Event>(r#"{"event":"lagged"}"#).unwrap(), Event::Lagged);
    }
}

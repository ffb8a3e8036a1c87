//! What goes into and comes out of [`crate::routing::Router`].

use std::sync::Arc;

use samizdat_core::{NodeRecord, PeerId, record::Prefix};

use super::key::Key;

/// A question of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// A question of somebody else; chosen by the shell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token(pub u64);

/// A search that somebody asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LookupId(pub u64);

/// What one node asks another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Who is at this position, and who is near it? For the position of who is asked: are you there?
    Find {
        /// The position.
        target: Key,
    },
    /// Keep my record for those who look for it.
    Store {
        /// The record of the asker.
        record: Arc<NodeRecord>,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To a find.
    Nodes {
        /// The record of the node at that very position.
        found: Option<Arc<NodeRecord>>,
        /// The nodes closest to it that the answerer knows, at most [`crate::limits::CLOSER_MAX`].
        closer: Vec<Arc<NodeRecord>>,
    },
    /// To a store: whether it is kept.
    Stored(bool),
}

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody asks. Answered by one [`Output::Reply`] or [`Output::Refuse`].
    Asked {
        /// Names the question.
        token: Token,
        /// Who; the connection proves it.
        from: PeerId,
        /// The network from which it comes, unless a relay lies between.
        from_prefix: Option<Prefix>,
        /// Its record, if it says that it can be dialled.
        record: Option<Arc<NodeRecord>>,
        /// What.
        question: Question,
    },
    /// An answer came.
    Answered {
        /// To what.
        ticket: Ticket,
        /// The network in which the answerer was reached; what counts for diversity, whatever its record claims.
        from_prefix: Option<Prefix>,
        /// The answer.
        answer: Answer,
    },
    /// No answer will come.
    Failed {
        /// To what.
        ticket: Ticket,
    },
    /// The time of [`crate::routing::Router::next_timeout`] has come.
    Timeout,
}

/// What is to be done outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Ask. Answered by `Answered` or `Failed`; what takes too long fails by itself.
    Ask {
        /// Names the question.
        ticket: Ticket,
        /// Whom.
        to: Arc<NodeRecord>,
        /// Our record to send along, if we can be dialled.
        record: Option<Arc<NodeRecord>>,
        /// What.
        question: Question,
    },
    /// Answer.
    Reply {
        /// To what.
        token: Token,
        /// The answer.
        answer: Answer,
    },
    /// Do not answer: somebody asks too much.
    Refuse {
        /// What.
        token: Token,
    },
    /// A search is over.
    Found {
        /// Which.
        lookup: LookupId,
        /// The record of the node at that very position.
        record: Option<Arc<NodeRecord>>,
        /// The closest that answered, the closest first.
        closest: Vec<Arc<NodeRecord>>,
        /// How many nodes one after the other led there.
        hops: u32,
        /// How many nodes were asked.
        asked: usize,
    },
    /// Our record was given to those who are closest to us.
    Published {
        /// How many keep it.
        stored: usize,
    },
}

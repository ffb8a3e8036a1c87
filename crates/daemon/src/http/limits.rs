//! Every bound of the HTTP server that its clients need not know; the others are in `samizdat_api::limits`.

use std::time::Duration;

/// Connections at a time; more wait to be accepted.
pub const MAX_CONNECTIONS: usize = 64;
/// Clients of the event stream at a time.
pub const MAX_LISTENERS: usize = 32;
/// Questions waiting for the loop.
pub const MAX_QUEUE: usize = 256;
/// Events that a slow client may be behind before it must reload.
pub const MAX_EVENTS: usize = 1024;
/// Header fields of a request.
pub const MAX_HEADERS: usize = 64;
/// Head of a request, bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Within this time the head of a request must come; so long may a connection be idle, too.
pub const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Within this time the body of a request must come.
pub const BODY_WITHIN: Duration = Duration::from_secs(15);
/// The longest pause inside a log slice that is being imported.
pub const IMPORT_PAUSE: Duration = Duration::from_secs(30);
/// How long a question may wait for a place in the loop's queue.
pub const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// How long the loop may take for an answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long the loop may take for an answer that grows with the log.
pub const LONG_ANSWER_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long a client may take to accept an event.
pub const EVENT_WITHIN: Duration = Duration::from_secs(20);
/// How long open connections may take to end when the node does.
pub const GRACE: Duration = Duration::from_secs(3);
/// Passphrases of clusters that are computed at a time: each takes 64 MiB.
pub(super) const PHRASES_AT_ONCE: usize = 1;
/// Links into the web UI that are waiting to be used.
pub const MAX_UI_LINKS: usize = 16;
/// How long such a link works.
pub const UI_LINK_LIFETIME: Duration = Duration::from_secs(120);
/// Largest frame that a client may send over the WebSocket, bytes: it has nothing to say but the token.
pub(super) const MAX_FRAME: usize = 1024;

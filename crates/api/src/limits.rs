//! Every bound of the local API, for both of its ends.

use std::time::Duration;

/// Largest request body, bytes; an imported log slice is exempt.
pub const MAX_BODY: usize = 256 * 1024;
/// Largest imported log slice, bytes.
pub const MAX_IMPORT: u64 = 16 << 30;
/// Largest text that `qr.svg` draws, bytes.
pub const MAX_QR_TEXT: usize = 2048;
/// Messages that a listing returns when it does not say how many.
pub const DEFAULT_MESSAGES: u32 = 200;
/// Messages that a listing returns at most.
pub const MAX_MESSAGES: u32 = 1000;
/// How long `wait` waits when it does not say how long, seconds.
pub const DEFAULT_WAIT_S: u64 = 60;
/// How long `wait` waits at most, seconds.
pub const MAX_WAIT_S: u64 = 24 * 60 * 60;
/// Largest frame of the event stream, bytes.
pub const MAX_EVENT: usize = 1024 * 1024;
/// Within this time after opening the event stream its token must come.
pub const TOKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long a client waits for the answer of a local node, beyond any `wait`.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(45);
/// How long a client waits for a connection to a local node.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long after a failed call a client looks once more whether the node has ended.
pub const SECOND_LOOK: Duration = Duration::from_millis(200);
/// Largest answer that a client reads, bytes; an exported log slice is exempt.
pub const MAX_ANSWER: u64 = 64 << 20;

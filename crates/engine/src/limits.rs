//! Bounds of the engine; the machines inside have their own.

/// Questions of ours under way.
pub(crate) const ASKING_MAX: usize = 64;
/// Checks made for others in a minute, whether strangers can dial them.
pub(crate) const CHECKS_PER_MINUTE: usize = 16;
/// Neighbours that are asked at a time who they are.
pub(crate) const INTRODUCTIONS: usize = 3;
/// Until what a contact handed over is read again after the disk failed, milliseconds.
pub(crate) const KEEP_AGAIN_MS: u64 = 1_000;
/// What contacts handed over and waits to be read, bytes: far more than comes at a time while the disk works. Who hands over more
/// is hung up on.
pub(crate) const CAME_BYTES_MAX: usize = 16 << 20;
/// Nodes that may be silent one after the other when they are asked to show that our own line works.
pub(crate) const CONTROLS_MAX: usize = 3;
/// Endpoints for contacts find their addresses one after the other; contacts are told when nothing changed for so long,
/// milliseconds.
pub(crate) const TELL_SETTLE_MS: u64 = 1_500;
/// While there is no address to tell, a contact is told that we allow a direct connection only when nothing changed for so long,
/// milliseconds: a relay may be found first.
pub(crate) const TELL_ALLOWED_MS: u64 = 10_000;
/// Between two statements to one contact of where we are, milliseconds. Doubles each time, up to the second, until it is heard:
/// each is an envelope that somebody who is away has to skip one day.
pub(crate) const TELL_GAP_MS: u64 = 60_000;
pub(crate) const TELL_GAP_MS_MAX: u64 = 6 * 3_600_000;
/// How long the endpoints for contacts keep their keys, give or take an eighth, milliseconds.
pub(crate) const CONTACT_TERM_MS: u64 = 24 * 3_600_000;

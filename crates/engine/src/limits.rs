//! Bounds of the engine; the machines inside have their own.

/// Questions of ours under way.
pub(crate) const ASKING_MAX: usize = 64;
/// Checks made for others in a minute, whether strangers can dial them.
pub(crate) const CHECKS_PER_MINUTE: usize = 16;
/// Neighbours that are asked at a time who they are.
pub(crate) const INTRODUCTIONS: usize = 3;

//! The small values that every crate agrees on. None of them converts into another.

use core::fmt;

/// Hash that names one envelope; see docs/protocol/envelope.md.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeId(pub [u8; 32]);

/// Transport key of a node: it meets strangers and is never linked to a [`crate::identity::Name`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 32]);

/// Hours since the Unix epoch: the only resolution of time on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hour(pub u32);

/// A point on the caller's clocks. Machines receive it and never ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Milliseconds on a clock that never goes back; its zero is arbitrary.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch by the local wall clock, which may be wrong.
    pub unix_ms: u64,
}

impl Now {
    /// The hour on the wall clock.
    pub fn hour(self) -> Hour {
        Hour(u32::try_from(self.unix_ms / 3_600_000).unwrap_or(u32::MAX))
    }
}

fn hex_prefix(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_prefix(&self.0, f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("peer:")?;
        hex_prefix(&self.0, f)
    }
}

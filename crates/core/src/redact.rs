//! Keeps what is sensitive out of logs.

use core::fmt;

/// Shows nothing of its content in `Debug`; there is no `Display` on purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(super::Redacted("meet me at noon"))), "Some([redacted])");
    }
}

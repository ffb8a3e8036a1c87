//! Counts of what was not taken, and why. No ids, no peers: a number is all that anybody needs to see.

use samizdat_core::Reject;

/// Envelopes that were not taken since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Did not decode.
    pub malformed: u64,
    /// Claimed an hour that has not come.
    pub future: u64,
    /// Came after their lifetime.
    pub expired: u64,
    /// Paid too little.
    pub stamp: u64,
    /// Were forged.
    pub signature: u64,
    /// Were here already.
    pub duplicate: u64,
    /// Lost a conflict with another of the same author and position.
    pub conflict: u64,
    /// Would be the first to go from a full log.
    pub budget: u64,
    /// Could not be written: a full or failing disk. They come again.
    pub disk: u64,
}

impl Drops {
    pub(crate) fn count(&mut self, reject: &Reject) {
        let counter = match reject {
            Reject::Decode(_) => &mut self.malformed,
            Reject::Future => &mut self.future,
            Reject::Expired => &mut self.expired,
            Reject::Stamp => &mut self.stamp,
            Reject::Signature => &mut self.signature,
        };
        *counter = counter.saturating_add(1);
    }
}

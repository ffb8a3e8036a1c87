//! Whether anything was ever encrypted twice under one key and nonce: within the group as the MLS library does it, around it as
//! it shows on the wire.

use std::collections::BTreeMap;

use samizdat_chat::mls::watch::Sealed;
use sha2::{Digest, Sha256};

/// All that was encrypted in one schedule.
#[derive(Debug, Default)]
pub(super) struct Seals {
    inner: BTreeMap<([u8; 16], [u8; 12]), [u8; 16]>,
    keys: BTreeMap<[u8; 16], [u8; 16]>,
    outer: BTreeMap<([u8; 16], [u8; 16]), [u8; 32]>,
    /// Two contents under one key and nonce, which must never be.
    pub(super) reused: usize,
    /// Two contents under one key and two nonces: what a restored copy does, and what the random guard in the nonce is for.
    pub(super) guarded: usize,
}

impl Seals {
    /// Notes what the MLS library encrypted.
    pub(super) fn inner(&mut self, sealed: &[Sealed]) {
        for sealed in sealed {
            let known = self.inner.entry((sealed.key, sealed.nonce)).or_insert(sealed.content);
            self.reused = self.reused.saturating_add(usize::from(*known != sealed.content));
            let known = self.keys.entry(sealed.key).or_insert(sealed.content);
            self.guarded = self.guarded.saturating_add(usize::from(*known != sealed.content));
        }
    }

    /// Notes a body on the wire. Its key follows from what the tag follows from, and from the salt that it begins with.
    pub(super) fn outer(&mut self, tag: [u8; 16], body: &[u8]) {
        let Some((salt, sealed)) = body.split_first_chunk::<16>() else { return };
        let digest: [u8; 32] = Sha256::digest(sealed).into();
        let known = self.outer.entry((tag, *salt)).or_insert(digest);
        self.reused = self.reused.saturating_add(usize::from(*known != digest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_twice_is_seen() {
        let mut seals = Seals::default();
        let one = Sealed { key: [1; 16], nonce: [1; 12], content: [1; 16] };
        seals.inner(&[one, one, Sealed { key: [2; 16], content: [2; 16], ..one }]);
        assert_eq!((seals.reused, seals.guarded), (0, 0));
        seals.inner(&[Sealed { nonce: [2; 12], content: [3; 16], ..one }]);
        assert_eq!((seals.reused, seals.guarded), (0, 1));
        seals.inner(&[Sealed { content: [4; 16], ..one }]);
        assert_eq!(seals.reused, 1);
        seals.outer([1; 16], &[1; 40]);
        seals.outer([1; 16], &[1; 40]);
        assert_eq!(seals.reused, 1);
        seals.outer([1; 16], &[&[1; 16][..], &[2; 24]].concat());
        assert_eq!(seals.reused, 2);
    }
}

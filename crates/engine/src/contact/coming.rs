//! What contacts handed over and was not read yet. It is read at the next commit, unless the disk fails: then it waits, and who
//! hands over more than there is room for is hung up on. What is dropped was not acknowledged, so it comes again, or by the log.

use std::collections::BTreeSet;

use samizdat_core::Now;
use samizdat_sync::contact::Who;

use crate::limits::{CAME_BYTES_MAX, KEEP_AGAIN_MS};

/// An envelope that a contact handed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) who: Who,
    pub(super) link: u64,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Coming {
    waiting: Vec<Came>,
    bytes: usize,
    /// Until then all is left alone, on the monotonic clock: the disk failed.
    late_until_ms: Option<u64>,
}

impl Coming {
    /// Whether there is room for it.
    pub(super) fn push(&mut self, came: Came) -> bool {
        let bytes = self.bytes.saturating_add(came.bytes.len());
        let fits = bytes <= CAME_BYTES_MAX;
        if fits {
            self.bytes = bytes;
            self.waiting.push(came);
        }
        fits
    }

    /// Drops what came on connections that are gone, and cannot be acknowledged. Without a failure it is read in a moment all the same.
    pub(super) fn let_go(&mut self, is_gone: impl Fn(u64) -> bool) {
        if self.late_until_ms.is_some() {
            self.waiting.retain(|came| !is_gone(came.link));
            self.count();
        }
    }

    /// When to read again what the disk did not take.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then(|| self.late_until_ms.unwrap_or_default())
    }

    /// Reads all whose time has come; `read` says whether the disk did its part. Whoever's envelope it did not take waits with all
    /// that came after it, and holds up nobody else: one broken row can be the reason.
    pub(super) fn read(&mut self, now: Now, mut read: impl FnMut(&Came) -> bool) {
        if self.late_until_ms.is_some_and(|late_until_ms| now.mono_ms < late_until_ms) {
            return;
        }
        let mut late = BTreeSet::new();
        self.waiting.retain(|came| {
            let waits = late.contains(&came.who) || !read(came);
            if waits {
                late.insert(came.who);
            }
            waits
        });
        self.count();
        self.late_until_ms = (!late.is_empty()).then(|| now.mono_ms.saturating_add(KEEP_AGAIN_MS));
    }

    fn count(&mut self) {
        self.bytes = self.waiting.iter().map(|came| came.bytes.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use samizdat_core::limits::FRAME_MAX;

    use super::*;

    const ALICE: i64 = 1;
    const BOB: i64 = 2;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms }
    }

    fn came(who: i64, link: u64, bytes: &[u8]) -> Came {
        Came { who: Who(who), link, bytes: bytes.to_vec() }
    }

    /// What is read while that of these contacts fails.
    fn read(coming: &mut Coming, now: Now, failing: &[i64]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        coming.read(now, |came| {
            all.push(came.bytes.clone());
            !failing.contains(&came.who.0)
        });
        all
    }

    #[test]
    fn what_fails_of_one_contact_waits_in_order_and_holds_up_nobody_else() {
        let mut coming = Coming::default();
        for (who, said) in [(ALICE, b"a1"), (BOB, b"b1"), (ALICE, b"a2"), (BOB, b"b2")] {
            assert!(coming.push(came(who, 7, said)));
        }
        assert_eq!(read(&mut coming, at(0), &[ALICE]), [b"a1", b"b1", b"b2"]);
        assert_eq!(coming.next_timeout(), Some(KEEP_AGAIN_MS));
        assert!(coming.push(came(BOB, 7, b"b3")) && read(&mut coming, at(KEEP_AGAIN_MS - 1), &[]).is_empty());
        assert_eq!(read(&mut coming, at(KEEP_AGAIN_MS), &[]), [b"a1", b"a2", b"b3"]);
        assert_eq!((coming.next_timeout(), coming.bytes), (None, 0));
    }

    #[test]
    fn while_the_disk_fails_there_is_room_for_so_much_and_what_came_on_a_link_that_is_gone_makes_room() {
        let mut coming = Coming::default();
        let most = CAME_BYTES_MAX / FRAME_MAX;
        let pushed = |coming: &mut Coming, link| coming.push(came(ALICE, link, &[0; FRAME_MAX]));
        assert!((0..most).all(|n| pushed(&mut coming, n as u64 % 2)) && !pushed(&mut coming, 2));
        coming.let_go(|link| link == 0);
        assert!(!pushed(&mut coming, 2), "nothing failed yet: all of it is about to be read");
        assert_eq!(read(&mut coming, at(0), &[ALICE]).len(), 1);
        assert!(!pushed(&mut coming, 2));
        coming.let_go(|link| link == 0);
        assert!((0..most / 2).all(|_| pushed(&mut coming, 2)) && !pushed(&mut coming, 2));
        assert_eq!(read(&mut coming, at(KEEP_AGAIN_MS), &[]).len(), most);
        assert!(pushed(&mut coming, 2));
    }
}

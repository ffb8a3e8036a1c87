//! Which slots were used: each carries one message.

use std::collections::BTreeMap;

use super::Anonymous;

/// Messages by the slots that they used. Never more than slots were published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent(BTreeMap<(u64, [u8; 32]), [u8; 32]>);

/// What becomes of an anonymous message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It is the first of its slot: show it.
    New,
    /// It was known.
    Known,
    /// Its slot was used for another one, which does not count any more: show this one, and no longer that.
    Instead {
        /// [`Anonymous::id`] of the other.
        of: [u8; 32],
    },
    /// Its slot was used for another one, which counts: do not show it.
    Refused,
}

impl Spent {
    /// Tells again which message counted, from where it was kept.
    pub fn recall(&mut self, epoch: u64, image: [u8; 32], id: [u8; 32]) {
        self.0.insert((epoch, image), id);
    }

    /// Counts a message. Of two by one slot the one with the lower id counts, in whatever order they came.
    pub fn add(&mut self, message: &Anonymous) -> Counted {
        let slot = (message.epoch(), message.image());
        let known = self.0.get(&slot).copied();
        match known {
            Some(known) if known == message.id() => Counted::Known,
            Some(known) if known < message.id() => Counted::Refused,
            _ => {
                self.0.insert(slot, message.id());
                known.map_or(Counted::New, |of| Counted::Instead { of })
            }
        }
    }

    /// Forgets epochs before this one, once nothing of them is accepted any more.
    pub fn forget_before(&mut self, epoch: u64) {
        self.0 = self.0.split_off(&(epoch, [0; 32]));
    }

    /// How many messages count.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

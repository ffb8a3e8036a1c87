//! Positions, and how far they lie apart.

use core::fmt;

use samizdat_core::{NodeRecord, PeerId, record::position};

use crate::draw::Draw;

const WORD: u32 = u64::BITS;

/// A position: where a node stands, or somewhere. In words, the most significant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u64; 4]);

/// How far two positions lie apart: their exclusive or, as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Distance([u64; 4]);

impl Key {
    /// Where a node stands.
    pub fn of(peer: &PeerId) -> Self {
        Self::from_bytes(&position(peer))
    }

    /// Where the node of a record stands; costs no hash.
    pub fn at(record: &NodeRecord) -> Self {
        Self::from_bytes(record.position())
    }

    /// From the wire.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        words.iter_mut().zip(bytes.as_chunks().0).for_each(|(word, bytes)| *word = u64::from_be_bytes(*bytes));
        Self(words)
    }

    /// For the wire.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.as_chunks_mut().0.iter_mut().zip(self.0).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        bytes
    }

    /// Exclusive or.
    pub fn distance(self, other: Self) -> Distance {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Distance([a ^ e, b ^ f, c ^ g, d ^ h])
    }

    /// How many bits the two begin with in common, at most 256.
    pub fn shared_bits(self, other: Self) -> u32 {
        let mut shared = 0_u32;
        for word in self.distance(other).0 {
            shared = shared.saturating_add(word.leading_zeros());
            if word != 0 {
                break;
            }
        }
        shared
    }

    /// A random position that has exactly so many bits in common with this one.
    pub(crate) fn beside(self, shared: u32, draw: &mut Draw) -> Self {
        let mut words = self.0;
        let mut start = 0_u32;
        for word in &mut words {
            let kept = shared.saturating_sub(start).min(WORD);
            let mask = u64::MAX.checked_shl(WORD.saturating_sub(kept)).unwrap_or(0);
            let last = 1_u64.checked_shl(WORD.saturating_sub(1).saturating_sub(kept)).filter(|_| kept < WORD && start <= shared);
            let flip = last.unwrap_or(0);
            let chance = draw.word();
            *word = *word & mask | !*word & flip | chance & !mask & !flip;
            start = start.saturating_add(WORD);
        }
        Self(words)
    }
}

impl Distance {
    /// Whether it is no distance at all.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; 4]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, ..] = self.0;
        write!(f, "at:{:08x}", first >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_beside_another_has_just_so_much_in_common() {
        let (own, mut draw) = (Key::of(&PeerId([1; 32])), Draw::new([1; 32]));
        for shared in 0..256 {
            assert_eq!(own.shared_bits(own.beside(shared, &mut draw)), shared);
        }
        assert_eq!(own.shared_bits(own), 256);
        assert_ne!(own.beside(3, &mut draw), own.beside(3, &mut draw));
    }

    #[test]
    fn the_more_bits_are_shared_the_closer() {
        let (own, mut draw) = (Key::of(&PeerId([1; 32])), Draw::new([1; 32]));
        let far: Vec<Distance> = (0..256).map(|shared| own.distance(own.beside(shared, &mut draw))).collect();
        assert!(far.is_sorted_by(|a, b| a > b));
        assert_eq!(Key::from_bytes(&own.to_bytes()), own);
    }
}

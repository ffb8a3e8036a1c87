//! Chance, drawn from the one generator of a node, so that a run repeats from its seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The generator of one node.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The generator for a seed; the seed must be secret, or strangers can foresee whom we choose.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A number below `end`, or 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below 2^-32 for all that is asked here.
        self.0.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// True with this chance in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// A duration between 3/4 and 5/4 of the given one.
    pub fn around(&mut self, ms: u64) -> u64 {
        ms.saturating_sub(ms / 4).saturating_add(self.below((ms / 2).max(1)))
    }

    /// One of the items.
    pub fn pick<T>(&mut self, items: impl IntoIterator<Item = T>) -> Option<T> {
        self.sample(items, 1).pop()
    }

    /// At most `count` of the items, in no order.
    pub fn sample<T>(&mut self, items: impl IntoIterator<Item = T>, count: usize) -> Vec<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !items.is_empty() {
            let at = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
            chosen.push(items.swap_remove(at));
        }
        chosen
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number for a session.
    pub fn number(&mut self) -> u32 {
        self.0.next_u32()
    }
}

//! Malicious nodes: they know each other, and lie to everybody else.

use std::sync::Arc;

use samizdat_core::NodeRecord;
use samizdat_sync::routing::{Answer, Key};

/// Accomplices next to a position that are compared before the closest are named.
const AROUND: usize = 64;

/// What a malicious node does when it is asked who is near a position. All say that they live, and that they store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vice {
    /// Names only accomplices, the closest.
    Steers,
    /// Knows nobody.
    Hides,
    /// Lets the asker wait.
    Stalls,
}

impl Vice {
    pub(super) const ALL: [Self; 3] = [Self::Steers, Self::Hides, Self::Stalls];
}

/// All living accomplices by position.
#[derive(Debug, Default)]
pub(super) struct Crowd(Vec<(Key, Arc<NodeRecord>)>);

impl Crowd {
    pub(super) fn add(&mut self, record: &Arc<NodeRecord>) {
        let key = Key::at(record);
        match self.0.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    known.1 = Arc::clone(record);
                }
            }
            Err(at) => self.0.insert(at, (key, Arc::clone(record))),
        }
    }

    pub(super) fn remove(&mut self, record: &NodeRecord) {
        if let Ok(at) = self.0.binary_search_by_key(&Key::at(record), |(key, _)| *key) {
            self.0.remove(at);
        }
    }

    /// What is answered to a search, if anything.
    pub(super) fn answer(&self, vice: Vice, target: Key, k: usize) -> Option<Answer> {
        let closer = match vice {
            Vice::Stalls => return None,
            Vice::Hides => Vec::new(),
            Vice::Steers => self.closest(target, k),
        };
        Some(Answer::Nodes { found: None, closer })
    }

    fn closest(&self, target: Key, k: usize) -> Vec<Arc<NodeRecord>> {
        let at = self.0.partition_point(|(key, _)| *key < target);
        let from = at.saturating_sub(AROUND);
        let mut near: Vec<_> = self.0.iter().skip(from).take(AROUND.saturating_mul(2)).collect();
        near.sort_unstable_by_key(|(key, _)| key.distance(target));
        near.into_iter().take(k).map(|(_, record)| Arc::clone(record)).collect()
    }
}

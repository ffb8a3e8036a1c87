//! Who asked how often.

use std::collections::BTreeMap;

use samizdat_core::{PeerId, record::Prefix};

use crate::limits::{ASKERS_PER_MINUTE, QUESTIONS_PER_MINUTE};

const MINUTE_MS: u64 = 60_000;

/// A network where it is known: keys are cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Prefix(Prefix),
    Peer(PeerId),
}

/// Questions of this minute.
#[derive(Debug, Default)]
pub(crate) struct Askers {
    since_ms: u64,
    asked: BTreeMap<Asker, u32>,
}

impl Askers {
    /// Whether another question is answered.
    pub(crate) fn may(&mut self, from: PeerId, prefix: Option<Prefix>, now: u64) -> bool {
        if self.since_ms.saturating_add(MINUTE_MS) <= now {
            self.since_ms = now;
            self.asked.clear();
        }
        let asker = prefix.map_or(Asker::Peer(from), Asker::Prefix);
        if self.asked.len() >= ASKERS_PER_MINUTE && !self.asked.contains_key(&asker) {
            return false;
        }
        let asked = self.asked.entry(asker).or_default();
        *asked = asked.saturating_add(1);
        *asked <= QUESTIONS_PER_MINUTE
    }
}

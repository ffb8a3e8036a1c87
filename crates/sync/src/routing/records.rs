//! Records that others find at this node, because it stands close to their positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use samizdat_core::{NodeRecord, Now};

use super::key::{Distance, Key};
use crate::limits::{STORED_MAX, STORED_PER_PREFIX};

/// Records kept for others, by their distance from us.
#[derive(Debug)]
pub(crate) struct Records {
    own: Key,
    held: BTreeMap<Distance, Held>,
}

#[derive(Debug)]
struct Held {
    record: Arc<NodeRecord>,
    /// On the monotonic clock. A record is given away fresh, so after its lifetime it is old, whichever clock is wrong.
    until_ms: u64,
}

impl Records {
    pub(crate) fn new(own: Key) -> Self {
        Self { own, held: BTreeMap::new() }
    }

    pub(crate) fn get(&self, position: Key, now: Now) -> Option<&Arc<NodeRecord>> {
        self.held.get(&self.own.distance(position)).filter(|held| held.holds(now)).map(|held| &held.record)
    }

    /// Keeps a record, if there is room or a place farther from us to give up. Answers whether it is kept now.
    pub(crate) fn store(&mut self, record: &Arc<NodeRecord>, now: Now) -> bool {
        let life_ms = u64::from(record.fields().lifetime_s).saturating_mul(1000);
        let new = Held { record: Arc::clone(record), until_ms: now.mono_ms.saturating_add(life_ms) };
        if !new.holds(now) {
            return false;
        }
        let at = self.own.distance(Key::at(record));
        let held = self.held.get(&at).map(|held| &held.record);
        if held.is_some_and(|held| held.bytes() != record.bytes() && !record.supersedes(held)) {
            return false;
        }
        if held.is_none_or(|held| held.prefix() != record.prefix()) {
            let beside = self.held.values().filter(|other| other.record.prefix() == record.prefix()).count();
            if beside >= STORED_PER_PREFIX || held.is_none() && !self.make_room(at, now) {
                return false;
            }
        }
        self.held.insert(at, new);
        true
    }

    /// Gives up the farthest record if need be and if it is farther than `at`: those far away have others who are closer.
    fn make_room(&mut self, at: Distance, now: Now) -> bool {
        if self.held.len() >= STORED_MAX {
            self.retain(now, |_| true);
        }
        let farther = self.held.last_key_value().is_some_and(|(farthest, _)| *farthest > at);
        self.held.len() < STORED_MAX || farther && self.held.pop_last().is_some()
    }

    /// Forgets what holds no more, and what others are meant to keep by now.
    pub(crate) fn retain(&mut self, now: Now, ours: impl Fn(Key) -> bool) {
        self.held.retain(|_, held| held.holds(now) && ours(Key::at(&held.record)));
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

impl Held {
    fn holds(&self, now: Now) -> bool {
        now.mono_ms <= self.until_ms && self.record.holds(now.unix_ms / 1000)
    }
}

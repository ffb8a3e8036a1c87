//! Records that others find at this node, because it stands close to their positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use samizdat_core::NodeRecord;

use super::key::{Distance, Key};
use crate::limits::{STORED_MAX, STORED_PER_PREFIX};

/// Records kept for others, by their distance from us.
#[derive(Debug)]
pub(crate) struct Records {
    own: Key,
    held: BTreeMap<Distance, Arc<NodeRecord>>,
}

impl Records {
    pub(crate) fn new(own: Key) -> Self {
        Self { own, held: BTreeMap::new() }
    }

    pub(crate) fn get(&self, position: Key) -> Option<&Arc<NodeRecord>> {
        self.held.get(&self.own.distance(position))
    }

    /// Keeps a record, if there is room or a place farther from us to give up. Answers whether it is kept now.
    pub(crate) fn store(&mut self, record: &Arc<NodeRecord>, unix_s: u64) -> bool {
        if !record.holds(unix_s) {
            return false;
        }
        let at = self.own.distance(Key::of(&record.peer()));
        match self.held.get(&at) {
            Some(held) if held.bytes() == record.bytes() => return true,
            Some(held) if !record.supersedes(held) => return false,
            Some(held) if held.prefix() == record.prefix() => {}
            held => {
                let beside = self.held.values().filter(|other| other.prefix() == record.prefix()).count();
                if beside >= STORED_PER_PREFIX {
                    return false;
                }
                if held.is_none() && self.held.len() >= STORED_MAX && !self.make_room(at, unix_s) {
                    return false;
                }
            }
        }
        self.held.insert(at, Arc::clone(record));
        true
    }

    /// Gives up the farthest record, if it is farther than `at`: those far away have others who are closer.
    fn make_room(&mut self, at: Distance, unix_s: u64) -> bool {
        self.expire(unix_s);
        if self.held.len() < STORED_MAX {
            return true;
        }
        let farther = self.held.last_key_value().is_some_and(|(farthest, _)| *farthest > at);
        farther && self.held.pop_last().is_some()
    }

    pub(crate) fn expire(&mut self, unix_s: u64) {
        self.held.retain(|_, record| record.holds(unix_s));
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

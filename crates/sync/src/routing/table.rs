//! The nodes that we know: many that are close, few that are far.
//!
//! Buckets by the number of bits that a position begins with in common with ours. Who has been there longest stays as long
//! as it answers: who lived long lives longer, and nobody is pushed out by strangers.

use std::sync::Arc;

use samizdat_core::{NodeRecord, PeerId, record::Prefix};

use super::key::Key;
use crate::draw::Draw;
use crate::limits::{BUCKET_PER_PREFIX, NODE_FAILURES_MAX, TABLE_PER_PREFIX, WAITING_MAX};

/// Who was seen so lately is not asked whether it lives.
const FRESH_MS: u64 = 900_000;
/// A bucket that nobody looked into for so long is refreshed.
const REFRESH_MS: u64 = 3_600_000;

/// A node that answered a question of ours.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) record: Arc<NodeRecord>,
    pub(crate) prefix: Option<Prefix>,
    seen_ms: u64,
    failures: u8,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The one seen longest ago first.
    entries: Vec<Entry>,
    /// Who would take the next free place, the last one first.
    waiting: Vec<Arc<NodeRecord>>,
    looked_ms: Option<u64>,
}

/// What the table could do with a node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is there.
    Known,
    /// There is room, should it answer.
    Room,
    /// There is none. Whoever was seen longest ago, if that is long.
    Full(Option<Arc<NodeRecord>>),
    /// Ourselves, too many of its network, or cannot be dialled.
    Never,
}

/// The nodes that we know.
#[derive(Debug)]
pub(crate) struct Table {
    own: Key,
    k: usize,
    buckets: Vec<Bucket>,
}

impl Table {
    pub(crate) fn new(own: Key, k: usize) -> Self {
        Self { own, k, buckets: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Entry> {
        self.bucket(key)?.entries.iter().find(|entry| entry.key == key)
    }

    /// What could be done with this node, whose network is `prefix`.
    pub(crate) fn place(&self, record: &NodeRecord, prefix: Option<Prefix>, now: u64) -> Place {
        let key = Key::at(record);
        if key == self.own || record.fields().addrs.is_empty() {
            return Place::Never;
        }
        if self.get(key).is_some() {
            return Place::Known;
        }
        let entries = self.bucket(key).map_or(&[][..], |bucket| &bucket.entries);
        let beside = |entry: &&Entry| prefix.is_some() && entry.prefix == prefix;
        if entries.iter().filter(beside).count() >= BUCKET_PER_PREFIX {
            return Place::Never;
        }
        if entries.len() < self.k {
            let crowded = self.entries().filter(beside).count() >= TABLE_PER_PREFIX;
            return if crowded { Place::Never } else { Place::Room };
        }
        let oldest = entries.first().filter(|entry| entry.seen_ms.saturating_add(FRESH_MS) <= now);
        Place::Full(oldest.map(|entry| Arc::clone(&entry.record)))
    }

    /// A node answered us: it gets a place if there is one, and waits for one otherwise.
    pub(crate) fn answered(&mut self, record: &Arc<NodeRecord>, prefix: Option<Prefix>, now: u64) {
        match self.place(record, prefix, now) {
            Place::Known => {
                let moved = self.get(Key::at(record)).is_some_and(|entry| entry.prefix != prefix);
                if moved {
                    // It must pass for its new network as anybody else would.
                    self.remove(&record.peer());
                    self.answered(record, prefix, now);
                } else {
                    self.seen(record, now);
                }
            }
            Place::Room => {
                let key = Key::at(record);
                let entry = Entry { key, record: Arc::clone(record), prefix, seen_ms: now, failures: 0 };
                let at = usize::try_from(self.own.shared_bits(key)).unwrap_or(0);
                if self.buckets.len() <= at {
                    self.buckets.resize_with(at.saturating_add(1), Bucket::default);
                }
                if let Some(bucket) = self.buckets.get_mut(at) {
                    bucket.waiting.retain(|other| other.peer() != record.peer());
                    bucket.entries.push(entry);
                }
            }
            Place::Full(_) => self.wait(record),
            Place::Never => {}
        }
    }

    /// A node that has a place gave a sign of life.
    pub(crate) fn seen(&mut self, record: &Arc<NodeRecord>, now: u64) {
        let key = Key::at(record);
        let Some(bucket) = self.bucket_mut(key) else { return };
        let Some(at) = bucket.entries.iter().position(|entry| entry.key == key) else { return };
        let mut entry = bucket.entries.remove(at);
        if record.supersedes(&entry.record) && !record.fields().addrs.is_empty() {
            entry.record = Arc::clone(record);
        }
        (entry.seen_ms, entry.failures) = (now, 0);
        bucket.entries.push(entry);
    }

    /// What a node that has a place says of itself now, heard from others: no sign of life.
    pub(crate) fn renew(&mut self, record: &Arc<NodeRecord>) {
        let key = Key::at(record);
        let entry = self.bucket_mut(key).and_then(|bucket| bucket.entries.iter_mut().find(|entry| entry.key == key));
        if let Some(entry) = entry.filter(|entry| record.supersedes(&entry.record) && !record.fields().addrs.is_empty()) {
            entry.record = Arc::clone(record);
        }
    }

    /// Remembers a node for the next free place.
    pub(crate) fn wait(&mut self, record: &Arc<NodeRecord>) {
        let Some(bucket) = self.bucket_mut(Key::at(record)) else { return };
        bucket.waiting.retain(|other| other.peer() != record.peer());
        if bucket.waiting.len() >= WAITING_MAX {
            bucket.waiting.remove(0);
        }
        bucket.waiting.push(Arc::clone(record));
    }

    /// A node did not answer. It goes if it did so before or somebody waits; then that one may be asked.
    pub(crate) fn failed(&mut self, peer: &PeerId) -> Option<Arc<NodeRecord>> {
        let key = Key::of(peer);
        let bucket = self.bucket_mut(key)?;
        bucket.waiting.retain(|other| other.peer() != *peer);
        let entry = bucket.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures < NODE_FAILURES_MAX && bucket.waiting.is_empty() {
            return None;
        }
        bucket.entries.retain(|entry| entry.key != key);
        bucket.waiting.pop()
    }

    fn remove(&mut self, peer: &PeerId) {
        let key = Key::of(peer);
        if let Some(bucket) = self.bucket_mut(key) {
            bucket.entries.retain(|entry| entry.key != key);
        }
    }

    /// The nodes closest to a position that are not known to be gone, the closest first.
    pub(crate) fn closest(&self, target: Key, count: usize, unix_s: u64, but: Option<&PeerId>) -> Vec<Arc<NodeRecord>> {
        // By their keys: to look into each record would cost more than all the rest.
        let but = but.map(Key::of);
        let told = |entry: &&Entry| entry.failures == 0 && Some(entry.key) != but;
        let mut near: Vec<_> = self.entries().filter(told).map(|entry| (entry.key.distance(target), &entry.record)).collect();
        // Some to spare for those that expired.
        let some = count.saturating_mul(2);
        if near.len() > some {
            near.select_nth_unstable_by_key(some, |(distance, _)| *distance);
            near.truncate(some);
        }
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.into_iter().map(|(_, record)| record).filter(|record| record.holds(unix_s)).take(count).map(Arc::clone).collect()
    }

    /// How many nodes are closer to a position than we are.
    pub(crate) fn closer_than_own(&self, target: Key) -> usize {
        let own = self.own.distance(target);
        self.entries().filter(|entry| entry.key.distance(target) < own).count()
    }

    /// A search went there.
    pub(crate) fn looked(&mut self, target: Key, now: u64) {
        let at = self.own.shared_bits(target);
        // Behind the last bucket there is nobody to look for.
        if let Some(bucket) = self.buckets.get_mut(usize::try_from(at).unwrap_or(usize::MAX)) {
            bucket.looked_ms = Some(now);
        }
    }

    /// A position in a bucket that nobody looked into for long.
    pub(crate) fn to_refresh(&self, now: u64, draw: &mut Draw) -> Option<Key> {
        let due = |bucket: &Bucket| bucket.looked_ms.is_none_or(|looked| looked.saturating_add(REFRESH_MS) <= now);
        let at = self.buckets.iter().position(due)?;
        Some(self.own.beside(u32::try_from(at).ok()?, draw))
    }

    /// Forgets records that hold no more. Tells at most `count` nodes whose records lapse if nobody asks for new ones.
    pub(crate) fn expire(&mut self, unix_s: u64, count: usize) -> Vec<Arc<NodeRecord>> {
        for bucket in &mut self.buckets {
            bucket.entries.retain(|entry| entry.record.holds(unix_s));
            bucket.waiting.retain(|record| record.holds(unix_s));
        }
        while self.buckets.last().is_some_and(|bucket| bucket.entries.is_empty() && bucket.waiting.is_empty()) {
            self.buckets.pop();
        }
        let lapsed = |entry: &&Entry| {
            let fields = entry.record.fields();
            fields.issued.saturating_add(u64::from(fields.lifetime_s)) < unix_s
        };
        self.entries().filter(lapsed).take(count).map(|entry| Arc::clone(&entry.record)).collect()
    }

    fn bucket(&self, key: Key) -> Option<&Bucket> {
        self.buckets.get(usize::try_from(self.own.shared_bits(key)).ok()?)
    }

    fn bucket_mut(&mut self, key: Key) -> Option<&mut Bucket> {
        self.buckets.get_mut(usize::try_from(self.own.shared_bits(key)).ok()?)
    }
}

#[cfg(test)]
mod tests;

//! What a node holds, in the two forms that reconciliation works on. Both are kept up to date entry by entry, so that
//! comparing sets never walks over them.

use samizdat_core::{EnvelopeId, Hour};

use crate::riblt::Prefix;
use crate::tree::{Entry, Tree};

/// The set of entries a node holds: about 45 bytes for each, and 1 MB.
#[derive(Clone, Debug, Default)]
pub struct Index {
    tree: Tree,
    prefix: Prefix,
}

impl Index {
    /// Adds many at once, in any order.
    pub fn load(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        if !self.tree.is_empty() {
            entries.into_iter().for_each(|entry| {
                self.insert(entry);
            });
            return;
        }
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        entries.dedup();
        entries.iter().for_each(|entry| self.prefix.insert(entry));
        self.tree = Tree::from_sorted(&entries);
    }

    /// Adds one; false if it was there.
    pub fn insert(&mut self, entry: Entry) -> bool {
        let new = self.tree.insert(entry);
        if new {
            self.prefix.insert(&entry);
        }
        new
    }

    /// Takes one out; false if it was not there.
    pub fn remove(&mut self, entry: &Entry) -> bool {
        let gone = self.tree.remove(entry);
        if gone {
            self.prefix.remove(entry);
        }
        gone
    }

    /// Whether it is held.
    pub fn contains(&self, hour: Hour, id: &EnvelopeId) -> bool {
        self.tree.contains(&Entry::new(hour, *id))
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Fingerprint of everything.
    pub fn root(&self) -> [u8; 16] {
        self.tree.total().print()
    }

    /// The ordered form.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The coded form.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }
}

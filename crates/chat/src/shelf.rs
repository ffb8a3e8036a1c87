//! What is kept in memory of the vault, so that it is not read and decoded anew for each message.
//!
//! Memory must never know what the vault does not: a transaction that is rolled back would leave keys spent here and fresh there,
//! or the other way round, and a key would be used twice. So whoever works takes things off the shelf into its [`Hands`], and only
//! [`Shelf::keep`], after the commit, puts them back. Whatever ends otherwise drops what it held, and the next reads it from the
//! vault.

use std::{cell::RefCell, collections::BTreeMap};

/// What was true when the last transaction that used it was committed; of more than `most`, what was used least lately goes.
#[derive(Debug)]
pub(crate) struct Shelf<K, V> {
    held: RefCell<BTreeMap<K, (u64, V)>>,
    used: u64,
    most: usize,
}

/// What one unit of work has taken or made.
#[derive(Debug)]
pub(crate) struct Hands<'a, K, V> {
    shelf: &'a Shelf<K, V>,
    taken: RefCell<BTreeMap<K, V>>,
}

impl<K: Ord + Clone, V> Shelf<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { held: RefCell::default(), used: 0, most }
    }

    pub(crate) fn hands(&self) -> Hands<'_, K, V> {
        Hands { shelf: self, taken: RefCell::default() }
    }

    /// Takes back what a unit of work had, once its transaction is committed.
    pub(crate) fn keep(&mut self, taken: BTreeMap<K, V>) {
        let held = self.held.get_mut();
        for (key, value) in taken {
            self.used = self.used.saturating_add(1);
            held.insert(key, (self.used, value));
        }
        while held.len() > self.most {
            let Some(oldest) = held.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone()) else { return };
            held.remove(&oldest);
        }
    }
}

impl<K: Ord, V> Hands<'_, K, V> {
    /// Takes something, if it is in memory. Put it back when it is as the transaction will leave it.
    pub(crate) fn take(&self, key: &K) -> Option<V> {
        let taken = self.taken.borrow_mut().remove(key);
        taken.or_else(|| self.shelf.held.borrow_mut().remove(key).map(|(_, value)| value))
    }

    /// Holds something until the transaction ends. Nothing is held beyond the bound: then it is given back.
    pub(crate) fn put(&self, key: K, value: V) -> Result<(), V> {
        let mut taken = self.taken.borrow_mut();
        if taken.len() >= self.shelf.most && !taken.contains_key(&key) {
            return Err(value);
        }
        taken.insert(key, value);
        Ok(())
    }

    /// Drops something that the transaction deletes.
    pub(crate) fn forget(&self, key: &K) {
        drop(self.take(key));
    }

    /// What is held, for [`Shelf::keep`].
    pub(crate) fn into_taken(self) -> BTreeMap<K, V> {
        self.taken.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(keys: &[u8]) -> Shelf<u8, &'static str> {
        let mut shelf = Shelf::new(2);
        shelf.keep(keys.iter().map(|key| (*key, "of the vault")).collect());
        shelf
    }

    #[test]
    fn what_a_unit_changed_is_there_after_its_commit() {
        let mut shelf = shelf(&[1]);
        let hands = shelf.hands();
        assert_eq!(hands.take(&1), Some("of the vault"));
        hands.put(1, "changed").unwrap();
        let taken = hands.into_taken();
        shelf.keep(taken);
        assert_eq!(shelf.hands().take(&1), Some("changed"));
    }

    #[test]
    fn what_a_unit_touched_is_gone_when_it_is_not_committed_and_the_rest_stays() {
        let shelf = shelf(&[1, 2]);
        let hands = shelf.hands();
        hands.take(&1);
        hands.put(1, "changed").unwrap();
        drop(hands);
        let hands = shelf.hands();
        assert_eq!((hands.take(&1), hands.take(&2)), (None, Some("of the vault")));
    }

    #[test]
    fn what_was_used_least_lately_makes_room_and_nobody_holds_more_than_fits() {
        let mut shelf = shelf(&[1, 2]);
        shelf.keep(BTreeMap::from([(3, "new")]));
        let hands = shelf.hands();
        assert_eq!((hands.take(&1), hands.take(&3)), (None, Some("new")));
        hands.put(4, "a").unwrap();
        hands.put(5, "b").unwrap();
        assert_eq!(hands.put(6, "c"), Err("c"));
        hands.put(4, "d").unwrap();
    }
}

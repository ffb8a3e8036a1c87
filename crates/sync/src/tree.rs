//! A sorted set of entries that knows count and sum of any range.
//!
//! A B-tree whose nodes carry the number of entries below them and the sum of their ids modulo 2^256. Insertion, removal
//! and the fingerprint of a range touch one path each, so their cost grows with the logarithm of the size. The idea is
//! that of range-based set reconciliation (Meyer, arXiv 2212.13567) and of the negentropy protocol. A leaf entry takes 36
//! bytes and the slack of its vector: about 45 bytes per entry in all.

use samizdat_core::{EnvelopeId, Hour};
use sha2::{Digest, Sha256};

/// What the set is sorted by. The hour is part of the envelope, so the id alone names the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Claimed hour of the envelope.
    pub hour: Hour,
    /// Its id.
    pub id: EnvelopeId,
}

impl Entry {
    /// The smallest entry there can be.
    pub const MIN: Self = Self { hour: Hour(0), id: EnvelopeId([0; 32]) };

    /// An entry from its parts.
    pub fn new(hour: Hour, id: EnvelopeId) -> Self {
        Self { hour, id }
    }

    /// The place right behind this entry.
    pub fn next(self) -> Bound {
        let mut id = self.id.0;
        for byte in id.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Bound::At(Self { hour: self.hour, id: EnvelopeId(id) });
            }
        }
        match self.hour.0.checked_add(1) {
            Some(hour) => Bound::At(Self { hour: Hour(hour), ..Self::MIN }),
            None => Bound::End,
        }
    }
}

/// A place between entries: right before an entry that may or may not exist, or behind all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bound {
    /// Before this entry.
    At(Entry),
    /// Behind every entry.
    End,
}

impl Bound {
    /// Before every entry.
    pub const START: Self = Self::At(Entry::MIN);

    fn is_above(&self, entry: &Entry) -> bool {
        match self {
            Self::At(at) => entry < at,
            Self::End => true,
        }
    }
}

/// Entries from a bound (inclusive) to another (exclusive).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First place inside.
    pub from: Bound,
    /// First place outside.
    pub to: Bound,
}

impl Span {
    /// Everything.
    pub const ALL: Self = Self { from: Bound::START, to: Bound::End };

    /// Exactly this entry.
    pub fn one(entry: Entry) -> Self {
        Self { from: Bound::At(entry), to: entry.next() }
    }

    /// Whether the entry lies inside.
    pub fn contains(&self, entry: &Entry) -> bool {
        !self.from.is_above(entry) && self.to.is_above(entry)
    }
}

/// A sum of ids, each read as a little-endian number, modulo 2^256.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum([u64; 4]);

impl Sum {
    fn of(id: &EnvelopeId) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(id.0.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        Self(limbs)
    }

    fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, more) in self.0.iter_mut().zip(other.0) {
            (*limb, carry) = limb.carrying_add(more, carry);
        }
    }

    fn sub(&mut self, other: &Self) {
        let mut borrow = false;
        for (limb, less) in self.0.iter_mut().zip(other.0) {
            (*limb, borrow) = limb.borrowing_sub(less, borrow);
        }
    }
}

/// Number of entries of a range and the sum of their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Number of entries.
    pub count: u64,
    sum: Sum,
}

impl Summary {
    /// Fingerprint: the first 16 bytes of SHA-256 over the sum (32 bytes) and the count (8 bytes), both little-endian.
    pub fn print(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for limb in self.sum.0 {
            hash.update(limb.to_le_bytes());
        }
        hash.update(self.count.to_le_bytes());
        let mut print = [0; 16];
        for (to, from) in print.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        print
    }

    fn add_entry(&mut self, entry: &Entry) {
        self.count = self.count.wrapping_add(1);
        self.sum.add(&Sum::of(&entry.id));
    }

    fn sub_entry(&mut self, entry: &Entry) {
        self.count = self.count.wrapping_sub(1);
        self.sum.sub(&Sum::of(&entry.id));
    }

    fn add(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum.add(&other.sum);
    }

    fn sub(&mut self, other: &Self) {
        self.count = self.count.wrapping_sub(other.count);
        self.sum.sub(&other.sum);
    }
}

/// The sorted set.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    root: Node,
}

impl Tree {
    /// Builds the tree in one pass.
    pub fn from_sorted(entries: &[Entry]) -> Self {
        let mut level: Vec<Node> = entries.chunks(LEAF_FILL).map(Node::leaf).collect();
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(INNER_FILL));
            let mut nodes = level.into_iter().peekable();
            while nodes.peek().is_some() {
                above.push(Node::inner(nodes.by_ref().take(INNER_FILL).collect()));
            }
            level = above;
        }
        Self { root: level.pop().unwrap_or_default() }
    }

    /// Adds an entry; false if it was there.
    pub fn insert(&mut self, entry: Entry) -> bool {
        if !self.root.insert(entry) {
            return false;
        }
        if let Some(right) = self.root.split() {
            let left = core::mem::take(&mut self.root);
            self.root = Node::inner(vec![left, right]);
        }
        true
    }

    /// Removes an entry; false if it was not there.
    pub fn remove(&mut self, entry: &Entry) -> bool {
        let removed = self.root.remove(entry);
        while let Kids::Nodes(nodes) = &mut self.root.kids
            && nodes.len() <= 1
        {
            self.root = nodes.pop().unwrap_or_default();
        }
        removed
    }

    /// Whether the entry is there.
    pub fn contains(&self, entry: &Entry) -> bool {
        let mut node = &self.root;
        loop {
            match &node.kids {
                Kids::Entries(entries) => return entries.binary_search(entry).is_ok(),
                Kids::Nodes(nodes) => match nodes.get(nodes.partition_point(|n| n.last < *entry)) {
                    Some(next) => node = next,
                    None => return false,
                },
            }
        }
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.root.total.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Count and sum of everything.
    pub fn total(&self) -> Summary {
        self.root.total
    }

    /// Count and sum of a span.
    pub fn summary(&self, span: &Span) -> Summary {
        let mut all = self.below(&span.to);
        if span.from < span.to {
            all.sub(&self.below(&span.from));
            all
        } else {
            Summary::default()
        }
    }

    /// Number of entries before the bound.
    pub fn rank(&self, bound: &Bound) -> u64 {
        self.below(bound).count
    }

    /// The entry with so many before it.
    pub fn select(&self, mut rank: u64) -> Option<Entry> {
        let mut node = &self.root;
        loop {
            match &node.kids {
                Kids::Entries(entries) => return entries.get(usize::try_from(rank).ok()?).copied(),
                Kids::Nodes(nodes) => {
                    node = nodes.iter().find(|n| match rank.checked_sub(n.total.count) {
                        Some(rest) => {
                            rank = rest;
                            false
                        }
                        None => true,
                    })?;
                }
            }
        }
    }

    /// The first entries of a span, at most `limit`.
    pub fn entries(&self, span: &Span, limit: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        self.root.collect(span, limit, &mut found);
        found
    }

    fn below(&self, bound: &Bound) -> Summary {
        let Bound::At(at) = bound else { return self.root.total };
        let mut all = Summary::default();
        let mut node = &self.root;
        loop {
            match &node.kids {
                Kids::Entries(entries) => {
                    entries.iter().take_while(|e| *e < at).for_each(|e| all.add_entry(e));
                    return all;
                }
                Kids::Nodes(nodes) => {
                    let mut nodes = nodes.iter();
                    node = loop {
                        match nodes.next() {
                            Some(n) if n.last < *at => all.add(&n.total),
                            Some(n) => break n,
                            None => return all,
                        }
                    };
                }
            }
        }
    }
}

const LEAF_MAX: usize = 128;
const LEAF_FILL: usize = 96;
const LEAF_STEP: usize = 16;
const INNER_MAX: usize = 32;
const INNER_FILL: usize = 24;

#[derive(Clone, Debug)]
struct Node {
    total: Summary,
    /// The largest entry below. Removal may leave it larger than that, which keeps the order intact.
    last: Entry,
    kids: Kids,
}

#[derive(Clone, Debug)]
enum Kids {
    Entries(Vec<Entry>),
    Nodes(Vec<Node>),
}

impl Default for Node {
    fn default() -> Self {
        Self::leaf(&[])
    }
}

impl Node {
    fn leaf(entries: &[Entry]) -> Self {
        Self::of(Kids::Entries(entries.to_vec()))
    }

    fn inner(nodes: Vec<Node>) -> Self {
        Self::of(Kids::Nodes(nodes))
    }

    fn of(kids: Kids) -> Self {
        let mut total = Summary::default();
        let last = match &kids {
            Kids::Entries(entries) => {
                entries.iter().for_each(|e| total.add_entry(e));
                entries.last().copied()
            }
            Kids::Nodes(nodes) => {
                nodes.iter().for_each(|n| total.add(&n.total));
                nodes.last().map(|n| n.last)
            }
        };
        Self { total, last: last.unwrap_or(Entry::MIN), kids }
    }

    fn insert(&mut self, entry: Entry) -> bool {
        let new = match &mut self.kids {
            Kids::Entries(entries) => match entries.binary_search(&entry) {
                Ok(_) => false,
                Err(at) => {
                    if entries.len() == entries.capacity() {
                        entries.reserve_exact(LEAF_STEP);
                    }
                    entries.insert(at, entry);
                    true
                }
            },
            Kids::Nodes(nodes) => {
                let at = nodes.partition_point(|n| n.last < entry).min(nodes.len().saturating_sub(1));
                let Some(node) = nodes.get_mut(at) else { return false };
                let new = node.insert(entry);
                if let Some(right) = node.split() {
                    nodes.insert(at.saturating_add(1), right);
                }
                new
            }
        };
        if new {
            self.total.add_entry(&entry);
            self.last = self.last.max(entry);
        }
        new
    }

    /// The right half of an overfull node.
    fn split(&mut self) -> Option<Node> {
        let right = match &mut self.kids {
            Kids::Entries(entries) if entries.len() > LEAF_MAX => {
                let right = Self::leaf(&entries.split_off(LEAF_MAX / 2));
                entries.shrink_to_fit();
                right
            }
            Kids::Nodes(nodes) if nodes.len() > INNER_MAX => Self::inner(nodes.split_off(INNER_MAX / 2)),
            _ => return None,
        };
        self.total.sub(&right.total);
        self.last = match &self.kids {
            Kids::Entries(entries) => entries.last().copied(),
            Kids::Nodes(nodes) => nodes.last().map(|n| n.last),
        }
        .unwrap_or(Entry::MIN);
        Some(right)
    }

    fn remove(&mut self, entry: &Entry) -> bool {
        let gone = match &mut self.kids {
            Kids::Entries(entries) => match entries.binary_search(entry) {
                Ok(at) => {
                    entries.remove(at);
                    if entries.len().saturating_add(LEAF_MAX / 2) < entries.capacity() {
                        entries.shrink_to(entries.len().saturating_add(LEAF_STEP));
                    }
                    true
                }
                Err(_) => false,
            },
            Kids::Nodes(nodes) => {
                let at = nodes.partition_point(|n| n.last < *entry);
                let gone = nodes.get_mut(at).is_some_and(|n| n.remove(entry));
                if gone {
                    merge_at(nodes, at);
                }
                gone
            }
        };
        if gone {
            self.total.sub_entry(entry);
        }
        gone
    }

    fn collect(&self, span: &Span, limit: usize, found: &mut Vec<Entry>) {
        match &self.kids {
            Kids::Entries(entries) => {
                let start = entries.partition_point(|e| span.from.is_above(e));
                let inside = entries.iter().skip(start).take_while(|e| span.to.is_above(e));
                found.extend(inside.take(limit.saturating_sub(found.len())));
            }
            Kids::Nodes(nodes) => {
                let start = nodes.partition_point(|n| span.from.is_above(&n.last));
                for node in nodes.iter().skip(start) {
                    node.collect(span, limit, found);
                    if found.len() >= limit || !span.to.is_above(&node.last) {
                        return;
                    }
                }
            }
        }
    }

    fn width(&self) -> usize {
        match &self.kids {
            Kids::Entries(entries) => entries.len(),
            Kids::Nodes(nodes) => nodes.len(),
        }
    }
}

/// After a removal: joins a node that became small with its right neighbour, so that no memory is kept for what is gone.
fn merge_at(nodes: &mut Vec<Node>, at: usize) {
    let Some(width) = nodes.get(at).map(Node::width) else { return };
    if width == 0 {
        nodes.remove(at);
        return;
    }
    let next = at.saturating_add(1);
    let Some((right, leaf)) = nodes.get(next).map(|n| (n.width(), matches!(n.kids, Kids::Entries(_)))) else { return };
    let room = if leaf { LEAF_MAX / 2 } else { INNER_MAX / 2 };
    if width.saturating_add(right) > room {
        return;
    }
    let right = nodes.remove(next);
    let Some(left) = nodes.get_mut(at) else { return };
    match (&mut left.kids, right.kids) {
        (Kids::Entries(a), Kids::Entries(b)) => a.extend(b),
        (Kids::Nodes(a), Kids::Nodes(b)) => a.extend(b),
        // All leaves lie at the same depth.
        _ => {}
    }
    left.total.add(&right.total);
    left.last = right.last;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn entry(n: u64) -> Entry {
        let id: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
        Entry::new(Hour((n / 50) as u32), EnvelopeId(id))
    }

    fn naive(set: &BTreeSet<Entry>, span: &Span) -> Summary {
        let mut all = Summary::default();
        set.iter().filter(|e| span.contains(e)).for_each(|e| all.add_entry(e));
        all
    }

    fn check(tree: &Tree, set: &BTreeSet<Entry>) {
        assert_eq!(tree.len(), set.len() as u64);
        assert_eq!(tree.entries(&Span::ALL, usize::MAX), set.iter().copied().collect::<Vec<_>>());
        for n in (0..set.len()).step_by(7) {
            let at = tree.select(n as u64).unwrap();
            assert_eq!(Some(&at), set.iter().nth(n));
            assert_eq!(tree.rank(&Bound::At(at)), n as u64);
            let span = Span { from: Bound::At(entry(n as u64 / 3)), to: Bound::At(at) };
            assert_eq!(tree.summary(&span), naive(set, &span));
        }
        assert_eq!(tree.select(tree.len()), None);
        assert_eq!(tree.total(), naive(set, &Span::ALL));
    }

    #[test]
    fn bulk_and_single_insertion_agree() {
        let set: BTreeSet<Entry> = (0..20_000).map(entry).collect();
        let sorted: Vec<Entry> = set.iter().copied().collect();
        let bulk = Tree::from_sorted(&sorted);
        let mut single = Tree::default();
        for n in 0..20_000 {
            assert!(single.insert(entry(n)));
            assert!(!single.insert(entry(n)));
        }
        assert_eq!(bulk.total(), single.total());
        assert_eq!(bulk.entries(&Span::ALL, usize::MAX), single.entries(&Span::ALL, usize::MAX));
        assert!(sorted.iter().all(|e| bulk.contains(e) && single.contains(e)));
        for e in sorted.iter().rev().skip(1) {
            assert!(single.remove(e) && !single.remove(e));
        }
        assert_eq!(single.len(), 1);
        assert!(matches!(&single.root.kids, Kids::Entries(e) if e.len() == 1 && e.capacity() <= LEAF_MAX));
    }

    #[test]
    fn next_of_the_last_entry_is_the_end() {
        let last = Entry::new(Hour(u32::MAX), EnvelopeId([0xff; 32]));
        assert_eq!(last.next(), Bound::End);
        assert_eq!(Entry::new(Hour(3), EnvelopeId([0xff; 32])).next(), Bound::At(Entry { hour: Hour(4), ..Entry::MIN }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn behaves_like_a_sorted_set(steps in proptest::collection::vec((any::<bool>(), 0u64..900), 1..2500)) {
            let (mut tree, mut set) = (Tree::default(), BTreeSet::new());
            for (add, n) in steps {
                let e = entry(n);
                if add { assert_eq!(tree.insert(e), set.insert(e)); } else { assert_eq!(tree.remove(&e), set.remove(&e)); }
            }
            check(&tree, &set);
        }
    }
}

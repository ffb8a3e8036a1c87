//! Rateless set reconciliation: coded symbols that describe the difference of two sets.
//!
//! After "Practical Rateless Set Reconciliation" (Yang, Gilad, Alizadeh, arXiv 2402.02668). Every entry is mixed into an
//! endless sequence of symbols, into symbol i with probability 1 / (1 + i/2). The difference of two sequences is the
//! sequence of the symmetric difference; d entries come out of about 1.35 d symbols. Symbols depend on the set alone, so
//! one prefix is kept up to date and serves every peer, and reconciling never walks over the set.
//!
//! Unlike the paper a symbol has no count: whether a recovered entry is ours tells the side it belongs to. And the
//! positions come from integers alone, so that every machine computes the same.

use core::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use samizdat_core::{EnvelopeId, Hour};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::limits::RIBLT_PREFIX;
use crate::tree::Entry;

/// Bytes of a symbol on the wire.
pub const SYMBOL_BYTES: usize = 44;

/// The exclusive or of some entries and of their checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol {
    hour: u32,
    id: [u8; 32],
    check: [u8; 8],
}

impl Symbol {
    const EMPTY: Self = Self { hour: 0, id: [0; 32], check: [0; 8] };

    /// The symbol of one entry: its check is the start of SHA-256 over the hour (4 bytes, big-endian) and the id.
    fn of(entry: &Entry) -> Self {
        let hash = Sha256::new().chain_update(entry.hour.0.to_be_bytes()).chain_update(entry.id.0).finalize();
        let mut check = [0; 8];
        check.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self { hour: entry.hour.0, id: entry.id.0, check }
    }

    fn mix(&mut self, other: &Self) {
        self.hour ^= other.hour;
        self.id.iter_mut().zip(other.id).for_each(|(a, b)| *a ^= b);
        self.check.iter_mut().zip(other.check).for_each(|(a, b)| *a ^= b);
    }

    /// The entry, if the symbol holds exactly one.
    fn single(&self) -> Option<Entry> {
        let entry = Entry::new(Hour(self.hour), EnvelopeId(self.id));
        (*self != Self::EMPTY && Self::of(&entry).check == self.check).then_some(entry)
    }

    fn seed(&self) -> u64 {
        u64::from_be_bytes(self.check)
    }

    /// Hour, id and check in this order, big-endian.
    pub fn to_bytes(&self) -> [u8; SYMBOL_BYTES] {
        let mut bytes = [0; SYMBOL_BYTES];
        let parts = self.hour.to_be_bytes().into_iter().chain(self.id).chain(self.check);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; any bytes are a symbol.
    pub fn from_bytes(bytes: &[u8; SYMBOL_BYTES]) -> Self {
        let (hour, rest) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (id, rest) = rest.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
        let check = rest.first_chunk::<8>().unwrap_or(&[0; 8]);
        Self { hour: u32::from_be_bytes(*hour), id: *id, check: *check }
    }
}

/// The symbols that an entry is mixed into, in rising order, starting with 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Places {
    at: u64,
    state: u64,
}

impl Places {
    fn new(seed: u64) -> Self {
        Self { at: 0, state: seed | 1 }
    }

    /// The paper's gap, `(at + 1.5) (1 / sqrt(u) - 1)` rounded up, with u a fraction of 64 bits and its root of 32.
    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(0xda94_2042_e4dd_58b5);
        let root = root(self.state).max(1);
        let scale = self.at.saturating_mul(2).saturating_add(3);
        let gap = scale.saturating_mul((1_u64 << 32).saturating_sub(root)).div_ceil(root.saturating_mul(2));
        self.at = self.at.saturating_add(gap.max(1));
    }
}

/// The integer part of the square root. The floating-point unit only guesses, twice as fast as the standard library; the
/// guess is off by one at most and then put right, so that the result is the same everywhere.
fn root(n: u64) -> u64 {
    let guess = ((n as f64).sqrt() as u64).min(u64::from(u32::MAX));
    if guess.wrapping_mul(guess) > n {
        guess.wrapping_sub(1)
    } else {
        let above = guess.wrapping_add(1);
        if above.checked_mul(above).is_some_and(|square| square <= n) { above } else { guess }
    }
}

/// The first symbols of a set, kept up to date, and a sketch of its size.
#[derive(Clone, Debug)]
pub struct Prefix {
    symbols: Arc<Vec<Symbol>>,
    sketch: Sketch,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { symbols: Arc::new(vec![Symbol::EMPTY; RIBLT_PREFIX]), sketch: Sketch::default() }
    }
}

impl Prefix {
    /// Adds an entry that is new.
    pub fn insert(&mut self, entry: &Entry) {
        let symbol = Symbol::of(entry);
        self.sketch.count(&symbol, 1);
        self.toggle(&symbol);
    }

    /// Takes out an entry that was there.
    pub fn remove(&mut self, entry: &Entry) {
        let symbol = Symbol::of(entry);
        self.sketch.count(&symbol, -1);
        self.toggle(&symbol);
    }

    /// Estimator for the number of differences to another set.
    pub fn sketch(&self) -> &Sketch {
        &self.sketch
    }

    /// The symbols as they are now; later changes of the set leave them alone.
    pub fn snapshot(&self) -> Arc<Vec<Symbol>> {
        Arc::clone(&self.symbols)
    }

    fn toggle(&mut self, symbol: &Symbol) {
        let symbols = Arc::make_mut(&mut self.symbols);
        let mut places = Places::new(symbol.seed());
        while let Some(at) = usize::try_from(places.at).ok().and_then(|at| symbols.get_mut(at)) {
            at.mix(symbol);
            places.advance();
        }
    }
}

/// 64 signed counters; every entry adds one or takes one from each, as the bits of its check say. The mean square of the
/// differences of two sketches estimates the symmetric difference with a standard error of 18 % (Alon, Matias, Szegedy
/// 1996).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sketch([i16; 64]);

impl Default for Sketch {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Sketch {
    fn count(&mut self, symbol: &Symbol, by: i16) {
        let mut bits = symbol.seed();
        for counter in &mut self.0 {
            let sign = i16::from((bits & 1) == 1).wrapping_mul(2).wrapping_sub(1);
            *counter = counter.wrapping_add(by.wrapping_mul(sign));
            bits >>= 1;
        }
    }

    /// About how many entries are in one set only.
    pub fn distance(&self, other: &Self) -> u64 {
        let squares = self.0.iter().zip(other.0).map(|(a, b)| {
            let apart = u64::from(a.wrapping_sub(b).unsigned_abs());
            apart.wrapping_mul(apart)
        });
        squares.fold(0_u64, u64::wrapping_add).div_ceil(64)
    }

    /// The counters in order, 2 bytes each, big-endian.
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        for (to, counter) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *to = counter.to_be_bytes();
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; 128]) -> Self {
        let mut counters = [0; 64];
        for (counter, from) in counters.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *counter = i16::from_be_bytes(*from);
        }
        Self(counters)
    }
}

/// Why symbols could not be decoded.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum DecodeError {
    /// More entries came out than symbols went in: these are not the symbols of any set.
    #[error("symbols contradict each other")]
    Contradiction,
    /// More symbols than are kept.
    #[error("too many symbols")]
    TooMany,
}

/// Recovers the difference from the symbols of the other side.
#[derive(Debug)]
pub struct Decoder {
    own: Arc<Vec<Symbol>>,
    cells: Vec<Symbol>,
    found: BTreeSet<Entry>,
    /// For every recovered entry its first place behind the cells, nearest first.
    ahead: BinaryHeap<Reverse<(Places, Entry)>>,
}

impl Decoder {
    /// Starts with a snapshot of one's own symbols.
    pub fn new(own: Arc<Vec<Symbol>>) -> Self {
        Self { own, cells: Vec::new(), found: BTreeSet::new(), ahead: BinaryHeap::new() }
    }

    /// Takes the next symbols of the other side.
    pub fn add(&mut self, theirs: impl IntoIterator<Item = Symbol>) -> Result<(), DecodeError> {
        let first = self.cells.len();
        for mut symbol in theirs {
            let at = self.cells.len();
            symbol.mix(self.own.get(at).ok_or(DecodeError::TooMany)?);
            while let Some(Reverse((places, entry))) = self.ahead.peek().copied()
                && places.at == at as u64
            {
                self.ahead.pop();
                let mut places = places;
                symbol.mix(&Symbol::of(&entry));
                places.advance();
                self.ahead.push(Reverse((places, entry)));
            }
            self.cells.push(symbol);
        }
        self.peel(first)
    }

    /// Symbols taken so far.
    pub fn taken(&self) -> usize {
        self.cells.len()
    }

    /// The whole difference, once it is known.
    pub fn difference(&self) -> Option<&BTreeSet<Entry>> {
        // Every entry is in symbol 0.
        (self.cells.first() == Some(&Symbol::EMPTY)).then_some(&self.found)
    }

    /// How many more symbols will probably do, at least one. A symbol near i is empty with probability exp(-2 d / i): the
    /// share of empty ones among the newest quarter tells the rest of d.
    pub fn wanted(&self) -> usize {
        let taken = self.taken();
        let newest = taken / 4;
        let old = taken.saturating_sub(newest);
        let empty = self.cells.iter().skip(old).filter(|c| **c == Symbol::EMPTY).count();
        if empty < 6 {
            return taken.max(16);
        }
        // ln(newest / empty) by thirds of a bit, 0.231 nats each, is exact enough.
        let cube = (newest as u64).saturating_pow(3).checked_div((empty as u64).saturating_pow(3)).unwrap_or(1);
        let nats_times_1000 = u64::from(cube.max(1).ilog2()).saturating_mul(231).saturating_add(115);
        let hidden = nats_times_1000.saturating_mul(taken as u64).saturating_mul(7) / 16_000;
        let goal = hidden.saturating_add(self.found.len() as u64).saturating_mul(7) / 5;
        let goal = usize::try_from(goal).unwrap_or(usize::MAX);
        goal.saturating_sub(taken).clamp((taken / 12).max(8), taken.max(16))
    }

    fn peel(&mut self, first: usize) -> Result<(), DecodeError> {
        let mut ready: Vec<Entry> = self.cells.iter().skip(first).filter_map(Symbol::single).collect();
        while let Some(entry) = ready.pop() {
            // The same entry is often found in several cells at once.
            if !self.found.insert(entry) {
                continue;
            }
            if self.found.len() > self.cells.len() {
                return Err(DecodeError::Contradiction);
            }
            let symbol = Symbol::of(&entry);
            let mut places = Places::new(symbol.seed());
            while let Some(cell) = usize::try_from(places.at).ok().and_then(|at| self.cells.get_mut(at)) {
                cell.mix(&symbol);
                ready.extend(cell.single());
                places.advance();
            }
            self.ahead.push(Reverse((places, entry)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn entry(n: u64) -> Entry {
        let id: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
        Entry::new(Hour((n % 700) as u32), EnvelopeId(id))
    }

    fn prefix(numbers: impl IntoIterator<Item = u64>) -> Prefix {
        let mut prefix = Prefix::default();
        numbers.into_iter().for_each(|n| prefix.insert(&entry(n)));
        prefix
    }

    /// Symbols it takes to decode when they come one by one.
    fn symbols_needed(a: &Prefix, b: &Prefix) -> usize {
        let mut decoder = Decoder::new(a.snapshot());
        for symbol in b.snapshot().iter() {
            decoder.add([*symbol]).unwrap();
            if decoder.difference().is_some() {
                break;
            }
        }
        decoder.taken()
    }

    #[test]
    fn the_difference_comes_out_whole() {
        for (own, theirs) in [(0..0, 0..0), (0..1, 0..0), (0..0, 0..500), (0..900, 100..1000), (0..3000, 2500..2600)] {
            let (a, b) = (prefix(own.clone()), prefix(theirs.clone()));
            let mut decoder = Decoder::new(a.snapshot());
            let mut given = 0;
            while decoder.difference().is_none() {
                let more = decoder.wanted();
                decoder.add(b.snapshot().iter().skip(given).take(more).copied()).unwrap();
                given += more;
            }
            let left: BTreeSet<Entry> = own.map(entry).collect();
            let right: BTreeSet<Entry> = theirs.map(entry).collect();
            assert_eq!(*decoder.difference().unwrap(), left.symmetric_difference(&right).copied().collect());
        }
    }

    #[test]
    fn a_thousand_differences_take_about_1400_symbols() {
        let needed = symbols_needed(&prefix(0..5000), &prefix(500..5500));
        assert!((1300..1480).contains(&needed), "{needed}");
    }

    #[test]
    fn asking_in_steps_wastes_little() {
        for d in [10_u64, 100, 1000, 8000] {
            let (a, b) = (prefix(0..d / 2), prefix(20_000..20_000 + d / 2));
            let needed = symbols_needed(&a, &b);
            let mut decoder = Decoder::new(a.snapshot());
            let (mut given, mut steps) = (0, 0);
            while decoder.difference().is_none() {
                let more = decoder.wanted();
                decoder.add(b.snapshot().iter().skip(given).take(more).copied()).unwrap();
                given += more;

                steps += 1;
            }
            assert!(given <= needed + needed / 4 + 24 && steps <= 16, "{d}: {given} of {needed} in {steps} steps");
        }
    }

    #[test]
    fn removal_undoes_insertion() {
        let mut a = prefix(0..50);
        (10..50).for_each(|n| a.remove(&entry(n)));
        let b = prefix(0..10);
        assert_eq!(a.snapshot(), b.snapshot());
        assert_eq!(a.sketch(), b.sketch());
    }

    #[test]
    fn a_snapshot_does_not_move() {
        let mut a = prefix(0..10);
        let before = a.snapshot();
        a.insert(&entry(77));
        assert_eq!(before, prefix(0..10).snapshot());
        assert_ne!(before, a.snapshot());
    }

    #[test]
    fn the_sketch_tells_the_size_of_the_difference() {
        for d in [0_u64, 10, 1000, 10_000] {
            let estimate = prefix(0..3000).sketch().distance(prefix(0..3000 + d).sketch());
            assert!(estimate >= d / 2 && estimate <= d * 2, "{d}: {estimate}");
        }
    }

    #[test]
    fn nonsense_is_refused_or_stays_undecoded() {
        let mut decoder = Decoder::new(Prefix::default().snapshot());
        let noise = (0..RIBLT_PREFIX as u64).map(|n| {
            let hash: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
            Symbol { hour: n as u32, id: hash, check: [7; 8] }
        });
        assert_eq!(decoder.add(noise), Ok(()));
        assert!(decoder.difference().is_none());
        assert_eq!(decoder.add([Symbol::EMPTY]), Err(DecodeError::TooMany));
        // A true symbol everywhere, also where it does not belong.
        let mut decoder = Decoder::new(Prefix::default().snapshot());
        assert_eq!(decoder.add(vec![Symbol::of(&entry(1)); 100]), Ok(()));
        assert!(decoder.found.len() == 1 && decoder.cells.iter().any(|c| *c != Symbol::EMPTY));
    }

    #[test]
    fn the_places_are_those_of_the_specification() {
        let mut places = Places::new(0x0123_4567_89ab_cdef);
        let mut seen = Vec::new();
        for _ in 0..8 {
            seen.push(places.at);
            places.advance();
        }
        assert_eq!(seen, [0, 1, 2, 4, 6, 8, 20, 24]);
    }

    #[test]
    fn roots_are_exact() {
        let edges = (0..=32_u32).flat_map(|n| {
            let square = (1_u64 << n).wrapping_sub(1).saturating_mul((1_u64 << n).wrapping_sub(1));
            [square.saturating_sub(1), square, square.saturating_add(1)]
        });
        let mut n = 1_u64;
        let spread = (0..10_000).map(|_| {
            n = n.wrapping_mul(0xda94_2042_e4dd_58b5);
            n
        });
        for n in edges.chain(spread).chain([u64::MAX, u64::MAX - 1, 0]) {
            assert_eq!(root(n), n.isqrt(), "{n}");
        }
    }

    #[test]
    fn symbols_and_sketches_survive_the_wire() {
        let a = prefix(0..40);
        for symbol in a.snapshot().iter().take(100) {
            assert_eq!(Symbol::from_bytes(&symbol.to_bytes()), *symbol);
        }
        assert_eq!(Sketch::from_bytes(&a.sketch().to_bytes()), *a.sketch());
    }
}

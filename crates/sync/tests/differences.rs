//! Reconciliation finds exactly the difference, whatever the sets look like.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use samizdat_core::{EnvelopeId, Hour};
use samizdat_sync::Frame;
use samizdat_sync::draw::Draw;
use samizdat_sync::index::Index;
use samizdat_sync::reconcile::Session;
use samizdat_sync::tree::{Entry, Span};
use sha2::{Digest, Sha256};

fn entry(n: u64) -> Entry {
    let id: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
    Entry::new(Hour((n / 64) as u32), EnvelopeId(id))
}

fn index(set: &BTreeSet<u64>) -> Index {
    let mut index = Index::default();
    index.load(set.iter().map(|n| entry(*n)));
    index
}

#[derive(Default)]
struct Found {
    a_lacks: BTreeSet<Entry>,
    b_lacks: BTreeSet<Entry>,
    bytes: usize,
    flights: usize,
}

/// Runs a reconciliation opened by `a`; `meanwhile` may change the sets after each flight of frames.
fn reconcile(a: &mut Index, b: &mut Index, seed: u8, mut meanwhile: impl FnMut(usize, &mut Index, &mut Index)) -> Found {
    let mut draw = Draw::new([seed; 32]);
    let mut found = Found::default();
    let (mut left, open) = Session::open(9, a, &mut draw);
    let Frame::Open { session, sketch, ranges } = open.clone() else { panic!("not an opening") };
    let (mut right, step) = Session::accept(session, &sketch, ranges, b, &mut draw);
    let collect = |index: &Index, spans: &[Span], into: &mut BTreeSet<Entry>| {
        spans.iter().for_each(|span| into.extend(index.tree().entries(span, usize::MAX)));
    };
    collect(b, &step.they_lack, &mut found.a_lacks);
    found.bytes += open.encode().len();
    found.flights = 1;
    let (mut frames, mut to_left, mut ends) = (step.frames, true, 0);
    while !frames.is_empty() {
        found.flights += 1;
        meanwhile(found.flights, a, b);
        let mut answers = Vec::new();
        for frame in frames {
            let bytes = frame.encode();
            found.bytes += bytes.len();
            let frame = Frame::decode(&bytes).expect("own frames decode");
            let (session, index, lacking) =
                if to_left { (&mut left, &*a, &mut found.b_lacks) } else { (&mut right, &*b, &mut found.a_lacks) };
            let step = session.take(frame, bytes.len(), index, &mut draw).expect("honest frames are taken");
            collect(index, &step.they_lack, lacking);
            answers.extend(step.frames);
            ends += usize::from(step.end.is_some());
        }
        frames = answers;
        to_left = !to_left;
    }
    assert_eq!(ends, 2, "both sides come to an end");
    found
}

fn check(a: &BTreeSet<u64>, b: &BTreeSet<u64>, seed: u8) -> Found {
    let found = reconcile(&mut index(a), &mut index(b), seed, |_, _, _| {});
    assert_eq!(found.a_lacks, b.difference(a).map(|n| entry(*n)).collect(), "what the opener lacks");
    assert_eq!(found.b_lacks, a.difference(b).map(|n| entry(*n)).collect(), "what the other lacks");
    found
}

#[test]
fn equal_sets_take_one_round_trip_and_few_bytes() {
    for size in [0, 1, 100, 30_000] {
        let set: BTreeSet<u64> = (0..size).collect();
        let found = check(&set, &set, 1);
        assert!(found.bytes <= 400, "{size}: {}", found.bytes);
        // The third flight only tells the other side that it is over.
        assert!(found.flights <= 3);
    }
}

#[test]
fn one_side_empty() {
    let all: BTreeSet<u64> = (0..5_000).collect();
    for (a, b) in [(&all, &BTreeSet::new()), (&BTreeSet::new(), &all)] {
        let found = check(a, b, 2);
        assert!(found.bytes <= 600 && found.flights <= 4);
    }
}

#[test]
fn the_newest_thousand_take_few_bytes_and_trips() {
    let all: BTreeSet<u64> = (0..30_000).collect();
    let old: BTreeSet<u64> = (0..29_000).collect();
    let half = |odd: u64| -> BTreeSet<u64> { all.iter().copied().filter(|n| *n < 29_000 || n % 2 == odd).collect() };
    for (a, b) in [(&old, &all), (&all, &old), (&half(0), &half(1))] {
        let found = check(a, b, 3);
        assert!(found.bytes <= 40_000, "{}", found.bytes);
        assert!(found.flights <= 8, "{}", found.flights);
    }
}

#[test]
fn a_thousand_scattered_ones_come_by_symbols() {
    let a: BTreeSet<u64> = (0..30_000).filter(|n| n % 60 != 7).collect();
    let b: BTreeSet<u64> = (0..30_000).filter(|n| n % 60 != 37).collect();
    let found = check(&a, &b, 4);
    assert!(found.bytes <= 80_000, "{}", found.bytes);
}

#[test]
fn more_scattered_ones_than_symbols_can_tell() {
    let a: BTreeSet<u64> = (0..50_000).filter(|n| n % 3 != 0).collect();
    let b: BTreeSet<u64> = (0..50_000).filter(|n| n % 3 != 1).collect();
    check(&a, &b, 5);
}

#[test]
fn disjoint_sets() {
    check(&(0..3_000).collect(), &(3_000..8_000).collect(), 6);
    check(&(0..9_000).step_by(2).collect(), &(1..9_000).step_by(2).collect(), 7);
}

#[test]
fn everything_within_one_hour() {
    let one = |n: u64| Entry { hour: Hour(5), ..entry(n) };
    let (mut a, mut b) = (Index::default(), Index::default());
    a.load((0..3_000).map(one));
    b.load((1_000..4_000).map(one));
    let found = reconcile(&mut a, &mut b, 8, |_, _, _| {});
    assert_eq!((found.a_lacks.len(), found.b_lacks.len()), (1_000, 1_000));
}

#[test]
fn sets_that_change_meanwhile_agree_after_another_run() {
    for (seed, scattered) in [(1, true), (2, false)] {
        let keep = |n: &u64, rest: u64| if scattered { n % 40 != rest } else { *n < 9_500 || n % 2 == rest % 2 };
        let mut a = index(&(0..10_000).filter(|n| keep(n, 3)).collect());
        let mut b = index(&(0..10_000).filter(|n| keep(n, 22)).collect());
        let mut next = 20_000;
        // The sets stop changing during the third run.
        for _ in 0..5 {
            let found = reconcile(&mut a, &mut b, seed, |flight, a, b| {
                if flight < 6 && next < 20_200 {
                    for _ in 0..10 {
                        a.insert(entry(next));
                        b.insert(entry(next + 1));
                        a.remove(&entry(next - 19_000));
                        next += 2;
                    }
                }
            });
            found.a_lacks.into_iter().for_each(|e| {
                a.insert(e);
            });
            found.b_lacks.into_iter().for_each(|e| {
                b.insert(e);
            });
        }
        assert_eq!(a.root(), b.root());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_two_sets(a in proptest::collection::btree_set(0_u64..3_000, 0..2_000), b in proptest::collection::btree_set(0_u64..3_000, 0..2_000), seed: u8) {
        check(&a, &b, seed);
    }

    #[test]
    fn a_common_past_and_a_few_own_ones(
        common in 0_u64..4_000,
        a in proptest::collection::btree_set(0_u64..6_000, 0..60),
        b in proptest::collection::btree_set(0_u64..6_000, 0..60),
        seed: u8,
    ) {
        check(&(0..common).chain(a).collect(), &(0..common).chain(b).collect(), seed);
    }
}

#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::tests::{record, record_in};
use super::*;

const K: usize = 4;
const UNIX_S: u64 = 1_800_000_000;

fn own() -> Key {
    Key::of(&record(1).peer())
}

/// Nodes of the farthest bucket.
fn far() -> impl Iterator<Item = Arc<NodeRecord>> {
    (2..).map(record).filter(|record| own().shared_bits(Key::of(&record.peer())) == 0)
}

fn put(table: &mut Table, record: &Arc<NodeRecord>, now: u64) {
    table.answered(record, record.prefix(), now);
}

#[test]
fn a_full_bucket_keeps_who_lived_long_and_gives_way_only_when_they_fall_silent() {
    let mut table = Table::new(own(), K);
    let nodes: Vec<_> = far().take(K + 2).collect();
    nodes.iter().zip(1..).for_each(|(record, now)| put(&mut table, record, now));
    assert_eq!(table.len(), K);
    let place = |table: &Table, now| table.place(&nodes[K + 1], None, now);
    assert_eq!(place(&table, 5), Place::Full(None), "all were seen just now");
    assert_eq!(place(&table, 1 + FRESH_MS), Place::Full(Some(Arc::clone(&nodes[0]))));
    table.seen(&nodes[0], 2 + FRESH_MS);
    assert_eq!(place(&table, 2 + FRESH_MS), Place::Full(Some(Arc::clone(&nodes[1]))));
    assert_eq!(table.failed(&nodes[1].peer()), Some(Arc::clone(&nodes[K + 1])), "who came last waits in front");
    assert!(table.get(Key::of(&nodes[1].peer())).is_none());
    assert_eq!(table.len(), K - 1, "and must answer first");
}

#[test]
fn who_is_alone_may_miss_one_question() {
    let mut table = Table::new(own(), K);
    let node = far().next().unwrap();
    put(&mut table, &node, 1);
    assert_eq!(table.failed(&node.peer()), None);
    assert_eq!(table.len(), 1);
    assert!(table.closest(own(), 9, UNIX_S, None).is_empty(), "but nobody is told of it meanwhile");
    table.failed(&node.peer());
    assert_eq!(table.len(), 0);
}

#[test]
fn a_bucket_into_which_nobody_looked_is_refreshed() {
    let (mut table, mut draw) = (Table::new(own(), K), Draw::new([1; 32]));
    assert_eq!(table.to_refresh(0, &mut draw), None);
    put(&mut table, &far().next().unwrap(), 1);
    let target = table.to_refresh(1, &mut draw).unwrap();
    assert_eq!(own().shared_bits(target), 0);
    table.looked(target, 1);
    assert_eq!(table.to_refresh(REFRESH_MS, &mut draw), None);
    assert!(table.to_refresh(REFRESH_MS + 1, &mut draw).is_some());
}

#[derive(Debug, Clone)]
enum Deed {
    Answered(u32),
    Seen(u32),
    Waits(u32),
    Failed(u32),
    Renewed(u32),
    Expired(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (1_u32..80).prop_map(Deed::Answered),
        1 => (1_u32..80).prop_map(Deed::Seen),
        1 => (1_u32..80).prop_map(Deed::Waits),
        2 => (1_u32..80).prop_map(Deed::Failed),
        1 => (1_u32..80).prop_map(Deed::Renewed),
        1 => (0_u64..3 * 3600).prop_map(Deed::Expired),
    ];
    prop::collection::vec(deed, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_happens_the_table_keeps_its_bounds(deeds in deeds()) {
        // Three nodes share a network.
        let nodes: BTreeMap<u32, _> = (1..80).map(|n| (n, record_in(n, [30, 0, u8::try_from(n / 3).unwrap()], UNIX_S))).collect();
        let mut table = Table::new(own(), K);
        for (deed, now) in deeds.into_iter().zip(0..) {
            match deed {
                Deed::Answered(n) => put(&mut table, &nodes[&n], now),
                Deed::Seen(n) => table.seen(&nodes[&n], now),
                Deed::Waits(n) => table.wait(&nodes[&n]),
                Deed::Failed(n) => drop(table.failed(&nodes[&n].peer())),
                Deed::Renewed(n) => table.renew(&record_in(n, [31, 0, 0], UNIX_S + 1)),
                Deed::Expired(after) => drop(table.expire(UNIX_S + 7200 + after, 8)),
            }
            let mut prefixes = BTreeMap::<_, usize>::new();
            for (shared, bucket) in table.buckets.iter().enumerate() {
                prop_assert!(bucket.entries.len() <= K && bucket.waiting.len() <= WAITING_MAX);
                let mut near = BTreeMap::<_, usize>::new();
                for entry in &bucket.entries {
                    prop_assert_eq!(own().shared_bits(entry.key) as usize, shared);
                    prop_assert_eq!(entry.key, Key::of(&entry.record.peer()));
                    prop_assert_eq!(bucket.entries.iter().filter(|other| other.key == entry.key).count(), 1);
                    *near.entry(entry.prefix).or_default() += 1;
                    *prefixes.entry(entry.prefix).or_default() += 1;
                }
                prop_assert!(near.values().all(|count| *count <= BUCKET_PER_PREFIX));
            }
            prop_assert!(prefixes.values().all(|count| *count <= TABLE_PER_PREFIX));
            let closest = table.closest(own(), K, UNIX_S, None);
            prop_assert!(closest.is_sorted_by_key(|record| Key::of(&record.peer()).distance(own())));
        }
    }
}

//! The committed scenarios, smaller than they are, and what must hold in each.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_sim::{Scenario, play};

/// A scenario file with fewer nodes and messages.
fn small(file: &str, nodes: usize, count: usize) -> Scenario {
    let path = format!("{}/../../scenarios/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut scenario = Scenario::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    scenario.nodes = nodes;
    scenario.messages.warmup = 6;
    scenario.messages.count = count;
    scenario
}

#[test]
fn a_broadcast_reaches_every_live_node_at_little_more_than_one_copy() {
    let report = play(&small("broadcast", 60, 10)).unwrap();
    assert_eq!(report.live, 57);
    assert!((report.delivery_ratio - 1.0).abs() < f64::EPSILON && report.converged, "{}", report.table());
    assert!(report.copies_per_node <= 1.7, "{}", report.table());
    assert!(report.latency_ms.p50.unwrap() < 2_000, "{}", report.table());
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    let told = |seed| {
        let mut scenario = small("broadcast", 20, 4);
        scenario.times.settle_s = 30;
        scenario.seed = seed;
        play(&scenario).unwrap()
    };
    let (first, again, other) = (told(1), told(1), told(2));
    assert_eq!(first, again);
    assert_ne!(first.trace_hash, other.trace_hash);
    assert_eq!(first.trace_hash.len(), 64);
}

#[test]
fn both_sides_of_a_partition_have_everything_when_it_is_over() {
    let mut scenario = small("partition", 40, 12);
    scenario.messages.interval_ms = 8_000;
    scenario.partition[0].to_s = 80;
    let report = play(&scenario).unwrap();
    assert!(report.converged && (report.delivery_ratio - 1.0).abs() < f64::EPSILON, "{}", report.table());
    assert!(report.latency_ms.max.unwrap() > 10_000, "there was a partition: {}", report.table());
}

#[test]
fn those_who_come_back_get_what_they_missed() {
    let report = play(&small("churn", 40, 12)).unwrap();
    assert_eq!(report.live, 40, "all came back");
    assert!(report.converged && (report.delivery_ratio - 1.0).abs() < f64::EPSILON, "{}", report.table());
}

#[test]
fn those_who_change_their_keys_miss_nothing() {
    let report = play(&small("rotation", 40, 12)).unwrap();
    assert_eq!(report.live, 40);
    assert!(report.converged && (report.delivery_ratio - 1.0).abs() < f64::EPSILON, "{}", report.table());
}

#[test]
fn one_malicious_node_in_five_keeps_nothing_from_the_honest() {
    let report = play(&small("byzantine", 40, 8)).unwrap();
    assert_eq!((report.byzantine, report.live), (8, 32));
    assert!(report.converged && (report.delivery_ratio - 1.0).abs() < f64::EPSILON, "{}", report.table());
}

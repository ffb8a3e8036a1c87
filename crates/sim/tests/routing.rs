//! The committed network of routers, smaller than it is, and what must hold in it.
#![allow(clippy::unwrap_used)]

use samizdat_sim::{Plan, route};

fn small() -> Plan {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/routing.toml");
    let plan = Plan::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    Plan { nodes: 250, hours: 0.5, lookups: 300, ..plan }
}

#[test]
fn nodes_find_each_other_though_some_die_some_lie_and_many_cannot_be_dialled() {
    let report = route(&small()).unwrap();
    assert!(report.lookups >= 290 && report.lookup_success >= 0.99, "{}", report.table());
    assert!(report.entries_max as f64 <= report.entries_goal, "{}", report.table());
    assert!(report.hops.max.unwrap() <= 6 && report.latency_ms.p50.unwrap() < 1_000, "{}", report.table());
    assert!(report.byzantine >= 10 && report.hidden >= 50 && report.refused == 0, "{}", report.table());
}

#[test]
fn the_same_seed_gives_the_same_network_and_another_seed_another() {
    let run = |seed| route(&Plan { nodes: 60, hours: 0.2, lookups: 50, seed, ..small() }).unwrap();
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first, again);
    assert_ne!(first.trace_hash, other.trace_hash);
    assert_eq!(first.trace_hash.len(), 64);
}

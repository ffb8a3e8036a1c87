//! A few schedules of clusters, and what must hold in each.
#![allow(clippy::unwrap_used)]

use samizdat_sim::{ClusterPlan, ClusterReport, clusters};

fn play(plan: &ClusterPlan) -> ClusterReport {
    clusters(plan, |_| {}).unwrap()
}

#[test]
fn whatever_kept_them_apart_all_end_in_one_state_and_nothing_is_lost() {
    let report = play(&ClusterPlan { schedules: 3, seed: 1, members: (5, 5), byzantine: 0 });
    assert_eq!((report.converged, report.failed, report.lost), (3, 0, 0), "{}", report.table());
    assert_eq!((report.doubled, report.reused, report.uncertified), (0, 0, 0), "{}", report.table());
    assert!(report.forks > 0 && report.due > 50, "{}", report.table());
}

#[test]
fn one_malicious_member_in_five_changes_nothing_that_was_not_decided() {
    let report = play(&ClusterPlan { schedules: 2, seed: 1, members: (5, 5), byzantine: 20 });
    assert_eq!((report.converged, report.failed, report.uncertified), (2, 0, 0), "{}", report.table());
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    let told = |seed| play(&ClusterPlan { schedules: 1, seed, members: (5, 5), byzantine: 0 });
    let (first, again, other) = (told(1), told(1), told(2));
    assert_eq!(first, again);
    assert_ne!(first.trace_hash, other.trace_hash);
}

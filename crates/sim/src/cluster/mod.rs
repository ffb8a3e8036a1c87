//! Clusters under a virtual clock: members who are cut off from each other, go, come back, decide several things at once, start
//! anew and are restored from old copies, until all is healed; then whether all are in one state and nothing was lost.
//!
//! What is real: [`samizdat_chat::Chat`] with its vault in memory, the MLS groups, and every byte that goes between members. What
//! is modelled: time, and the log: envelopes have no stamps and are handed over, in any order, some twice, some late.

mod act;
mod check;
mod crowd;
mod mallory;
mod member;
mod plan;
mod report;
mod seals;
mod town;

pub use plan::ClusterPlan;
pub use report::{ClusterReport, Failure};

use crate::world::SimError;

/// Plays all schedules of a plan, one after the other.
pub fn clusters(plan: &ClusterPlan, progress: impl FnMut(&ClusterReport) + Send) -> Result<ClusterReport, SimError> {
    // The MLS library draws randomness on many threads at once: on one the order is always the same.
    // Its hash maps keep an order of their own, which shows in state ids: where these decide, a schedule may end otherwise.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|_| SimError::Thread)?;
    pool.install(|| play_all(plan, progress))
}

fn play_all(plan: &ClusterPlan, mut progress: impl FnMut(&ClusterReport)) -> Result<ClusterReport, SimError> {
    let mut crowds = crowd::Crowds::default();
    let mut report = ClusterReport::new(plan);
    for number in 0..plan.schedules {
        let seed = plan.seed.wrapping_add(number);
        let outcome = town::play(plan, seed, &mut crowds)?;
        report.add(seed, &outcome);
        progress(&report);
    }
    Ok(report)
}

//! What schedules came to.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{check::Outcome, plan::ClusterPlan};
use crate::{
    hex,
    limits::{CLUSTER_FAILURES_MAX, CLUSTER_WHY_MAX},
};

/// A schedule that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its seed: `--seed` with it and `--schedules 1` play it again.
    pub seed: u64,
    /// Members at the start.
    pub members: usize,
    /// What was wrong.
    pub why: Vec<String>,
}

/// Sums over all schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterReport {
    /// Seed of the first.
    pub seed: u64,
    /// Schedules.
    pub schedules: u64,
    /// In which all honest members ended in one state.
    pub converged: u64,
    /// Malicious members, percent.
    pub byzantine: u64,
    /// Texts written.
    pub texts: usize,
    /// Pairs of text and honest reader who was there when it was written, both members in the end.
    pub due: usize,
    /// Of these, not read.
    pub lost: usize,
    /// Not read, too: written by a copy that had been restored, or before that and forgotten by it; or by a reader for whom an old copy
    /// took the place of the one who may have read it.
    pub lost_by_restored: usize,
    /// Not read, too: the reader was away beyond the window, and was let in again.
    pub lost_to_returned: usize,
    /// Shown more than once.
    pub doubled: usize,
    /// Contents encrypted under a key and nonce that another was encrypted under.
    pub reused: usize,
    /// Under a key that another was encrypted under, with another nonce: by restored copies.
    pub guarded: usize,
    /// States with several children.
    pub forks: usize,
    /// States of the longest branch that was given up.
    pub deepest: usize,
    /// Epochs in all.
    pub epochs: u64,
    /// Members that were let in again.
    pub returned: usize,
    /// Vaults that were restored from old copies.
    pub restored: usize,
    /// Members for whom the audit failed, or changes nobody decided.
    pub uncertified: usize,
    /// Decisions that were voted on in secret, and carried out.
    pub in_secret: usize,
    /// The most rows that clusters took in one vault.
    pub rows: u64,
    /// The first schedules that did not end well.
    pub failures: Vec<Failure>,
    /// How many did not.
    pub failed: u64,
    /// SHA-256 over who read what and when, as hexadecimal.
    pub trace_hash: String,
}

impl ClusterReport {
    pub(super) fn new(plan: &ClusterPlan) -> Self {
        Self {
            seed: plan.seed,
            schedules: 0,
            converged: 0,
            byzantine: plan.byzantine,
            texts: 0,
            due: 0,
            lost: 0,
            lost_by_restored: 0,
            lost_to_returned: 0,
            doubled: 0,
            reused: 0,
            guarded: 0,
            forks: 0,
            deepest: 0,
            epochs: 0,
            returned: 0,
            restored: 0,
            uncertified: 0,
            in_secret: 0,
            rows: 0,
            failures: Vec::new(),
            failed: 0,
            trace_hash: String::new(),
        }
    }

    pub(super) fn add(&mut self, seed: u64, outcome: &Outcome) {
        let sum = |to: &mut usize, more: usize| *to = to.saturating_add(more);
        self.schedules = self.schedules.saturating_add(1);
        self.converged = self.converged.saturating_add(u64::from(outcome.converged));
        sum(&mut self.texts, outcome.texts);
        sum(&mut self.due, outcome.due);
        sum(&mut self.lost, outcome.lost);
        sum(&mut self.lost_by_restored, outcome.lost_by_restored);
        sum(&mut self.lost_to_returned, outcome.lost_to_returned);
        sum(&mut self.doubled, outcome.doubled);
        sum(&mut self.reused, outcome.reused);
        sum(&mut self.guarded, outcome.guarded);
        sum(&mut self.forks, outcome.forks);
        sum(&mut self.returned, outcome.returned);
        sum(&mut self.restored, outcome.restored);
        sum(&mut self.uncertified, outcome.uncertified);
        sum(&mut self.in_secret, outcome.in_secret);
        self.deepest = self.deepest.max(outcome.deepest);
        self.epochs = self.epochs.saturating_add(outcome.epochs);
        self.rows = self.rows.max(outcome.rows);
        self.trace_hash = hex(&Sha256::digest([self.trace_hash.as_bytes(), outcome.trace.as_bytes()].concat()));
        if !outcome.is_good() {
            self.failed = self.failed.saturating_add(1);
            if self.failures.len() < CLUSTER_FAILURES_MAX {
                let why = outcome.why.iter().take(CLUSTER_WHY_MAX).cloned().collect();
                self.failures.push(Failure { seed, members: outcome.members, why });
            }
        }
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let rows = [
            ("schedules", format!("{} from seed {}, {} % malicious", self.schedules, self.seed, self.byzantine)),
            ("converged", format!("{} ({} failed in any way)", self.converged, self.failed)),
            ("texts", format!("{} written, {} to be read", self.texts, self.due)),
            ("lost", self.lost.to_string()),
            ("lost otherwise", format!("{} by restored copies, {} to the returned", self.lost_by_restored, self.lost_to_returned)),
            ("doubled", self.doubled.to_string()),
            ("reused", format!("{} ({} keys with other nonces)", self.reused, self.guarded)),
            ("uncertified", self.uncertified.to_string()),
            ("decided in secret", self.in_secret.to_string()),
            ("epochs", format!("{}, forks {}, deepest {}", self.epochs, self.forks, self.deepest)),
            ("returned", format!("{}, restored {}", self.returned, self.restored)),
            ("rows", self.rows.to_string()),
            ("trace", self.trace_hash.clone()),
        ];
        let failures = self
            .failures
            .iter()
            .map(|failure| format!("seed {} with {} members: {}\n", failure.seed, failure.members, failure.why.join("; ")));
        rows.iter().map(|(name, value)| format!("{name:<18} {value}\n")).chain(failures).collect()
    }
}

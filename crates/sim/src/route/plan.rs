//! What is to be simulated, as it stands in a TOML file or on the command line.

use samizdat_sync::routing::Config;
use serde::Deserialize;

use crate::{
    limits::{ROUTE_HOURS_MAX, ROUTE_NODES_MAX},
    scenario::ScenarioError,
};

/// A network of routers. Everything may be left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// How many nodes there are at any time.
    pub nodes: usize,
    /// So many of a hundred nodes die in an hour, without a word, and as many others come.
    pub churn: f64,
    /// So many of a hundred nodes are malicious.
    pub byzantine: f64,
    /// So many of a hundred nodes cannot be dialled: they ask and store, and stand in no table.
    pub hidden: f64,
    /// Random live nodes through which a node joins; the first of them is honest.
    pub known: usize,
    /// Hours from the last of the first nodes to the measured lookups.
    pub hours: f64,
    /// Measured lookups, within ten minutes.
    pub lookups: usize,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Nodes in a bucket, in an answer, and keepers of a record.
    pub k: usize,
    /// Questions of one search under way.
    pub alpha: usize,
    /// Disjoint paths of one search.
    pub paths: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let Config { k, alpha, paths } = Config::default();
        Self {
            nodes: 1_000,
            churn: 10.0,
            byzantine: 10.0,
            hidden: 0.0,
            known: 1,
            hours: 2.0,
            lookups: 1_000,
            seed: 1,
            k,
            alpha,
            paths,
        }
    }
}

impl Plan {
    /// Reads a file.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let plan: Self = toml::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// Whether its numbers make sense; to be asked again when some were changed.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let holds = |holds: bool, otherwise: &'static str| if holds { Ok(()) } else { Err(ScenarioError::Range(otherwise)) };
        holds((2..=ROUTE_NODES_MAX).contains(&self.nodes), "nodes: 2 to 200000")?;
        let percents = [self.churn, self.byzantine, self.hidden];
        holds(percents.into_iter().all(|percent| (0.0..=100.0).contains(&percent)), "a percentage lies between 0 and 100")?;
        holds(self.byzantine <= 90.0 && self.hidden <= 90.0, "byzantine and hidden: at most 90, somebody must be left")?;
        holds((0.0..=ROUTE_HOURS_MAX).contains(&self.hours), "hours: 0 to 48")?;
        holds((1..=16).contains(&self.known), "known: 1 to 16")?;
        holds((1..=100_000).contains(&self.lookups), "lookups: 1 to 100000")
    }

    pub(super) fn config(&self) -> Config {
        Config { k: self.k, alpha: self.alpha, paths: self.paths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Plan::read("nodes = 50\nchurn = 30").is_ok());
        for text in ["nodes = 1", "churn = 101", "byzantine = 95", "known = 0", "hours = -1", "nods = 5", "lookups = 0"] {
            assert!(Plan::read(text).is_err(), "{text}");
        }
    }
}

//! What is to be played.

use crate::{
    limits::{CLUSTER_MEMBERS_MAX, CLUSTER_SIZES},
    scenario::ScenarioError,
};

/// Schedules of clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPlan {
    /// How many, with consecutive seeds.
    pub schedules: u64,
    /// The seed of the first: everything that is left to chance in it follows from it.
    pub seed: u64,
    /// Members at the start, at least and at most.
    pub members: (usize, usize),
    /// So many of a hundred members are malicious.
    pub byzantine: u64,
}

impl Default for ClusterPlan {
    fn default() -> Self {
        Self { schedules: 100, seed: 1, members: (5, CLUSTER_MEMBERS_MAX), byzantine: 0 }
    }
}

impl ClusterPlan {
    /// Whether its numbers make sense.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let holds = |holds: bool, otherwise: &'static str| if holds { Ok(()) } else { Err(ScenarioError::Range(otherwise)) };
        holds((1..=1_000_000).contains(&self.schedules), "schedules: 1 to 1000000")?;
        holds(self.byzantine < 50, "byzantine: less than 50")?;
        holds(self.sizes().next().is_some(), "members: from and to, between 5 and 50")
    }

    /// How many members a schedule may begin with.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (usize, u64)> {
        let (least, most) = self.members;
        CLUSTER_SIZES.into_iter().filter(move |(size, _)| (least..=most).contains(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(ClusterPlan::default().check().is_ok());
        let plan = ClusterPlan::default();
        for wrong in [
            ClusterPlan { schedules: 0, ..plan.clone() },
            ClusterPlan { byzantine: 50, ..plan.clone() },
            ClusterPlan { members: (51, 60), ..plan },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}

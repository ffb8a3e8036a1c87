//! Members of whom nothing is heard. Where the charter says so, those who are there move and vote by themselves to drop them, as each of
//! them sees it: nobody goes without enough of their votes.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_cluster::{
    MemberId,
    ballot::Choice,
    ids::rank,
    motion::{Kind, MotionIn},
};
use samizdat_core::Now;

use super::row::{ClusterRow, StateRow};
use crate::{error::ChatError, work::Work};

const HOUR_MS: u64 = 60 * 60 * 1000;

impl Work<'_> {
    /// Moves to drop the silent, or says yes to a motion that does.
    pub(crate) fn drop_the_silent(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        if !state.context.charter.automatic_ballots {
            return Ok(());
        }
        let silent = self.silent(row, state)?;
        if silent.is_empty() {
            return Ok(());
        }
        let open = self.open_drops(row, state)?;
        for (motion, members) in &open {
            let ours = motion
                .clone()
                .verify(&motion.claimed().cluster, &state.past)
                .is_ok_and(|motion| motion.electorate().contains(&row.member));
            let id = motion.claimed().id();
            if ours && members.is_subset(&silent) && self.own_ballot(row, &id)?.is_none() {
                self.vote(row, state, &id, &Choice::Decision(true), now)?;
            }
        }
        let moved: BTreeSet<MemberId> = open.iter().flat_map(|(_, members)| members).copied().collect();
        let rest: Vec<MemberId> = silent.difference(&moved).copied().collect();
        if rest.is_empty() || !self.is_first(row, state, &silent) {
            return Ok(());
        }
        match self.open_motion(row, state, Kind::Silent { members: rest }, false, now) {
            Ok(_) | Err(ChatError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Who stands so many epochs behind that the charter calls them silent, and was not heard for half of the time that so many rollouts
    /// take by it: any member can hasten them, and many newcomers do. Of somebody who never spoke, the time counts from the oldest state
    /// that we know them in. By the clock of the tip, so that all is shown as it was decided.
    pub(crate) fn silent(&self, row: &ClusterRow, state: &StateRow) -> Result<BTreeSet<MemberId>, ChatError> {
        let patience = u64::from(state.context.charter.silent_epochs);
        if patience == 0 {
            return Ok(BTreeSet::new());
        }
        let heard: BTreeMap<MemberId, (u64, u64)> = self
            .conn
            .prepare_cached(
                "SELECT m.member, coalesce(s.epoch, 0), max(m.known, coalesce(s.heard, 0)) FROM cluster_member m
                 LEFT JOIN cluster_stand s USING (cluster, member) WHERE m.cluster = ?1",
            )?
            .query_map([row.cluster], |row| Ok((MemberId(row.get(0)?), (row.get(1)?, row.get(2)?))))?
            .collect::<Result<_, _>>()?;
        let half = patience.saturating_mul(state.context.charter.rollout_hours.into()).saturating_mul(HOUR_MS / 2);
        let is_silent = |member: &&MemberId| {
            let (epoch, at) = heard.get(member).copied().unwrap_or_default();
            let last = epoch.max(state.past.member_since(member));
            state.epoch.saturating_sub(last) >= patience && state.began.saturating_sub(at) >= half
        };
        let others = state.roster().iter().filter(|member| **member != row.member);
        Ok(others.filter(is_silent).copied().collect())
    }

    /// Motions that would drop the silent and are open. In secret nobody votes by itself.
    fn open_drops(&self, row: &ClusterRow, state: &StateRow) -> Result<Vec<(MotionIn, BTreeSet<MemberId>)>, ChatError> {
        let mut open = Vec::new();
        for (motion, _) in self.motions(row)? {
            let claimed = motion.claimed();
            if let Kind::Silent { members } = &claimed.kind
                && !claimed.secret
                && claimed.until >= state.epoch
                && !state.done.has(&claimed.id())
            {
                let members = members.iter().copied().collect();
                open.push((motion, members));
            }
        }
        Ok(open)
    }

    /// Whether it is for us to move: one is enough.
    fn is_first(&self, row: &ClusterRow, state: &StateRow, silent: &BTreeSet<MemberId>) -> bool {
        let place = |member: &MemberId| rank(&state.context.salt, state.epoch, member);
        let there = state.roster().iter().filter(|member| !silent.contains(member));
        there.min_by_key(|member| place(member)) == Some(&row.member)
    }
}

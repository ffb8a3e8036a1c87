//! What was decided in secret is confirmed: everybody who may vote says, signed and by itself, that it has passed, however it voted. So
//! what changes the cluster rests on a certificate as always, which anybody checks without the transcript of the vote.

use samizdat_cluster::{
    ballot::Ballot,
    limits::MOTION_EPOCHS_MAX,
    motion::{Motion, MotionIn},
};
use samizdat_core::Now;

use super::Phase;
use crate::{
    cluster::row::{ClusterRow, StateRow, ms},
    error::ChatError,
    work::Work,
};

impl Work<'_> {
    /// Confirms what has passed by a result that we have verified, once, where it can be carried out.
    pub(crate) fn confirm_votes(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        let decided: Vec<Vec<u8>> = self
            .conn
            .prepare_cached(
                "SELECT m.bytes FROM cluster_vote v JOIN cluster_motion m USING (cluster, motion)
                 WHERE v.cluster = ?1 AND v.phase = ?2 AND v.until + ?3 >= ?4
                 AND NOT EXISTS (SELECT 1 FROM cluster_ballot b WHERE b.cluster = v.cluster AND b.motion = v.motion AND b.voter = ?5)
                 ORDER BY motion",
            )?
            .query_map((row.cluster, Phase::Done.number(), MOTION_EPOCHS_MAX, ms(state.epoch), row.member.0), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for motion in decided {
            let motion = MotionIn::decode(&motion).ok().and_then(|motion| motion.verify(&cluster, &state.past).ok());
            let Some(motion) = motion.filter(|motion| motion.electorate().contains(&row.member)) else { continue };
            let open = state.epoch <= motion.fields().until && !state.done.has(&motion.id());
            if open && self.has_passed_in_secret(row, &motion)? {
                let us = self.member_secret(row)?;
                let ballot = Ballot::confirm(&motion, &us).map_err(|_| ChatError::Bug("own confirmation"))?;
                self.say_ballot(row, state, &ballot, now)?;
            }
        }
        Ok(())
    }

    fn has_passed_in_secret(&self, row: &ClusterRow, motion: &Motion) -> Result<bool, ChatError> {
        let yes = self.result(row, &motion.id())?.counts.first().copied();
        Ok(motion.is_confirmed() && yes.is_some_and(|yes| yes >= motion.needed()))
    }
}

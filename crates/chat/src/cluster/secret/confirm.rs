//! What was decided in secret is confirmed: everybody who may vote says, signed and by itself, that it has passed, however it voted. So
//! what changes the cluster rests on a certificate as always, which anybody checks without the transcript of the vote.

use samizdat_cluster::{ballot::Ballot, limits::MOTION_EPOCHS_MAX, motion::MotionIn};

use super::{CONFIRMATION, Phase};
use crate::{
    cluster::row::{ClusterRow, StateRow, ms},
    error::ChatError,
    work::Work,
};

impl Work<'_> {
    /// Confirms what has passed by a result that we have verified, once, where it can be carried out.
    pub(crate) fn confirm_votes(&mut self, row: &ClusterRow, state: &StateRow) -> Result<(), ChatError> {
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
        for motion in decided.iter().filter_map(|motion| MotionIn::decode(motion).ok()) {
            let claimed = motion.claimed();
            let open = state.epoch <= claimed.until && !state.done.has(&claimed.id());
            let vote = if open { self.secret_vote(row, &claimed.id())? } else { None };
            let Some(vote) = vote.filter(|vote| vote.panel.motion().electorate().contains(&row.member)) else { continue };
            let yes = self.result(row, &vote.id())?.counts.first().copied();
            let passed = vote.panel.motion().decides_in_secret() && yes.is_some_and(|yes| yes >= vote.panel.motion().needed());
            // On another branch it may not be in order.
            let Some(motion) = passed.then(|| motion.verify(&cluster, &state.past).ok()).flatten() else { continue };
            let ballot = Ballot::confirm(&motion, &self.member_secret(row)?).map_err(|_| ChatError::Bug("own confirmation"))?;
            self.take_ballot(row, &ballot.unverified())?;
            self.conn.execute(
                "INSERT INTO cluster_vote_said(cluster, motion, kind, bytes) VALUES(?1, ?2, ?3, ?4)",
                (row.cluster, motion.id().0, CONFIRMATION, ballot.unverified().encode()),
            )?;
        }
        Ok(())
    }

    /// How many of these motions are voted on in secret, and that has not ended.
    pub(crate) fn secret_votes_of(&self, row: &ClusterRow, open: &[MotionIn]) -> Result<usize, ChatError> {
        let sql = "SELECT 1 FROM cluster_vote WHERE cluster = ?1 AND motion = ?2 AND phase >= ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut going_on: usize = 0;
        for motion in open.iter().filter(|motion| motion.claimed().secret) {
            let ended = statement.exists((row.cluster, motion.claimed().id().0, Phase::Done.number()))?;
            going_on = going_on.saturating_add(usize::from(!ended));
        }
        Ok(going_on)
    }
}

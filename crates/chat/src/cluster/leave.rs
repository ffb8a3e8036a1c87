//! Leaving, and learning that one is out. Who cannot follow the others any more asks at the door for those who return; whoever was put
//! out, or left before an old copy of its vault was restored, is answered there with what shows it.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId, MemberSecret, StateId,
    bundle::Bundle,
    certificate::CertificateIn,
    content::Body,
    leave::{Leave, LeaveIn},
};
use samizdat_core::{Now, seal::StateSecret};

use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{DECIDING_LIFETIMES, LEAVING_MAX, TELL_AGAIN_MS},
    work::Work,
};

impl Chat {
    /// Leaves, at once. The others are told, and need not consent.
    pub fn leave_cluster(&mut self, which: &str, now: Now) -> Result<i64, ChatError> {
        self.dirty = true;
        self.transact(|work| work.leave_cluster(which, now))
    }
}

impl Work<'_> {
    fn leave_cluster(&mut self, which: &str, now: Now) -> Result<i64, ChatError> {
        let row = self.find_cluster(which)?;
        if let Ok((id, tip)) = row.place() {
            let others = self.state_row(row.cluster, &tip)?.is_some_and(|state| state.members.len() > 1);
            if others {
                let seed = self.mls.groups(self.conn, self.rng).signer(&row.member)?;
                let leave = Leave::sign(id, &MemberSecret::from_seed(*seed.seed()));
                // Wherever others stand: they may have been told nothing of the branch that we are on.
                for state in self.states_of_others(&row, &tip)?.into_iter().chain([tip]) {
                    self.send_message(&row, &state, Body::Leave(leave.unverified()), &DECIDING_LIFETIMES, now)?;
                }
                // And where those look who have forgotten all states that we know.
                if let Some(door) = row.door {
                    self.knock(door, &leave.unverified().encode(), now)?;
                }
            }
        }
        self.forget_cluster(&row)?;
        Ok(row.cluster)
    }

    /// The states besides ours in which others stand and we can speak, the newest of them.
    fn states_of_others(&self, row: &ClusterRow, tip: &StateId) -> Result<Vec<StateId>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT DISTINCT s.state FROM cluster_state s JOIN cluster_stand t USING (cluster, state)
             WHERE s.cluster = ?1 AND s.state <> ?2 AND t.member <> ?3 AND s.own_leaf IS NOT NULL ORDER BY s.epoch DESC, s.state LIMIT ?4",
        )?;
        let states = statement.query_map((row.cluster, tip.0, row.member.0, LEAVING_MAX), |row| Ok(StateId(row.get(0)?)))?;
        Ok(states.collect::<Result<_, _>>()?)
    }

    /// Forgets all keys of a cluster. What was read in it stays.
    fn forget_cluster(&mut self, row: &ClusterRow) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE cluster SET standing = ?2, reply = NULL, door = NULL WHERE cluster = ?1",
            (row.cluster, Standing::Left.number()),
        )?;
        self.forget_votes(row)?;
        if let Some(id) = row.id {
            for state in self.branches(row.cluster)?.states() {
                self.forget_state(row.cluster, &id, &state.id)?;
            }
        }
        for tag in self.tags_where("cluster = ?1", [row.cluster])? {
            self.unexpect_in_cluster(tag)?;
        }
        self.conn.execute(
            "DELETE FROM cluster_ahead WHERE conversation = (SELECT conversation FROM conversation WHERE cluster = ?1)",
            [row.cluster],
        )?;
        for table in ["cluster_door", "cluster_request", "cluster_part", "cluster_stand", "cluster_missed"] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE cluster = ?1"), [row.cluster])?;
        }
        self.mls.groups(self.conn, self.rng).forget_keys(&row.member)?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Somebody leaves. Of people whom nobody here has heard of anybody could say so without end.
    pub(crate) fn take_leave(&mut self, row: &ClusterRow, leave: &LeaveIn, now: Now) -> Result<(), ChatError> {
        let member = leave.claimed_member();
        let known = "SELECT 1 FROM cluster_member WHERE cluster = ?1 AND member = ?2
                     UNION ALL SELECT 1 FROM cluster_request WHERE cluster = ?1 AND member = ?2";
        if !self.conn.prepare_cached(known)?.exists((row.cluster, member.0))? || row.id.is_none_or(|id| leave.verify(&id).is_err())
        {
            return Ok(());
        }
        let sql = "INSERT OR IGNORE INTO cluster_leave(cluster, member, bytes, at) VALUES(?1, ?2, ?3, ?4)";
        self.conn.prepare_cached(sql)?.execute((row.cluster, member.0, leave.encode(), ms(now.unix_ms)))?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Tells those who ask to be let back in, and are out, what put them out; each once in a while, however often it asks. One tells them:
    /// the first in the order of leaders.
    pub(crate) fn tell_who_is_out(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let mut out = self.returning(row)?;
        let is_due = |told: u64| told == 0 || told.saturating_add(TELL_AGAIN_MS) <= now.unix_ms;
        out.retain(|back| is_due(back.told) && !state.roster().contains(&back.comeback.claimed_member()));
        if out.is_empty() || self.our_place(row, state, &[], now)? > 0 {
            return Ok(());
        }
        for back in out {
            if let Some(proof) = self.what_put_out(row, state, &back.comeback.claimed_member())? {
                self.answer_request(back.reply, &proof, &DECIDING_LIFETIMES, now)?;
            }
            // Also those of whom nothing is known: to look for it takes long.
            self.conn.execute("UPDATE cluster_request SET told = ?2 WHERE request = ?1", (back.request, ms(now.unix_ms)))?;
        }
        Ok(())
    }

    /// The statement of who left, or the certificate by which somebody was put out on the branch that leads here.
    fn what_put_out(&self, row: &ClusterRow, state: &StateRow, member: &MemberId) -> Result<Option<Vec<u8>>, ChatError> {
        if let Some((leave, _)) = self.leaves(row)?.into_iter().find(|(leave, _)| leave.claimed_member() == *member) {
            return Ok(Some(leave.encode()));
        }
        let sql = "SELECT parent, bytes FROM cluster_decision WHERE cluster = ?1 AND state = ?2";
        let mut decided = self.conn.prepare_cached(sql)?;
        let mut at = Some(state.state);
        while let Some(state) = at {
            let found = decided.query_row((row.cluster, state.0), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((parent, bytes)): Option<(Option<[u8; 16]>, Vec<u8>)> = found else { break };
            let certificates = Bundle::decode(&bytes).map(|bundle| bundle.grounds.certificates).unwrap_or_default();
            if let Some(certificate) = certificates.iter().find(|certificate| certificate.motion().claimed().puts_out(member)) {
                return Ok(Some(certificate.encode()));
            }
            at = parent.map(StateId);
        }
        Ok(None)
    }

    /// What we were answered where we asked to be let back in, if it is that we left, or were put out. Of the others' past we may know
    /// nothing, so we believe a certificate by its votes: of more than half of those whom we know as members.
    pub(crate) fn learn_that_we_are_out(&mut self, row: &ClusterRow, bytes: &[u8], now: Now) -> Result<(), ChatError> {
        let (Some(id), Standing::Member | Standing::Away, Ok((_, tip))) = (row.id, row.standing, row.place()) else {
            return Ok(());
        };
        if let Ok(leave) = LeaveIn::decode(bytes) {
            if leave.verify(&id).is_ok_and(|leave| leave.member() == row.member) {
                self.forget_cluster(row)?;
            }
            return Ok(());
        }
        let (Ok(certificate), Some(state)) = (CertificateIn::decode(bytes), self.state_row(row.cluster, &tip)?) else {
            return Ok(());
        };
        if certificate.shows_out(&id, &row.member, state.roster()) {
            let out = without_us(state, &row.member, &certificate, now);
            self.put_state(row.cluster, &out)?;
            self.touch(row.cluster);
        }
        Ok(())
    }
}

/// A state after ours by which we are out. The true one we cannot know.
fn without_us(at: StateRow, us: &MemberId, certificate: &CertificateIn, now: Now) -> StateRow {
    let past = at.past.after(at.roster().without(|member| member == us), at.context.charter.clone());
    let mut members = at.members.clone();
    members.retain(|leaf| leaf.member != *us);
    StateRow {
        state: StateId::of(&certificate.motion().claimed().id().0),
        parent: Some(at.state),
        epoch: at.epoch.saturating_add(1),
        committer: None,
        certified: true,
        members,
        past,
        secret: StateSecret::new([0; 32]),
        own_leaf: None,
        began: now.unix_ms,
        ..at
    }
}

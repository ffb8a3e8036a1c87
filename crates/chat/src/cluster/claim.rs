//! Saying which name is behind a member: an act of its own, towards all members of today and of later, or towards one. Nothing else links
//! the two.

use samizdat_cluster::{MemberId, claim::ClaimIn, content::Body};
use samizdat_core::Now;

use super::{
    govern::find_member,
    row::{ClusterRow, StateRow, ms},
};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{DECIDING_LIFETIMES, MESSAGE_LIFETIME},
    query::Message,
    work::Work,
};

impl Chat {
    /// Tells the members who we are. It cannot be taken back.
    pub fn claim_in_cluster(&mut self, which: &str, now: Now) -> Result<i64, ChatError> {
        self.dirty = true;
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
            work.claim(&row, &state, now)?;
            Ok(row.cluster)
        })
    }
}

/// What is said with it to one member.
const WORDS: &str = "This is who I am.";

impl Chat {
    /// Tells one member who we are, by nickname or the beginning of its id, with words that it sees. It cannot be taken back.
    pub fn claim_to_member(&mut self, which: &str, who: &str, now: Now) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| {
            let row = work.find_cluster(which)?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
            let to = find_member(&state, who)?;
            let id = work.write_to_member(&row, &to, WORDS, MESSAGE_LIFETIME, now)?;
            work.conn.execute("UPDATE message SET claims = 1 WHERE id = ?1", [id.0])?;
            Ok(id)
        })?;
        self.message(&id)
    }
}

impl Work<'_> {
    /// For one member.
    pub(crate) fn claim_for(&self, row: &ClusterRow, to: &MemberId) -> Result<ClaimIn, ChatError> {
        let cluster = row.id.ok_or(ChatError::Bug("cluster without id"))?;
        let identity = self.identity_secret(self.default_identity()?)?;
        Ok(ClaimIn::sign(&identity, &cluster, &row.member, Some(to)))
    }

    fn claim(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        let identity = self.identity_secret(self.default_identity()?)?;
        let claim = ClaimIn::sign(&identity, &cluster, &row.member, None);
        self.take_claim(row, &row.member, &claim, None)?;
        self.send_message(row, &state.state, Body::Claim(claim), &DECIDING_LIFETIMES, now)?;
        // One more, since 0 means never.
        let epoch = ms(state.epoch.saturating_add(1));
        self.conn.execute("UPDATE cluster SET claimed = ?2 WHERE cluster = ?1", (row.cluster, epoch))?;
        Ok(())
    }

    /// Whoever came since is told, too.
    pub(crate) fn claim_again(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let claimed: u64 = self
            .conn
            .prepare_cached("SELECT claimed FROM cluster WHERE cluster = ?1")?
            .query_row([row.cluster], |row| row.get(0))?;
        let is_new = |member: &MemberId| *member != row.member && state.past.member_since(member) >= claimed;
        if claimed > 0 && state.roster().iter().any(is_new) { self.claim(row, state, now) } else { Ok(()) }
    }

    /// What a member says about itself to all, or `to` us, if that name says so, too.
    pub(crate) fn take_claim(
        &mut self,
        row: &ClusterRow,
        member: &MemberId,
        claim: &ClaimIn,
        to: Option<&MemberId>,
    ) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        if let Ok(identity) = claim.verify(&cluster, member, to) {
            let name = identity.name().compact();
            self.conn
                .execute("UPDATE cluster_member SET name = ?3 WHERE cluster = ?1 AND member = ?2", (row.cluster, member.0, name))?;
            self.touch(row.cluster);
        }
        Ok(())
    }
}

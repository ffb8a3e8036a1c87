//! Parts of a cluster that were apart for longer than states are kept: neither can follow the other any more, so the members of one
//! come back into the other. Which one gives way, both must see alike, though neither knows what the other is like:
//!
//! - a part with more than half of the members stays, and so does one of two halves, that with the lowest member id of all;
//! - the members of every other part ask to be let back in;
//! - of such parts, which of them have met, one lets the others in: that with the lowest member id.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_cluster::{
    ClusterId, MemberId, MemberSecret, StateId,
    comeback::{Comeback, ComebackIn},
    door::DoorSecret,
    request::{Purpose, Request},
    unlisted,
};
use samizdat_core::Now;

use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{
    error::ChatError,
    limits::{ASK_AGAIN_MS, MISSED_MS, REPLY_TAGS, RETURN_GRACE_MS, ROLLOUTS_MISSED},
    work::Work,
};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// A member who was away for too long and asks to be let back in.
#[derive(Debug, Clone)]
pub(crate) struct Returning {
    pub(crate) request: i64,
    /// Under which the answer is expected.
    pub(crate) reply: [u8; 32],
    /// When it was told that it is out, ms; 0: never.
    pub(crate) told: u64,
    pub(crate) comeback: ComebackIn,
    pub(crate) key_package: Vec<u8>,
    pub(crate) at: u64,
}

impl Work<'_> {
    /// Where our part gives way we ask to be let back in, once a while.
    pub(crate) fn ask_to_return(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let asked = "SELECT asked_at FROM cluster WHERE cluster = ?1";
        let asked: u64 = self.conn.prepare_cached(asked)?.query_row([row.cluster], |row| row.get(0))?;
        let lost = row.standing == Standing::Away || self.gives_way(row, state, now)?;
        let set = |at: u64| self.conn.execute("UPDATE cluster SET asked_at = ?2 WHERE cluster = ?1", (row.cluster, ms(at)));
        match (lost, asked) {
            (false, 0) => return Ok(()),
            (false, _) => {
                set(0)?;
                self.conn.execute("DELETE FROM cluster_unlisted WHERE cluster = ?1", [row.cluster])?;
                return Ok(());
            }
            // The log may still be filling: what it brings may tell where the others are.
            (true, 0) => {
                set(now.unix_ms.saturating_sub(ASK_AGAIN_MS).saturating_add(RETURN_GRACE_MS))?;
                return Ok(());
            }
            (true, asked) if asked <= now.unix_ms && now.unix_ms < asked.saturating_add(ASK_AGAIN_MS) => return Ok(()),
            (true, _) => set(now.unix_ms)?,
        };
        let (Some(id), Some(door)) = (row.id, row.door) else { return Ok(()) };
        let keys = self.mls.groups(self.conn, self.rng).renew_keys(&row.member, &row.nick)?;
        let reply = self.secret();
        self.conn.execute("UPDATE cluster SET reply = ?2 WHERE cluster = ?1", (row.cluster, reply))?;
        // With the key of an earlier question what answers it cannot be read any more.
        let earlier = self.tags_where("cluster = ?1 AND source = 2", [row.cluster])?;
        earlier.into_iter().try_for_each(|tag| self.unexpect_in_cluster(tag))?;
        let each = state.roster().iter().map(unlisted::counter);
        self.expect_reply(row.cluster, reply, (0..REPLY_TAGS).chain(each))?;
        let seed = self.mls.groups(self.conn, self.rng).signer(&row.member)?;
        // The clock grows over a restored backup, as no counter of ours would.
        let comeback = Comeback::sign(id, &MemberSecret::from_seed(*seed.seed()), now.unix_ms, keys.hash.0);
        let purpose = Purpose::Return(comeback.unverified());
        let request = Request { reply: DoorSecret(reply), key_package: keys.bytes, purpose };
        self.knock(door, &request.encode(), now)
    }

    /// Whether our part is one that gives way: so far as can be seen from here the others are gone for too long.
    pub(super) fn gives_way(&self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<bool, ChatError> {
        let since = now.unix_ms.saturating_sub(patience(state));
        let oldest = "SELECT coalesce(min(began), 0) FROM cluster_state WHERE cluster = ?1";
        let began: u64 = self.conn.prepare_cached(oldest)?.query_row([row.cluster], |row| row.get(0))?;
        if began >= since {
            return Ok(false);
        }
        // States of our own making say nothing: alone we go on refreshing our keys.
        let here = self.heard_since(row, since)?;
        let roster = state.roster();
        let twice = roster.iter().filter(|member| here.contains(member)).count().saturating_mul(2);
        let has_lowest = roster.iter().min().is_some_and(|lowest| here.contains(lowest));
        Ok(twice < roster.len() || (twice == roster.len() && !has_lowest))
    }

    /// Those whom our part lets back in.
    pub(crate) fn to_let_back(
        &self,
        row: &ClusterRow,
        id: &ClusterId,
        state: &StateRow,
        now: Now,
    ) -> Result<Vec<Returning>, ChatError> {
        let asking = self.returning(row)?;
        if asking.is_empty() {
            return Ok(asking);
        }
        let here = self.heard_since(row, now.unix_ms.saturating_sub(patience(state)))?;
        let branches = self.branches(row.cluster)?;
        let mut away = Vec::new();
        for back in asking {
            let member = back.comeback.claimed_member();
            let ours = |stood: &StateId| branches.is_ancestor(stood, &state.state) || branches.is_ancestor(&state.state, stood);
            // Who asks because others are gone, and is here, is in the right place. What it said before may come late; and some
            // cannot follow us though we read what they say on a branch of their own.
            let is_here = match branches.standing(&member).filter(|(_, stood)| ours(stood)) {
                Some((turn, _)) if turn > back.comeback.claimed_turn() => {
                    // It will not be in need of this one any more.
                    self.conn.execute("DELETE FROM cluster_request WHERE request = ?1", [back.request])?;
                    true
                }
                Some(_) => here.contains(&member),
                None => now.unix_ms < back.at.max(state.began).saturating_add(RETURN_GRACE_MS),
            };
            if !is_here && back.comeback.verify(id).is_ok() {
                away.push(back);
            }
        }
        if !away.is_empty() && self.gives_way(row, state, now)? {
            let lowest = here.into_iter().filter(|member| state.roster().contains(member)).min();
            // They let us in.
            if away.iter().any(|back| Some(back.comeback.claimed_member()) < lowest) {
                away.clear();
            }
        }
        Ok(away)
    }

    /// When the last of those who are not here any more was heard.
    pub(crate) fn apart_since(&self, row: &ClusterRow, state: &StateRow) -> Result<Option<u64>, ChatError> {
        let here = self.heard_since(row, state.began.saturating_sub(patience(state)))?;
        let mut statement = self.conn.prepare_cached("SELECT member, heard FROM cluster_stand WHERE cluster = ?1")?;
        let heard = statement.query_map([row.cluster], |row| Ok((MemberId(row.get(0)?), row.get::<_, u64>(1)?)))?;
        let heard = heard.collect::<Result<Vec<_>, _>>()?;
        let gone = heard.into_iter().filter(|(member, _)| state.roster().contains(member) && !here.contains(member));
        Ok(gone.map(|(_, heard)| heard).max())
    }

    /// Who was heard since then, and we.
    fn heard_since(&self, row: &ClusterRow, since: u64) -> Result<BTreeSet<MemberId>, ChatError> {
        let mut statement = self.conn.prepare_cached("SELECT member FROM cluster_stand WHERE cluster = ?1 AND heard > ?2")?;
        let heard = statement.query_map((row.cluster, ms(since)), |row| Ok(MemberId(row.get(0)?)))?;
        let mut heard = heard.collect::<Result<BTreeSet<_>, _>>()?;
        heard.insert(row.member);
        Ok(heard)
    }

    /// Members who were away and asked to be let back in, whether somebody did on some branch or not.
    pub(crate) fn returning(&self, row: &ClusterRow) -> Result<Vec<Returning>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT request, reply, told, comeback, key_package, at FROM cluster_request
             WHERE cluster = ?1 AND comeback IS NOT NULL ORDER BY request DESC",
        )?;
        let rows = statement.query_map([row.cluster], |row| {
            let comeback = ComebackIn::decode(&row.get::<_, Vec<u8>>(3)?).ok();
            let (request, reply, told, key_package, at) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(4)?, row.get(5)?);
            Ok(comeback.map(|comeback| Returning { request, reply, told, comeback, key_package, at }))
        })?;
        let mut returning: BTreeMap<MemberId, Returning> = BTreeMap::new();
        for found in rows {
            let Some(back) = found? else { continue };
            let member = back.comeback.claimed_member();
            // The newest of each: the keys of older ones may be lost.
            if returning.get(&member).is_none_or(|newest| newest.comeback.claimed_turn() < back.comeback.claimed_turn()) {
                returning.insert(member, back);
            }
        }
        Ok(returning.into_values().collect())
    }
}

/// For how long members may be silent before we think that they went on without us, or we without them, ms.
fn patience(state: &StateRow) -> u64 {
    let rollouts = u64::from(state.context.charter.rollout_hours).saturating_mul(HOUR_MS).saturating_mul(ROLLOUTS_MISSED);
    rollouts.max(MISSED_MS)
}

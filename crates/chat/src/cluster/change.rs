//! Following changes, and choosing the state that is followed.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    Context, Grounds, MemberId, StateId,
    branch::Branches,
    bundle::Bundle,
    lawful::{Change, Judged, Parent, judge},
    limits::STATES_MAX,
    motion::Admission,
};
use samizdat_core::{Now, seal::StateSecret};
use sha2::{Digest, Sha256};

use super::{
    outer::Kind,
    row::{ClusterRow, Standing, StateRow, ms},
};
use crate::{
    error::{ChatError, is_database},
    limits::{APART_MARGIN_MS, ASK_AGAIN_MS, LEFT_MS, RETURN_GRACE_MS, SAY_AGAIN_MS, WINDOW_EPOCHS, WINDOW_MS},
    mls::{Changed, GroupError, Leaf, Made, Snapshot},
    timeline::State,
    work::Work,
};

/// What became of a change.
enum Followed {
    /// It led to a state.
    Yes,
    /// It builds on a proposal that has not come.
    Waits,
    /// Of no use.
    No,
}

impl Work<'_> {
    /// Follows changes in the transaction that brought them: a large one would be written, and zeroed in the next.
    pub(crate) fn follow_what_came(&mut self, now: Now) -> Result<(), ChatError> {
        for cluster in std::mem::take(&mut self.changed) {
            let row = self.cluster_row(cluster)?;
            if matches!(row.standing, Standing::Member | Standing::Removed | Standing::Away) {
                self.follow_changes(&row, now)?;
            }
        }
        Ok(())
    }

    /// Follows all changes that can be followed. What they lead to is kept beside what is there; nothing is chosen here.
    pub(crate) fn follow_changes(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        loop {
            let waiting: Vec<(i64, [u8; 16], Vec<u8>)> = self
                .conn
                .prepare_cached("SELECT number, state, bytes FROM cluster_pending WHERE cluster = ?1 AND kind = ?2 AND settled = 0 ORDER BY number")?
                .query_map((row.cluster, Kind::Change.number()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut progress = false;
            for (number, state, bytes) in waiting {
                let bytes = self.gathered_change(number).cloned().unwrap_or(bytes);
                let followed = self.follow(row, &StateId(state), &bytes, now)?;
                if !matches!(followed, Followed::Waits) {
                    self.done_with_change(number);
                }
                match followed {
                    Followed::Waits => {}
                    Followed::Yes => {
                        // Its digest stays, so that the same bytes are not followed again.
                        self.conn
                            .prepare_cached("UPDATE cluster_pending SET settled = 1, bytes = x'' WHERE number = ?1")?
                            .execute([number])?;
                        progress = true;
                    }
                    Followed::No => {
                        self.conn.execute("DELETE FROM cluster_pending WHERE number = ?1", [number])?;
                    }
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    fn follow(&mut self, row: &ClusterRow, parent: &StateId, bytes: &[u8], now: Now) -> Result<Followed, ChatError> {
        let (Some(id), Ok(bundle)) = (row.id, Bundle::decode(bytes)) else { return Ok(Followed::No) };
        let Some(at) = self.shared_state(row.cluster, parent)? else { return Ok(Followed::No) };
        let updates = self.updates(row.cluster, parent)?;
        let processed = match self.mls.groups(self.conn, self.rng).process(&id, parent, &bundle.commit, &updates) {
            Ok(processed) => processed,
            Err(GroupError::MissingProposal) => return Ok(Followed::Waits),
            Err(GroupError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(Followed::No),
        };
        let judged = change_of(&at, &processed.changed, &bundle.grounds).and_then(|change| {
            let parent = Parent { cluster: id, past: &at.past, done: &at.done };
            judge(&parent, &change, &bundle.grounds).ok()
        });
        let Some(judged) = judged else {
            if let Some(snapshot) = &processed.snapshot {
                self.undo(row, &snapshot.state)?;
            }
            return Ok(Followed::No);
        };
        let next = match &processed.snapshot {
            Some(snapshot) => next_state(&at, &processed.changed, &judged, snapshot, now),
            None => next_without_us(&at, &processed.changed, &judged, &bundle, now),
        };
        let Some(next) = next else { return Ok(Followed::No) };
        self.enter(row, &next, &bundle)?;
        self.heard(row.cluster, &processed.changed.committer, now)?;
        Ok(Followed::Yes)
    }

    /// Keeps a lawful state, what it rested on, and expects what its members will say.
    pub(crate) fn enter(&mut self, row: &ClusterRow, state: &StateRow, bundle: &Bundle) -> Result<(), ChatError> {
        self.put_state(row.cluster, state)?;
        self.note_newcomers(row, state, bundle)?;
        // Without the Commit itself, which nobody could read in the end.
        let rest = Bundle { commit: Vec::new(), grounds: bundle.grounds.clone() };
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_decision(cluster, state, parent, epoch, bytes) VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((row.cluster, state.state.0, state.parent.map(|parent| parent.0), ms(state.epoch), rest.encode()))?;
        self.expect_from_all(row.cluster, state)
    }

    /// Chooses the state that is followed, and forgets those that nobody needs any more.
    pub(crate) fn follow_tip(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        let mut branches = self.branches(row.cluster)?;
        let Some(tip) = self.tip(row, &branches, now)? else { return Ok(()) };
        let moved = row.tip != Some(tip);
        if moved {
            self.adopt(row, &tip, &branches)?;
            self.touch(row.cluster);
        }
        // A member that makes branches that nobody follows would fill the vault.
        if moved || branches.len() > STATES_MAX {
            self.forget_old(row, &mut branches, now)?;
        }
        Ok(())
    }

    /// The tip. But whoever was put out cannot read who stands where it is not: when nobody stands with it any more, and it has asked
    /// to be let back in, which it does once the log had time to fill, they stand there.
    fn tip(&self, row: &ClusterRow, branches: &Branches, now: Now) -> Result<Option<StateId>, ChatError> {
        let Some(tip) = branches.tip() else { return Ok(None) };
        let asked = "SELECT asked_at FROM cluster WHERE cluster = ?1";
        let asked: u64 = self.conn.prepare_cached(asked)?.query_row([row.cluster], |row| row.get(0))?;
        let has_asked = asked > 0 && now.unix_ms < asked.saturating_add(ASK_AGAIN_MS).saturating_sub(RETURN_GRACE_MS);
        let at = self.shared_state(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        if !has_asked || at.own_leaf.is_none() || !self.gives_way(row, &at, now)? {
            return Ok(Some(tip));
        }
        let sql =
            "SELECT state FROM cluster_state WHERE cluster = ?1 AND own_leaf IS NULL AND certified = 1 ORDER BY epoch DESC, state";
        let mut statement = self.conn.prepare_cached(sql)?;
        let without_leaf = statement.query_map([row.cluster], |row| Ok(StateId(row.get(0)?)))?.collect::<Result<Vec<_>, _>>()?;
        for out in without_leaf {
            if self.shared_state(row.cluster, &out)?.is_some_and(|state| !state.roster().contains(&row.member)) {
                return Ok(Some(out));
            }
        }
        Ok(Some(tip))
    }

    fn adopt(&mut self, row: &ClusterRow, tip: &StateId, branches: &Branches) -> Result<(), ChatError> {
        let state = self.shared_state(row.cluster, tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        // Changes come one after the other: until we speak again it counts what was left since we spoke.
        let stood = branches.standing(&row.member).map(|(_, stood)| stood);
        for old in [row.tip, stood].into_iter().flatten() {
            for left in self.left_behind(row, &old, tip)? {
                self.send_again(row, &left, &state)?;
            }
        }
        // Whoever slept spoke first where it had stood, which others may have forgotten.
        if let Some(stood) = stood {
            let old = branches.get(&stood).map_or(0, |stood| stood.epoch);
            if state.epoch >= old.saturating_add(WINDOW_EPOCHS) {
                self.say_again(row, &state, None)?;
                self.left_unsaid(row, &stood)?;
            }
        }
        let standing = match state.own_leaf {
            Some(_) => Standing::Member,
            None if state.roster().contains(&row.member) => Standing::Away,
            None => Standing::Removed,
        };
        self.conn.execute(
            "UPDATE cluster SET tip = ?2, name = ?3, standing = ?4 WHERE cluster = ?1",
            (row.cluster, tip.0, &state.context.charter.name, standing.number()),
        )?;
        if standing == Standing::Removed {
            self.forget_votes(row)?;
        }
        self.note_answered(row, &state)?;
        self.close_known_doors(row, branches, &state)?;
        let mut carried = self.conn.prepare_cached("UPDATE cluster_motion SET carried = 1 WHERE cluster = ?1 AND motion = ?2")?;
        state.done.motions().try_for_each(|motion| carried.execute((row.cluster, motion.0)).map(|_| ()))?;
        Ok(())
    }

    /// The states that are left on the way between two, whether they are kept or not: what was said there was said.
    fn left_behind(&self, row: &ClusterRow, old: &StateId, new: &StateId) -> Result<Vec<StateId>, ChatError> {
        let mut steps = self.conn.prepare_cached("SELECT epoch, parent FROM cluster_decision WHERE cluster = ?1 AND state = ?2")?;
        let mut step = |state: &StateId| {
            let found =
                steps.query_row((row.cluster, state.0), |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Option<[u8; 16]>>(1)?)));
            found.optional().map(|found| found.map(|(epoch, parent)| (epoch, parent.map(StateId))))
        };
        let (mut left, mut up, mut down) = (Vec::new(), Some(*old), Some(*new));
        while let Some(at) = up.filter(|at| down != Some(*at)) {
            let Some((epoch, parent)) = step(&at)? else { break };
            match down.map(|down| step(&down)).transpose()?.flatten() {
                Some((below, parent)) if below > epoch => down = parent,
                _ => {
                    left.push(at);
                    up = parent;
                }
            }
        }
        Ok(left)
    }

    /// What we said on a branch that is left is said again, if somebody is here who was not there, or who has forgotten by now
    /// where it forked off.
    fn send_again(&mut self, row: &ClusterRow, left: &StateId, tip: &StateRow) -> Result<(), ChatError> {
        if let Some(old) = self.shared_state(row.cluster, left)? {
            let near = tip.epoch < old.epoch.saturating_add(WINDOW_EPOCHS);
            if near && tip.roster().iter().all(|member| old.roster().contains(member)) {
                return Ok(());
            }
        }
        self.left_unsaid(row, left)?;
        self.conn.execute(
            "UPDATE message SET state = ?3 WHERE conversation = ?1 AND mine = 1 AND state_sent = ?2 AND state IN (1, 2, 3, 4, 5)
             AND nonce IS NOT NULL",
            (self.cluster_conversation(row.cluster)?, left.0, State::Waiting.number()),
        )?;
        self.conn.execute("UPDATE cluster_vote_said SET state = NULL WHERE cluster = ?1 AND state = ?2", (row.cluster, left.0))?;
        Ok(())
    }

    /// What some do not say that they have is said again, if we said it on a branch that was left, or before we knew that one of them
    /// was let back in: whoever lost keys cannot follow every branch, nor read what is said under the old ones, though it was a member.
    pub(crate) fn say_undelivered(&mut self, row: &ClusterRow, tip: &StateRow, now: Now) -> Result<(), ChatError> {
        if now.unix_ms < tip.began.saturating_add(LEFT_MS) {
            return Ok(());
        }
        let (conversation, since) = (self.cluster_conversation(row.cluster)?, ms(tip.began.saturating_sub(SAY_AGAIN_MS)));
        let mut statement = self.conn.prepare_cached(
            "SELECT DISTINCT state_sent FROM message WHERE conversation = ?1 AND delivered < addressed AND mine = 1 AND nonce IS NOT NULL
             AND vouched IS NULL AND at > ?2 AND state IN (1, 2, 3, 4, 5) AND state_sent IS NOT NULL",
        )?;
        let sent = statement.query_map((conversation, since), |row| Ok(StateId(row.get(0)?)))?.collect::<Result<Vec<_>, _>>()?;
        for sent in sent.into_iter().filter(|sent| *sent != tip.state) {
            let again = if self.left_behind(row, &sent, &tip.state)?.first() == Some(&sent) {
                vec![None]
            } else {
                self.returned_since(row, &sent, tip)?.into_iter().map(|member| Some(member.0)).collect()
            };
            for member in again {
                self.conn.execute(
                    "UPDATE message SET state = ?4 WHERE conversation = ?1 AND state_sent = ?2 AND delivered < addressed AND mine = 1
                     AND nonce IS NOT NULL AND vouched IS NULL AND at > ?3 AND state IN (1, 2, 3, 4, 5)
                     AND (?5 IS NULL OR aside IS NULL OR aside = ?5)
                     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = message.message AND d.member = ?5)",
                    (conversation, sent.0, since, State::Waiting.number(), member),
                )?;
            }
        }
        Ok(())
    }

    /// Members in a state that is kept who were let back in since, up to the tip; what other branches tell of it counts for nothing.
    fn returned_since(&self, row: &ClusterRow, sent: &StateId, tip: &StateRow) -> Result<Vec<MemberId>, ChatError> {
        let Some(old) = self.shared_state(row.cluster, sent)? else { return Ok(Vec::new()) };
        let sql = "SELECT member FROM cluster_member WHERE cluster = ?1 AND since > ?2 AND since <= ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let came = statement.query_map((row.cluster, ms(old.epoch), ms(tip.epoch)), |row| Ok(MemberId(row.get(0)?)))?;
        let mut came = came.collect::<Result<Vec<_>, _>>()?;
        came.retain(|member| old.roster().contains(member) && tip.roster().contains(member));
        Ok(came)
    }

    /// What nobody has acknowledged is said again by whoever was away for long; and by whoever comes back what was said since then,
    /// whoever of its part has acknowledged it. What others tell that we said, we do not say.
    pub(crate) fn say_again(&self, row: &ClusterRow, state: &StateRow, apart: Option<u64>) -> Result<(), ChatError> {
        let apart = apart.map_or(i64::MAX, |since| ms(since.saturating_sub(APART_MARGIN_MS)));
        self.conn.execute(
            "UPDATE message SET state = ?4 WHERE conversation = ?1 AND mine = 1 AND vouched IS NULL AND nonce IS NOT NULL AND at > ?2
             AND (state IN (1, 2, 3) OR state IN (4, 5) AND at > ?3)",
            (self.cluster_conversation(row.cluster)?, ms(state.began.saturating_sub(SAY_AGAIN_MS)), apart, State::Waiting.number()),
        )?;
        self.say_votes_again(row)?;
        Ok(())
    }

    fn forget_old(&mut self, row: &ClusterRow, branches: &mut Branches, now: Now) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        let began: BTreeMap<StateId, i64> = self
            .conn
            .prepare_cached("SELECT state, began FROM cluster_state WHERE cluster = ?1")?
            .query_map([row.cluster], |row| Ok((StateId(row.get(0)?), row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let young = ms(now.unix_ms.saturating_sub(WINDOW_MS));
        for state in branches.prune(WINDOW_EPOCHS, |state| began.get(state).is_some_and(|began| *began > young)) {
            self.forget_state(row.cluster, &id, &state)?;
        }
        Ok(())
    }

    /// Forgets a state with all its keys and all that was expected in it.
    pub(crate) fn forget_state(
        &mut self,
        cluster: i64,
        id: &samizdat_cluster::ClusterId,
        state: &StateId,
    ) -> Result<(), ChatError> {
        self.mls.groups(self.conn, self.rng).forget(id, state)?;
        self.states.forget(&(cluster, *state));
        self.forgotten_state((cluster, *state));
        for table in ["cluster_state", "cluster_reach", "cluster_seen", "cluster_pending"] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE cluster = ?1 AND state = ?2"), (cluster, state.0))?;
        }
        self.forget_slots(cluster)
    }

    /// A state that turned out to be unlawful. One that is kept was lawful when it came, and stays.
    fn undo(&mut self, row: &ClusterRow, state: &StateId) -> Result<(), ChatError> {
        if let (Some(id), None) = (row.id, self.shared_state(row.cluster, state)?) {
            self.mls.groups(self.conn, self.rng).forget(&id, state)?;
        }
        Ok(())
    }

    /// Proposals of others for a state.
    pub(crate) fn updates(&self, cluster: i64, state: &StateId) -> Result<Vec<Vec<u8>>, ChatError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT bytes FROM cluster_pending WHERE cluster = ?1 AND state = ?2 AND kind = ?3 ORDER BY number")?;
        let rows = statement.query_map((cluster, state.0, Kind::Update.number()), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// What a Commit does, for whoever judges it; nothing if the context that it sets does not say that just these grounds are added to the
/// minutes (whoever passed on a Commit with others could make members differ in what was carried out), or has another salt, or if somebody
/// who comes back would be called otherwise than before.
pub(crate) fn change_of(parent: &StateRow, changed: &Changed, grounds: &Grounds) -> Option<Change> {
    let set = changed.context.as_deref().map(Context::decode).transpose().ok()?;
    let charter = set.as_ref().map(|context| &context.charter);
    if set != parent.context.after(parent.epoch, grounds, charter) {
        return None;
    }
    let added = changed.added.iter();
    let is_renamed = |made: &Made| parent.members.iter().any(|leaf| leaf.member == made.member && leaf.nick != made.nick);
    if added.clone().any(is_renamed) {
        return None;
    }
    Some(Change {
        committer: changed.committer,
        added: added
            .map(|made| Admission { member: made.member, key_package: made.key_package, nick: made.nick.clone() })
            .collect(),
        removed: changed.removed.clone(),
        charter: charter.cloned(),
    })
}

/// The state that a lawful change leads to.
pub(crate) fn next_state(parent: &StateRow, changed: &Changed, judged: &Judged, snapshot: &Snapshot, now: Now) -> Option<StateRow> {
    Some(StateRow {
        state: snapshot.state,
        parent: Some(parent.state),
        epoch: snapshot.epoch,
        committer: Some(changed.committer),
        certified: judged.certified,
        members: snapshot.members.clone(),
        context: Context::decode(&snapshot.context).ok()?,
        past: judged.past.clone(),
        done: judged.done.clone(),
        secret: StateSecret::new(snapshot.secret),
        own_leaf: Some(snapshot.own_leaf),
        began: now.unix_ms,
    })
}

/// The same where we are not in it. Its true name we cannot know, since that follows from keys that we do not have.
fn next_without_us(parent: &StateRow, changed: &Changed, judged: &Judged, bundle: &Bundle, now: Now) -> Option<StateRow> {
    let leaf = |member: &samizdat_cluster::MemberId| Leaf { member: *member, leaf: u32::MAX, nick: String::new() };
    Some(StateRow {
        state: StateId::of(&Sha256::digest(&bundle.commit)),
        parent: Some(parent.state),
        epoch: parent.epoch.saturating_add(1),
        committer: Some(changed.committer),
        certified: judged.certified,
        members: judged.past.roster().iter().map(leaf).collect(),
        context: parent
            .context
            .after(parent.epoch, &bundle.grounds, Some(judged.past.charter()))
            .unwrap_or_else(|| parent.context.clone()),
        past: judged.past.clone(),
        done: judged.done.clone(),
        secret: StateSecret::new([0; 32]),
        own_leaf: None,
        began: now.unix_ms,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
    use samizdat_cluster::leave::Leave;

    use super::*;
    use crate::{chat::Chat, mls::Plan, tests::two_in};

    /// A Commit of Alice by which she says that these grounds were decided, or that nothing was.
    fn commit(alice: &mut Chat, grounds: &Grounds) -> (StateId, Vec<u8>) {
        alice
            .transact(|work| {
                let row = work.find_cluster("nest")?;
                let (id, tip) = row.place()?;
                let at = work.state_row(row.cluster, &tip)?.unwrap();
                let context = at.context.after(at.epoch, grounds, None).map(|context| context.encode());
                let plan = Plan { context, ..Plan::default() };
                let committed = work.mls.groups(work.conn, work.rng).commit(&id, &tip, &row.member, &plan)?;
                Ok((tip, committed.commit))
            })
            .unwrap()
    }

    /// Otherwise members would be in one state and differ in what was carried out, by what came first.
    #[test]
    fn a_commit_with_other_grounds_than_its_author_signed_leads_nowhere() {
        let (mut alice, mut bob, _, now) = two_in(&["nest"]);
        let ours = bob.transact(|work| work.find_cluster("nest")).unwrap();
        let leaves =
            bob.transact(|work| Ok(vec![Leave::sign(ours.id.unwrap(), &work.member_secret(&ours)?).unverified()])).unwrap();
        let leaves = Grounds { leaves, ..Grounds::default() };
        let mut follows = |parent: &StateId, commit: &[u8], grounds: &Grounds| {
            let bundle = Bundle { commit: commit.to_vec(), grounds: grounds.clone() }.encode();
            bob.transact(|work| {
                let row = work.find_cluster("nest")?;
                let before = work.branches(row.cluster)?.len();
                let followed = matches!(work.follow(&row, parent, &bundle, now)?, Followed::Yes);
                assert_eq!(work.branches(row.cluster)?.len(), before + usize::from(followed));
                Ok(followed)
            })
            .unwrap()
        };
        // Without grounds both would be lawful.
        let none = Grounds::default();
        let mut copy = Chat::open(alice.vault().copy().unwrap(), [8; 32]).unwrap();
        let (parent, with_others) = commit(&mut copy, &leaves);
        assert!(!follows(&parent, &with_others, &none));
        let (parent, whole) = commit(&mut alice, &none);
        assert!(!follows(&parent, &whole, &leaves) && follows(&parent, &whole, &none));
    }
}

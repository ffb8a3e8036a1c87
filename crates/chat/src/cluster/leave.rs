//! Leaving, and learning that one is out. Who cannot follow the others any more asks at the door for those who return; whoever was put
//! out, or left before an old copy of its vault was restored, is answered there with what shows it.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    ClusterId, MemberId, MemberSecret, StateId,
    bundle::Bundle,
    certificate::CertificateIn,
    comeback::Comeback,
    content::Body,
    leave::{Leave, LeaveIn},
    unlisted::{self, Unlisted, UnlistedIn},
};
use samizdat_core::{Now, seal::StateSecret};

use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{ASK_AGAIN_MS, DECIDING_LIFETIMES, LEAVING_MAX, LOOK_AGAIN_MS, RETURN_GRACE_MS, TELL_AGAIN_MS},
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
        for table in ["cluster_door", "cluster_request", "cluster_part", "cluster_stand", "cluster_missed", "cluster_unlisted"] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE cluster = ?1"), [row.cluster])?;
        }
        self.mls.groups(self.conn, self.rng).forget_keys(&row.member)?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Somebody leaves. Of people whom nobody here has heard of anybody could say so without end.
    pub(crate) fn take_leave(&mut self, row: &ClusterRow, leave: &LeaveIn, now: Now) -> Result<(), ChatError> {
        let member = leave.claimed_member();
        if !self.heard_of(row, &member)? || row.id.is_none_or(|id| leave.verify(&id).is_err()) {
            return Ok(());
        }
        let sql = "INSERT OR IGNORE INTO cluster_leave(cluster, member, bytes, at) VALUES(?1, ?2, ?3, ?4)";
        self.conn.prepare_cached(sql)?.execute((row.cluster, member.0, leave.encode(), ms(now.unix_ms)))?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Whether somebody was a member, also on a branch that was left, or asked to become one.
    fn heard_of(&self, row: &ClusterRow, member: &MemberId) -> Result<bool, ChatError> {
        let sql = "SELECT 1 FROM cluster_member WHERE cluster = ?1 AND member = ?2
                   UNION ALL SELECT 1 FROM cluster_request WHERE cluster = ?1 AND member = ?2 AND comeback IS NULL";
        Ok(self.conn.prepare_cached(sql)?.exists((row.cluster, member.0))?)
    }

    /// Tells those who ask to be let back in, and are out, what put them out; each once in a while, however often it asks. One tells them:
    /// the first in the order of leaders. Where nothing put them out each says for itself that they are no members.
    pub(crate) fn tell_who_is_out(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let mut out = self.returning(row)?;
        let is_due = |told: u64| told == 0 || told.saturating_add(TELL_AGAIN_MS) <= now.unix_ms;
        out.retain(|back| is_due(back.told) && !state.roster().contains(&back.comeback.claimed_member()));
        let (Some(id), false) = (row.id, out.is_empty()) else { return Ok(()) };
        let tells = self.our_place(row, state, &[], now)? == 0;
        let conn = self.conn;
        let told = |request: i64, at: u64| {
            conn.execute("UPDATE cluster_request SET told = ?2 WHERE request = ?1", (request, ms(at))).map(|_| ())
        };
        for back in out {
            let proof = self.what_put_out(row, state, &back.comeback.claimed_member())?;
            match (proof, back.comeback.verify(&id)) {
                (Some(proof), _) if tells => self.answer_request(back.reply, 0, &proof, &DECIDING_LIFETIMES, now)?,
                (None, Ok(asks)) if self.heard_of(row, &asks.member())? => {
                    // On what was just received, or on a branch that may win yet, it may be one.
                    let settled = back.at.max(state.began).saturating_add(RETURN_GRACE_MS) <= now.unix_ms;
                    if !settled || self.branches(row.cluster)?.states().any(|node| node.roster.contains(&asks.member())) {
                        told(back.request, now.unix_ms.saturating_sub(TELL_AGAIN_MS).saturating_add(LOOK_AGAIN_MS))?;
                        continue;
                    }
                    self.say_unlisted(row, id, back.reply, &asks, now)?;
                }
                _ => {}
            }
            // Also those of whom nothing is known: to look for it takes long.
            told(back.request, now.unix_ms)?;
        }
        Ok(())
    }

    fn say_unlisted(
        &mut self,
        row: &ClusterRow,
        id: ClusterId,
        reply: [u8; 32],
        asks: &Comeback,
        now: Now,
    ) -> Result<(), ChatError> {
        let seed = self.mls.groups(self.conn, self.rng).signer(&row.member)?;
        let said = Unlisted::sign(id, &MemberSecret::from_seed(*seed.seed()), asks);
        self.answer_request(reply, unlisted::counter(&row.member), &said.unverified().encode(), &DECIDING_LIFETIMES, now)
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

    /// What we were answered where we asked to be let back in, if it is that we left, or were put out, or are no member. Of the others'
    /// past we may know nothing, so we believe a certificate by its votes, and statements by their number: of more than half of those
    /// whom we know as members.
    pub(crate) fn learn_that_we_are_out(&mut self, row: &ClusterRow, bytes: &[u8], now: Now) -> Result<(), ChatError> {
        let (Some(id), Standing::Member | Standing::Away, Some(tip)) = (row.id, row.standing, row.tip) else {
            return Ok(());
        };
        if let Ok(leave) = LeaveIn::decode(bytes) {
            if leave.verify(&id).is_ok_and(|leave| leave.member() == row.member) {
                self.forget_cluster(row)?;
            }
            return Ok(());
        }
        let Some(state) = self.state_row(row.cluster, &tip)? else { return Ok(()) };
        let shown = match UnlistedIn::decode(bytes).map(|said| said.verify(&id)) {
            Ok(Ok(said)) => self.hear_unlisted(row, &state, &said, now)?,
            Ok(Err(_)) => false,
            Err(_) => CertificateIn::decode(bytes).is_ok_and(|shown| shown.shows_out(&id, &row.member, state.roster())),
        };
        if shown {
            let out = without_us(state, &row.member, now);
            self.put_state(row.cluster, &out)?;
            self.touch(row.cluster);
        }
        Ok(())
    }

    /// A member says that we are none; whether so many say so by now that it is true. What was said to older questions counts no more,
    /// nor what was said to any if we have found the others meanwhile.
    fn hear_unlisted(&mut self, row: &ClusterRow, state: &StateRow, said: &Unlisted, now: Now) -> Result<bool, ChatError> {
        let lost = row.standing == Standing::Away || self.gives_way(row, state, now)?;
        if !lost || said.member() != row.member || !state.roster().contains(&said.author()) {
            return Ok(false);
        }
        let sql = "INSERT INTO cluster_unlisted(cluster, author, turn) VALUES(?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET turn = max(turn, excluded.turn)";
        self.conn.prepare_cached(sql)?.execute((row.cluster, said.author().0, ms(said.turn())))?;
        let since = self.joined_at(row)?.max(now.unix_ms.saturating_sub(ASK_AGAIN_MS.saturating_mul(2)));
        let sql = "SELECT author FROM cluster_unlisted WHERE cluster = ?1 AND turn >= ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let authors = statement.query_map((row.cluster, ms(since)), |row| Ok(MemberId(row.get(0)?)))?;
        let authors = authors.collect::<Result<BTreeSet<_>, _>>()?;
        Ok(unlisted::enough(&row.member, state.roster(), |other| authors.contains(other)))
    }
}

/// A state after ours by which we are out. The true one we cannot know.
fn without_us(at: StateRow, us: &MemberId, now: Now) -> StateRow {
    let past = at.past.after(at.roster().without(|member| member == us), at.context.charter.clone());
    let mut members = at.members.clone();
    members.retain(|leaf| leaf.member != *us);
    StateRow {
        state: StateId::of(&[&at.state.0[..], &us.0].concat()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use samizdat_cluster::comeback::ComebackIn;

    use super::*;
    use crate::{limits::RETURN_GRACE_MS, tests::two_in};

    const KEYS: [u8; 32] = [9; 32];

    fn dave() -> MemberSecret {
        MemberSecret::from_seed([77; 32])
    }

    fn later(now: Now, ms: u64) -> Now {
        Now { unix_ms: now.unix_ms + ms, mono_ms: now.mono_ms + ms }
    }

    fn in_nest<T>(chat: &mut Chat, f: impl FnOnce(&mut Work<'_>, &ClusterRow, &StateRow) -> Result<T, ChatError>) -> T {
        let done = chat.transact(|work| {
            let row = work.find_cluster("nest")?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.unwrap();
            f(work, &row, &state)
        });
        done.unwrap()
    }

    /// Puts down that somebody asked to be let back in.
    fn asks(chat: &mut Chat, comeback: &ComebackIn, now: Now) {
        in_nest(chat, |work, row, _| {
            work.conn.execute("DELETE FROM cluster_request", [])?;
            work.conn.execute(
                "INSERT INTO cluster_request(cluster, member, key_package, hash, nick, words, reply, returns, ours, at, comeback)
                 VALUES(?1, ?2, x'', x'', 'dave', '', ?3, 1, 0, ?4, ?5)",
                (row.cluster, comeback.claimed_member().0, [6; 32], ms(now.unix_ms), comeback.encode()),
            )?;
            Ok(())
        });
    }

    /// How many envelopes answer, looked at then.
    fn told(chat: &mut Chat, now: Now) -> u32 {
        in_nest(chat, |work, row, state| {
            let waiting = |work: &Work<'_>| work.conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, u32>(0));
            let before = waiting(work)?;
            work.tell_who_is_out(row, state, now)?;
            Ok(waiting(work)? - before)
        })
    }

    #[test]
    fn whom_nothing_put_out_is_told_by_those_who_heard_of_it_once_nobody_can_be_wrong() {
        let (mut alice, _, _, now) = two_in(&["nest"]);
        let id = in_nest(&mut alice, |_, row, _| Ok(row.id.unwrap()));
        let copies = u32::try_from(DECIDING_LIFETIMES.len()).unwrap();
        let comeback = Comeback::sign(id, &dave(), now.unix_ms, KEYS).unverified();
        let settled = later(now, RETURN_GRACE_MS);
        asks(&mut alice, &comeback, now);
        assert_eq!(told(&mut alice, settled), 0, "who is that?");

        in_nest(&mut alice, |work, row, _| {
            let sql = "INSERT INTO cluster_member(cluster, member, nick, author) VALUES(?1, ?2, 'dave', 'dave')";
            Ok(work.conn.execute(sql, (row.cluster, dave().member().0))?)
        });
        asks(&mut alice, &comeback, now);
        assert_eq!(told(&mut alice, later(now, RETURN_GRACE_MS - 1)), 0, "a Commit with it may be on its way");
        assert_eq!(told(&mut alice, settled), 0, "is looked at again later");
        assert_eq!(told(&mut alice, later(settled, LOOK_AGAIN_MS)), copies);
        assert_eq!(told(&mut alice, later(settled, LOOK_AGAIN_MS + TELL_AGAIN_MS - 1)), 0);
        assert_eq!(told(&mut alice, later(settled, LOOK_AGAIN_MS + TELL_AGAIN_MS)), copies);

        let forged = Comeback::sign(ClusterId([1; 32]), &dave(), now.unix_ms, KEYS).unverified();
        asks(&mut alice, &forged, now);
        assert_eq!(told(&mut alice, settled), 0, "anybody could ask for it");

        // Of a branch that is not followed and is kept.
        in_nest(&mut alice, |work, row, state| {
            let (parent, epoch) = (Some(state.state), state.epoch + 1);
            let mut branch = StateRow { state: StateId([3; 16]), parent, epoch, own_leaf: None, ..state.clone() };
            branch.past = branch.past.after(state.roster().with([dave().member()]), state.context.charter.clone());
            let leaf = state.members.first().unwrap();
            branch.members.push(crate::mls::Leaf { member: dave().member(), leaf: 9, ..leaf.clone() });
            work.put_state(row.cluster, &branch)
        });
        asks(&mut alice, &comeback, now);
        assert_eq!(told(&mut alice, settled), 0, "that branch may win yet");
    }

    #[test]
    fn who_is_lost_believes_more_than_half_of_the_others_whom_it_knows_about_its_latest_questions() {
        let (mut alice, mut bob, _, now) = two_in(&["nest"]);
        let hers = in_nest(&mut alice, |work, row, _| {
            Ok(MemberSecret::from_seed(*work.mls.groups(work.conn, work.rng).signer(&row.member)?.seed()))
        });
        let his = in_nest(&mut bob, |work, row, _| {
            Ok(MemberSecret::from_seed(*work.mls.groups(work.conn, work.rng).signer(&row.member)?.seed()))
        });
        let now = later(now, 3 * ASK_AGAIN_MS);
        let mut hears = |author: &MemberSecret, about: &MemberSecret, turn: u64, standing: Standing| {
            in_nest(&mut bob, |work, row, state| {
                let id = row.id.unwrap();
                let asks = Comeback::sign(id, about, turn, KEYS).unverified().verify(&id).unwrap();
                let said = Unlisted::sign(id, author, &asks);
                let row = ClusterRow { standing, ..row.clone() };
                // Whatever comes of it is taken back.
                work.conn.execute_batch("SAVEPOINT test")?;
                let lost = StateRow { began: now.unix_ms, ..state.clone() };
                let believes = work.hear_unlisted(&row, &lost, &said, now)?;
                work.learn_that_we_are_out(&row, &said.unverified().encode(), now)?;
                let sql = "SELECT count(*) FROM cluster_state WHERE cluster = ?1 AND parent = ?2";
                let out: u32 = work.conn.query_row(sql, (row.cluster, state.state.0), |row| row.get(0))?;
                work.conn.execute_batch("ROLLBACK TO test; RELEASE test")?;
                assert_eq!(believes, out == 1);
                Ok(believes)
            })
        };
        let recent = now.unix_ms - 2 * ASK_AGAIN_MS;
        assert!(hears(&hers, &his, recent, Standing::Away));
        assert!(!hears(&hers, &his, recent - 1, Standing::Away), "to an older question");
        assert!(!hears(&hers, &dave(), recent, Standing::Away), "about somebody else");
        assert!(!hears(&dave(), &his, recent, Standing::Away), "by nobody whom he knows");
        assert!(!hears(&his, &his, recent, Standing::Away), "by himself");
        // With the lowest id of two he would not give way.
        let lowest = his.member() < hers.member();
        assert_eq!(hears(&hers, &his, recent, Standing::Member), !lowest);
    }
}

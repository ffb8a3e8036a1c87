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

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use samizdat_cluster::{Past, Roster};

    use super::*;
    use crate::{chat::Chat, tests::two_in};

    const DAY_MS: u64 = 24 * HOUR_MS;

    fn in_nest<T>(chat: &mut Chat, f: impl FnOnce(&mut Work<'_>, &ClusterRow, &StateRow) -> Result<T, ChatError>) -> T {
        let done = chat.transact(|work| {
            let row = work.find_cluster("nest")?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.unwrap();
            f(work, &row, &state)
        });
        done.unwrap()
    }

    fn nest() -> (Chat, Now) {
        let (alice, _, _, now) = two_in(&["nest"]);
        (alice, Now { unix_ms: now.unix_ms + 100 * DAY_MS, ..now })
    }

    /// Of whom it is the state.
    fn of(state: &StateRow, members: &[MemberId]) -> StateRow {
        let past = Past::founded(Roster::of(members.iter().copied()), state.context.charter.clone());
        StateRow { past, ..state.clone() }
    }

    /// Nobody stands anywhere but these, and when they were heard.
    fn stand(work: &Work<'_>, row: &ClusterRow, state: &StateId, heard: &[(MemberId, u64)]) {
        work.conn.execute("DELETE FROM cluster_stand", []).unwrap();
        for (member, unix_ms) in heard {
            work.stand(row.cluster, member, 5, state, Now { unix_ms: *unix_ms, mono_ms: 0 }).unwrap();
        }
    }

    fn began(work: &Work<'_>, at: u64) {
        work.conn.execute("UPDATE cluster_state SET began = ?1", [ms(at)]).unwrap();
    }

    fn member(seed: u8) -> MemberSecret {
        MemberSecret::from_seed([seed; 32])
    }

    /// Somebody asks to be let back in.
    fn asks(work: &Work<'_>, row: &ClusterRow, who: &MemberSecret, id: ClusterId, turn: u64, keys: u8, at: u64) {
        let comeback = Comeback::sign(id, who, turn, [keys; 32]).unverified();
        work.conn
            .execute(
                "INSERT INTO cluster_request(cluster, member, key_package, hash, nick, words, reply, returns, ours, at, comeback)
                 VALUES(?1, ?2, ?3, ?4, 'dave', '', ?3, 1, 0, ?5, ?6)",
                (row.cluster, who.member().0, [keys; 32], [who.member().0[0], keys], ms(at), comeback.encode()),
            )
            .unwrap();
    }

    #[test]
    fn a_part_gives_way_unless_it_is_most_or_the_half_with_the_lowest() {
        let (mut alice, now) = nest();
        let [low, high, higher] = [0, 254, 255].map(|byte| MemberId([byte; 32]));
        for (hours, patience) in [(24, 4 * DAY_MS), (1, 2 * DAY_MS)] {
            in_nest(&mut alice, |work, row, state| {
                let us = row.member;
                let since = now.unix_ms - patience;
                let gives_way = |members: &[MemberId], here: &[MemberId], heard: u64, from: u64| {
                    let mut state = of(state, members);
                    state.context.charter.rollout_hours = hours;
                    stand(work, row, &state.state, &here.iter().map(|member| (*member, heard)).collect::<Vec<_>>());
                    began(work, from);
                    work.gives_way(row, &state, now).unwrap()
                };
                let all = [low, us, high, higher];
                let (late, early) = (since + 1, since - 1);
                assert!(gives_way(&all[..3], &[], late, early), "one of three");
                assert!(!gives_way(&all[..3], &[high], late, early), "two of three");
                assert!(!gives_way(&all, &[low], late, early), "the half with the lowest");
                assert!(gives_way(&all, &[high], late, early), "the other half");
                assert!(!gives_way(&all[1..], &[high], late, early), "most, without anybody lower");
                assert!(!gives_way(&[us, high], &[], late, early), "alone, and the lowest");
                assert!(gives_way(&[us, low], &[], late, early), "alone, and not the lowest");
                assert!(!gives_way(&[us], &[], late, early));
                assert!(gives_way(&all[..3], &[high], since, early), "heard for the last time too long ago");
                assert!(!gives_way(&all[..3], &[], late, since), "not here for long enough to say");
                // Only the oldest state that is kept says for how long we are here.
                let newer = StateRow { state: StateId([3; 16]), parent: Some(state.state), began: now.unix_ms, ..state.clone() };
                began(work, early);
                work.put_state(row.cluster, &newer)?;
                stand(work, row, &state.state, &[]);
                let mut three = of(state, &all[..3]);
                three.context.charter.rollout_hours = hours;
                assert!(work.gives_way(row, &three, now)?);
                work.conn.execute("DELETE FROM cluster_state WHERE state = ?1", [[3; 16]])?;
                Ok(())
            });
        }
    }

    #[test]
    fn who_is_here_is_not_let_back_in_and_who_is_not_is_once_nothing_of_it_can_be_on_its_way() {
        let (mut alice, now) = nest();
        in_nest(&mut alice, |work, row, state| {
            let (id, dave, high) = (row.id.unwrap(), member(77), MemberId([255; 32]));
            let state = StateRow { began: now.unix_ms - DAY_MS, ..of(state, &[row.member, dave.member(), high]) };
            let patience = patience(&state);
            began(work, now.unix_ms - 10 * DAY_MS);
            let elsewhere = StateId([9; 16]);
            let heard = now.unix_ms - patience + 1;
            let back = |heard: &[(MemberId, u64)], at: StateId, ms: u64, state: &StateRow| {
                stand(work, row, &at, heard);
                let now = Now { unix_ms: ms, mono_ms: 0 };
                work.to_let_back(row, &id, state, now).unwrap().len()
            };
            let others = (high, now.unix_ms);
            assert_eq!(back(&[others], state.state, now.unix_ms, &state), 0, "nobody asks");

            asks(work, row, &dave, id, 5, 1, now.unix_ms);
            let settled = now.unix_ms + RETURN_GRACE_MS;
            assert_eq!(back(&[others], state.state, settled - 1, &state), 0);
            assert_eq!(back(&[others], state.state, settled, &state), 1);
            let young = StateRow { began: now.unix_ms + 1, ..state.clone() };
            assert_eq!(back(&[others], state.state, settled, &young), 0, "where we stand only since then");
            assert_eq!(back(&[others, (dave.member(), heard)], elsewhere, settled, &state), 1, "it cannot follow us");

            assert_eq!(back(&[others, (dave.member(), heard)], state.state, now.unix_ms, &state), 0, "it is here");
            assert_eq!(back(&[others, (dave.member(), heard - 1)], state.state, now.unix_ms, &state), 1, "it was");

            work.conn.execute("DELETE FROM cluster_request", [])?;
            asks(work, row, &dave, ClusterId([1; 32]), 5, 1, now.unix_ms);
            assert_eq!(back(&[others], state.state, settled, &state), 0, "forged");

            // What it asked before it spoke here is done with.
            work.conn.execute("DELETE FROM cluster_request", [])?;
            asks(work, row, &dave, id, 4, 2, now.unix_ms);
            asks(work, row, &member(78), id, 9, 3, now.unix_ms);
            assert_eq!(back(&[others, (dave.member(), 1)], state.state, now.unix_ms, &state), 0);
            assert_eq!(
                work.returning(row)?.iter().map(|back| back.comeback.claimed_member()).collect::<Vec<_>>(),
                [member(78).member()]
            );
            Ok(())
        });
    }

    #[test]
    fn of_two_parts_that_give_way_that_with_the_lowest_lets_the_other_in() {
        let (mut alice, now) = nest();
        in_nest(&mut alice, |work, row, state| {
            let id = row.id.unwrap();
            let mut asking: Vec<MemberSecret> = (1..200).map(member).collect();
            asking.sort_by_key(MemberSecret::member);
            let (lower, higher) = (asking.first().unwrap(), asking.last().unwrap());
            assert!(lower.member() < row.member && row.member < higher.member());
            let others = [0, 250].map(|byte| MemberId([byte; 32]));
            let mut all = vec![row.member, lower.member(), higher.member()];
            all.extend(others);
            let state = of(state, &all);
            began(work, now.unix_ms - 10 * DAY_MS);
            let later = Now { unix_ms: now.unix_ms + RETURN_GRACE_MS, ..now };
            let back = |who: &[&MemberSecret], here: &[MemberId]| {
                work.conn.execute("DELETE FROM cluster_request", []).unwrap();
                who.iter().zip(1..).for_each(|(who, keys)| asks(work, row, who, id, 5, keys, 0));
                stand(work, row, &state.state, &here.iter().map(|member| (*member, later.unix_ms)).collect::<Vec<_>>());
                work.to_let_back(row, &id, &state, later).unwrap().len()
            };
            assert_eq!(back(&[higher], &[]), 1);
            assert_eq!(back(&[lower], &[]), 0);
            assert_eq!(back(&[higher, lower], &[]), 0, "they let us in");
            assert_eq!(back(&[lower], &others[..1]), 1, "somebody lower is here");
            assert_eq!(back(&[lower], &[MemberId([0; 32])]), 1);
            assert_eq!(back(&[lower], &[others[1]]), 0, "somebody higher is of no use");
            assert_eq!(back(&[lower], &others), 1, "we are most");
            Ok(())
        });
    }

    #[test]
    fn the_newest_question_of_each_counts() {
        let (mut alice, now) = nest();
        in_nest(&mut alice, |work, row, _| {
            let (id, dave, erin) = (row.id.unwrap(), member(77), member(78));
            for (turn, keys) in [(3, 1), (5, 2), (5, 3), (4, 4)] {
                asks(work, row, &dave, id, turn, keys, now.unix_ms);
            }
            asks(work, row, &erin, id, 1, 5, now.unix_ms);
            work.conn.execute("UPDATE cluster_request SET reply = ?1 WHERE hash = ?2", ([8; 32], [dave.member().0[0], 3]))?;
            let mut newest: Vec<_> =
                work.returning(row)?.into_iter().map(|back| (back.comeback.claimed_turn(), back.key_package)).collect();
            newest.sort();
            assert_eq!(newest, [(1, vec![5; 32]), (5, vec![3; 32])]);
            let other = ClusterRow { cluster: row.cluster + 1, ..row.clone() };
            assert!(work.returning(&other)?.is_empty());
            Ok(())
        });
    }

    #[test]
    fn we_are_apart_since_the_last_of_those_who_are_gone_was_heard() {
        let (mut alice, now) = nest();
        in_nest(&mut alice, |work, row, state| {
            let [bob, carol, dave, gone] = [1, 2, 3, 4].map(|byte| MemberId([byte; 32]));
            let state = StateRow { began: now.unix_ms, ..of(state, &[row.member, bob, carol, dave]) };
            let since = now.unix_ms - patience(&state);
            let apart = |heard: &[(MemberId, u64)]| {
                stand(work, row, &state.state, heard);
                work.apart_since(row, &state).unwrap()
            };
            assert_eq!(apart(&[(bob, since + 1)]), None);
            assert_eq!(
                apart(&[(bob, since + 1), (carol, since), (dave, since - 9), (gone, since - 1), (row.member, 1)]),
                Some(since)
            );
            assert_eq!(apart(&[(carol, 3), (dave, 7), (gone, 9)]), Some(7), "of members");
            let other = ClusterRow { cluster: row.cluster + 1, ..row.clone() };
            assert_eq!(work.apart_since(&other, &state)?, None);
            Ok(())
        });
    }

    #[test]
    fn who_is_lost_asks_once_the_log_may_be_full_and_again_after_a_week_and_not_when_it_is_found() {
        let (mut alice, now) = nest();
        let at = |ms: u64| Now { unix_ms: ms, mono_ms: 0 };
        in_nest(&mut alice, |work, row, state| {
            let away = ClusterRow { standing: Standing::Away, ..row.clone() };
            let asked = |work: &mut Work<'_>, row: &ClusterRow, ms: u64| {
                let reply = |work: &Work<'_>| {
                    work.conn.query_row("SELECT reply FROM cluster", [], |row| row.get::<_, Option<Vec<u8>>>(0)).unwrap()
                };
                let before = reply(work);
                work.ask_to_return(row, state, at(ms)).unwrap();
                reply(work) != before
            };
            let tags = |work: &Work<'_>| {
                work.conn.query_row("SELECT count(*) FROM cluster_tag WHERE source = 2", [], |row| row.get::<_, u64>(0)).unwrap()
            };
            let start = now.unix_ms;
            assert!(!asked(work, &away, start));
            assert!(!asked(work, &away, start + RETURN_GRACE_MS - 1));
            let first = start + RETURN_GRACE_MS;
            assert!(asked(work, &away, first));
            // And what each of them may say about us.
            assert_eq!(tags(work), REPLY_TAGS + 2);
            assert!(!asked(work, &away, first));
            assert!(!asked(work, &away, first + ASK_AGAIN_MS - 1));
            assert!(asked(work, &away, first + ASK_AGAIN_MS));
            assert_eq!(tags(work), REPLY_TAGS + 2, "what answers the first one cannot be read any more");
            assert!(asked(work, &away, first), "the clock was put back");

            // Found again, what was said of it counts for nothing.
            work.conn.execute("INSERT INTO cluster_unlisted(cluster, author, turn) VALUES(?1, ?2, 1)", (row.cluster, [5; 32]))?;
            let unlisted = |work: &Work<'_>| {
                work.conn.query_row("SELECT count(*) FROM cluster_unlisted", [], |row| row.get::<_, u64>(0)).unwrap()
            };
            began(work, first);
            assert!(!asked(work, row, first));
            assert_eq!(unlisted(work), 0);
            assert!(!asked(work, &away, first), "and it waits for the log anew");
            assert!(!asked(work, &away, first + RETURN_GRACE_MS - 1));
            assert!(asked(work, &away, first + RETURN_GRACE_MS));
            Ok(())
        });
    }
}

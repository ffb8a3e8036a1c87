//! What we do of our own accord: carry out what has passed, refresh keys, say that we are here, ask again.

use samizdat_cluster::{
    ClusterId, Grounds, MemberId, StateId,
    bundle::Bundle,
    content::{Body, Message},
    ids::rank,
    lawful::{Mandate, Parent, judge},
    motion::Kind as Moved,
    request::Answer,
    rollout::Timing,
};
use samizdat_core::{EnvelopeId, Now};
use samizdat_store::Log;

use super::{
    change::{change_of, next_state},
    merge::Asked,
    outer::{Kind, Lifetimes},
    row::{ClusterRow, Standing, StateRow, ms},
};
use crate::{
    chat::{Chat, unless_the_vault_fails},
    error::{ChatError, is_database},
    limits::{DECIDING_LIFETIMES, HEARD_LATELY_MS, LOOK_AGAIN_MS},
    mls::{Committed, GroupError, Plan, Taken},
    work::Work,
};

/// What is to be carried out, and since when it waits.
#[derive(Default)]
struct Agenda {
    grounds: Grounds,
    /// Requests that are answered by it.
    requests: Vec<i64>,
    plan: Plan,
    since: Option<u64>,
}

impl Agenda {
    fn waits_since(&mut self, at: u64) {
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }
}

impl Chat {
    /// When a cluster wants to be looked after next, ms since 1970.
    pub fn next_due(&self) -> Option<u64> {
        self.cluster_due.values().copied().min()
    }

    /// One transaction for each cluster, so that one whose keys are damaged does not silence the others.
    pub(crate) fn work_in_clusters(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        let due = self.cluster_due.iter().filter(|(_, due)| **due <= now.unix_ms).map(|(cluster, _)| *cluster);
        let mut clusters: std::collections::BTreeSet<i64> = due.collect();
        clusters.append(&mut self.cluster_touched);
        for cluster in std::mem::take(&mut self.cluster_spoke) {
            if !clusters.contains(&cluster) {
                self.transact(|work| work.speak(cluster, now)).or_else(unless_the_vault_fails)?;
            }
        }
        // A step can bring on another: a motion that passes, a Commit.
        for _ in 0..4 {
            clusters.append(&mut self.cluster_touched);
            if clusters.is_empty() {
                break;
            }
            for cluster in std::mem::take(&mut clusters) {
                let next = self.transact(|work| work.look_after(cluster, now)).or_else(unless_the_vault_fails)?;
                match next {
                    Some(next) => self.cluster_due.insert(cluster, next),
                    None => self.cluster_due.remove(&cluster),
                };
            }
            self.look(log, now)?;
        }
        Ok(())
    }
}

impl Work<'_> {
    /// Does what is due in a cluster; when something is due next.
    fn look_after(&mut self, cluster: i64, now: Now) -> Result<Option<u64>, ChatError> {
        let row = self.cluster_row(cluster)?;
        match row.standing {
            Standing::Left => return Ok(None),
            Standing::Asking => return self.ask_again(&row, now).map(Some),
            Standing::Member | Standing::Removed | Standing::Away => {}
        }
        self.follow_changes(&row, now)?;
        self.follow_tip(&row, now)?;
        let row = self.cluster_row(cluster)?;
        let tip = match row.tip {
            Some(tip) if matches!(row.standing, Standing::Member | Standing::Away) => tip,
            // Who seems to be out may hear of those with whom it stood.
            Some(_) if self.went_on(&row)? => return Ok(Some(now.unix_ms.saturating_add(LOOK_AGAIN_MS))),
            _ => return Ok(None),
        };
        let state = self.shared_state(cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        if row.standing == Standing::Away {
            self.ask_to_return(&row, &state, now)?;
            return Ok(Some(now.unix_ms.saturating_add(LOOK_AGAIN_MS)));
        }
        self.watch_doors(&row, now)?;
        self.ask_to_return(&row, &state, now)?;
        self.tell_who_is_out(&row, &state, now)?;
        self.move_for_guests(&row, &state, now)?;
        self.drop_the_silent(&row, &state, now)?;
        self.claim_again(&row, &state, now)?;
        self.confirm_votes(&row, &state)?;
        self.count(&row, &state, now)?;
        self.go_along(&row, &state, now)?;
        self.say_undelivered(&row, &state, now)?;
        self.say_missed(&row, &state, now)?;
        self.hear_again(&row, now)?;
        self.encrypt_in_cluster(&row, &tip, now)?;
        let next = self.look_after_votes(&row, &state, now)?;
        let next = next.min(self.acknowledge_in_cluster(&row, &state, now)?).min(self.act(&row, &state, now)?);
        Ok(Some(next.min(now.unix_ms.saturating_add(LOOK_AGAIN_MS))))
    }

    /// Whether we have gone on beyond the state by which we seem to be out.
    fn went_on(&self, row: &ClusterRow) -> Result<bool, ChatError> {
        let sql = "SELECT 1 FROM cluster_state s WHERE cluster = ?1 AND own_leaf IS NOT NULL
             AND epoch > (SELECT epoch FROM cluster_state t WHERE t.cluster = s.cluster AND t.state = ?2)";
        Ok(self.conn.prepare_cached(sql)?.exists((row.cluster, row.tip.map(|tip| tip.0)))?)
    }

    fn act(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<u64, ChatError> {
        let agenda = self.agenda(row, state, Some(now))?;
        let (place, drawn) = (self.our_place(row, state, &agenda.plan.remove, now)?, self.drawn(row, state));
        let timing = Timing { waiting_ms: agenda.since, ..Timing::new(state.began, &state.context.charter, place) };
        let (ended, proposed, stands): (bool, bool, bool) = self
            .conn
            .prepare_cached(
                "SELECT ended, proposed, EXISTS (SELECT 1 FROM cluster_stand t WHERE t.cluster = s.cluster AND t.member = ?3 AND t.state = s.state)
                 FROM cluster_state s WHERE cluster = ?1 AND state = ?2",
            )?
            .query_row((row.cluster, state.state.0, row.member.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut next = u64::MAX;
        if !ended {
            if timing.commit_due() <= now.unix_ms {
                self.commit(row, state, agenda, now)?;
                return Ok(now.unix_ms);
            }
            next = next.min(timing.commit_due());
        }
        if let Some(due) = timing.update_due(drawn).filter(|_| !ended && !proposed) {
            if due <= now.unix_ms {
                self.propose_update(row, &state.state, now)?;
            } else {
                next = next.min(due);
            }
        }
        // Who is alone need not tell anybody.
        if (!stands || self.slots_are_due(row, &state.state)?) && state.members.len() > 1 {
            if timing.here_due(drawn) <= now.unix_ms {
                self.say_here(row, &state.state, now)?;
            } else {
                next = next.min(timing.here_due(drawn));
            }
        }
        Ok(next)
    }

    /// Our place in the order of leaders, among those who were heard lately and stay.
    pub(crate) fn our_place(&self, row: &ClusterRow, state: &StateRow, going: &[MemberId], now: Now) -> Result<usize, ChatError> {
        let since = ms(now.unix_ms.saturating_sub(HEARD_LATELY_MS));
        let heard: Vec<[u8; 32]> = self
            .conn
            .prepare_cached("SELECT member FROM cluster_stand WHERE cluster = ?1 AND heard > ?2")?
            .query_map((row.cluster, since), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let ours = rank(&state.context.salt, state.epoch, &row.member);
        let there = state.roster().iter().filter(|member| heard.contains(&member.0) && !going.contains(member));
        Ok(there.filter(|member| rank(&state.context.salt, state.epoch, member) < ours).count())
    }

    /// Random enough that not all do something at once, and the same each time we look.
    fn drawn(&self, row: &ClusterRow, state: &StateRow) -> u64 {
        let rank = rank(&state.context.salt, state.epoch, &row.member);
        rank.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// What can be carried out now: as much of what waits as is lawful together, what members decided first. Without `adding`, a time,
    /// only what adds nobody.
    fn agenda(&mut self, row: &ClusterRow, state: &StateRow, adding: Option<Now>) -> Result<Agenda, ChatError> {
        let mut agenda = Agenda::default();
        let Some(cluster) = row.id else { return Ok(agenda) };
        let mut mandate = Mandate::new(&Parent { cluster, past: &state.past, done: &state.done });
        let passed = self.passed(row, state)?;
        let returning = adding.map(|now| self.to_let_back(row, &cluster, state, now)).transpose()?.unwrap_or_default();
        let adds = passed.iter().any(|(certificate, _)| !certificate.motion().claimed().admissions().is_empty());
        let mut taken =
            if adding.is_some() && (adds || !returning.is_empty()) { self.keys_of_members(row, state)? } else { Taken::default() };
        for (certificate, at) in passed {
            let moved = certificate.motion().claimed();
            let admissions = moved.admissions();
            match &moved.kind {
                _ if !admissions.is_empty() && adding.is_none() => continue,
                Moved::Expel { member } if *member == row.member => continue,
                Moved::Silent { members } if members.contains(&row.member) => continue,
                _ => {}
            }
            // Whoever has the KeyPackages will do it.
            let Some(requests) = self.requests_of(row, state, &admissions)? else { continue };
            // Two motions may want the same.
            let (twice, new): (Vec<Asked>, Vec<Asked>) =
                requests.into_iter().partition(|(_, key_package)| agenda.plan.add.contains(key_package));
            let mut with = taken.clone();
            if self.fit(&mut with, &new) && mandate.decide(&certificate).is_ok() {
                taken = with;
                agenda.waits_since(at);
                agenda.requests.extend(twice.iter().chain(&new).map(|(request, _)| request));
                agenda.plan.add.extend(new.into_iter().map(|(_, key_package)| key_package));
            }
        }
        for (leave, at) in self.leaves(row)? {
            if leave.claimed_member() != row.member && mandate.leave(&leave).is_ok() {
                agenda.waits_since(at);
            }
        }
        for back in returning {
            let (mut with, asked) = (taken.clone(), (back.request, back.key_package));
            if self.fit(&mut with, std::slice::from_ref(&asked)) && mandate.come_back(&back.comeback).is_ok() {
                taken = with;
                agenda.waits_since(back.at);
                agenda.requests.push(asked.0);
                agenda.plan.add.push(asked.1);
            }
        }
        agenda.plan.remove = mandate.removed().iter().chain(mandate.back().map(|(member, _)| member)).copied().collect();
        agenda.grounds = mandate.grounds().clone();
        agenda.plan.context = state.context.after(state.epoch, &agenda.grounds, mandate.charter()).map(|context| context.encode());
        Ok(agenda)
    }

    /// Ends the state that we follow, and lets in whom the agenda names.
    fn commit(&mut self, row: &ClusterRow, state: &StateRow, agenda: Agenda, now: Now) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        // Whatever comes of it, nobody ends a state twice.
        self.conn.execute("UPDATE cluster_state SET ended = 1 WHERE cluster = ?1 AND state = ?2", (row.cluster, state.state.0))?;
        let Some((agenda, committed)) = self.make_commit(row, &id, state, agenda)? else { return Ok(()) };
        let parent = Parent { cluster: id, past: &state.past, done: &state.done };
        let judged =
            change_of(state, &committed.changed, &agenda.grounds).and_then(|change| judge(&parent, &change, &agenda.grounds).ok());
        let judged = judged.ok_or(ChatError::Bug("own change is not lawful"))?;
        let next = next_state(state, &committed.changed, &judged, &committed.snapshot, now).ok_or(ChatError::Bug("own change"))?;
        let bundle = Bundle { commit: committed.commit, grounds: agenda.grounds };
        self.enter(row, &next, &bundle)?;
        // The answer first: whoever waits outside is waited for, and what they say before the others have followed is found then.
        if let (Some(welcome), Some(door)) = (committed.welcome, row.door) {
            let door = samizdat_cluster::door::DoorSecret(door);
            let minutes = self.minutes_to_hand(row, &id, &next)?;
            let minutes = next.secret.enclose(&minutes.encode(), self.rng).map_err(|_| ChatError::Bug("own minutes"))?;
            let answer = Answer { cluster: id, welcome, door, minutes };
            self.answer_all(row, &agenda.requests, &answer, now)?;
        }
        self.publish(row, &state.state, Kind::Change, &bundle.encode(), &DECIDING_LIFETIMES, now)?;
        self.follow_tip(row, now)?;
        if self.cluster_row(row.cluster)?.tip == Some(next.state) && !agenda.requests.is_empty() {
            self.tell_doors(row, &next, now)?;
            self.tell_history(row, &next, now)?;
        }
        self.touch(row.cluster);
        Ok(())
    }

    /// The Commit of all that is on the agenda, or of as much of it as the group takes.
    fn make_commit(
        &mut self,
        row: &ClusterRow,
        id: &ClusterId,
        state: &StateRow,
        agenda: Agenda,
    ) -> Result<Option<(Agenda, Committed)>, ChatError> {
        let updates = self.updates(row.cluster, &state.state)?;
        let without_updates = !updates.is_empty();
        let mut plans = vec![Plan { updates, ..agenda.plan.clone() }];
        // A proposal of somebody who meant no good, or of somebody who is removed: without them.
        if without_updates {
            plans.push(agenda.plan.clone());
        }
        for plan in plans {
            if let Some(committed) = self.try_commit(row, id, state, &plan)? {
                return Ok(Some((agenda, committed)));
            }
        }
        // Keys of somebody who comes in that no group takes: they must not keep the others waiting.
        let agenda = self.agenda(row, state, None)?;
        let committed = self.try_commit(row, id, state, &agenda.plan)?;
        Ok(committed.map(|committed| (agenda, committed)))
    }

    fn try_commit(
        &mut self,
        row: &ClusterRow,
        id: &ClusterId,
        state: &StateRow,
        plan: &Plan,
    ) -> Result<Option<Committed>, ChatError> {
        match self.mls.groups(self.conn, self.rng).commit(id, &state.state, &row.member, plan) {
            Ok(committed) => Ok(Some(committed)),
            Err(GroupError::State(error)) if is_database(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn propose_update(&mut self, row: &ClusterRow, state: &StateId, now: Now) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        self.conn.execute("UPDATE cluster_state SET proposed = 1 WHERE cluster = ?1 AND state = ?2", (row.cluster, state.0))?;
        let proposal = self.mls.groups(self.conn, self.rng).propose_update(&id, state, &row.member)?;
        self.publish(row, state, Kind::Update, &proposal, &DECIDING_LIFETIMES, now)?;
        Ok(())
    }

    /// Says something in a state, under our next turn. The turn is at least the clock, so that it grows over a restored backup. With
    /// what is said first there go our keys for anonymous messages, whether we want to write any or not.
    pub(crate) fn send_message(
        &mut self,
        row: &ClusterRow,
        state: &StateId,
        body: Body,
        lifetimes: Lifetimes<'_>,
        now: Now,
    ) -> Result<EnvelopeId, ChatError> {
        let Some(id) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        self.tell_slots(row, state, now)?;
        let turn: i64 = self
            .conn
            .prepare_cached("UPDATE cluster SET turn = max(turn + 1, ?2) WHERE cluster = ?1 RETURNING turn")?
            .query_row((row.cluster, ms(now.unix_ms)), |row| row.get(0))?;
        let message = Message { turn: turn.unsigned_abs(), body };
        let encrypted = self.mls.groups(self.conn, self.rng).encrypt(&id, state, &row.member, &message.encode());
        let envelope = self.publish(row, state, Kind::Message, &encrypted?, lifetimes, now)?;
        self.stand(row.cluster, &row.member, turn.unsigned_abs(), state, now)?;
        Ok(envelope)
    }
}

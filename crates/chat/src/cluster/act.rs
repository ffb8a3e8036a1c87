//! What we do of our own accord: carry out what has passed, refresh keys, say that we are here, ask again.

use samizdat_cluster::{
    StateId,
    bundle::Bundle,
    certificate::CertificateIn,
    content::{Body, Message},
    ids::rank,
    lawful::{Parent, judge},
    leave::LeaveIn,
    motion::Kind as Moved,
    request::Answer,
    rollout::Timing,
};
use samizdat_core::{EnvelopeId, Now};
use samizdat_store::Log;

use super::{
    change::{change_of, next_state},
    outer::{Kind, Lifetimes},
    row::{ClusterRow, Context, Standing, StateRow, ms},
};
use crate::{
    chat::{Chat, unless_the_vault_fails},
    error::{ChatError, is_database},
    limits::{DECIDING_LIFETIMES, HEARD_LATELY_MS, HERE_LIFETIMES, LOOK_AGAIN_MS},
    mls::{Changed, GroupError, Made, Plan},
    work::Work,
};

/// What is to be carried out, and since when it waits.
#[derive(Default)]
struct Agenda {
    certificates: Vec<CertificateIn>,
    leaves: Vec<LeaveIn>,
    /// Requests that are answered by it.
    requests: Vec<i64>,
    plan: Plan,
    since: Option<u64>,
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
            Standing::Member | Standing::Removed => {}
        }
        self.follow_changes(&row, now)?;
        self.follow_tip(&row, now)?;
        let row = self.cluster_row(cluster)?;
        let Ok((_, tip)) = row.place() else { return Ok(None) };
        let state = self.state_row(cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        self.watch_doors(&row, now)?;
        self.ask_to_return(&row, &state, now)?;
        self.move_for_guests(&row, &state, now)?;
        self.count(&row, &state, now)?;
        self.encrypt_in_cluster(&row, &tip, now)?;
        let next = self.act(&row, &state, now)?;
        Ok(Some(next.min(now.unix_ms.saturating_add(LOOK_AGAIN_MS))))
    }

    fn act(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<u64, ChatError> {
        let agenda = self.agenda(row, state)?;
        let (place, drawn) = (self.our_place(row, state, &agenda, now)?, self.drawn(row, state));
        let timing = Timing { waiting_ms: agenda.since, ..Timing::new(state.began, &state.context.charter, place) };
        let (ended, proposed, stands): (bool, bool, bool) = self.conn.query_row(
            "SELECT ended, proposed, EXISTS (SELECT 1 FROM cluster_stand t WHERE t.cluster = s.cluster AND t.member = ?3 AND t.state = s.state)
             FROM cluster_state s WHERE cluster = ?1 AND state = ?2",
            (row.cluster, state.state.0, row.member.0),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let mut next = u64::MAX;
        if !ended {
            if timing.commit_due() <= now.unix_ms {
                self.commit(row, state, &agenda, now)?;
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
        if !stands && state.members.len() > 1 {
            if timing.here_due(drawn) <= now.unix_ms {
                self.send_message(row, &state.state, Body::Here, &HERE_LIFETIMES, now)?;
            } else {
                next = next.min(timing.here_due(drawn));
            }
        }
        Ok(next)
    }

    /// Our place in the order of leaders, among those who were heard lately and stay.
    fn our_place(&self, row: &ClusterRow, state: &StateRow, agenda: &Agenda, now: Now) -> Result<usize, ChatError> {
        let since = ms(now.unix_ms.saturating_sub(HEARD_LATELY_MS));
        let heard: Vec<[u8; 32]> = self
            .conn
            .prepare_cached("SELECT member FROM cluster_stand WHERE cluster = ?1 AND heard > ?2")?
            .query_map((row.cluster, since), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let ours = rank(&state.context.salt, state.epoch, &row.member);
        let there = state.roster().iter().filter(|member| heard.contains(&member.0) && !agenda.plan.remove.contains(member));
        Ok(there.filter(|member| rank(&state.context.salt, state.epoch, member) < ours).count())
    }

    /// Random enough that not all do something at once, and the same each time we look.
    fn drawn(&self, row: &ClusterRow, state: &StateRow) -> u64 {
        let rank = rank(&state.context.salt, state.epoch, &row.member);
        rank.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// What can be carried out now: as much of what waits as is lawful together.
    fn agenda(&self, row: &ClusterRow, state: &StateRow) -> Result<Agenda, ChatError> {
        let mut agenda = Agenda::default();
        for (leave, at) in self.leaves(row)? {
            if leave.claimed_member() != row.member && state.roster().contains(&leave.claimed_member()) {
                agenda.plan.remove.push(leave.claimed_member());
                agenda.leaves.push(leave);
                agenda.since = Some(agenda.since.map_or(at, |since: u64| since.min(at)));
            }
        }
        for back in self.returning(row)? {
            if state.roster().contains(&back.member) && !agenda.plan.remove.contains(&back.member) && back.member != row.member {
                agenda.plan.remove.push(back.member);
                agenda.plan.add.push(back.key_package);
                agenda.requests.push(back.request);
                agenda.since = Some(agenda.since.map_or(back.at, |since| since.min(back.at)));
            }
        }
        for (certificate, at) in self.passed(row, state)? {
            let more = self.with(row, state, &agenda, &certificate)?;
            if let Some(more) = more {
                agenda = Agenda { since: Some(more.since.map_or(at, |since| since.min(at))), ..more };
            }
        }
        Ok(agenda)
    }

    /// The agenda with one motion more, if all of it together is lawful.
    fn with(
        &self,
        row: &ClusterRow,
        state: &StateRow,
        agenda: &Agenda,
        certificate: &CertificateIn,
    ) -> Result<Option<Agenda>, ChatError> {
        let mut more = Agenda {
            certificates: [&agenda.certificates[..], std::slice::from_ref(certificate)].concat(),
            leaves: agenda.leaves.clone(),
            requests: agenda.requests.clone(),
            plan: agenda.plan.clone(),
            since: agenda.since,
        };
        match &certificate.motion().claimed().kind {
            Moved::Admit(admission) => {
                let Some((request, key_package)) = self.request_of(row, &admission.key_package)? else { return Ok(None) };
                more.plan.add.push(key_package);
                more.requests.push(request);
            }
            Moved::Expel { member } => more.plan.remove.push(*member),
            Moved::Silent { members } => more.plan.remove.extend(members),
            Moved::Charter(charter) => {
                let context = Context { salt: state.context.salt, charter: charter.clone() };
                more.plan.context = Some(context.encode());
            }
            Moved::Question { .. } => return Ok(None),
        }
        let Some(id) = row.id else { return Ok(None) };
        let mut added = Vec::new();
        for package in &more.plan.add {
            let Ok(seen) = self.mls.inspect_member(package) else { return Ok(None) };
            added.push(Made { member: seen.member, key_package: seen.hash.0, nick: seen.nick });
        }
        let (removed, context) = (more.plan.remove.clone(), more.plan.context.clone());
        let changed = Changed { committer: row.member, added, removed, context };
        let parent = Parent { cluster: id, past: &state.past, done: &state.done };
        let lawful =
            change_of(state, &changed).is_some_and(|change| judge(&parent, &change, &more.certificates, &more.leaves).is_ok());
        Ok(lawful.then_some(more))
    }

    /// Ends the state that we follow, and lets in whom the agenda names.
    fn commit(&mut self, row: &ClusterRow, state: &StateRow, agenda: &Agenda, now: Now) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        // Whatever comes of it, nobody ends a state twice.
        self.conn.execute("UPDATE cluster_state SET ended = 1 WHERE cluster = ?1 AND state = ?2", (row.cluster, state.state.0))?;
        let plan = Plan { updates: self.updates(row.cluster, &state.state)?, ..agenda.plan.clone() };
        let groups =
            |work: &mut Self, plan: &Plan| work.mls.groups(work.conn, work.rng).commit(&id, &state.state, &row.member, plan);
        let committed = match groups(self, &plan) {
            // A proposal of somebody who meant no good, or of somebody who is removed: without them.
            Err(GroupError::State(error)) if !is_database(&error) => groups(self, &agenda.plan),
            done => done,
        };
        let committed = match committed {
            Ok(committed) => committed,
            Err(GroupError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        let parent = Parent { cluster: id, past: &state.past, done: &state.done };
        let judged = change_of(state, &committed.changed)
            .and_then(|change| judge(&parent, &change, &agenda.certificates, &agenda.leaves).ok());
        let Some(judged) = judged else {
            self.mls.groups(self.conn, self.rng).forget(&id, &committed.snapshot.state)?;
            return Ok(());
        };
        let next = next_state(state, &committed.changed, &judged, &committed.snapshot, now).ok_or(ChatError::Bug("own change"))?;
        let bundle = Bundle { commit: committed.commit, certificates: agenda.certificates.clone(), leaves: agenda.leaves.clone() };
        self.enter(row, &next, &bundle)?;
        self.publish(row, &state.state, Kind::Change, &bundle.encode(), &DECIDING_LIFETIMES, now)?;
        if let (Some(welcome), Some(door)) = (committed.welcome, row.door) {
            let answer = Answer {
                cluster: id,
                welcome,
                door: samizdat_cluster::door::DoorSecret(door),
                past: next.past.clone().into(),
                done: next.done.iter().copied().collect(),
            };
            self.answer_all(row, &agenda.requests, &answer, now)?;
        }
        self.follow_tip(row, now)?;
        self.touch(row.cluster);
        Ok(())
    }

    fn propose_update(&mut self, row: &ClusterRow, state: &StateId, now: Now) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        self.conn.execute("UPDATE cluster_state SET proposed = 1 WHERE cluster = ?1 AND state = ?2", (row.cluster, state.0))?;
        let proposal = self.mls.groups(self.conn, self.rng).propose_update(&id, state, &row.member)?;
        self.publish(row, state, Kind::Update, &proposal, &DECIDING_LIFETIMES, now)?;
        Ok(())
    }

    /// Says something in a state, under our next turn. The turn is at least the clock, so that it grows over a restored backup.
    pub(crate) fn send_message(
        &mut self,
        row: &ClusterRow,
        state: &StateId,
        body: Body,
        lifetimes: Lifetimes<'_>,
        now: Now,
    ) -> Result<EnvelopeId, ChatError> {
        let Some(id) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        let turn: i64 = self.conn.query_row(
            "UPDATE cluster SET turn = max(turn + 1, ?2) WHERE cluster = ?1 RETURNING turn",
            (row.cluster, ms(now.unix_ms)),
            |row| row.get(0),
        )?;
        let message = Message { turn: turn.unsigned_abs(), body };
        let encrypted = self.mls.groups(self.conn, self.rng).encrypt(&id, state, &row.member, &message.encode());
        let envelope = self.publish(row, state, Kind::Message, &encrypted?, lifetimes, now)?;
        self.stand(row.cluster, &row.member, turn.unsigned_abs(), state, now)?;
        Ok(envelope)
    }
}

//! What a cluster decided since we know it: kept step by step, replayed and verified for people.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    ClusterId, MotionId, StateId,
    audit::{Decision, Replay},
    bundle::Bundle,
    limits::MINUTES_MAX,
    minutes::{Minutes, MinutesIn},
    motion::Kind,
    secret::{BadTranscript, TranscriptIn},
};

use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{chat::Chat, error::ChatError, work::Work};

/// What a cluster decided, as far back as we were told; each step is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// From which epoch on, if not since the founding: what was before, is believed to who let us in.
    pub since: Option<u64>,
    /// The oldest first.
    pub decided: Vec<Decided>,
}

/// One step of what a cluster decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The epoch that began with it.
    pub epoch: u64,
    /// What: one line for each motion or leave.
    pub what: Vec<String>,
    /// What of it was voted on in secret, and its result is not known here: that it passed, enough members signed.
    pub unknown: Vec<String>,
    /// What of it was refused in a secret vote, as the transcript proves: enough members signed falsely that it passed.
    pub untrue: Vec<String>,
}

impl Chat {
    /// Replays all that was decided, and verifies each step; and what the cluster was asked in secret.
    pub fn audit_cluster(&mut self, which: &str) -> Result<Audit, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            work.audit(&row)
        })
    }
}

impl Work<'_> {
    /// Keeps what was decided before we came, as we were told it.
    pub(crate) fn put_root(&self, cluster: i64, state: &StateRow, minutes: &Minutes) -> Result<(), ChatError> {
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_decision(cluster, state, parent, epoch, bytes) VALUES(?1, ?2, NULL, ?3, ?4)",
            (cluster, state.state.0, ms(state.epoch), minutes.encode()),
        )?;
        // How those called themselves who are out since.
        let mut former = self.conn.prepare_cached(
            "INSERT OR IGNORE INTO cluster_member(cluster, member, nick, author, known) VALUES(?1, ?2, ?3, ?4, ?5)",
        )?;
        let certificates = minutes.decisions().iter().flat_map(|decision| &decision.grounds.certificates);
        certificates.flat_map(|certificate| certificate.motion().claimed().admissions()).try_for_each(|admission| {
            let author = admission.member.to_string();
            former.execute((cluster, admission.member.0, &admission.nick, author, ms(state.began))).map(|_| ())
        })?;
        Ok(())
    }

    /// The tip; or the one before, if we were told there that we are out: that was decided among others than those whom we know.
    fn last_decided(&self, row: &ClusterRow) -> Result<Option<StateId>, ChatError> {
        let Some(tip) = row.tip else { return Ok(None) };
        let decided = "SELECT 1 FROM cluster_decision WHERE cluster = ?1 AND state = ?2";
        let told = !self.conn.prepare_cached(decided)?.exists((row.cluster, tip.0))?;
        let before = if told { self.state_row(row.cluster, &tip)?.and_then(|state| state.parent) } else { None };
        Ok(before.or(Some(tip)))
    }

    /// What was decided up to a state, from as far back as we were told.
    pub(crate) fn minutes(&self, row: &ClusterRow, state: &StateId) -> Result<Minutes, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT parent, epoch, bytes FROM cluster_decision WHERE cluster = ?1 AND state = ?2")?;
        let (mut at, mut decisions) = (state.0, Vec::new());
        let mut minutes = loop {
            let found = statement.query_row((row.cluster, at), |row| {
                Ok((row.get::<_, Option<[u8; 16]>>(0)?, row.get::<_, u64>(1)?, row.get::<_, Vec<u8>>(2)?))
            });
            let (parent, epoch, bytes) = found.optional()?.ok_or_else(damaged)?;
            let Some(parent) = parent else {
                break MinutesIn::decode(&bytes).map_err(|_| damaged())?.kept();
            };
            let grounds = Bundle::decode(&bytes).map_err(|_| damaged())?.grounds;
            if !grounds.is_empty() {
                decisions.push(Decision { epoch: epoch.saturating_sub(1), grounds });
            }
            at = parent;
        };
        decisions.into_iter().rev().for_each(|decision| minutes.add(decision));
        Ok(minutes)
    }

    /// What whoever comes into a state is handed: as much as there is room for. Nobody waits because our own history is damaged.
    pub(crate) fn minutes_to_hand(&self, row: &ClusterRow, id: &ClusterId, state: &StateRow) -> Result<Minutes, ChatError> {
        match self.minutes(row, &state.state).map(|minutes| minutes.fitting(*id, MINUTES_MAX)) {
            Ok(Ok(minutes)) => Ok(minutes),
            Ok(Err(_)) | Err(ChatError::Refused(_)) => Ok(Minutes::from(&state.context, state.past.clone(), state.done.clone())),
            Err(error) => Err(error),
        }
    }

    fn audit(&self, row: &ClusterRow) -> Result<Audit, ChatError> {
        let id = row.id.ok_or_else(|| ChatError::Refused("you are not in this cluster yet".into()))?;
        let last = self.last_decided(row)?.ok_or_else(damaged)?;
        let minutes = self.minutes(row, &last)?;
        let salt = *minutes.salt();
        let (mut replay, mut shown) = (minutes.begin(id), Vec::new());
        let mut votes = self.transcripts(row)?.into_iter().peekable();
        let mut results: BTreeMap<MotionId, bool> = BTreeMap::new();
        for decision in minutes.decisions() {
            while let Some((motion, vote)) = votes.next_if(|(_, vote)| vote.motion().claimed().epoch <= decision.epoch) {
                let answered = self.answered(row, &replay, &salt, &vote)?;
                results.extend(answered.iter().map(|(_, passed)| (motion, *passed)));
                shown.extend(answered.map(|(decided, _)| decided));
            }
            replay.decide(decision).map_err(|broken| ChatError::Refused(broken.to_string()))?;
            shown.push(self.told(row, decision, &results)?);
        }
        for (_, vote) in votes {
            shown.extend(self.answered(row, &replay, &salt, &vote)?.map(|(decided, _)| decided));
        }
        let since = (!minutes.are_whole(&id)).then_some(minutes.since());
        let audit = Audit { since, decided: shown };
        let after = replay.past();
        let Some(tip) = self.state_row(row.cluster, &last)? else {
            // Whoever is out has forgotten the state, and can still verify how it came about.
            return if row.standing == Standing::Member { Err(damaged()) } else { Ok(audit) };
        };
        let told = (&salt, after.roster(), after.charter(), replay.minutes());
        if told == (&tip.context.salt, tip.roster(), &tip.context.charter, &tip.context.minutes) {
            Ok(audit)
        } else {
            Err(ChatError::Refused("what was decided does not lead to the members and rules of today".into()))
        }
    }

    /// What came out of a secret vote, and whether it has passed by that; nothing if its motion is not in order on this branch: it was
    /// moved on another one.
    fn answered(
        &self,
        row: &ClusterRow,
        replay: &Replay,
        salt: &[u8; 32],
        vote: &TranscriptIn,
    ) -> Result<Option<(Decided, bool)>, ChatError> {
        let moved = vote.motion().claimed();
        let asked = match &moved.kind {
            Kind::Question { text, .. } => text.clone(),
            kind => self.subject(row, kind).map(|(kind, subject)| format!("{kind} {subject}"))?,
        };
        match replay.verdict(salt, vote) {
            Ok(verdict) => {
                let options = match &moved.kind {
                    Kind::Question { options, .. } => options.iter().map(String::as_str).collect(),
                    _ => vec!["yes", "no"],
                };
                let counts = options.iter().zip(&verdict.counts).map(|(option, count)| format!("{option} {count}"));
                let what = format!("answer {asked}: {}", counts.collect::<Vec<_>>().join(", "));
                Ok(Some((
                    Decided { epoch: moved.epoch, what: vec![what], unknown: Vec::new(), untrue: Vec::new() },
                    verdict.passed,
                )))
            }
            Err(BadTranscript::Motion(_)) => Ok(None),
            Err(why) => Err(ChatError::Refused(format!("what came out of the secret vote on \"{asked}\" is not proven: {why}"))),
        }
    }

    /// A decision, for people. By `results`, what was voted on in secret has passed or has not.
    fn told(&self, row: &ClusterRow, decision: &Decision, results: &BTreeMap<MotionId, bool>) -> Result<Decided, ChatError> {
        let grounds = &decision.grounds;
        let (mut told, mut unknown, mut untrue) = (Vec::new(), Vec::new(), Vec::new());
        for certificate in &grounds.certificates {
            let claimed = certificate.motion().claimed();
            let (kind, subject) = self.subject(row, &claimed.kind)?;
            let line = format!("{kind} {subject}");
            match results.get(&claimed.id()) {
                Some(false) => untrue.push(line.clone()),
                None if claimed.secret => unknown.push(line.clone()),
                _ => {}
            }
            told.push(line);
        }
        for leave in &grounds.leaves {
            told.push(format!("leave {}", self.nick(row, &leave.claimed_member())?));
        }
        for comeback in &grounds.comebacks {
            told.push(format!("comeback {}", self.nick(row, &comeback.claimed_member())?));
        }
        Ok(Decided { epoch: decision.epoch.saturating_add(1), what: told, unknown, untrue })
    }
}

fn damaged() -> ChatError {
    ChatError::Refused("the history of this cluster is damaged: what was decided cannot be verified".into())
}

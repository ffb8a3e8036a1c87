//! What a cluster decided since we know it: kept step by step, replayed and verified for people.

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder};
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    Done, MotionId, PastIn, Roster, StateId,
    audit::{Decision, Replay},
    bundle::Bundle,
    motion::Kind,
    secret::{BadTranscript, TranscriptIn},
};

use super::row::{ClusterRow, Context, Standing, StateRow, ms};
use crate::{chat::Chat, error::ChatError, work::Work};

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
    /// Replays all that was decided since we know the cluster, and verifies each step; and what it was asked in secret.
    pub fn audit_cluster(&mut self, which: &str) -> Result<Vec<Decided>, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            work.audit(&row)
        })
    }
}

impl Work<'_> {
    /// Keeps what was true when we came to know a cluster: its history begins there.
    pub(crate) fn put_root(&self, cluster: i64, state: &StateRow) -> Result<(), ChatError> {
        let mut e = Encoder::new(Vec::new());
        let done = state.done.encode();
        // Writing into a Vec cannot fail.
        let _ = e.array(3).and_then(|e| e.bytes(&state.context.encode())?.bytes(&state.past.encode())?.bytes(&done));
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_decision(cluster, state, parent, epoch, bytes) VALUES(?1, ?2, NULL, ?3, ?4)",
            (cluster, state.state.0, ms(state.epoch), e.into_writer()),
        )?;
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

    fn audit(&self, row: &ClusterRow) -> Result<Vec<Decided>, ChatError> {
        let id = row.id.ok_or_else(|| ChatError::Refused("you are not in this cluster yet".into()))?;
        let damaged = || ChatError::Refused("the history of this cluster is damaged: what was decided cannot be verified".into());
        let last = self.last_decided(row)?;
        let mut at = last.map(|last| last.0);
        let (mut decisions, mut shown, mut root) = (Vec::new(), Vec::new(), None);
        while let Some(state) = at {
            let (parent, epoch, bytes): (Option<[u8; 16]>, u64, Vec<u8>) = self
                .conn
                .query_row(
                    "SELECT parent, epoch, bytes FROM cluster_decision WHERE cluster = ?1 AND state = ?2",
                    (row.cluster, state),
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?
                .ok_or_else(damaged)?;
            if parent.is_none() {
                root = Some((epoch, bytes));
                break;
            }
            let bundle = Bundle::decode(&bytes).map_err(|_| damaged())?;
            if !bundle.grounds.is_empty() {
                decisions.push(Decision { epoch: epoch.saturating_sub(1), grounds: bundle.grounds });
            }
            at = parent;
        }
        decisions.reverse();
        let (epoch, bytes) = root.ok_or_else(damaged)?;
        let (salt, past, done) = read_root(epoch, &bytes).ok_or_else(damaged)?;
        let mut replay = Replay::from(id, past, done);
        let mut votes = self.transcripts(row)?.into_iter().peekable();
        let mut results: BTreeMap<MotionId, bool> = BTreeMap::new();
        for decision in &decisions {
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
        let after = replay.past();
        let tip = last.map(|last| self.state_row(row.cluster, &last)).transpose()?.flatten();
        let Some(tip) = tip else {
            // Whoever is out has forgotten the state, and can still verify how it came about.
            return if row.standing == Standing::Member { Err(damaged()) } else { Ok(shown) };
        };
        if (&salt, after.roster(), after.charter()) == (&tip.context.salt, tip.roster(), &tip.context.charter) {
            Ok(shown)
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

/// Salt of the cluster, past, and what had been carried out.
fn read_root(epoch: u64, bytes: &[u8]) -> Option<([u8; 32], samizdat_cluster::Past, Done)> {
    let mut d = Decoder::new(bytes);
    d.array().ok()?;
    let context = Context::decode(d.bytes().ok()?)?;
    let past = PastIn::decode(d.bytes().ok()?).ok()?;
    let done = Done::decode(d.bytes().ok()?).ok()?;
    let roster: Roster = past.claimed_roster().clone();
    Some((context.salt, past.verify(epoch, &roster, &context.charter).ok()?, done))
}

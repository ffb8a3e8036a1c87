//! What people see of secret votes.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId, MotionId,
    ballot::Ballot,
    motion::Kind,
    secret::{StepIn, StepKind, TranscriptIn, TwoBallots},
    tally::{Outcome, Tally},
};

use super::{Phase, Vote};
use crate::{
    cluster::{query::MotionRow, row::ClusterRow},
    error::ChatError,
    work::Work,
};

/// What is special about a motion that is voted on in secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVote {
    /// How far it has come.
    pub phase: Phase,
    /// Nicknames of those who have voted; how is not known.
    pub voted: Vec<String>,
    /// Of these, whose ballots trustees left out of the result.
    pub left_out: Vec<String>,
    /// Whether what we want to vote waits for the key.
    pub waits: bool,
    /// Of a decision: how many said yes, and no, once that is known.
    pub said: Option<(usize, usize)>,
    /// Of a decision that has passed: nicknames of those who confirmed that, which each does by itself.
    pub confirmed: Vec<String>,
    /// Why nothing came of it, and what to do.
    pub why: Option<&'static str>,
}

fn why(state: Outcome, phase: Phase) -> Option<&'static str> {
    match (state, phase) {
        (Outcome::Failed, Phase::NoKey) => {
            Some("too few trustees agreed on a key in time: open it again when more members are there, or openly")
        }
        (Outcome::Failed, Phase::TooFew) => Some(
            "fewer members voted than the charter needs, or so few that the result would show how they did: open it again, or openly",
        ),
        (Outcome::Failed, Phase::NotOpened) => {
            Some("too few trustees opened the same ballots: open it again when more members are there, or openly")
        }
        (Outcome::Expired, _) => {
            Some("its epochs were over before it was opened, confirmed and carried out: open it again, or openly")
        }
        _ => None,
    }
}

/// What a vote came to, as the vault has it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) counts: Vec<usize>,
    voters: Vec<MemberId>,
    left_out: Vec<MemberId>,
}

impl Work<'_> {
    /// Puts into a row what is known of a secret vote, and of what was confirmed since. Before the result each option counts nothing.
    pub(crate) fn show_vote(
        &self,
        row: &ClusterRow,
        motion: &MotionId,
        shown: &mut MotionRow,
        (confirmed, epoch): (Option<&Tally>, u64),
    ) -> Result<(), ChatError> {
        let Some(vote) = self.secret_vote(row, motion)? else { return Ok(()) };
        let result = self.result(row, motion)?;
        let moved = vote.panel.motion();
        (shown.needed, shown.voters) = (moved.needed(), moved.electorate().len());
        let voters = if vote.phase < Phase::Done { self.voted(row, &vote)? } else { result.voters };
        let said = (moved.decides_in_secret() && vote.phase == Phase::Done).then(|| {
            let count = |option: usize| result.counts.get(option).copied().unwrap_or(0);
            (count(0), count(1))
        });
        let refused = said.is_some_and(|(yes, _)| yes < moved.needed());
        // On another branch than that on which it was moved nobody confirms anything.
        let over = moved.decides_in_secret() && (epoch > moved.fields().until || confirmed.is_none());
        // Others may have seen a result that we have not.
        let certified = confirmed.is_some_and(Tally::has_passed);
        shown.state = match vote.phase {
            _ if shown.done || certified && !over => Outcome::Passed,
            Phase::NoKey | Phase::TooFew | Phase::NotOpened => Outcome::Failed,
            _ if refused => Outcome::Failed,
            _ if over => Outcome::Expired,
            Phase::Key | Phase::Voting | Phase::Opening => Outcome::Open,
            Phase::Done => Outcome::Passed,
        };
        if let Kind::Question { options, .. } = &moved.fields().kind {
            let counts = (0..options.len()).map(|option| result.counts.get(option).copied().unwrap_or(0));
            let counts: Vec<usize> = counts.collect();
            let mut best: Vec<usize> = (0..options.len()).collect();
            best.sort_by_key(|option| core::cmp::Reverse(counts.get(*option).copied()));
            let place = |option: usize| best.iter().position(|one| *one == option).map_or(0, |place| place.saturating_add(1));
            let row = |((option, text), count): ((usize, &String), usize)| (text.clone(), count, place(option));
            shown.ballots.options = options.iter().enumerate().zip(counts).map(row).collect();
        }
        let cheats = self.cheats(row, &vote)?;
        shown.ballots.cheated = cheats.iter().map(|member| self.nick(row, member)).collect::<Result<_, ChatError>>()?;
        let ours = voters.contains(&row.member) || result.left_out.contains(&row.member);
        shown.ours = match vote.choice {
            _ if ours => Some("secret".into()),
            Some(option) if moved.decides_in_secret() => Some(if option == 0 { "yes" } else { "no" }.into()),
            Some(option) => Some(u16::from(option).saturating_add(1).to_string()),
            None => None,
        };
        let nicks =
            |members: &[MemberId]| members.iter().map(|member| self.nick(row, member)).collect::<Result<Vec<_>, ChatError>>();
        let mut voted = nicks(&voters)?;
        let left_out = nicks(&result.left_out)?;
        voted.extend(left_out.iter().cloned());
        voted.sort_unstable();
        let confirmed: Vec<MemberId> = confirmed.iter().flat_map(|tally| tally.ballots()).map(Ballot::voter).collect();
        let mut confirmed = nicks(&confirmed)?;
        confirmed.sort_unstable();
        let (phase, waits, why) = (vote.phase, vote.choice.is_some(), why(shown.state, vote.phase));
        shown.secret = Some(SecretVote { phase, voted, left_out, waits, said, confirmed, why });
        Ok(())
    }

    pub(super) fn result(&self, row: &ClusterRow, motion: &MotionId) -> Result<Known, ChatError> {
        let sql = "SELECT counts, voters, left_out FROM cluster_vote WHERE cluster = ?1 AND motion = ?2";
        let found = self.conn.prepare_cached(sql)?.query_row((row.cluster, motion.0), |row| {
            let counts: Vec<u8> = row.get(0)?;
            let counts = counts.as_chunks().0.iter().map(|count| usize::try_from(u64::from_be_bytes(*count)).unwrap_or(usize::MAX));
            Ok(Known { counts: counts.collect(), voters: members(row.get(1)?), left_out: members(row.get(2)?) })
        });
        Ok(found.optional()?.unwrap_or_default())
    }

    /// Who has voted twice, which two ballots prove.
    pub(super) fn cheats(&self, row: &ClusterRow, vote: &Vote) -> Result<Vec<MemberId>, ChatError> {
        let mut cheats: Vec<MemberId> = Vec::new();
        let ballots: Vec<_> = self.steps(row, vote, &[StepKind::Ballot])?.into_iter().map(|(_, step)| step).collect();
        for (at, first) in ballots.iter().enumerate() {
            for second in ballots.iter().skip(at.saturating_add(1)) {
                if let (StepIn::Ballot(first), StepIn::Ballot(second)) = (first, second)
                    && first.claimed_voter() == second.claimed_voter()
                    && let Some((culprit, _)) = TwoBallots::new(first.clone(), second.clone()).culprit()
                {
                    cheats.push(culprit);
                }
            }
        }
        cheats.sort_unstable();
        cheats.dedup();
        Ok(cheats)
    }

    /// What proves the results of secret votes, the oldest first.
    pub(crate) fn transcripts(&self, row: &ClusterRow) -> Result<Vec<(MotionId, TranscriptIn)>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT motion, transcript FROM cluster_vote WHERE cluster = ?1 AND transcript IS NOT NULL ORDER BY began, motion",
        )?;
        let rows = statement.query_map([row.cluster], |row| Ok((MotionId(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        let mut transcripts = Vec::new();
        for found in rows {
            let (motion, bytes) = found?;
            let transcript = TranscriptIn::decode(&bytes).ok().filter(|vote| vote.motion().claimed().id() == motion);
            let damaged = || ChatError::Refused("the result of a secret vote is damaged: it cannot be verified".into());
            transcripts.push((motion, transcript.ok_or_else(damaged)?));
        }
        transcripts.sort_by_key(|(_, vote)| vote.motion().claimed().epoch);
        Ok(transcripts)
    }
}

fn members(flat: Vec<u8>) -> Vec<MemberId> {
    flat.as_chunks().0.iter().copied().map(MemberId).collect()
}
